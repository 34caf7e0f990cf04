"""The official SDK, pointed at the double."""

from collections.abc import AsyncIterator

import openai
import pytest

from remora.testing.double import ProviderDouble


@pytest.fixture
async def client(double: ProviderDouble) -> AsyncIterator[openai.AsyncOpenAI]:
    host, port = double.address
    url = f"http://{host}:{port}/v1"
    async with openai.AsyncOpenAI(api_key="x", base_url=url, max_retries=0) as made:
        yield made
