"""What the provider and the agent get, byte by byte (DESIGN §6, rule 1)."""

import asyncio
import hashlib
import json

import pytest

from remora.records import EndReason
from remora.testing.double_answer import (
    Answer,
    Fault,
    FaultKind,
    Framing,
    Interim,
    RandomCuts,
    Repeated,
    json_answer,
)

HOST = ("Host", "api.openai.com")
ASKED = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]})
CHAT = "/v1/chat/completions"


def _fields(received):
    return [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in received.head.headers
    ]


async def test_the_provider_gets_the_agents_fields_in_their_order_and_spelling(carrying):
    agent = await carrying.agent()
    sent = [
        ("X-First", "1"),
        HOST,
        ("aUTHORIZATION", "Bearer sk-test"),
        ("x-twice", "a"),
        ("X-Twice", "b"),
        ("X-Empty", ""),
        ("User-Agent", "curl/8 (a; b)"),
        ("Content-Type", "application/json"),
    ]
    await agent.ask("POST", CHAT, sent, ASKED.encode())
    (received,) = carrying.double.requests
    assert _fields(received) == [*sent, ("Content-Length", str(len(ASKED)))]
    assert received.body == ASKED.encode()


@pytest.mark.parametrize(
    "target",
    [
        "/v1/models?a=1&b=%20x&c=%C3%a4",
        "/v1/%7Bx%7D//y/../z?",
        "/v1/a?q=/../;;",
    ],
    ids=["query", "dots", "odd query"],
)
async def test_the_request_target_is_never_requoted(carrying, target):
    agent = await carrying.agent()
    await agent.ask("GET", target, [HOST])
    assert carrying.double.requests[0].head.target == target


async def test_hop_by_hop_and_our_own_fields_do_not_reach_the_provider(carrying):
    agent = await carrying.agent()
    fields = [
        HOST,
        ("Connection", "keep-alive, X-Mine"),
        ("X-Mine", "1"),
        ("Keep-Alive", "5"),
        ("TE", "trailers"),
        ("Proxy-Authorization", "Basic eA=="),
        ("Remora-Task", "t1"),
        ("remora-whatever", "x"),
        ("X-Kept", "yes"),
    ]
    await agent.ask("GET", "/v1/models", fields)
    assert _fields(carrying.double.requests[0]) == [HOST, ("X-Kept", "yes")]


async def test_the_agent_gets_the_providers_fields_and_the_call_id(carrying):
    fields = (("X-Request-ID", "req_1"), ("set-cookie", "a=1"), ("Set-Cookie", "b=2"))
    carrying.double.script(Answer(headers=fields, body=b"{}", reason="Fine"))
    agent = await carrying.agent()
    answer = await agent.ask("POST", CHAT, [HOST], ASKED.encode())
    record = await carrying.record()
    assert (answer.status, answer.reason) == (200, "Fine")
    *received, (overhead, milliseconds) = answer.headers
    assert received == [
        *fields,
        ("content-length", "2"),
        ("remora-call-id", record.call_id),
    ]
    assert overhead == "remora-overhead-ms"
    assert 0 < float(milliseconds) <= 1000 * record.overhead_s
    assert record.provider_request_id == "req_1"


async def test_answer_headers_can_be_switched_off(carry):
    async with carry(answer_headers="off") as carrying:
        agent = await carrying.agent()
        answer = await agent.ask("GET", "/v1/models", [HOST])
    assert answer.header("remora-call-id") is None


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_end_with_their_head(carrying, status):
    carrying.double.script(Answer(status=status, headers=(("ETag", '"x"'),)))
    agent = await carrying.agent()
    first = await agent.ask("GET", "/v1/models", [HOST])
    second = await agent.ask("GET", "/v1/models", [HOST])
    assert (first.status, first.body, first.header("etag")) == (status, b"", '"x"')
    assert second.status == 404
    assert len(await carrying.records(2)) == 2


async def test_head_keeps_the_length_and_carries_no_body(carrying):
    carrying.double.script(Answer(headers=(("content-length", "1234"),)))
    agent = await carrying.agent()
    answer = await agent.ask("HEAD", "/v1/models", [HOST])
    after = await agent.ask("GET", "/v1/models", [HOST])
    assert answer.header("content-length") == "1234"
    assert after.status == 404


