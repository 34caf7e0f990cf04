"""A provider for the official SDKs to ask."""

from collections.abc import AsyncIterator

import pytest

from remora.testing.double import ProviderDouble


@pytest.fixture
async def double() -> AsyncIterator[ProviderDouble]:
    async with ProviderDouble() as running:
        yield running
