"""Sessions of the published tracker's protocol, driven as its client drives them.

A session gives a port; the client's own HTTP client takes that as its proxy, on the gateway's
host, and trusts the CA that came with it. Records are asked for by the ids that it gave.
"""

import asyncio
import base64
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from remora.record_wire import from_message
from remora.records import CallRecord
from remora.testing.double_answer import json_answer
from remora_sidecar.engine.named_routers import NamedRouters, load_policy_modules
from remora_sidecar.gateway import Gateway
from remora_sidecar.settings import format_address

CHAT = "/v1/chat/completions"
OVER_TLS = "https://api.openai.com"
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
ANSWER = json_answer(json.dumps({"id": "c1", "usage": USAGE}).encode())
POLICIES = """
class Broken:
    def route(self, ctx):
        raise RuntimeError("boom")

class Weird:
    def route(self, ctx):
        return {"model": "gpt-4o-mini"}

class Silent:
    def route(self, ctx):
        return None

class Fixed:
    def __init__(self, target):
        self.target = target
    def route(self, ctx):
        return self.target

class Toggles:
    def __init__(self):
        self.next = "model-a"
    def route(self, ctx):
        picked = self.next
        self.next = "model-b" if picked == "model-a" else "model-a"
        return picked

class Remembers:
    def route(self, ctx):
        return f"after-{len(ctx.history)}-of-{ctx.session.data_id}"
"""


@dataclass
class Session:
    """One session as the published client has it."""

    session_id: str
    port: int
    client: httpx.AsyncClient

    async def ask(self, base: str = OVER_TLS, **changed: Any) -> httpx.Response:
        """Call the provider through the session's port."""
        return await self.client.post(f"{base}{CHAT}", json={**ASKED, **changed})


@dataclass
class Published:
    """A client of the protocol.

    Attributes:
        plain: A provider in plain HTTP that nobody registered.
    """

    sidecar: Any
    control: httpx.AsyncClient
    plain: str
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def open(self, **said: Any) -> Session:
        body = {"data_id": None, "combo_id": None, "agent_id": None, **said}
        answer = await self.control.post("/sessions", json=body)
        answer.raise_for_status()
        opened = answer.json()
        trust = ssl.create_default_context(
            cadata=base64.b64decode(opened["ca_pem_b64"]).decode("ascii")
        )
        port = int(opened["proxy_port"])
        proxy = f"http://{self.control.base_url.host}:{port}"
        client = await self._stack.enter_async_context(
            httpx.AsyncClient(proxy=proxy, verify=trust, timeout=60)
        )
        return Session(opened["session_id"], port, client)

    async def end(self, session: Session) -> None:
        await self.control.delete(f"/sessions/{session.session_id}")

    async def records(self, **filters: str) -> list[dict[str, Any]]:
        return (await self.control.get("/records", params=filters)).raise_for_status().json()

    async def query(self, path: str, **filters: str) -> Any:
        return (await self.control.get(path, params=filters)).raise_for_status().json()

    async def recorded(self, **filters: str) -> CallRecord:
        """Give the only record as the sidecar has it."""
        from remora_sidecar.journal.selection import JournalSelection

        (call,) = await self.sidecar.journal.page(JournalSelection(**filters))
        return from_message(call.message)


@pytest.fixture
def policies(tmp_path) -> NamedRouters:
    file = tmp_path / "policies.py"
    file.write_text(POLICIES)
    return NamedRouters(modules=load_policy_modules([file]))


@pytest.fixture
async def published(open_gateway, provider, policies) -> AsyncIterator[Published]:
    """A client of a gateway in front of the double, on TLS and in plain HTTP."""
    provider.route("POST", CHAT, ANSWER)
    provider.route("POST", "/ask-me", ANSWER)
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            open_gateway(Gateway(policies, takes_any_host=True))
        )
        control = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://{format_address(running.sidecar.control)}",
                timeout=60,
                limits=httpx.Limits(max_connections=24),
            )
        )
        plain = f"http://{format_address(provider.address)}"
        yield Published(running.sidecar, control, plain, stack)


@pytest.fixture(params=["over TLS", "in plain HTTP"])
def base(request, published) -> str:
    """Where the provider is: behind CONNECT, or named by absolute URLs."""
    return OVER_TLS if request.param == "over TLS" else published.plain


