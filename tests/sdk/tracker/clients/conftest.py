"""A whole sidecar in a thread of its own, in front of a provider double, and sessions at it."""

import asyncio
import contextlib
import gc
import http.client
import json
import socket
import ssl
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from remora.record_wire import from_message
from remora.records import CallRecord
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer, Framing, json_answer
from remora.testing.streamed_answers import StreamedAnswer
from remora.tracker.active import (
    ActiveSession,
    ProviderHosts,
    SidecarAccess,
    forget_untracked_causes,
    within,
)
from remora.tracker.children import install_children
from remora.tracker.clients import install_clients
from remora_sidecar.assembly import Sidecar, running_sidecar
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.settings import SidecarSettings

NAMES = (
    "api.openai.com",
    "api.anthropic.com",
    "generativelanguage.googleapis.com",
    "bedrock-runtime.us-east-1.amazonaws.com",
)
PLAIN = "models.example.com"
LOCAL = "localhost"
"""A provider that is reached without the sidecar, too."""
LIMIT_S = 60.0
CHAT = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "Hello"},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
).encode()
POLICY = f"""
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {{name: test}}
spec: {{}}
---
apiVersion: remora.dev/v1alpha1
kind: LLMProvider
metadata: {{name: plain}}
spec: {{hosts: [{PLAIN}], ports: [80], tls: false, dialects: [openai-chat], prices: []}}
---
apiVersion: remora.dev/v1alpha1
kind: LLMProvider
metadata: {{name: local}}
spec: {{hosts: [{LOCAL}], tls: true, dialects: [openai-chat], prices: []}}
"""


