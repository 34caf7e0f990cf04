"""A webhook that listens, and clients that speak TLS to it."""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import trustme
from prometheus_client import CollectorRegistry
from tests.operator.pods import CONFIG, ENABLED

from remora.clock import SystemClock
from remora_operator.webhook.metrics import WebhookMetrics
from remora_operator.webhook.review import Answer
from remora_operator.webhook.serving import serving_webhook

NAME = "remora-operator.remora-system.svc"
PATIENCE_S = 60.0


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME, key_type=trustme.KeyType.ECDSA).configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@dataclass
class Webhook:
    """A webhook that listens on loopback.

    Attributes:
        told: Every answer that it told of.
        heard: Set when it told of one.
        stop: Ends it, gracefully.
    """

    address: str
    client_tls: ssl.SSLContext
    registry: CollectorRegistry
    told: list[Answer]
    heard: asyncio.Event
    session: aiohttp.ClientSession = field(repr=False)
    stop: Callable[[], Awaitable[None]] = field(repr=False)

    async def post(self, body: Any, path: str = "/inject/pod", **options: Any) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"} | options.pop("headers", {})
        if isinstance(body, bytes):
            body = io.BytesIO(body)
        url = f"https://{self.address}{path}"
        sent = self.session.post(url, data=body, headers=headers, server_hostname=NAME, **options)
        async with sent as answer:
            return answer.status, await answer.read()

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.address.rsplit(":", 1)
        opened = asyncio.open_connection(host, int(port), ssl=self.client_tls, server_hostname=NAME)
        return await asyncio.wait_for(opened, PATIENCE_S)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def listening(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> AsyncIterator[Any]:
    """Starts webhooks, which stop when the test ends or says so."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    connector = aiohttp.TCPConnector(ssl=client_tls)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        AsyncExitStack() as stack,
    ):

        async def start(listen: str = "127.0.0.1:0", **options: Any) -> Webhook:
            registry, told, heard = CollectorRegistry(), list[Answer](), asyncio.Event()

            def tell(answer: Answer) -> None:
                told.append(answer)
                heard.set()

            fixed = {"namespace_of": lambda _: ENABLED, "config_of": lambda: CONFIG, "told": tell}
            own = await stack.enter_async_context(AsyncExitStack())
            serving = serving_webhook(
                listen,
                server_tls,
                metrics=WebhookMetrics(registry),
                clock=SystemClock(),
                **(fixed | options),
            )
            address = await own.enter_async_context(serving)
            return Webhook(address, client_tls, registry, told, heard, session, own.aclose)

        yield start


@pytest.fixture
async def webhook(listening: Any) -> Webhook:
    return await listening()