async def test_a_call_is_recorded_with_its_sessions_ids(published, base):
    session = await published.open(data_id="dp_1", combo_id="c")
    assert (await session.ask(base)).json()["usage"] == USAGE
    await published.end(session)

    (record,) = await published.records(combo_id="c")
    assert (record["data_id"], record["combo_id"], record["agent_id"]) == ("dp_1", "c", None)
    assert (record["model"], record["status_code"], record["error"]) == ("gpt-4o", 200, None)
    assert (record["prompt_tokens"], record["completion_tokens"]) == (10, 5)
    assert record["request_url"] == f"{base}{CHAT}"
    assert record["request_body"] == ASKED
    assert record["response_body"]["usage"] == USAGE
    assert await published.query("/usage", combo_id="c") == {"gpt-4o": [10, 5]}
    assert await published.records(data_id="dp_1", agent_id="none") == []


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_an_error_of_the_provider_is_recorded(published, provider, status):
    error = json.dumps({"error": {"message": "no"}}).encode()
    provider.route("POST", CHAT, json_answer(error, status=status))
    session = await published.open(combo_id="c")
    assert (await session.ask(published.plain)).status_code == status

    (record,) = await published.records(combo_id="c")
    assert (record["status_code"], record["error"]) == (status, f"HTTP {status}")
    assert (record["prompt_tokens"], record["completion_tokens"]) == (0, 0)


async def test_a_provider_that_is_not_there_is_recorded_as_no_answer(published, unused_port):
    session = await published.open(combo_id="c")
    answer = await session.ask(f"http://127.0.0.1:{unused_port}")
    assert answer.status_code == 502

    (record,) = await published.records(combo_id="c")
    assert record["status_code"] == 0
    assert record["error"]


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_usage_that_can_not_be_read_is_an_error(published, provider):
    provider.route("POST", CHAT, json_answer(b'{"id": "c1", "object": "chat.completion"}'))
    session = await published.open(combo_id="c")
    await session.ask(published.plain)

    (record,) = await published.records(combo_id="c")
    assert record["status_code"] == 200
    assert record["error"].startswith("agentopt proxy could not extract token usage: ")


async def test_the_same_call_again_comes_from_the_cache_with_its_old_latency(published, provider):
    first = await published.open(data_id="dp_1", combo_id="c")
    await first.ask()
    second = await published.open(data_id="dp_2", combo_id="c")
    await second.ask()

    made, cached = await published.records(combo_id="c")
    assert [made["cached"], cached["cached"]] == [False, True]
    assert cached["latency_seconds"] == made["latency_seconds"]
    seconds = (await published.query("/cached_latency", combo_id="c"))["seconds"]
    assert seconds == pytest.approx(made["latency_seconds"])
    assert (await published.query("/cached_latency", data_id="dp_1"))["seconds"] == 0.0
    assert len(provider.requests) == 1

    assert (await published.control.post("/cache/flush")).status_code == 204
    assert (await published.control.post("/cache/clear")).status_code == 204
    await second.ask()
    assert len(provider.requests) == 2


async def test_a_provider_that_is_registered_is_known_by_its_name(published):
    said = {"name": "mine", "base_url": published.plain, "path_patterns": ["/ask-me"]}
    assert (await published.control.post("/providers", json=said)).status_code == 204
    session = await published.open(combo_id="c")
    answer = await session.client.post(f"{published.plain}/ask-me", json=ASKED)
    assert answer.status_code == 200

    assert (await published.recorded(combo_id="c")).provider == "mine"


# Routing.


async def routed(published: Published, policy: str, **kwargs: Any) -> dict[str, Any]:
    """Make one call in a session with a router; gives its record."""
    router = {"policy": policy, "kwargs": kwargs}
    session = await published.open(data_id="d", combo_id="c", router=router)
    assert (await session.ask()).status_code == 200
    (record,) = await published.records(combo_id="c")
    return record


async def test_a_router_of_ours_is_named_by_its_alias(published, provider):
    record = await routed(published, "random", candidates=["gpt-4o-mini"], seed=0)

    assert record["model"] == "gpt-4o-mini"
    assert json.loads(provider.requests[-1].body)["model"] == "gpt-4o-mini"


async def test_a_router_of_a_file_is_named_by_the_files_stem(published):
    assert (await routed(published, "policies:Fixed", target="custom"))["model"] == "custom"


@pytest.mark.parametrize(
    ("policy", "note"),
    [
        ("policies:Broken", "failed (RuntimeError)"),
        ("policies:Weird", "answered with what is no model"),
        ("policies:Silent", "left the call as it was"),
    ],
)
async def test_a_router_that_names_no_model_leaves_the_call_as_it_is(published, policy, note):
    record = await routed(published, policy)

    assert (record["model"], record["status_code"]) == ("gpt-4o", 200)
    assert any(note in said for said in (await published.recorded(combo_id="c")).notes)


