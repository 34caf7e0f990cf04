"""The clients of signals, synchronous and not, against a service on a real port."""

import pytest
from tests.sdk.client.learning_double import NOW_NS, learning_double

from remora.client.signal import Sent, Signal, SignalFilter, stored_signal_of
from remora.client.signals import AsyncSignalClient, SignalClient
from remora.client.target import AggregatorTarget
from remora.errors import Unavailable
from remora.learning.evidence import Source
from remora_proto.v1 import signals_pb2 as pb

CALL = "0" * 31 + "1"
FULL = Signal(
    call_id=CALL,
    kind="mine",
    signal_id="s1",
    source=Source.EXPLICIT,
    strength=0.0,
    confidence=0.5,
    at_unix_ns=NOW_NS,
    reporter="r",
    dimension="tone",
    failure_category="timeout",
    goal="g",
    session_id="sess",
    text="no",
)


@pytest.fixture
def double():
    with learning_double() as double:
        yield double


@pytest.fixture
def client(double):
    with SignalClient(AggregatorTarget(double.address)) as client:
        yield client


def _stored(number):
    return pb.StoredSignal(
        signal=pb.Signal(signal_id=str(number), call_id=CALL, kind="retry"),
        namespace="team-a",
        received_unix_nano=NOW_NS + number,
        state=pb.StoredSignal.STATE_COUNTED,
        arm="openai/small",
    )


def test_a_signal_arrives_with_all_that_was_said(client, double):
    client.send([FULL], namespace="team-a")
    (request,) = double.asked
    assert request.namespace == "team-a"
    kept = stored_signal_of(pb.StoredSignal(signal=request.signals[0]))
    assert kept.signal == FULL


def test_what_is_not_said_is_absent(client, double):
    client.send([Signal(call_id=CALL, kind="user_accepted")])
    (message,) = double.asked[0].signals
    assert not message.HasField("strength")
    assert not message.HasField("confidence")
    assert message.source == pb.SIGNAL_SOURCE_UNSPECIFIED


def test_many_signals_go_in_as_few_requests_as_there_can_be(client, double):
    signals = [
        Signal(call_id=CALL, kind="retry", dimension="bad" if number in (3, 1_004) else "")
        for number in range(2_001)
    ]
    sent = client.send(signals)
    assert [len(request.signals) for request in double.asked] == [1_000, 1_000, 1]
    assert (sent.accepted, sent.waiting) == (1_999, 3)
    assert [refusal.position for refusal in sent.refused] == [3, 1_004]


def test_nothing_to_send_asks_nobody(client, double):
    assert client.send([]) == Sent()
    assert double.asked == []


@pytest.mark.parametrize("page_size", [1, 2, 500])
@pytest.mark.parametrize("limit", [None, 0, 1, 2, 9])
def test_pages_of_signals_are_whole(page_size, limit):
    with (
        learning_double(stored=[_stored(number) for number in range(5)]) as double,
        SignalClient(AggregatorTarget(double.address), page_size=page_size) as client,
    ):
        found = list(client.list(limit=limit))
    assert [one.signal.signal_id for one in found] == ["0", "1", "2", "3", "4"][:limit]


def test_what_is_asked_for_is_what_was_said(client, double):
    wanted = SignalFilter(
        namespace="n", call_id=CALL, session_id="s", goal="g", kind="retry", since_unix_ns=1,
        until_unix_ns=2,
    )  # fmt: skip
    list(client.list(wanted, limit=7))
    assert double.asked == [
        pb.QuerySignalsRequest(
            namespace="n", call_id=CALL, session_id="s", goal="g", kind="retry",
            since_unix_nano=1, until_unix_nano=2, limit=7,
        )
    ]  # fmt: skip


def test_a_state_and_source_of_a_newer_aggregator_read_as_unknown():
    message = pb.StoredSignal(signal=pb.Signal(call_id=CALL, source=99), state=99)
    stored = stored_signal_of(message)
    assert (stored.state, stored.signal.source) == ("", None)


async def test_a_program_with_an_event_loop_sends_and_asks_the_same():
    with learning_double(stored=[_stored(number) for number in range(5)]) as double:
        target = AggregatorTarget(double.address)
        async with AsyncSignalClient(target, page_size=2) as client:
            sent = await client.send([FULL] * 1_001, namespace="n")
            found = [one async for one in client.list(limit=3)]
            every = [one async for one in client.list()]
    assert (sent.accepted, sent.waiting) == (1_001, 2)
    assert [one.signal.signal_id for one in found] == ["0", "1", "2"]
    assert len(every) == 5


async def test_nobody_there_is_unavailable():
    with learning_double() as double:
        target = AggregatorTarget(double.address)
    with SignalClient(target) as client, pytest.raises(Unavailable, match="no aggregator answers"):
        client.send([FULL])
    async with AsyncSignalClient(target) as client:
        with pytest.raises(Unavailable, match="no aggregator answers"):
            await client.send([FULL])
    with pytest.raises(Unavailable, match="the client is closed"):
        await client.send([FULL])