async def test_interim_answers_and_trailers_are_dropped(carrying):
    carrying.double.script(
        Answer(
            body=b"hello",
            framing=Framing.CHUNKED,
            interim=(Interim(103, (("link", "</x>"),)), Interim(102)),
            trailers=(("x-checksum", "1"),),
        )
    )
    agent = await carrying.agent()
    await agent.send("GET", "/v1/models", [HOST])
    head = await agent.head()
    rest = await agent.reader.readuntil(b"0\r\n\r\n")
    assert head.status == 200
    assert rest == b"5\r\nhello\r\n0\r\n\r\n"


async def test_expect_100_continue_is_answered_and_not_passed_on(carrying):
    agent = await carrying.agent()
    length = ("Content-Length", str(len(ASKED)))
    await agent.send("POST", CHAT, [HOST, ("Expect", "100-continue"), length])
    assert (await agent.head()).status == 100
    await agent.write(ASKED.encode())
    assert (await agent.answer()).status == 200
    (received,) = carrying.double.requests
    assert "expect" not in {name.lower() for name, _ in _fields(received)}
    assert received.body == ASKED.encode()


async def test_a_chunked_upload_is_reframed_with_its_length(carrying):
    agent = await carrying.agent()
    await agent.send("POST", CHAT, [HOST, ("Transfer-Encoding", "chunked"), ("X-After", "1")])
    for piece in (ASKED[:10], ASKED[10:]):
        await agent.write(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece.encode()))
    await agent.write(b"0\r\nX-Trailer: 1\r\n\r\n")
    assert (await agent.answer()).status == 200
    (received,) = carrying.double.requests
    assert received.body == ASKED.encode()
    assert _fields(received) == [HOST, ("X-After", "1"), ("Content-Length", str(len(ASKED)))]


async def test_chunks_reach_the_agent_as_they_come_from_the_provider(carrying):
    pieces = [b'data: {"a":%d}\n\n' % number for number in range(40)]
    cuts = tuple(sum(map(len, pieces[:count])) for count in range(1, 40))
    headers = (("content-type", "text/event-stream"),)
    carrying.double.script(
        Answer(headers=headers, body=b"".join(pieces), framing=Framing.CHUNKED, cuts=cuts,
               between_chunks_s=0.002)
    )  # fmt: skip
    agent = await carrying.agent()
    await agent.send("GET", "/v1/stream", [HOST])
    seen = [piece async for piece in agent.pieces(await agent.head())]
    assert b"".join(seen) == b"".join(pieces)
    assert len(seen) > 20  # some may arrive together; they are not gathered


async def test_a_stalled_stream_shows_all_that_came_before(carrying):
    fault = Fault(FaultKind.STALL, 12)
    carrying.double.script(
        Answer(body=b"data: 1\n\nda" + b"x" * 9, framing=Framing.CHUNKED, fault=fault)
    )
    agent = await carrying.agent()
    await agent.send("GET", "/v1/stream", [HOST])
    await agent.head()
    assert await agent.reader.readuntil(b"da") is not None
    agent.abort()
    assert (await carrying.record()).end_reason is EndReason.CLIENT_GONE


async def test_a_cut_by_the_provider_reaches_the_agent_as_a_cut(carrying):
    for framing in (Framing.CHUNKED, Framing.LENGTH):
        fault = Fault(FaultKind.RESET, 9)
        carrying.double.script(Answer(body=b"data: 1\n\ndata: 2\n\n", framing=framing, fault=fault))
        agent = await carrying.agent()
        answer = await agent.ask("GET", "/v1/stream", [HOST])
        assert (answer.status, answer.cut) == (200, True)
    records = await carrying.records(2)
    assert {record.end_reason for record in records} == {EndReason.PROVIDER_CUT}
    assert {record.error.type for record in records} == {"provider_cut"}


async def test_a_provider_that_answers_no_http_is_a_502(carrying):
    carrying.double.script(Answer(verbatim=b"SSH-2.0-OpenSSH\r\n\r\n", close=True))
    agent = await carrying.agent()
    answer = await agent.ask("POST", CHAT, [HOST], ASKED.encode())
    assert answer.status == 502
    assert json.loads(answer.body)["remora"]["code"] == "UPSTREAM_FAILED"
    record = await carrying.record()
    assert (record.end_reason, record.error.type) == (EndReason.NO_ANSWER, "invalid_answer")
    assert record.requested_model == "gpt-4o-mini"


