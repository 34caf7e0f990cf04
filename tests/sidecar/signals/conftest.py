"""A whole sidecar with a policy, between agents and a provider double that answers as told."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.sidecar.signals.answers import CHAT, HOST, KEY

from remora.record_wire import from_message
from remora.records import CallRecord
from remora.testing.double import ProviderDouble
from remora.testing.raw_agent import RawAgent, RawAnswer
from remora_proto.v1 import signals_pb2 as pb
from remora_sidecar.assembly import Sidecar, running_sidecar
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.settings import SidecarSettings, format_address


@dataclass
class Evaluating:
    """A running sidecar, an agent's way to it, and the double behind."""

    sidecar: Sidecar
    double: ProviderDouble
    folder: Path
    _agents: list[RawAgent] = field(default_factory=list)

    async def ask(
        self,
        *,
        goal: str = "",
        text: str = "hi",
        stream: bool = False,
        user: str = "",
        headers: Sequence[tuple[str, str]] = (),
        path: str = CHAT,
        **more: Any,
    ) -> RawAnswer:
        """Make one call as an agent does."""
        agent = await RawAgent.through(
            self.sidecar.proxy, HOST, ca_pem=self.sidecar.authority.root_pem.decode(), user=user
        )
        self._agents.append(agent)
        messages = [{"role": "user", "content": text}]
        asked = {"model": "gpt-4o-mini", "messages": messages, "stream": stream, **more}
        fields = [
            ("Host", HOST),
            ("Authorization", "Bearer sk-agent-dummy"),
            ("Content-Type", "application/json"),
            *((("remora-goal", goal),) if goal else ()),
            *headers,
        ]
        return await agent.ask("POST", path, fields, json.dumps(asked).encode())

    async def control(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Make a control call; gives the status and what the JSON holds."""
        url = f"http://{format_address(self.sidecar.control)}{path}"
        method = "GET" if body is None else "POST"
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, url, json=body) as answer,
        ):
            return answer.status, await answer.json()

    async def records(self, count: int) -> list[CallRecord]:
        """Give the records once there are so many, oldest first."""
        await until(lambda: self.sidecar.spool.depth >= count)
        rows = await self.sidecar.spool.batch(10_000, 1 << 30)
        self.sidecar.spool.rewind()
        return [from_message(row.message) for row in rows]

    async def record(self) -> CallRecord:
        """Give the only record."""
        (record,) = await self.records(1)
        return record

    async def signals(self, count: int) -> list[pb.Signal]:
        """Give the signals once so many wait in the outbox."""
        outbox = self.outbox
        async with asyncio.timeout(20):
            while len(found := await outbox.batch(100, 1 << 20)) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return [pb.Signal.FromString(one.message) for one in found]

    @property
    def outbox(self) -> Any:
        """Where signals wait."""
        return self.sidecar.parts.evaluator._judge._sink  # type: ignore[union-attr]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something outside the test has come true."""
        await until(condition)

    def metric(self, name: str, **labels: str) -> float:
        """A figure of the sidecar's."""
        value = self.sidecar.parts.metrics.registry.get_sample_value(name, labels)
        return 0.0 if value is None else value

    def files_with(self, text: str) -> list[str]:
        """Names of the files below the data directory that hold a text."""
        folder = self.folder / "data"
        files = (file for file in folder.rglob("*") if file.is_file())
        return [file.name for file in files if text.encode() in file.read_bytes()]


async def until(condition: Callable[[], object]) -> None:
    """Wait until something outside this task has come true."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - it belongs to code that signals nothing
            await asyncio.sleep(0.005)


Evaluate = Callable[..., contextlib.AbstractAsyncContextManager[Evaluating]]


@pytest.fixture
def evaluating(tmp_path: Path) -> Evaluate:
    """Give what starts a sidecar whose policy has these signals."""

    @contextlib.asynccontextmanager
    async def start(
        signals: Mapping[str, Any] | None = None, **spec: Any
    ) -> AsyncIterator[Evaluating]:
        names = (HOST, "api.groq.com")
        async with ProviderDouble(names=names) as double:
            (tmp_path / "provider-ca.pem").write_text(double.ca_pem)
            (tmp_path / "secrets/openai").mkdir(parents=True, exist_ok=True)
            (tmp_path / "secrets/openai/api-key").write_text(KEY)
            key = {"provider": "openai", "secretRef": {"name": "openai", "key": "api-key"}}
            policy = {
                "apiVersion": "remora.dev/v1alpha1",
                "kind": "LLMPolicy",
                "metadata": {"name": "test"},
                "spec": {"credentials": [key], "signals": dict(signals or {}), **spec},
            }
            (tmp_path / "policy.yaml").write_text(json.dumps(policy))
            host, port = double.address
            settings = SidecarSettings(
                listen=(("127.0.0.1", 0),),
                control_listen=("127.0.0.1", 0),
                status_listen=("127.0.0.1", 0),
                data_dir=tmp_path / "data",
                aggregator="none",
                upstream_ca=tmp_path / "provider-ca.pem",
                connect_to=ConnectTo.parse(f"::{host}:{port}"),
                policy=tmp_path / "policy.yaml",
                secrets_dir=tmp_path / "secrets",
                drain_s=1.0,
            )
            async with running_sidecar(settings) as sidecar:
                running = Evaluating(sidecar, double, tmp_path)
                try:
                    yield running
                finally:
                    for agent in running._agents:
                        agent.abort()

    return start
