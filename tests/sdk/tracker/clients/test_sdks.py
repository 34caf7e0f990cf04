"""The official SDKs, each as its documentation uses it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import anthropic
import boto3
import botocore.config
import botocore.exceptions
import openai
import pytest
from google import genai
from langchain_openai import ChatOpenAI

from remora.records import EndReason
from remora.testing.double_answer import Answer, Fault, FaultKind, json_answer
from remora.testing.streamed_answers import STREAMED_ANSWERS, StreamedAnswer
from remora.tracker.active import ActiveSession, SidecarAccess, within

ASKED: list[Any] = [{"role": "user", "content": "hi"}]
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-8",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
CANDIDATE = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP"}
    ],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
    "modelVersion": "gemini-2.5-flash",
}
CONVERSED = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    "metrics": {"latencyMs": 1},
}


def answered(content: object) -> Answer:
    return json_answer(json.dumps(content).encode())


def openai_client() -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-test", max_retries=0, timeout=30)


def bedrock_client() -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


# one call


def by_openai() -> str:
    with openai_client() as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=ASKED)
    return answer.choices[0].message.content


def by_openai_async() -> str:
    async def call() -> str:
        async with openai.AsyncOpenAI(api_key="sk-test", max_retries=0) as client:
            answer = await client.chat.completions.create(model="gpt-4o", messages=ASKED)
        return answer.choices[0].message.content

    return asyncio.run(call())


def by_openai_over_aiohttp() -> str:
    async def call() -> str:
        http = openai.DefaultAioHttpClient()
        async with openai.AsyncOpenAI(api_key="sk-test", http_client=http) as client:
            answer = await client.chat.completions.create(model="gpt-4o", messages=ASKED)
        return answer.choices[0].message.content

    return asyncio.run(call())


def by_langchain() -> str:
    answer = ChatOpenAI(model="gpt-4o", api_key="sk-test", max_retries=0).invoke("hi")
    return str(answer.content)


def by_langchain_async() -> str:
    async def call() -> str:
        model = ChatOpenAI(model="gpt-4o", api_key="sk-test", max_retries=0)
        return str((await model.ainvoke("hi")).content)

    return asyncio.run(call())


def by_anthropic() -> str:
    with anthropic.Anthropic(api_key="sk-test", max_retries=0) as client:
        answer = client.messages.create(model="claude-opus-4-8", max_tokens=9, messages=ASKED)
    return answer.content[0].text


def by_anthropic_async() -> str:
    async def call() -> str:
        async with anthropic.AsyncAnthropic(api_key="sk-test", max_retries=0) as client:
            answer = await client.messages.create(
                model="claude-opus-4-8", max_tokens=9, messages=ASKED
            )
        return answer.content[0].text

    return asyncio.run(call())


def by_google_genai() -> str:
    with genai.Client(api_key="test") as client:
        return client.models.generate_content(model="gemini-2.5-flash", contents="hi").text


def by_google_genai_async() -> str:
    async def call() -> str:
        async with genai.Client(api_key="test").aio as client:
            answer = await client.models.generate_content(model="gemini-2.5-flash", contents="hi")
        return answer.text

    return asyncio.run(call())


def by_boto3() -> str:
    client = bedrock_client()
    answer = client.converse(
        modelId="us.amazon.nova-lite-v1:0", messages=[{"role": "user", "content": [{"text": "hi"}]}]
    )
    client.close()
    return answer["output"]["message"]["content"][0]["text"]


CALLS: list[Any] = [
    (by_openai, None),
    (by_openai_async, None),
    (by_openai_over_aiohttp, None),
    (by_langchain, None),
    (by_langchain_async, None),
    (by_anthropic, answered(MESSAGE)),
    (by_anthropic_async, answered(MESSAGE)),
    (by_google_genai, answered(CANDIDATE)),
    pytest.param(
        by_google_genai_async,
        answered(CANDIDATE),
        marks=pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),
    ),
    (by_boto3, answered(CONVERSED)),
]


@pytest.mark.parametrize(("call", "answer"), CALLS, ids=lambda it: getattr(it, "__name__", ""))
def test_a_call_of_an_sdk_is_recorded(stage: Any, session: Any, call: Any, answer: Any) -> None:
    if answer is not None:
        stage.script(answer)
    with within(session):
        assert call() == "Hello"
    (record,) = stage.records(session)
    assert (record.usage.input_tokens, record.usage.output_tokens) == (3, 2)


# streams; each gives its pieces of text as they come


def openai_pieces() -> Iterator[str]:
    with (
        openai_client() as client,
        client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True) as stream,
    ):
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


def responses_pieces() -> Iterator[str]:
    with (
        openai_client() as client,
        client.responses.create(model="gpt-4o", input="hi", stream=True) as stream,
    ):
        for event in stream:
            if event.type == "response.output_text.delta":
                yield event.delta


def langchain_pieces() -> Iterator[str]:
    for chunk in ChatOpenAI(model="gpt-4o", api_key="sk-test", max_retries=0).stream("hi"):
        if chunk.content:
            yield str(chunk.content)


def anthropic_pieces() -> Iterator[str]:
    with (
        anthropic.Anthropic(api_key="sk-test", max_retries=0) as client,
        client.messages.stream(model="claude-opus-4-8", max_tokens=9, messages=ASKED) as stream,
    ):
        yield from stream.text_stream


def genai_pieces() -> Iterator[str]:
    with genai.Client(api_key="test") as client:
        stream = client.models.generate_content_stream(model="gemini-2.5-flash", contents="hi")
        for chunk in stream:
            if chunk.text:
                yield chunk.text


def boto3_pieces() -> Iterator[str]:
    client = bedrock_client()
    answer = client.converse_stream(
        modelId="us.amazon.nova-lite-v1:0", messages=[{"role": "user", "content": [{"text": "hi"}]}]
    )
    try:
        for event in answer["stream"]:
            if "contentBlockDelta" in event:
                yield event["contentBlockDelta"]["delta"]["text"]
    finally:
        answer["stream"].close()
        client.close()


STREAMS = [
    (openai_pieces, "openai-chat"),
    (responses_pieces, "openai-responses"),
    (langchain_pieces, "openai-chat"),
    (anthropic_pieces, "anthropic-messages"),
    (genai_pieces, "gemini-generate events"),
    (boto3_pieces, "bedrock-converse"),
]


@pytest.fixture(params=STREAMS, ids=lambda it: it[0].__name__)
def streamed(request: pytest.FixtureRequest) -> tuple[Callable[[], Iterator[str]], StreamedAnswer]:
    pieces, dialect = request.param
    return pieces, STREAMED_ANSWERS[dialect]


def test_a_stream_of_an_sdk_is_recorded(
    stage: Any, session: Any, streamed: Any, answer_of: Any
) -> None:
    pieces, dialect = streamed
    stage.script(answer_of(dialect))
    with within(session):
        assert "".join(pieces()) == "Hello"
    (record,) = stage.records(session)
    assert record.stream
    assert (record.usage.input_tokens, record.usage.output_tokens) == (3, 2)


def test_words_come_as_they_are_said_and_leaving_in_mid_stream_is_recorded(
    stage: Any, session: Any, streamed: Any, answer_of: Any
) -> None:
    pieces, dialect = streamed
    stalled = Fault(FaultKind.STALL, len(dialect.until_output))
    stage.script(replace(answer_of(dialect), fault=stalled))
    with within(session):
        saying = pieces()
        assert next(saying) == "Hello"
        saying.close()
    (record,) = stage.records(session)
    assert record.end_reason is EndReason.CLIENT_GONE


def test_an_async_stream_of_openai_comes_as_it_is_said(
    stage: Any, session: Any, answer_of: Any
) -> None:
    dialect = STREAMED_ANSWERS["openai-chat"]
    stalled = Fault(FaultKind.STALL, len(dialect.until_output))
    stage.script(replace(answer_of(dialect), fault=stalled))

    async def first() -> str:
        async with (
            openai.AsyncOpenAI(api_key="sk-test", max_retries=0) as client,
            await client.chat.completions.create(
                model="gpt-4o", messages=ASKED, stream=True
            ) as stream,
        ):
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    return chunk.choices[0].delta.content
        return ""

    with within(session):
        assert asyncio.run(first()) == "Hello"
    (record,) = stage.records(session)
    assert record.end_reason is EndReason.CLIENT_GONE


# errors


def _refused(status: int) -> Answer:
    return json_answer(b'{"error": {"message": "no", "type": "x"}}', status=status)


@pytest.mark.parametrize(
    ("call", "status", "kind"),
    [
        (by_openai, 429, openai.RateLimitError),
        (by_openai, 401, openai.AuthenticationError),
        (by_openai_async, 500, openai.InternalServerError),
        (by_langchain, 429, openai.RateLimitError),
        (by_anthropic, 429, anthropic.RateLimitError),
        (by_google_genai, 403, genai.errors.ClientError),
        (by_boto3, 500, botocore.exceptions.ClientError),
    ],
    ids=lambda it: getattr(it, "__name__", str(it)),
)
def test_a_providers_errors_stay_the_sdks_own(
    stage: Any, session: Any, call: Any, status: int, kind: type[Exception]
) -> None:
    stage.script(_refused(status))
    with within(session), pytest.raises(kind):
        call()
    (record,) = stage.records(session)
    assert record.status_code == status


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (by_openai, openai.APIConnectionError),
        (by_openai_async, openai.APIConnectionError),
        (by_openai_over_aiohttp, openai.APIConnectionError),
        (by_anthropic, anthropic.APIConnectionError),
        (by_boto3, botocore.exceptions.ConnectionError),
    ],
    ids=lambda it: getattr(it, "__name__", str(it)),
)
def test_without_its_sidecar_a_call_fails_as_without_a_network(
    stage: Any, unused_port: int, call: Any, kind: type[Exception]
) -> None:
    access = stage.access
    gone = SidecarAccess(
        "127.0.0.1", unused_port, access.ca_pem, "", "", "", providers=access.providers
    )
    with within(ActiveSession("sess_gone", gone)), pytest.raises(kind):
        call()
