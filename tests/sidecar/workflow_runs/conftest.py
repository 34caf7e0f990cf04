"""A whole sidecar that runs workflows, and a provider behind it that answers as a test says."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.sidecar.engine.conftest import local_settings, until

from remora.record_wire import from_message
from remora.records import CallRecord
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer
from remora.testing.double_brain import OpenAIBrain
from remora.testing.double_request import ReceivedRequest
from remora_sidecar.assembly import Sidecar, running_sidecar
from remora_sidecar.settings import format_address

CHAT = "/v1/chat/completions"

type Says = Callable[[Mapping[str, Any]], str]


def echo(asked: Mapping[str, Any]) -> str:
    """Answer with the last message's first words."""
    return "about " + str(asked["messages"][-1]["content"])[:60]


@dataclass
class Provider:
    """What the provider says, and whether it says it yet.

    Attributes:
        says: Gives the answer's text.
        fails: Gives an answer that is a failure; None: none.
        held: Says which answers wait for the gate.
        gate: Lets them go.
    """

    says: Says = echo
    fails: Callable[[Mapping[str, Any]], Answer | None] = lambda asked: None
    held: Callable[[Mapping[str, Any]], bool] = lambda asked: False
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, request: ReceivedRequest) -> Answer:
        asked = json.loads(request.body)
        answer = self.fails(asked) or OpenAIBrain(reply=self.says)(request)
        return replace(answer, waits_for=self.gate) if self.held(asked) else answer


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[Any]:
        """The data of a stream's events."""
        lines = [line for line in self.text.splitlines() if line.startswith("data: ")]
        return [json.loads(line.removeprefix("data: ")) for line in lines]


@dataclass
class Serving:
    """A running sidecar and the provider behind it."""

    sidecar: Sidecar
    double: ProviderDouble
    provider: Provider
    client: aiohttp.ClientSession

    @property
    def root(self) -> str:
        return f"http://{format_address(self.sidecar.control)}"

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Make a request of the control listener."""
        given = {"Authorization": "Bearer kr-nobodys"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        async with self.client.request(
            method, f"{self.root}{path}", json=body, headers=given
        ) as answer:
            return Reply(answer.status, answer.headers, await answer.text())

    async def execute(self, workflow: Any, given: Any = None, **more: Any) -> Any:
        """Run a workflow to its end; gives the execution."""
        body = {"workflow": workflow, "input": {} if given is None else given, **more}
        reply = await self.ask("POST", "/v1/workflows/execute", body)
        assert reply.status == 200, reply.text
        return reply.json

    async def stream(self, workflow: Any, given: Any = None, **more: Any) -> list[Any]:
        """Run a workflow to its end; gives its events."""
        body = {"workflow": workflow, "input": {} if given is None else given, **more}
        reply = await self.ask("POST", "/v1/workflows/stream", body)
        assert reply.status == 200, reply.text
        return reply.events

    async def records(self, count: int) -> list[CallRecord]:
        """Give the records once there are so many, oldest first."""
        await until(lambda: self.sidecar.spool.depth >= count)
        rows = await self.sidecar.spool.batch(10_000, 1 << 30)
        self.sidecar.spool.rewind()
        return [from_message(row.message) for row in rows]

    @property
    def asked(self) -> list[Any]:
        """What the provider was asked, in order."""
        return [json.loads(request.body) for request in self.double.requests]


def policy(spec: Mapping[str, Any]) -> str:
    credentials = [{"provider": "openai", "secretRef": {"name": "openai", "key": "api-key"}}]
    return json.dumps(
        {
            "apiVersion": "remora.dev/v1alpha1",
            "kind": "LLMPolicy",
            "metadata": {"name": "test"},
            "spec": {"credentials": credentials, **spec},
        }
    )


type Serve = Callable[..., contextlib.AbstractAsyncContextManager[Serving]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Give what starts a sidecar; started again, it finds what the one before left."""

    @contextlib.asynccontextmanager
    async def start(
        provider: Provider | None = None,
        documents: Sequence[Mapping[str, Any]] = (),
        settings: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> AsyncIterator[Serving]:
        provider = provider or Provider()
        (tmp_path / "secrets" / "openai").mkdir(parents=True, exist_ok=True)
        (tmp_path / "secrets" / "openai" / "api-key").write_text("sk-of-the-policy-0123456789")
        file = tmp_path / "policy.yaml"
        file.write_text("\n---\n".join([policy(spec), *map(json.dumps, documents)]))
        async with ProviderDouble(names=("api.openai.com", "api.anthropic.com")) as double:
            double.route("POST", CHAT, provider)
            made = local_settings(
                tmp_path,
                double,
                policy=file,
                secrets_dir=tmp_path / "secrets",
                **dict(settings or {}),
            )
            async with running_sidecar(made) as sidecar, aiohttp.ClientSession() as client:
                yield Serving(sidecar, double, provider, client)

    return start


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[Serving]:
    """A running sidecar."""
    async with serve() as running:
        yield running
