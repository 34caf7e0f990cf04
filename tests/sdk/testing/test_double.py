"""What the double receives, how it chooses, and how it keeps connections."""

import asyncio
import hashlib
import socket
import ssl

import pytest

from remora.testing.double import ProviderDouble
from remora.testing.double_answer import (
    Answer,
    EchoWebSocket,
    FaultKind,
    Interim,
    Repeated,
    TalkingWebSocket,
    json_answer,
)
from remora.testing.raw_agent import RawAgent

_OK = Answer(body=b"ok")
_HOST = ("Host", "api.openai.com")


async def test_a_request_is_kept_byte_by_byte(double, connect):
    double.script(_OK)
    agent = await connect()
    raw = (
        b"PUT /v1/a%2Fb?x=%20&y HTTP/1.1\r\nhOsT: api.openai.com\r\nX-Twice: 1\r\n"
        b"x-twice:2\r\nX-Latin: \xe9\r\nContent-Length: 3\r\n\r\n\x00\xff\n"
    )
    await agent.write(raw, method="PUT")
    await agent.answer()
    [request] = double.requests
    assert request.head.raw + request.body == raw
    assert request.head.target == "/v1/a%2Fb?x=%20&y"
    assert [name for name, _ in request.head.headers] == [
        b"hOsT", b"X-Twice", b"x-twice", b"X-Latin", b"Content-Length"
    ]  # fmt: skip


async def test_tls_and_plain_share_a_port(double, connect):
    double.script(_OK, _OK)
    for agent in (await connect(), await connect("api.openai.com")):
        assert (await agent.ask("GET", "/", [_HOST])).body == b"ok"
    plain, secret = double.requests
    assert (plain.tls, plain.sni, plain.alpn) == (False, None, None)
    assert (secret.tls, secret.sni, secret.alpn) == (True, "api.openai.com", "http/1.1")


async def test_a_client_that_does_not_trust_the_root_is_a_problem(double, connect):
    stranger = ProviderDouble()
    with pytest.raises(ssl.SSLCertVerificationError):
        await connect("api.openai.com", ca_pem=stranger.ca_pem)
    await double.until(lambda: double.problems)
    assert double.problems[0].startswith("tls: ")
    assert (double.requests, double.aborted) == ([], [])


async def test_a_client_that_hangs_up_in_the_handshake_is_a_problem(double, connect):
    agent = await connect()
    await agent.write(b"\x16\x03\x01\x02")
    agent.abort()
    await double.until(lambda: double.problems)
    assert double.problems == ["tls: left in the handshake"]


async def test_the_certificate_is_for_the_served_names_only(connect):
    with pytest.raises(ssl.SSLCertVerificationError, match="match"):
        await connect("example.org")


async def test_bytes_that_are_no_request_get_a_400(double, connect):
    agent = await connect()
    await agent.write(b"NONSENSE\r\n\r\n")
    answer = await agent.answer()
    assert answer.status == 400
    assert await agent.at_end()
    await double.until(lambda: double.problems)
    assert double.problems == ["http: no request line"]


async def test_scripts_come_before_routes_and_routes_before_the_rest(double, connect):
    double.route("GET", "/v1/models", Answer(body=b"routed"))
    double.script(Answer(body=b"scripted"))
    agent = await connect()
    asked = [("GET", "/v1/models"), ("GET", "/v1/models?page=2"), ("GET", "/nowhere")]
    answers = [await agent.ask(method, target, [_HOST]) for method, target in asked]
    assert [answer.body for answer in answers[:2]] == [b"scripted", b"routed"]
    assert answers[2].status == 404
    assert double.scripts_left == 0


async def test_a_responder_sees_the_whole_request(double, connect):
    double.route("POST", "/echo", lambda request: json_answer(request.body))
    agent = await connect()
    assert (await agent.ask("POST", "/echo", [_HOST], b"[1]")).body == b"[1]"


async def test_a_connection_is_kept_and_pipelined_requests_answered_in_order(double, connect):
    double.script(Answer(body=b"1", before_head_s=0.01), Answer(body=b"2"))
    agent = await connect()
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    await agent.write(request + request, method="GET")
    assert [(await agent.answer()).body for _ in range(2)] == [b"1", b"2"]
    assert {request.connection for request in double.requests} == {1}


async def test_a_waiting_client_is_told_to_continue(double, connect):
    double.script(_OK)
    agent = await connect()
    await agent.send("POST", "/", [_HOST, ("Expect", "100-continue"), ("Content-Length", "2")])
    assert (await agent.head()).status == 100
    await agent.write(b"hi")
    assert (await agent.answer()).body == b"ok"


async def test_an_early_answer_does_not_wait_for_the_body(double, connect):
    double.script(Answer(413, early=True, close=True))
    agent = await connect()
    await agent.send("POST", "/", [_HOST, ("Content-Length", "1000000")], b"some")
    assert (await agent.answer()).status == 413
    assert await agent.at_end()


async def test_interim_answers_come_first(double, connect):
    double.script(Answer(body=b"ok", interim=(Interim(103, (("link", "</a>"),)),)))
    agent = await connect()
    await agent.send("GET", "/", [_HOST])
    early = await agent.head()
    assert (early.status, early.header("link")) == (103, "</a>")
    assert (await agent.answer()).body == b"ok"