async def test_a_router_is_asked_before_the_cache(published, provider):
    router = {"policy": "policies:Toggles", "kwargs": {}}
    session = await published.open(combo_id="c", router=router)
    for _ in range(4):
        await session.ask()

    records = await published.records(combo_id="c")
    assert [one["model"] for one in records] == ["model-a", "model-b", "model-a", "model-b"]
    assert [one["cached"] for one in records] == [False, False, True, True]
    assert len(provider.requests) == 2


async def test_a_router_is_told_what_came_before(published):
    router = {"policy": "policies:Remembers", "kwargs": {}}
    session = await published.open(data_id="d", combo_id="c", router=router)
    for content in ("one", "two", "three"):
        await session.ask(messages=[{"role": "user", "content": content}])

    records = await published.records(combo_id="c")
    assert [one["model"] for one in records] == ["after-0-of-d", "after-1-of-d", "after-2-of-d"]


# Whose a call is.


async def test_a_port_knows_whose_a_call_is_whatever_credentials_come(published):
    mine, other = await published.open(combo_id="mine"), await published.open(combo_id="other")
    proxy = httpx.Proxy(f"http://127.0.0.1:{mine.port}", auth=(other.session_id, "x"))
    async with httpx.AsyncClient(proxy=proxy, timeout=60) as client:
        await client.post(f"{published.plain}{CHAT}", json=ASKED)

    assert len(await published.records(combo_id="mine")) == 1
    assert await published.records(combo_id="other") == []


async def test_calls_after_the_end_of_their_session_are_still_its_own(published, base):
    session = await published.open(data_id="d", combo_id="late")
    await session.ask(base)
    await published.end(session)
    await session.ask(base, messages=[])  # over the connection that was kept
    proxy = f"http://127.0.0.1:{session.port}"
    async with httpx.AsyncClient(proxy=proxy, verify=False, timeout=60) as client:  # noqa: S501 - a new one
        await client.post(f"{base}{CHAT}", json={**ASKED, "messages": [1]})

    records = await published.records(combo_id="late")
    assert [one["data_id"] for one in records] == ["d", "d", "d"]


async def test_a_call_that_ends_after_its_session_is_still_its_own(published):
    session, let_go = await published.open(combo_id="slow"), asyncio.Event()
    known = published.sidecar.parts.sessions.get(session.session_id)

    async def body() -> AsyncIterator[bytes]:
        text = json.dumps(ASKED).encode()
        yield text[:5]
        await let_go.wait()
        yield text[5:]

    async with asyncio.TaskGroup() as calls:
        call = calls.create_task(session.client.post(f"{OVER_TLS}{CHAT}", content=body()))
        async with asyncio.timeout(30):
            while not known.in_flight:  # noqa: ASYNC110 - it signals nothing
                await asyncio.sleep(0.002)
        await published.end(session)
        let_go.set()

    assert call.result().status_code == 200
    assert len(await published.records(combo_id="slow")) == 1


async def test_two_hundred_sessions_at_once_each_have_their_own_calls(published):
    async def track(number: int) -> None:
        session = await published.open(data_id=f"dp_{number}", combo_id="many")
        content = [{"role": "user", "content": str(number)}]
        base = OVER_TLS if number % 4 == 0 else published.plain
        assert (await session.ask(base, messages=content)).status_code == 200
        await published.end(session)

    await asyncio.gather(*map(track, range(200)))

    records = await published.records(combo_id="many")
    assert len(records) == 200
    for record in records:
        (message,) = record["request_body"]["messages"]
        assert record["data_id"] == f"dp_{message['content']}"


@pytest.mark.parametrize("clients", [1, 4, 8, 24])
async def test_of_24_sessions_opened_by_any_number_of_clients_24_work(published, clients):
    """Connections are left open on all of them meanwhile."""
    turn = asyncio.Semaphore(clients)
    sessions = []

    async def track(number: int) -> None:
        async with turn:
            session = await published.open(data_id=f"dp_{number}", combo_id="all")
            sessions.append(session)
            await session.ask(published.plain, messages=[number])

    await asyncio.gather(*map(track, range(24)))

    assert len({session.port for session in sessions}) == 24
    counted = Counter(one["data_id"] for one in await published.records(combo_id="all"))
    assert counted == {f"dp_{number}": 1 for number in range(24)}
    opened = await asyncio.gather(*(published.open() for _ in range(24)))
    assert len({session.port for session in (*sessions, *opened)}) == 48