@dataclass
class Stage:
    """A running sidecar and the double behind it; methods are for any thread but the stage's."""

    loop: asyncio.AbstractEventLoop
    sidecar: Sidecar
    double: ProviderDouble
    access: SidecarAccess
    folder: Path
    read: list[CallRecord] = field(default_factory=list)
    accepted: int = 0
    """How many connections the sidecar ever had of agents."""

    def count_agents(self) -> None:
        """Begin to count them."""
        make_route = self.sidecar.interceptor._make_route

        def counted(mode: str) -> Any:
            self.accepted += 1
            return make_route(mode)

        self.sidecar.interceptor._make_route = counted

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the stage's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LIMIT_S)

    def do(self, work: Callable[[], Any]) -> Any:
        """Call something on the stage's own loop."""

        async def call() -> Any:
            return work()

        return self.run(call())

    def script(self, *reactions: Any) -> None:
        """Let the double react so to the next requests."""
        self.do(lambda: self.double.script(*reactions))

    def route(self, method: str, path: str, reaction: Any) -> None:
        """Let the double react so to every request of a path."""
        self.do(lambda: self.double.route(method, path, reaction))

    def open(self, **fields: str) -> ActiveSession:
        """Open a session at the control listener."""
        connection = http.client.HTTPConnection(*self.sidecar.control, timeout=LIMIT_S)
        with within(None), contextlib.closing(connection):
            connection.request("POST", "/v1/sessions", json.dumps(fields))
            response = connection.getresponse()
            assert response.status == 201
            return ActiveSession(json.load(response)["session_id"], self.access)

    async def _records(self) -> list[CallRecord]:
        rows = await self.sidecar.spool.batch(100_000, 1 << 30)
        self.read.extend(from_message(row.message) for row in rows)
        return list(self.read)

    def every_record(self) -> list[CallRecord]:
        """Give the records of all sessions, and of none."""
        return self.run(self._records())

    def records(self, session: ActiveSession, count: int = 1) -> list[CallRecord]:
        """Give a session's records once there are so many; there may not be more."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            every = self.every_record()
            found = [one for one in every if one.attribution.session_id == session.session_id]
            if len(found) >= count or time.monotonic() > deadline:
                assert len(found) == count
                return found
            time.sleep(0.01)

    def totals(self, session: ActiveSession) -> int:
        """Count the calls that the sidecar says a session had."""
        found = self.sidecar.parts.sessions.get(session.session_id)
        return 0 if found is None else sum(one.calls for one in found.totals.values())

    def agents(self) -> set[Any]:
        """Give the connections that agents have to the sidecar now."""
        return set(self.do(lambda: set(self.sidecar.interceptor._agents)))

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something outside of the test has come true."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def count(self) -> int:
        """Count the records of all sessions, and of none."""
        return len(self.every_record())

    @property
    def local_url(self) -> str:
        """A chat completion of the provider that is reached without the sidecar, too."""
        return f"https://{LOCAL}:{self.double.address[1]}/v1/chat/completions"

    @property
    def provider_tls(self) -> ssl.SSLContext:
        """Trusts the provider's CA, and not the sidecar's."""
        return ssl.create_default_context(cadata=self.double.ca_pem)

    def requests(self) -> list[Any]:
        """Give what the double has received so far."""
        return list(self.do(lambda: list(self.double.requests)))


def _settings(folder: Path, double: ProviderDouble, dialled: str) -> SidecarSettings:
    (folder / "provider-ca.pem").write_text(double.ca_pem)
    (folder / "policy.yaml").write_text(POLICY)
    host, port = double.address
    dialled = dialled or f"{host}:{port}"
    return SidecarSettings(
        listen=(("127.0.0.1", 0),),
        control_listen=("127.0.0.1", 0),
        status_listen=("127.0.0.1", 0),
        data_dir=folder / "data",
        aggregator="none",
        policy=folder / "policy.yaml",
        upstream_ca=folder / "provider-ca.pem",
        connect_to=ConnectTo.parse(f"::{dialled}"),
        drain_s=1.0,
    )


def _access(sidecar: Sidecar, folder: Path) -> SidecarAccess:
    ca_pem = sidecar.authority.root_pem.decode()
    providers = (
        ProviderHosts((*NAMES, LOCAL), (443,), True),
        ProviderHosts((PLAIN,), (80,), False),
    )
    files = {name: str(folder / name) for name in ("ca_file", "bundle_file")}
    for file in files.values():
        Path(file).write_text(ca_pem)
    return SidecarAccess(
        *sidecar.proxy, ca_pem, **files, trust_dir=str(folder), providers=providers
    )


@contextlib.asynccontextmanager
async def _performance(folder: Path, dialled: str) -> AsyncIterator[Stage]:
    async with ProviderDouble(names=(*NAMES, LOCAL)) as double:
        double.route("POST", "/v1/chat/completions", json_answer(CHAT))
        async with running_sidecar(_settings(folder, double, dialled)) as sidecar:
            loop = asyncio.get_running_loop()
            stage = Stage(loop, sidecar, double, _access(sidecar, folder), folder)
            stage.count_agents()
            yield stage


@contextlib.contextmanager
def performed(folder: Path, dialled: str = "") -> Iterator[Stage]:
    """Run a stage in a thread with an event loop.

    ``dialled`` is where the sidecar connects to for providers, instead of the double.
    """
    made: list[Stage] = []
    ready, ended = threading.Event(), threading.Event()

    async def perform() -> None:
        async with _performance(folder, dialled) as stage:
            made.append(stage)
            ready.set()
            await asyncio.to_thread(ended.wait)

    def play() -> None:
        try:
            asyncio.run(perform())
        finally:
            ready.set()

    thread = threading.Thread(target=play, name="stage")
    thread.start()
    try:
        ready.wait(LIMIT_S)
        yield made[0]
    finally:
        ended.set()
        thread.join(LIMIT_S)


@pytest.fixture(scope="session")
def _stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    install_clients()
    install_children()
    with performed(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture
def stage(_stage: Stage) -> Iterator[Stage]:
    """A sidecar in front of a double; nothing scripted is left behind, and no socket."""
    forget_untracked_causes()
    yield _stage
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()
    forget_untracked_causes()
    left = _stage.do(lambda: _stage.double.scripts_left)
    _stage.do(lambda: _stage.double._repertoire._scripts.clear() if left else None)
    assert left == 0


@pytest.fixture
def make_stage(stage: Stage, tmp_path: Path) -> Iterator[Callable[[str], Stage]]:
    """Give what makes another stage, whose sidecar dials an address for all providers."""
    with contextlib.ExitStack() as stages:
        yield lambda dialled: stages.enter_context(performed(tmp_path, dialled))


@pytest.fixture
def session(stage: Stage) -> Iterator[ActiveSession]:
    """A session, in which the test runs where it says `within(session)`."""
    return stage.open(agent_id="test")


@pytest.fixture
def answer_of() -> Callable[[StreamedAnswer], Answer]:
    """Give what makes a streamed answer that the double can give."""

    def made(streamed: StreamedAnswer) -> Answer:
        return Answer(headers=streamed.content_types, body=streamed.whole, framing=Framing.CHUNKED)

    return made


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
