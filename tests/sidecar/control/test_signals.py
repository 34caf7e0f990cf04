"""Signals over the control listener: what is taken, what is refused, what never goes on."""

import asyncio
import json

import pytest

from remora.feedback.reporters import reporter_of
from remora.learning.signals import MEANINGS
from remora.testing.signal_server import SignalServer, serving_signals
from remora_proto.v1 import signals_pb2 as pb
from remora_sidecar.control.signal_fields import MOST_SIGNALS
from remora_sidecar.control.trackers import PROTOBUF
from remora_sidecar.settings import format_address

CALL = "0190b5a1c0de7000800000000000abcd"
LIMIT_S = 30


async def send(controlled, *signals):
    return await controlled.call("POST", "/v1/signals", json={"signals": list(signals)})


@pytest.fixture
def delivered(tmp_path):
    """Give a SignalService, and where it is."""
    return SignalServer(), f"unix:{tmp_path}/aggregator.sock"


@pytest.mark.parametrize("kind", MEANINGS)
async def test_every_kind_is_taken(controlled, kind):
    status, answer = await send(controlled, {"call_id": CALL, "kind": kind})
    assert (status, answer) == (202, {"accepted": 1, "known": 0, "refused": []})


async def test_what_is_taken_reaches_the_aggregator_whole(open_gateway, delivered):
    server, address = delivered
    told = {
        "signal_id": "mine-1",
        "call_id": CALL,
        "kind": "user_rejected",
        "strength": 0.1,
        "confidence": 0.9,
        "source": "explicit",
        "at": 1_700_000_000.5,
        "user": "alice",
        "dimension": "tone",
        "failure_category": "user_unsatisfied",
        "goal": "summaries",
        "session_id": "chat-7",
        "text": "no good",
    }
    async with serving_signals(server, address), open_gateway(aggregator=address) as controlled:
        assert (await send(controlled, told))[0] == 202
        async with asyncio.timeout(LIMIT_S):
            (came,) = await server.holds(1)
    assert came == pb.Signal(
        signal_id="mine-1",
        call_id=CALL,
        kind="user_rejected",
        source=pb.SIGNAL_SOURCE_EXPLICIT,
        strength=0.1,
        confidence=0.9,
        at_unix_nano=1_700_000_000_500_000_000,
        reporter=reporter_of("alice"),
        dimension="tone",
        failure_category="user_unsatisfied",
        goal="summaries",
        session_id="chat-7",
        text="no good",
    )


async def test_what_is_not_said_is_left_for_the_kind_to_say(open_gateway, delivered):
    server, address = delivered
    async with serving_signals(server, address), open_gateway(aggregator=address) as controlled:
        await send(controlled, {"call_id": CALL, "kind": "silence"})
        async with asyncio.timeout(LIMIT_S):
            (came,) = await server.holds(1)
    assert not came.HasField("strength")
    assert not came.HasField("confidence")
    assert came.source == pb.SIGNAL_SOURCE_UNSPECIFIED
    assert came.signal_id
    assert came.at_unix_nano


async def test_a_uuid_with_dashes_is_the_same_call(open_gateway, delivered):
    server, address = delivered
    dashed = f"{CALL[:8]}-{CALL[8:12]}-{CALL[12:16]}-{CALL[16:20]}-{CALL[20:]}".upper()
    async with serving_signals(server, address), open_gateway(aggregator=address) as controlled:
        await send(controlled, {"call_id": dashed, "kind": "silence"})
        async with asyncio.timeout(LIMIT_S):
            (came,) = await server.holds(1)
    assert came.call_id == CALL


