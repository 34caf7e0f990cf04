"""SignalService behind the gate: what is taken, refused and told, and to whom."""

import grpc
import pytest
from tests.aggregator.service.gated import as_, gated

from remora_aggregator.service.entrance import EntranceRates
from remora_proto.v1 import records_pb2, records_pb2_grpc
from remora_proto.v1 import signals_pb2 as pb
from remora_proto.v1 import signals_pb2_grpc as pb_grpc

CODE = grpc.StatusCode
CALL = "0" * 31 + "1"
DASHED = "00000000-0000-0000-0000-000000000001"


def _signal(signal_id="s", call_id=CALL, kind="user_accepted", **fields):
    return pb.Signal(signal_id=signal_id, call_id=call_id, kind=kind, **fields)


class Asking:
    """Calls the service as somebody."""

    def __init__(self, served):
        """Take the server."""
        self._stub = pb_grpc.SignalServiceStub(served.channel)
        self._records = records_pb2_grpc.RecordServiceStub(served.channel)

    async def send(self, *signals, who="pod", namespace=""):
        request = pb.SendSignalsRequest(signals=signals, namespace=namespace)
        return await self._stub.Send(request, metadata=as_(who))

    async def query(self, who="pod", **asked):
        return await self._stub.Query(pb.QuerySignalsRequest(**asked), metadata=as_(who))

    async def report(self, *records, who="pod", pod_uid="pod-1"):
        async def messages():
            yield records_pb2.ReportRequest(
                hello=records_pb2.ReportRequest.Hello(pod_uid=pod_uid, sidecar_version="1"),
                entries=[
                    records_pb2.ReportRequest.Entry(sequence=number, record=record)
                    for number, record in enumerate(records)
                ],
            )

        call = self._records.Report(messages(), metadata=as_(who))
        acknowledged = [number async for answer in call for number in answer.acknowledged]
        assert len(acknowledged) == len(records)


@pytest.fixture
async def asking():
    async with gated() as served:
        yield Asking(served)


def _states(answer):
    return {stored.signal.signal_id: stored.state for stored in answer.signals}


async def test_a_signal_waits_for_its_record_and_then_counts(asking, make_record):
    answer = await asking.send(_signal())
    assert (answer.accepted, answer.known, answer.waiting) == (1, 0, 1)
    await asking.report(make_record(1, attribution={"goal": "write"}))
    answer = await asking.send(_signal(), _signal("t", DASHED, "retry"))
    assert (answer.accepted, answer.known, answer.waiting) == (2, 1, 0)
    found = await asking.query()
    assert _states(found) == {
        "s": pb.StoredSignal.STATE_COUNTED,
        "t": pb.StoredSignal.STATE_OVERRULED,
    }
    assert {stored.arm for stored in found.signals} == {"openai/gpt-4o-2024-08-06"}


async def test_what_a_kind_says_is_filled_in_and_what_the_sender_says_stands(asking):
    await asking.send(
        _signal("kind"),
        _signal("own", kind="turn_rejected", strength=0.1, confidence=0.5),
        _signal("alias", kind="rejection"),
        _signal("new", kind="made_up", strength=0.25, source=pb.SIGNAL_SOURCE_INFERRED),
    )
    said = {
        stored.signal.signal_id: (
            stored.signal.source, stored.signal.strength, stored.signal.confidence
        )
        for stored in (await asking.query()).signals
    }  # fmt: skip
    assert said == {
        "kind": (pb.SIGNAL_SOURCE_EXPLICIT, 0.85, 1.0),
        "own": (pb.SIGNAL_SOURCE_CLASSIFIED, 0.1, 0.5),
        "alias": (pb.SIGNAL_SOURCE_EXPLICIT, 0.0, 1.0),
        "new": (pb.SIGNAL_SOURCE_INFERRED, 0.25, 1.0),
    }


REFUSED = {
    "no id": ({"signal_id": ""}, "signal_id is needed"),
    "long id": ({"signal_id": "x" * 65}, "signal_id has more than 64"),
    "id with controls": ({"signal_id": "a\nb"}, "signal_id holds control"),
    "no call": ({"call_id": ""}, "call_id is not"),
    "no call id": ({"call_id": "../../etc/passwd"}, "call_id is not"),
    "no kind": ({"kind": ""}, "kind is needed"),
    "kind of no form": ({"kind": "a b"}, "kind is no name"),
    "unknown kind": ({"kind": "made_up"}, "needs strength and source"),
    "unknown kind without source": ({"kind": "made_up", "strength": 0.5}, "strength and source"),
    "judged without strength": ({"kind": "judged"}, "needs strength"),
    "source from the future": ({"source": 9}, "source 9"),
    "too strong": ({"strength": 1.5}, "strength is 1.5"),
    "not a number": ({"confidence": float("nan")}, "confidence is nan"),
    "goal of all": ({"goal": "*"}, "goal is no name"),
    "long goal": ({"goal": "x" * 129}, "goal is no name"),
    "dimension": ({"dimension": "a/b c"}, "dimension is no name"),
    "long session": ({"session_id": "x" * 257}, "session_id has more than 256"),
    "category": ({"failure_category": "bad luck"}, "failure_category is none of"),
}