async def test_a_kept_connection_that_closed_is_tried_once_more_and_said(carrying):
    agent = await carrying.agent()
    await agent.ask("POST", CHAT, [HOST], ASKED.encode())
    carrying.double.script(Answer(fault=Fault(FaultKind.RESET)))
    answer = await agent.ask("POST", CHAT, [HOST], ASKED.encode())
    _, record = await carrying.records(2)
    assert answer.status == 200
    assert len(record.attempts) == 2
    assert record.attempts[0].reused_connection
    assert any("sent once more" in note for note in record.notes)


async def test_a_new_connection_that_closes_is_not_tried_again(carrying):
    carrying.double.script(Answer(fault=Fault(FaultKind.RESET)))
    agent = await carrying.agent()
    answer = await agent.ask("POST", CHAT, [HOST], ASKED.encode())
    record = await carrying.record()
    assert answer.status == 502
    assert len(record.attempts) == 1
    assert carrying.double.connections_opened == 1


async def test_upstream_connections_are_shared_by_agents(carrying):
    for _ in range(3):
        agent = await carrying.agent()
        await agent.ask("POST", CHAT, [HOST], ASKED.encode())
        agent.abort()
    assert carrying.double.connections_opened == 1


async def test_an_agent_that_leaves_cancels_its_call_upstream(carrying):
    carrying.double.script(
        Answer(body=Repeated(b"data: {}\n\n"), framing=Framing.CHUNKED, between_chunks_s=0.001)
    )
    agent = await carrying.agent()
    await agent.send("GET", "/v1/stream", [HOST])
    await agent.head()
    await agent.reader.readuntil(b"data: {}\n\n")
    agent.abort()
    record = await carrying.record()
    await carrying.until(lambda: carrying.double.aborted)
    assert record.end_reason is EndReason.CLIENT_GONE
    assert record.response_bytes > 0


async def test_an_agent_that_leaves_before_the_answer_is_recorded(carrying):
    carrying.double.script(Answer(fault=Fault(FaultKind.STALL)))
    agent = await carrying.agent()
    await agent.send("POST", CHAT, [HOST, ("Content-Length", str(len(ASKED)))], ASKED.encode())
    await carrying.until(lambda: carrying.double.requests)
    agent.abort()
    record = await carrying.record()
    assert (record.end_reason, record.status_code) == (EndReason.CLIENT_GONE, 0)
    assert record.requested_model == "gpt-4o-mini"


async def test_calls_in_flight_are_recorded_when_the_sidecar_stops(carry):
    async with carry(drain_s=0.05) as carrying:
        carrying.double.script(
            Answer(body=Repeated(b"data: {}\n\n"), framing=Framing.CHUNKED, between_chunks_s=0.001)
        )
        agent = await carrying.agent()
        await agent.send("GET", "/v1/stream", [HOST])
        await agent.head()
        spool, recorded = carrying.sidecar.spool, []
        append = spool.append
        spool.append = lambda *records: (recorded.extend(records), append(*records))
        await carrying.sidecar.engine.aclose(0.05)
    assert [record.end_reason for record in recorded] == [EndReason.STOPPED]


