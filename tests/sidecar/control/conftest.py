"""A running sidecar and a client of its control listener."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from remora.testing.double import ProviderDouble
from remora.testing.raw_agent import RawAgent
from remora_sidecar.assembly import Sidecar, running_sidecar
from remora_sidecar.gateway import Gateway
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.settings import SidecarSettings, format_address


@dataclass
class Controlled:
    """A sidecar, and a program that calls its listeners."""

    sidecar: Sidecar
    client: aiohttp.ClientSession

    async def call(
        self, method: str, path: str, *, json: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Make a control call; gives the status and what the JSON holds."""
        url = f"http://{format_address(self.sidecar.control)}{path}"
        async with self.client.request(method, url, json=json, headers=headers) as answer:
            return answer.status, await answer.json()

    async def ask_status(self, path: str) -> tuple[int, str]:
        """Ask the status listener; gives the status and the text."""
        url = f"http://{format_address(self.sidecar.status)}{path}"
        async with self.client.get(url) as answer:
            return answer.status, await answer.text()

    @property
    def admin(self) -> dict[str, str]:
        """The owner's header."""
        return {"Authorization": f"Bearer {self.sidecar.data.admin_token}"}

    async def agent(self, user: str = "") -> RawAgent:
        """Connect an agent to the double through the sidecar."""
        ca_pem = self.sidecar.authority.root_pem.decode()
        return await RawAgent.through(
            self.sidecar.proxy, "api.openai.com", ca_pem=ca_pem, user=user
        )


async def _controlled(
    folder: Path, gateway: Gateway | None = None, **changed: Any
) -> AsyncIterator[Controlled]:
    settings = SidecarSettings(
        listen=(("127.0.0.1", 0),), control_listen=("127.0.0.1", 0),
        status_listen=("127.0.0.1", 0), data_dir=folder / "data",
        **{"aggregator": "none", "drain_s": 1.0, **changed},
    )  # fmt: skip
    async with (
        running_sidecar(settings, gateway=gateway) as sidecar,
        aiohttp.ClientSession() as client,
    ):
        yield Controlled(sidecar, client)


@pytest.fixture
async def controlled(tmp_path: Path) -> AsyncIterator[Controlled]:
    """A sidecar in explicit mode with no aggregator."""
    async for one in _controlled(tmp_path):
        yield one


@pytest.fixture
async def provider() -> AsyncIterator[ProviderDouble]:
    """A provider double."""
    async with ProviderDouble() as double:
        yield double


@pytest.fixture
async def carrying(tmp_path: Path, provider: ProviderDouble) -> AsyncIterator[Controlled]:
    """A sidecar whose provider is the double."""
    ca = tmp_path / "provider-ca.pem"
    ca.write_text(provider.ca_pem)
    host, port = provider.address
    redirect = ConnectTo.parse(f"::{host}:{port}")
    async for one in _controlled(tmp_path, upstream_ca=ca, connect_to=redirect):
        yield one


OpenGateway = Callable[..., AbstractAsyncContextManager[Controlled]]


@pytest.fixture
def open_gateway(tmp_path: Path, provider: ProviderDouble) -> OpenGateway:
    """Give what starts a gateway before the double, with a gateway's options and settings."""
    ca = tmp_path / "provider-ca.pem"
    ca.write_text(provider.ca_pem)
    host, port = provider.address

    @asynccontextmanager
    async def start(gateway: Gateway | None = None, **changed: Any) -> AsyncIterator[Controlled]:
        settings = {
            "preset": "tracker-cached",
            "upstream_ca": ca,
            "connect_to": ConnectTo.parse(f"api.openai.com:443:{host}:{port}"),
            **changed,
        }
        async for one in _controlled(tmp_path, gateway or Gateway(), **settings):
            yield one

    return start
