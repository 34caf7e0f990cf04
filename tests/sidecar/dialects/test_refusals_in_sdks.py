"""Remora's own refusals as the official SDKs raise them, with the retries that they come with."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import anthropic
import boto3
import httpx2
import openai
import pytest
from botocore.exceptions import ClientError
from google import genai
from google.genai import errors

from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.model.refusal import Refusal

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")

MODEL = {"model": "m"}
CHAT = {**MODEL, "messages": []}
MESSAGES = {**CHAT, "max_tokens": 9}
Ask = Callable[[str], Awaitable[object]]


async def _openai(url: str, ask: Callable[[openai.AsyncOpenAI], Awaitable[object]]) -> object:
    async with openai.AsyncOpenAI(api_key="x", base_url=f"{url}/v1") as client:
        return await ask(client)


async def _anthropic(url: str, *, stream: bool) -> object:
    async with anthropic.AsyncAnthropic(api_key="x", base_url=url) as client:
        return await client.messages.create(**MESSAGES, stream=stream)


async def _google(url: str, *, stream: bool) -> object:
    client = genai.Client(api_key="x", http_options=genai.types.HttpOptions(base_url=url))
    models = client.aio.models
    try:
        if not stream:
            return await models.generate_content(model="m", contents="x")
        return [one async for one in await models.generate_content_stream(model="m", contents="x")]
    finally:
        await client.aio.aclose()
        client.close()


async def _bedrock(url: str, operation: str, **arguments: object) -> object:
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    try:
        return await asyncio.to_thread(getattr(client, operation), modelId="m", **arguments)
    finally:
        client.close()


async def _plain(url: str) -> object:
    async with httpx2.AsyncClient() as client:
        return (await client.post(f"{url}/v2/chat", json=CHAT)).raise_for_status()


OPENAI = {
    (402, "BUDGET_EXCEEDED"): openai.APIStatusError,
    (403, "MODEL_DENIED"): openai.PermissionDeniedError,
    (413, "BODY_TOO_LARGE"): openai.APIStatusError,
    (429, "BUDGET_EXCEEDED"): openai.RateLimitError,
    (429, "RATE_LIMITED"): openai.RateLimitError,
    (502, "NO_CANDIDATE"): openai.InternalServerError,
    (504, "NOT_CACHED"): openai.InternalServerError,
}
ANTHROPIC = {
    (402, "BUDGET_EXCEEDED"): anthropic.APIStatusError,
    (403, "MODEL_DENIED"): anthropic.PermissionDeniedError,
    (413, "BODY_TOO_LARGE"): anthropic.RequestTooLargeError,
    (429, "BUDGET_EXCEEDED"): anthropic.RateLimitError,
    (429, "RATE_LIMITED"): anthropic.RateLimitError,
    (502, "NO_CANDIDATE"): anthropic.InternalServerError,
    (504, "NOT_CACHED"): anthropic.DeadlineExceededError,
}
GOOGLE = {
    (status, code): errors.ClientError if status < 500 else errors.ServerError
    for status, code in OPENAI
}
AWS = dict.fromkeys(OPENAI, ClientError)
PLAIN = dict.fromkeys(OPENAI, httpx2.HTTPStatusError)

SDKS: dict[str, tuple[str, Ask, dict[tuple[int, str], type[Exception]]]] = {
    "openai chat": (
        "openai-chat",
        lambda url: _openai(url, lambda client: client.chat.completions.create(**CHAT)),
        OPENAI,
    ),
    "openai chat stream": (
        "openai-chat",
        lambda url: _openai(
            url, lambda client: client.chat.completions.create(**CHAT, stream=True)
        ),
        OPENAI,
    ),
    "openai completions": (
        "openai-completions",
        lambda url: _openai(url, lambda client: client.completions.create(**MODEL, prompt="x")),
        OPENAI,
    ),
    "openai embeddings": (
        "openai-embeddings",
        lambda url: _openai(url, lambda client: client.embeddings.create(**MODEL, input="x")),
        OPENAI,
    ),
    "openai responses": (
        "openai-responses",
        lambda url: _openai(url, lambda client: client.responses.create(**MODEL, input="x")),
        OPENAI,
    ),
    "openai moderations": (
        "openai-moderations",
        lambda url: _openai(url, lambda client: client.moderations.create(input="x")),
        OPENAI,
    ),
    "anthropic": ("anthropic-messages", lambda url: _anthropic(url, stream=False), ANTHROPIC),
    "anthropic stream": ("anthropic-messages", lambda url: _anthropic(url, stream=True), ANTHROPIC),
    "google": ("gemini-generate", lambda url: _google(url, stream=False), GOOGLE),
    "google stream": ("gemini-generate", lambda url: _google(url, stream=True), GOOGLE),
    "boto3 converse": ("bedrock-converse", lambda url: _bedrock(url, "converse"), AWS),
    "boto3 converse stream": (
        "bedrock-converse",
        lambda url: _bedrock(url, "converse_stream"),
        AWS,
    ),
    "boto3 invoke": (
        "bedrock-invoke",
        lambda url: _bedrock(url, "invoke_model", body=b"{}"),
        AWS,
    ),
    "httpx at cohere": ("cohere-chat", _plain, PLAIN),
}
CASES = {
    f"{sdk} {status} {code}": (dialect, ask, Refusal(status, "t", code, "why"), raised)
    for sdk, (dialect, ask, table) in SDKS.items()
    for (status, code), raised in table.items()
}


@pytest.mark.parametrize(("dialect", "ask", "refusal", "raised"), CASES.values(), ids=CASES)
async def test_a_refusal_is_raised_as_what_it_is_and_not_tried_again(
    double: ProviderDouble, dialect: str, ask: Ask, refusal: Refusal, raised: type[Exception]
) -> None:
    refused = DIALECTS[dialect].refuse(refusal, "c1")
    fields = tuple((name.decode(), value.decode()) for name, value in refused.headers)
    answer = Answer(refused.status, fields, refused.body)
    double.script(*[answer] * 10)
    host, port = double.address
    with pytest.raises(raised) as caught:
        await ask(f"http://{host}:{port}")
    assert len(double.requests) == 1
    if dialect != "cohere-chat":
        assert "remora: why" in str(caught.value)
    said = json.loads(refused.body)["remora"]
    assert said == {"code": refusal.code, "why": "why", "call_id": "c1"}
    assert _told(caught.value) in ((refused.status, refusal.code), (refused.status, None))


def _told(error: Exception) -> tuple[int, str | None]:
    """The status and, where the SDK hands it on, the code of a refusal."""
    match error:
        case openai.APIStatusError():
            return error.status_code, error.code
        case anthropic.APIStatusError():
            assert isinstance(error.body, dict)
            return error.status_code, error.body["error"]["code"]
        case errors.APIError():
            (info,) = error.details["error"]["details"]
            return error.code, info["reason"]
        case ClientError():
            return error.response["ResponseMetadata"]["HTTPStatusCode"], None
        case httpx2.HTTPStatusError():
            return error.response.status_code, error.response.json()["code"]
        case _:
            raise AssertionError(f"not expected of any SDK: {error!r}")