@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE])
async def test_a_body_of_100_mb_passes_down(carrying, framing):
    piece, total = bytes(range(256)) * 256, 100 * 1024 * 1024
    carrying.double.script(Answer(body=Repeated(piece, total), framing=framing))
    agent = await carrying.agent()
    await agent.send("GET", "/v1/files/x/content", [HOST])
    digest, count = hashlib.sha256(), 0
    async for received in agent.pieces(await agent.head()):
        digest.update(received)
        count += len(received)
    assert count == total
    assert digest.digest() == hashlib.sha256(piece * (total // len(piece))).digest()
    assert (await carrying.record()).response_bytes == total


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_body_of_100_mb_passes_up_unread(carrying, chunked):
    piece = bytes(range(256)) * 4096
    count = 100
    agent = await carrying.agent()
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(count << 20))
    await agent.send("POST", "/sink", [HOST, framing])
    for _ in range(count):
        await agent.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    if chunked:
        await agent.write(b"0\r\n\r\n")
    facts = json.loads((await agent.answer()).body)
    digest = hashlib.sha256(piece * count).hexdigest()
    record = await carrying.record()
    assert facts == {"bytes": count << 20, "sha256": digest}
    assert record.opaque
    assert record.request_bytes == count << 20


async def test_an_early_answer_to_a_large_upload_ends_the_call(carry):
    async with carry(held_body_bytes=1024) as carrying:
        refused = json_answer(b'{"error":{"message":"too large"}}', status=413)
        early = Answer(413, refused.headers, refused.body, early=True)
        carrying.double.script(early)
        agent = await carrying.agent()
        await agent.send("POST", "/v1/files", [HOST, ("Content-Length", str(1 << 20))])
        answer = await agent.answer()
        assert answer.status == 413
        other = await carrying.agent()
        again = await other.ask("POST", CHAT, [HOST], ASKED.encode())
    assert again.status == 200


async def test_a_body_past_the_limit_is_refused_where_policy_blocks(carry, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\nmetadata: {name: strict}\n"
        "spec: {opaque: block}\n"
    )
    async with carry(held_body_bytes=16, policy=policy) as carrying:
        agent = await carrying.agent()
        answer = await agent.ask("POST", CHAT, [HOST], ASKED.encode())
        record = await carrying.record()
    assert answer.status == 413
    assert json.loads(answer.body)["error"]["code"] == "BODY_TOO_LARGE"
    assert (record.end_reason, record.opaque) == (EndReason.REFUSED, True)
    assert carrying.double.requests == []


async def test_pipelined_requests_are_answered_in_order(carrying):
    for number in range(3):
        carrying.double.script(Answer(body=b"answer %d" % number))
    agent = await carrying.agent()
    one = b"GET /v1/models/%d HTTP/1.1\r\nHost: api.openai.com\r\n\r\n"
    await agent.write(b"".join(one % number for number in range(3)), method="GET")
    bodies = [(await agent.answer()).body for _ in range(3)]
    assert bodies == [b"answer 0", b"answer 1", b"answer 2"]


async def test_an_http_1_0_agent_gets_its_answer_without_chunks(carrying):
    carrying.double.script(Answer(body=b"hello", framing=Framing.CHUNKED, cuts=RandomCuts(1, 2)))
    agent = await carrying.agent()
    await agent.write(b"GET /v1/models HTTP/1.0\r\nHost: api.openai.com\r\n\r\n", method="GET")
    answer = await agent.answer()
    assert (answer.body, answer.header("transfer-encoding")) == (b"hello", None)


async def test_a_websocket_is_relayed_frame_by_frame(carrying):
    agent = await carrying.agent()
    upgrade = [HOST, ("Connection", "Upgrade"), ("Upgrade", "websocket"),
               ("Sec-WebSocket-Version", "13"),
               ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]  # fmt: skip
    await agent.send("GET", "/v1/realtime?model=gpt-4o-realtime", upgrade)
    head = await agent.head()
    assert head.status == 101
    assert head.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    masked = b"\x81\x85\x00\x00\x00\x00hello"
    await agent.write(masked)
    assert await agent.reader.readexactly(7) == b"\x81\x05hello"
    agent.abort()
    record = await carrying.record()
    assert (record.status_code, record.request_bytes > 0) == (101, True)


async def test_a_second_connection_of_the_same_agent_is_independent(carrying):
    first, second = await carrying.agent(), await carrying.agent()
    answers = await asyncio.gather(
        *(agent.ask("POST", CHAT, [HOST], ASKED.encode()) for agent in (first, second))
    )
    assert [answer.status for answer in answers] == [200, 200]
    records = await carrying.records(2)
    assert len({record.call_id for record in records}) == 2


async def test_an_idle_connection_to_the_provider_is_closed(carry, monkeypatch):
    from remora_sidecar.engine import upstream

    assert 2 * upstream.IDLE_S <= 15  # the pool looks once in that time, and may just miss it
    monkeypatch.setattr(upstream, "IDLE_S", 0.05)
    async with carry() as carrying:
        agent = await carrying.agent()
        await agent.ask("GET", "/v1/models", [HOST])
        await carrying.double.until(lambda: carrying.double.connections == 0)
        assert (await agent.ask("GET", "/v1/models", [HOST])).status == 404


@pytest.mark.parametrize("size", [60_000, 70_000], ids=["within", "past"])
async def test_fields_of_an_answer_may_be_64_kib_long(carrying, size):
    carrying.double.script(Answer(headers=(("x-long", "y" * size),), body=b"{}"))
    agent = await carrying.agent()
    answer = await agent.ask("GET", "/v1/models", [HOST])
    assert answer.status == (200 if size < 65536 else 502)
