"""A provider double and agents that speak to it directly."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from remora.testing.double import ProviderDouble
from remora.testing.raw_agent import RawAgent

Connect = Callable[..., Awaitable[RawAgent]]


@pytest.fixture
async def double() -> AsyncIterator[ProviderDouble]:
    """A double as it is without any setting."""
    async with ProviderDouble() as running:
        yield running


@pytest.fixture
async def connect(double) -> AsyncIterator[Connect]:
    """Give what connects an agent: plain, or over TLS under a name."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(name: str = "", *, ca_pem: str = "", alpn: str = "http/1.1") -> RawAgent:
            agent = await stack.enter_async_context(await RawAgent.connect(double.address))
            if name:
                context = ssl.create_default_context(cadata=ca_pem or double.ca_pem)
                context.set_alpn_protocols([alpn])
                await agent.writer.start_tls(context, server_hostname=name)
            return agent

        yield make
