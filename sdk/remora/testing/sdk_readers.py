"""What the official SDKs make of a streamed answer, for tests that compare two of them.

Each reader is the SDK itself, asking a provider double that gives the answer. Needs
`remora[dev]`; SDKs are imported when they are used.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType
from typing import Any

from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer

SdkReader = Callable[[Answer], Awaitable[Any]]
"""Gives what the SDK came to: values that can be compared."""


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[ProviderDouble, str]]:
    async with ProviderDouble() as double:
        host, port = double.address
        yield double, f"http://{host}:{port}"


@asynccontextmanager
async def openai_chat() -> AsyncIterator[SdkReader]:
    """`openai`: the accumulated chat completion, or the chunks where it can't accumulate them."""
    import openai

    # Lists of other providers' own; answers that a limit or a filter ended.
    ended = (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError)
    unread = (RuntimeError, *ended)
    async with (
        _server() as (double, url),
        openai.AsyncOpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0) as client,
    ):

        async def read(answer: Answer) -> Any:
            double.script(answer)
            asked = client.chat.completions.stream(model="m", messages=[])
            try:
                async with asked as stream:
                    return (await stream.get_final_completion()).model_dump()
            except unread:
                double.script(answer)
            chunks = await client.chat.completions.create(model="m", messages=[], stream=True)
            return [chunk.model_dump() async for chunk in chunks]

        yield read


@asynccontextmanager
async def openai_completions() -> AsyncIterator[SdkReader]:
    """`openai`: the chunks of a text completion."""
    import openai

    async with (
        _server() as (double, url),
        openai.AsyncOpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0) as client,
    ):

        async def read(answer: Answer) -> Any:
            double.script(answer)
            stream = await client.completions.create(model="m", prompt="x", stream=True)
            return [chunk.model_dump() async for chunk in stream]

        yield read


@asynccontextmanager
async def openai_responses() -> AsyncIterator[SdkReader]:
    """`openai`: the accumulated response."""
    import openai

    async with (
        _server() as (double, url),
        openai.AsyncOpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0) as client,
    ):

        async def read(answer: Answer) -> Any:
            double.script(answer)
            async with client.responses.stream(model="m", input="x") as stream:
                return (await stream.get_final_response()).model_dump()

        yield read


@asynccontextmanager
async def anthropic_messages() -> AsyncIterator[SdkReader]:
    """`anthropic`: the accumulated message."""
    import anthropic

    async with (
        _server() as (double, url),
        anthropic.AsyncAnthropic(api_key="x", base_url=url, max_retries=0) as client,
    ):

        async def read(answer: Answer) -> Any:
            double.script(answer)
            asked = client.beta.messages.stream(model="m", max_tokens=9, messages=[])
            async with asked as stream:
                return (await stream.get_final_message()).model_dump()

        yield read


@asynccontextmanager
async def gemini_generate() -> AsyncIterator[SdkReader]:
    """`google-genai`: the partial answers."""
    from google import genai

    async with _server() as (double, url):
        client = genai.Client(api_key="x", http_options=genai.types.HttpOptions(base_url=url))

        async def read(answer: Answer) -> Any:
            double.script(answer)
            stream = await client.aio.models.generate_content_stream(model="m", contents="x")
            return [chunk.model_dump(exclude={"sdk_http_response"}) async for chunk in stream]

        try:
            yield read
        finally:
            await client.aio.aclose()
            client.close()


@asynccontextmanager
async def _bedrock(ask: Callable[[Any], list[Any]]) -> AsyncIterator[SdkReader]:
    import boto3

    async with _server() as (double, url):
        client = boto3.client(
            "bedrock-runtime",
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id="x",
            aws_secret_access_key="x",  # noqa: S106 - anything will do
        )

        async def read(answer: Answer) -> Any:
            double.script(answer)
            return await asyncio.to_thread(ask, client)

        try:
            yield read
        finally:
            client.close()


def bedrock_converse() -> AbstractAsyncContextManager[SdkReader]:
    """`boto3`: the events of a conversation."""
    return _bedrock(lambda client: list(client.converse_stream(modelId="m")["stream"]))


def bedrock_invoke() -> AbstractAsyncContextManager[SdkReader]:
    """`boto3`: the chunks of the model's own answer."""
    return _bedrock(
        lambda client: list(
            client.invoke_model_with_response_stream(modelId="m", body=b"{}")["body"]
        )
    )


@asynccontextmanager
async def plain() -> AsyncIterator[SdkReader]:
    """The bytes, where there is no SDK to ask."""

    async def read(answer: Answer) -> Any:
        return answer.body

    yield read


READERS: Mapping[str, Callable[[], AbstractAsyncContextManager[SdkReader]]] = MappingProxyType(
    {
        "anthropic-messages": anthropic_messages,
        "bedrock-converse": bedrock_converse,
        "bedrock-invoke": bedrock_invoke,
        "cohere": plain,
        "gemini-generate": gemini_generate,
        "openai-chat": openai_chat,
        "openai-completions": openai_completions,
        "openai-responses": openai_responses,
        "other": plain,
    }
)
"""By the corpus' files."""
