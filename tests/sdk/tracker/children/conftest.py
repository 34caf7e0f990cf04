"""Sessions to start work in: of no sidecar at all, and of a real one before a provider double."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from remora.record_wire import from_message
from remora.testing.double import ProviderDouble
from remora.tracker.active import ActiveSession, ProviderHosts, SidecarAccess
from remora.tracker.children import install_children
from remora_sidecar.assembly import Sidecar, running_sidecar
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.settings import SidecarSettings, format_address

OPENAI = ProviderHosts(("api.openai.com", "*.openai.azure.com"), (443,), tls=True)


@pytest.fixture(autouse=True)
def _installed() -> None:
    install_children()


@pytest.fixture
def session_of(tmp_path: Path) -> Callable[..., ActiveSession]:
    """Give what makes sessions by their name."""

    def make(
        name: str = "sess_a", providers: tuple[ProviderHosts, ...] = (OPENAI,)
    ) -> ActiveSession:
        sidecar = SidecarAccess(
            proxy_host="127.0.0.1", proxy_port=15999, ca_pem="a CA",
            ca_file=str(tmp_path / "ca.pem"), bundle_file=str(tmp_path / "bundle.pem"),
            trust_dir=str(tmp_path), providers=providers,
        )  # fmt: skip
        return ActiveSession(name, sidecar)

    return make


@pytest.fixture
def session(session_of: Callable[..., ActiveSession]) -> ActiveSession:
    """A session of the id sess_a."""
    return session_of("sess_a")


@dataclass
class Stage:
    """A running sidecar, the double behind it, and sessions opened at it."""

    sidecar: Sidecar
    client: aiohttp.ClientSession

    async def open(self, data_id: str) -> ActiveSession:
        """Open a session."""
        url = f"http://{format_address(self.sidecar.control)}/v1/sessions"
        async with self.client.post(url, json={"data_id": data_id}) as answer:
            opened = await answer.json()
        return ActiveSession(opened["session_id"], self._access())

    def _access(self) -> SidecarAccess:
        host, port = self.sidecar.proxy
        trust = self.sidecar.settings.trust_folder
        return SidecarAccess(
            proxy_host=host, proxy_port=port, ca_pem=self.sidecar.authority.root_pem.decode(),
            ca_file=str(trust / "ca.pem"), bundle_file=str(trust / "bundle.pem"),
            trust_dir=str(trust), providers=(OPENAI,),
        )  # fmt: skip

    async def data_ids(self, count: int) -> list[str]:
        """List whose calls were recorded, once there are so many."""
        async with asyncio.timeout(60):
            while self.sidecar.spool.depth < count:  # noqa: ASYNC110 - it signals nothing
                await asyncio.sleep(0.01)
        rows = await self.sidecar.spool.batch(10_000, 1 << 30)
        self.sidecar.spool.rewind()
        return sorted(from_message(row.message).attribution.data_id for row in rows)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A sidecar in explicit mode that reaches nothing but a provider double."""
    async with contextlib.AsyncExitStack() as stack:
        double = await stack.enter_async_context(ProviderDouble())
        ca = tmp_path / "provider-ca.pem"
        ca.write_text(double.ca_pem)
        host, port = double.address
        settings = SidecarSettings(
            listen=(("127.0.0.1", 0),), control_listen=("127.0.0.1", 0),
            status_listen=("127.0.0.1", 0), data_dir=tmp_path / "data", aggregator="none",
            upstream_ca=ca, connect_to=ConnectTo.parse(f"::{host}:{port}"), drain_s=1.0,
        )  # fmt: skip
        sidecar = await stack.enter_async_context(running_sidecar(settings))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield Stage(sidecar, client)
