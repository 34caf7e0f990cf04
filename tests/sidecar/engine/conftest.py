"""The whole sidecar in explicit mode, between a raw agent and a provider double."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from remora.record_wire import from_message
from remora.records import CallRecord
from remora.testing.double import ProviderDouble
from remora.testing.raw_agent import RawAgent
from remora_sidecar.assembly import Sidecar, running_sidecar
from remora_sidecar.gateway import Gateway
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.settings import SidecarSettings

HOST = "api.openai.com"


def local_settings(folder: Path, double: ProviderDouble, **changed: Any) -> SidecarSettings:
    """Settings of a sidecar that reaches nothing but the double."""
    ca = folder / "provider-ca.pem"
    ca.write_text(double.ca_pem)
    host, port = double.address
    settings: dict[str, Any] = {
        "listen": (("127.0.0.1", 0),),
        "control_listen": ("127.0.0.1", 0),
        "status_listen": ("127.0.0.1", 0),
        "data_dir": folder / "data",
        "aggregator": "none",
        "upstream_ca": ca,
        "connect_to": ConnectTo.parse(f"::{host}:{port}"),
        "drain_s": 1.0,
    }
    return SidecarSettings(**{**settings, **changed})


async def until(condition: Callable[[], object]) -> None:
    """Wait until something outside this task has come true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it belongs to code that signals nothing
            await asyncio.sleep(0.002)


@dataclass
class Carrying:
    """A running sidecar and the double behind it."""

    sidecar: Sidecar
    double: ProviderDouble
    _agents: list[RawAgent] = field(default_factory=list)

    @property
    def ca_pem(self) -> str:
        """The root that agents trust."""
        return self.sidecar.authority.root_pem.decode()

    async def agent(self, *, user: str = "", host: str = HOST) -> RawAgent:
        """Connect an agent to a provider through the sidecar."""
        agent = await RawAgent.through(self.sidecar.proxy, host, ca_pem=self.ca_pem, user=user)
        self._agents.append(agent)
        return agent

    async def records(self, count: int) -> list[CallRecord]:
        """Give the records once there are so many, oldest first."""
        await until(lambda: self.sidecar.spool.depth >= count)
        rows = await self.sidecar.spool.batch(10_000, 1 << 30)
        self.sidecar.spool.rewind()
        records = [from_message(row.message) for row in rows]
        assert len(records) == count
        return records

    async def record(self) -> CallRecord:
        """Give the only record."""
        (record,) = await self.records(1)
        return record

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something outside the test has come true."""
        await until(condition)

    def close_agents(self) -> None:
        """Let the agents vanish."""
        for agent in self._agents:
            agent.abort()


Carry = Callable[..., contextlib.AbstractAsyncContextManager[Carrying]]


SettingsOf = Callable[..., SidecarSettings]


@pytest.fixture
def local_settings_of(tmp_path: Path) -> SettingsOf:
    """Give what makes the settings of one sidecar of several, by its name."""

    def settings(double: ProviderDouble, name: str, **changed: Any) -> SidecarSettings:
        folder = tmp_path / name
        folder.mkdir()
        return local_settings(folder, double, **changed)

    return settings


@pytest.fixture
def carry(tmp_path: Path) -> Carry:
    """Give what starts a sidecar with settings of the test's own."""

    @contextlib.asynccontextmanager
    async def start(
        *,
        double: Mapping[str, Any] | None = None,
        gateway: Gateway | None = None,
        **changed: Any,
    ) -> AsyncIterator[Carrying]:
        async with ProviderDouble(**(double or {})) as provider:
            settings = local_settings(tmp_path, provider, **changed)
            async with running_sidecar(settings, gateway=gateway) as sidecar:
                carrying = Carrying(sidecar, provider)
                try:
                    yield carrying
                finally:
                    carrying.close_agents()

    return start


Ruled = Callable[..., contextlib.AbstractAsyncContextManager[Carrying]]


@pytest.fixture
def ruled(carry: Carry, tmp_path: Path) -> Ruled:
    """Give what starts a sidecar whose policy says what a test wants; keys are files."""

    def start(
        spec: Mapping[str, Any],
        *,
        keys: Mapping[str, str] | None = None,
        documents: Sequence[Mapping[str, Any]] = (),
        **changed: Any,
    ) -> contextlib.AbstractAsyncContextManager[Carrying]:
        policy = {
            "apiVersion": "remora.dev/v1alpha1",
            "kind": "LLMPolicy",
            "metadata": {"name": "test"},
            "spec": spec,
        }
        file = tmp_path / "policy.yaml"
        file.write_text("\n---\n".join(json.dumps(one) for one in (policy, *documents)))
        for name, value in (keys or {}).items():
            (tmp_path / "secrets" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "secrets" / name / "api-key").write_text(value)
        double = {"names": ("api.openai.com", "api.groq.com", "api.anthropic.com")}
        return carry(
            **{"double": double, "policy": file, "secrets_dir": tmp_path / "secrets", **changed}
        )

    return start


@pytest.fixture
async def carrying(carry: Carry) -> AsyncIterator[Carrying]:
    """A sidecar as it is without any setting."""
    async with carry() as running:
        yield running
