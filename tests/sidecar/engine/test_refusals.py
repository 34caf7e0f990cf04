"""Requests that can't be carried: each gets a clear answer, and loses nothing."""

import json

import pytest

from remora.records import EndReason
from remora.testing.double_answer import Answer, Framing
from remora.testing.raw_agent import RawAgent
from remora_sidecar.model.connect_to import ConnectTo

HOST = ("Host", "api.openai.com")
CHAT = "/v1/chat/completions"


def _error(answer):
    return json.loads(answer.body)["error"]


@pytest.mark.parametrize("host", ["api.anthropic.com", "example.org", ""])
async def test_a_host_that_disagrees_with_the_sni_is_misdirected(carrying, host):
    agent = await carrying.agent()
    answer = await agent.ask("POST", CHAT, [("Host", host)], b"{}")
    assert answer.status == 421
    assert _error(answer)["code"] == "MISDIRECTED_REQUEST"
    assert carrying.double.requests == []


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /v1/models HTTP/9.9\r\nHost: api.openai.com\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost api.openai.com\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: api.openai.com\r\nA: \x00b\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 1\r\n"
        b"Content-Length: 2\r\n\r\nab",
        b"POST /x HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: api.openai.com\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nHost: api.openai.com\r\n\r\n",
    ],
    ids=[
        "no http", "version", "no colon", "nul", "two lengths", "negative", "length and chunked",
        "long field", "long target",
    ],
)  # fmt: skip
async def test_malformed_http_is_a_400_and_reaches_nobody(carrying, sent, caplog):
    agent = await carrying.agent()
    await agent.write(sent, method="GET")
    answer = await agent.answer()
    assert answer.status == 400
    assert _error(answer)["message"].startswith("remora: ")
    assert carrying.double.requests == []
    assert "GARBAGE" not in caplog.text


async def test_the_listener_still_serves_after_malformed_http(carrying):
    agent = await carrying.agent()
    await agent.write(b"\x00\xff\r\n\r\n", method="GET")
    await agent.answer()
    other = await carrying.agent()
    assert (await other.ask("GET", "/v1/models", [HOST])).status == 404


@pytest.mark.parametrize("size", [b"zz\r\n", b"5\r\nhelloXX\r\n"], ids=["size", "no end"])
async def test_a_body_with_broken_chunks_is_the_agents_fault(carrying, size):
    agent = await carrying.agent()
    await agent.send("POST", CHAT, [HOST, ("Transfer-Encoding", "chunked")])
    await agent.write(size)
    answer = await agent.answer()
    assert answer.status == 400
    assert carrying.double.requests == []


async def test_a_provider_that_can_not_be_reached_is_a_502_that_says_why(carry):
    async with carry(connect_to=ConnectTo.parse("::127.0.0.1:1")) as carrying:
        agent = await carrying.agent()
        answer = await agent.ask("POST", CHAT, [HOST], b'{"model":"m","messages":[]}')
        record = await carrying.record()
    assert answer.status == 502
    assert "api.openai.com:443 can't be reached" in _error(answer)["message"]
    assert answer.header("x-should-retry") is None  # the SDK may try again
    assert (record.end_reason, record.error.type) == (EndReason.NO_ANSWER, "connect")


async def test_a_provider_whose_certificate_is_not_trusted_is_a_502(carry, tmp_path):
    async with carry(double={"names": ["another.example"]}) as carrying:
        agent = await carrying.agent()
        answer = await agent.ask("GET", "/v1/models", [HOST])
        record = await carrying.record()
    assert answer.status == 502
    assert "certificate is not trusted" in _error(answer)["message"]
    assert record.attempts[0].error.type == "connect"


async def test_a_refusal_names_the_call_it_refused(carrying):
    carrying.double.script(Answer(verbatim=b"nonsense\r\n\r\n", close=True))
    agent = await carrying.agent()
    answer = await agent.ask("POST", CHAT, [HOST], b"{}")
    record = await carrying.record()
    assert answer.header("remora-call-id") == record.call_id
    assert json.loads(answer.body)["remora"]["call_id"] == record.call_id


class TestForwardProxy:
    """Absolute-form requests to hosts that are no provider."""

    async def _agent(self, carrying):
        return await RawAgent.connect(carrying.sidecar.proxy)

    async def test_a_foreign_request_passes_and_is_not_recorded(self, carrying):
        carrying.double.script(Answer(body=b"hello", framing=Framing.CHUNKED))
        fields = [("Host", "example.org"), ("X-A", "1"), ("Proxy-Connection", "keep-alive")]
        async with await self._agent(carrying) as agent:
            answer = await agent.ask("GET", "http://example.org/x?y", fields)
        (received,) = carrying.double.requests
        assert (answer.status, answer.body) == (200, b"hello")
        assert received.head.target == "/x?y"
        assert received.head.headers == ((b"Host", b"example.org"), (b"X-A", b"1"))
        assert carrying.sidecar.spool.depth == 0

    async def test_uploads_of_both_framings_pass(self, carrying):
        async with await self._agent(carrying) as agent:
            host = ("Host", "example.org")
            counted = await agent.ask("POST", "http://example.org/sink", [host], b"x" * 100_000)
            chunked = [host, ("Transfer-Encoding", "chunked")]
            await agent.send("POST", "http://example.org/sink", chunked)
            await agent.write(b"3\r\nabc\r\n0\r\n\r\n")
            streamed = await agent.answer()
        assert json.loads(counted.body)["bytes"] == 100_000
        assert json.loads(streamed.body)["bytes"] == 3

    async def test_connections_to_foreign_hosts_are_kept(self, carrying):
        async with await self._agent(carrying) as agent:
            for _ in range(3):
                await agent.ask("GET", "http://example.org/", [("Host", "example.org")])
        assert carrying.double.connections_opened == 1

    async def test_an_unreachable_host_is_a_502(self, carry):
        nowhere = ConnectTo.parse("::127.0.0.1:1")
        async with carry(connect_to=nowhere) as carrying, await self._agent(carrying) as agent:
            answer = await agent.ask("GET", "http://example.org/", [("Host", "example.org")])
        assert answer.status == 502

    async def test_a_request_for_the_proxy_itself_says_what_it_is(self, carrying):
        async with await self._agent(carrying) as agent:
            answer = await agent.ask("GET", "/", [("Host", "127.0.0.1")])
        assert answer.status == 400
        assert "HTTP proxy" in _error(answer)["message"]

    async def test_plain_http_to_a_registered_provider_is_a_call(self, carry, tmp_path):
        policy = tmp_path / "policy.yaml"
        policy.write_text(
            "apiVersion: remora.dev/v1alpha1\nkind: LLMProvider\nmetadata: {name: in-house}\n"
            "spec: {hosts: [llm.example.org], ports: [8000], tls: false, dialects: [openai-chat]}\n"
        )
        async with carry(policy=policy) as carrying, await self._agent(carrying) as agent:
            body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
            url = f"http://llm.example.org:8000{CHAT}"
            answer = await agent.ask("POST", url, [("Host", "llm.example.org:8000")], body)
            record = await carrying.record()
        assert answer.status == 200
        assert (record.provider, record.dialect) == ("in-house", "openai-chat")
        assert record.usage is not None
        assert record.cost is None  # nobody knows its price, so nobody says zero