async def test_nothing_arises_in_the_future(open_gateway, delivered):
    server, address = delivered
    async with serving_signals(server, address), open_gateway(aggregator=address) as controlled:
        later = controlled.sidecar.parts.clock.now_unix_ns() / 1e9 + 86_400
        await send(controlled, {"call_id": CALL, "kind": "silence", "at": later})
        async with asyncio.timeout(LIMIT_S):
            (came,) = await server.holds(1)
    assert came.at_unix_nano < (later - 80_000) * 1e9


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"call_id": "x"}, "call_id"),
        ({"call_id": f"../{CALL}"}, "call_id"),
        ({"call_id": CALL + "\n"}, "call_id"),
        ({"kind": ""}, "kind"),
        ({"kind": "User Rejected"}, "kind"),
        ({"kind": "applause"}, "needs strength and source"),
        ({"kind": "applause", "strength": 1.0}, "needs strength and source"),
        ({"strength": 1.1}, "strength"),
        ({"strength": True}, "strength"),
        ({"confidence": -0.1}, "confidence"),
        ({"confidence": "0.5"}, "confidence"),
        ({"source": "hearsay"}, "source"),
        ({"at": "2026-01-01T00:00:00"}, "zone"),
        ({"at": "yesterday"}, "at"),
        ({"at": 1e300}, "range"),
        ({"signal_id": "x" * 65}, "signal_id"),
        ({"signal_id": ""}, "signal_id"),
        ({"user": "u" * 257}, "user"),
        ({"user": "u", "reporter": "r"}, "not both"),
        ({"session_id": "a\x00b"}, "session_id"),
        ({"goal": "g" * 129}, "goal"),
        ({"failure_category": "bad luck"}, "failure_category"),
        ({"text": "x" * 16_385}, "text"),
        ({"mood": "sour"}, "mood"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
async def test_what_is_not_as_it_should_be_is_refused_by_its_place(controlled, changed, named):
    good = {"call_id": CALL, "kind": "silence"}
    status, answer = await send(controlled, good, {**good, **changed}, good)
    assert (status, answer["accepted"]) == (202, 2)
    (refusal,) = answer["refused"]
    assert refusal["index"] == 1
    assert named in refusal["reason"]


async def test_a_refusal_never_repeats_what_stood_there(controlled):
    bad = {"call_id": "secret-call", "kind": "silence", "text": "x" * 20_000, "user": "u" * 300}
    _, answer = await send(controlled, bad)
    reason = answer["refused"][0]["reason"]
    assert "secret" not in reason
    assert "xx" not in reason
    assert "uu" not in reason


async def test_a_kind_of_ones_own_is_taken_with_strength_and_source(controlled):
    mine = {"call_id": CALL, "kind": "applause", "strength": 0.9, "source": "explicit"}
    assert (await send(controlled, mine))[1]["accepted"] == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"no json", b'{"signals": {}}', b'{"signals": [], "more": 1}', b"\xff"],
    ids=str,
)
async def test_a_body_that_holds_no_signals_is_refused(controlled, body):
    url = f"http://{format_address(controlled.sidecar.control)}/v1/signals"
    async with controlled.client.post(url, data=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == "BAD_REQUEST"


async def test_too_many_signals_are_refused_whole(controlled):
    one = {"call_id": CALL, "kind": "silence"}
    assert (await send(controlled, *[one] * MOST_SIGNALS))[0] == 202
    assert (await send(controlled, *[one] * (MOST_SIGNALS + 1)))[0] == 413


async def test_signals_go_in_protobuf_as_well(controlled):
    request = pb.SendSignalsRequest(
        signals=[
            pb.Signal(signal_id="a", call_id=CALL, kind="user_accepted", strength=1.0),
            pb.Signal(signal_id="a", call_id=CALL, kind="user_accepted", strength=1.0),
            pb.Signal(signal_id="b", call_id="none", kind="user_accepted"),
        ]
    )
    url = f"http://{format_address(controlled.sidecar.control)}/v1/signals"
    headers = {"Content-Type": PROTOBUF, "Accept": PROTOBUF}
    data = request.SerializeToString()
    async with controlled.client.post(url, data=data, headers=headers) as answer:
        assert answer.status == 202
        told = pb.SendSignalsResponse.FromString(await answer.read())
    assert (told.accepted, told.known) == (2, 1)
    assert [refusal.index for refusal in told.refused] == [2]


@pytest.mark.parametrize(
    "content",
    [b"\xff\xff", pb.SendSignalsRequest(namespace="theirs").SerializeToString()],
    ids=["no message", "another's namespace"],
)
async def test_protobuf_that_can_not_be_used_is_refused(controlled, content):
    url = f"http://{format_address(controlled.sidecar.control)}/v1/signals"
    async with controlled.client.post(
        url, data=content, headers={"Content-Type": PROTOBUF}
    ) as answer:
        assert answer.status == 400


async def test_web_pages_send_no_signals(controlled):
    body = {"signals": [{"call_id": CALL, "kind": "silence"}]}
    headers = {"Origin": "https://evil.example"}
    status, _ = await controlled.call("POST", "/v1/signals", json=body, headers=headers)
    assert status == 403


async def test_text_is_not_wanted_where_policy_keeps_metadata_alone(controlled):
    assert await controlled.call("GET", "/v1/signals/settings") == (
        200,
        {"text": False, "opinion": False},
    )


async def test_text_is_wanted_where_policy_captures_in_full(open_gateway):
    async with open_gateway() as controlled:
        _, told = await controlled.call("GET", "/v1/signals/settings")
        assert told["text"] is True


async def test_text_is_never_on_disk_where_policy_does_not_capture_it(controlled):
    secret = "the-launch-code-is-7734"
    one = {"call_id": CALL, "kind": "user_rejected", "text": secret, "user": "alice@example.com"}
    assert (await send(controlled, one))[0] == 202
    files = [path for path in controlled.sidecar.data.path.rglob("*") if path.is_file()]
    assert any(path.name.startswith("signals.db") for path in files)
    for path in files:
        content = path.read_bytes()
        assert secret.encode() not in content
        assert b"alice@example.com" not in content


async def test_the_outbox_holds_text_where_policy_captures_it(open_gateway):
    async with open_gateway() as controlled:
        one = {"call_id": CALL, "kind": "user_rejected", "text": "too-terse-for-me"}
        await send(controlled, one)
        files = controlled.sidecar.data.path.glob("signals.db*")
        assert any(b"too-terse-for-me" in path.read_bytes() for path in files)


async def test_where_the_outbox_can_not_be_written_senders_are_told_to_keep_them(controlled):
    (controlled.sidecar.data.path / "signals.db").mkdir()
    status, answer = await send(controlled, {"call_id": CALL, "kind": "silence"})
    assert (status, answer["error"]["code"]) == (503, "SIGNALS_UNAVAILABLE")


async def test_signals_that_wait_are_on_the_page_of_metrics(controlled):
    one = {"call_id": CALL, "kind": "silence", "signal_id": "once"}
    await send(controlled, one)
    await send(controlled, one)
    _, text = await controlled.ask_status("/metrics")
    assert "remora_signals_waiting 1.0" in text
    assert "remora_signals_taken_total 1.0" in text


async def test_what_was_taken_as_the_sidecar_stops_is_delivered_first(open_gateway, delivered):
    server, address = delivered
    async with serving_signals(server, address):
        async with open_gateway(aggregator=address, drain_s=5.0) as controlled:
            await send(controlled, *[{"call_id": CALL, "kind": "silence"}] * 50)
        assert len(server.kept) == 50


async def test_what_was_not_delivered_is_there_at_the_next_start(open_gateway, delivered):
    server, address = delivered
    async with open_gateway(aggregator=address, drain_s=0.0) as controlled:
        await send(controlled, {"call_id": CALL, "kind": "silence"})
    async with (
        serving_signals(server, address),
        open_gateway(aggregator=address),
        asyncio.timeout(LIMIT_S),
    ):
        assert len(await server.holds(1)) == 1