async def test_an_answer_is_cut_into_the_chunks_that_were_asked_for(double, connect):
    double.script(Answer(headers=(("transfer-encoding", "chunked"),), body=b"abcdef", cuts=(1, 3)))
    agent = await connect("api.openai.com")
    await agent.send("GET", "/", [_HOST])
    pieces = [piece async for piece in agent.pieces(await agent.head())]
    assert pieces == [b"a", b"bc", b"def"]


async def test_a_large_upload_is_counted_and_not_kept(connect, double):
    double.body_limit_bytes = 10
    agent = await connect()
    body = b"x" * 300_000
    answer = await agent.ask("POST", "/sink", [_HOST], body)
    digest = hashlib.sha256(body).hexdigest()
    assert answer.body == f'{{"bytes": 300000, "sha256": "{digest}"}}'.encode()
    assert (double.requests[0].body, double.requests[0].body_bytes) == (b"x" * 10, 300_000)


async def test_a_large_download_is_made_as_it_is_read(connect):
    agent = await connect()
    await agent.send("GET", "/bytes/100000000", [_HOST])
    head = await agent.head()
    assert head.header("content-length") == "100000000"
    assert sum([len(piece) async for piece in agent.pieces(head)]) == 100_000_000


async def test_a_websocket_sends_every_message_back(double, connect):
    double.script(EchoWebSocket(greeting="hello"))
    agent = await connect("api.openai.com")
    key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    upgrade = [_HOST, ("Connection", "Upgrade"), ("Upgrade", "websocket"), key]
    await agent.send("GET", "/v1/realtime", [*upgrade, ("Sec-WebSocket-Version", "13")])
    head = await agent.head()
    assert head.status == 101
    assert head.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert await agent.reader.readexactly(7) == b"\x81\x05hello"
    await agent.write(b"\x82\x82\x00\x00\x00\x00\x01\x02")
    assert await agent.reader.readexactly(4) == b"\x82\x02\x01\x02"
    await agent.write(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
    assert await agent.reader.readexactly(4) == b"\x88\x02\x03\xe8"
    assert await agent.at_end()


async def test_a_websocket_talks_as_told_and_ends_as_told(double, connect):
    said = {"one": ["two", b"\x82\x01\x00"], "end": ["bye", FaultKind.CLOSE, "never"]}
    double.script(TalkingWebSocket(said.__getitem__, greeting="hello", fragments=2))
    agent = await connect("api.openai.com")
    key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    upgrade = [_HOST, ("Connection", "Upgrade"), ("Upgrade", "websocket"), key]
    await agent.send("GET", "/v1/realtime", [*upgrade, ("Sec-WebSocket-Version", "13")])
    assert (await agent.head()).status == 101
    assert await agent.reader.readexactly(9) == b"\x01\x03hel\x80\x02lo"
    await agent.write(b"\x81\x83\x00\x00\x00\x00one")
    assert await agent.reader.readexactly(10) == b"\x01\x02tw\x80\x01o\x82\x01\x00"
    await agent.write(b"\x81\x83\x00\x00\x00\x00end")
    assert await agent.reader.readexactly(7) == b"\x01\x02by\x80\x01e"
    assert await agent.at_end()


async def test_an_upgrade_is_echoed_unasked(connect):
    agent = await connect()
    key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    await agent.send("GET", "/x", [_HOST, ("Connection", "Upgrade"), ("Upgrade", "websocket"), key])
    assert (await agent.head()).status == 101


@pytest.mark.parametrize("kind", [FaultKind.CLOSE, FaultKind.DROP, FaultKind.RESET])
async def test_idle_connections_end_when_told(double, connect, kind):
    double.script(_OK)
    used, _unused = await connect("api.openai.com"), await connect("api.openai.com")
    await used.ask("GET", "/", [_HOST])
    assert double.end_idle(kind) == 1
    assert await used.at_end()
    await double.until(lambda: double.connections == 1)
    assert double.aborted == []


async def test_a_client_that_leaves_an_answer_is_noted(double, connect):
    double.script(Answer(body=Repeated(b"x" * 1000)))
    agent = await connect()
    await agent.send("GET", "/", [_HOST])
    await agent.head()
    agent.abort()
    await double.until(lambda: double.aborted)
    assert double.aborted == [1]


async def test_waiting_for_what_never_comes_ends(double):
    with pytest.raises(TimeoutError):
        await double.until(lambda: double.requests, timeout_s=0.01)


async def test_closing_cuts_what_is_open():
    async with ProviderDouble() as double:
        double.script(Answer(body=Repeated(b"x")))
        agent = await RawAgent.connect(double.address)
        await agent.send("GET", "/", [_HOST])
        await agent.head()
    async with asyncio.timeout(5):
        while await agent.reader.read(65536):
            pass
    assert double.connections == 0
    agent.abort()


async def test_a_double_listens_on_both_families_with_one_port():
    async with ProviderDouble(hosts=("127.0.0.1", "::1")) as double:
        double.script(_OK)
        async with await RawAgent.connect(("::1", double.address[1])) as agent:
            assert (await agent.ask("GET", "/", [_HOST])).body == b"ok"


async def test_a_listener_made_elsewhere_is_served():
    async with ProviderDouble(hosts=()) as double:
        await double.listen_on(socket.create_server(("127.0.0.1", 0)))
        double.script(_OK)
        async with await RawAgent.connect(double.address) as agent:
            assert (await agent.ask("GET", "/", [_HOST])).body == b"ok"