@pytest.mark.parametrize(("fields", "reason"), REFUSED.values(), ids=REFUSED)
async def test_what_can_never_be_taken_is_refused_and_the_others_are_taken(asking, fields, reason):
    answer = await asking.send(_signal("a"), _signal(**{"signal_id": "b", **fields}), _signal("c"))
    assert answer.accepted == 2
    (refusal,) = answer.refused
    assert refusal.index == 1
    assert reason in refusal.reason


async def test_too_many_at_once_are_refused_with_the_number(asking):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await asking.send(*[_signal(str(number)) for number in range(1_001)])
    assert error.value.code() is CODE.INVALID_ARGUMENT
    assert "send 1000 at once" in error.value.details()


async def test_reporters_are_kept_as_hashes_that_differ_by_namespace(asking):
    for who in ("pod", "foreigner"):
        await asking.send(_signal("1", reporter="ann"), _signal("2", reporter="bob"), who=who)
        await asking.send(_signal("3", reporter="ann"), _signal("4"), who=who)
    kept = [
        {stored.signal.signal_id: stored.signal.reporter for stored in found.signals}
        for found in (await asking.query(), await asking.query("foreigner"))
    ]
    for reporters in kept:
        assert reporters["1"] == reporters["3"] != reporters["2"]
        assert reporters["4"] == ""
        assert "ann" not in reporters["1"]
    assert kept[0]["1"] != kept[1]["1"]


async def test_a_namespace_is_that_of_who_sends(asking):
    await asking.send(_signal("a"))
    await asking.send(_signal("b"), who="foreigner")
    await asking.send(_signal("c"), who="admin of all", namespace="team-b")
    assert set(_states(await asking.query())) == {"a"}
    assert set(_states(await asking.query("foreigner"))) == {"b", "c"}
    assert set(_states(await asking.query("admin of all"))) == {"a", "b", "c"}
    assert set(_states(await asking.query("reader"))) == {"a"}
    assert set(_states(await asking.query("reader of two", namespace="team-b"))) == {"b", "c"}


@pytest.mark.parametrize(
    ("who", "namespace"),
    [("pod", "team-b"), ("member", "team-b"), ("reader", "team-a"), ("reader", "")],
)
async def test_nobody_sends_where_it_may_not(asking, who, namespace):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await asking.send(_signal(), who=who, namespace=namespace)
    assert error.value.code() is CODE.PERMISSION_DENIED


async def test_nobody_reads_where_it_may_not(asking):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await asking.query("pod", namespace="team-b")
    assert error.value.code() is CODE.PERMISSION_DENIED


async def test_pages_go_on_where_the_one_before_ended(asking):
    await asking.send(*[_signal(f"{number:03}") for number in range(7)])
    seen, cursor = [], ""
    while True:
        page = await asking.query(limit=3, cursor=cursor)
        seen += [stored.signal.signal_id for stored in page.signals]
        cursor = page.next_cursor
        if not cursor:
            break
    assert seen == [f"{number:03}" for number in reversed(range(7))]


async def test_a_cursor_of_others_is_refused(asking):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await asking.query(cursor="r12")
    assert error.value.code() is CODE.INVALID_ARGUMENT


async def test_the_same_call_of_two_namespaces_is_two_calls(asking, make_record):
    await asking.report(make_record(1, attribution={"goal": "write"}))
    assert (await asking.send(_signal())).waiting == 0
    assert (await asking.send(_signal(), who="foreigner")).waiting == 1


async def test_text_leaves_no_trace_unless_bodies_are_captured_in_full(asking, make_record):
    await asking.report(make_record(1, capture="full"), make_record(2, capture="redacted"))
    await asking.send(
        _signal("1", text="x" * 9_000), _signal("2", f"{2:032x}", text="my secret"),
        _signal("3", f"{3:032x}", text="my secret"),
    )  # fmt: skip
    texts = {s.signal.signal_id: s.signal.text for s in (await asking.query()).signals}
    assert texts == {"1": "x" * 8_000, "2": "", "3": ""}


async def test_signals_count_against_the_rate_of_records():
    async with gated(rates=EntranceRates(records=10)) as served:
        asking = Asking(served)

        async def send_on():
            for _ in range(100):
                await asking.send(*[_signal(str(number)) for number in range(50)])

        with pytest.raises(grpc.aio.AioRpcError) as error:
            await send_on()
    assert error.value.code() is CODE.RESOURCE_EXHAUSTED
