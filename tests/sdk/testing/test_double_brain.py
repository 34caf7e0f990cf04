"""The built-in provider, asked by the official SDK."""

import json
from collections.abc import AsyncIterator

import openai
import pytest

from remora.testing.agent import ENDLESS, FAILING
from remora.testing.double import ProviderDouble

_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture
async def client(double: ProviderDouble) -> AsyncIterator[openai.AsyncOpenAI]:
    host, port = double.address
    url = f"http://{host}:{port}/v1"
    async with openai.AsyncOpenAI(api_key="sk-x", base_url=url, max_retries=0) as made:
        yield made


def _asked(text: str, **more):
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


async def test_a_question_is_answered_with_usage(client):
    answer = await client.chat.completions.create(**_asked("What do remoras do?"))
    assert "What do remoras do?" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_a_stream_says_the_same_as_a_whole_answer(client):
    whole = await client.chat.completions.create(**_asked("Why?"))
    stream = await client.chat.completions.create(
        **_asked("Why?", stream=True, stream_options={"include_usage": True})
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


async def test_usage_is_streamed_only_where_asked_for(client):
    stream = await client.chat.completions.create(**_asked("Why?", stream=True))
    assert [chunk.usage async for chunk in stream if chunk.usage] == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_offered_tool_is_called_and_its_answer_taken(client, stream):
    asked = _asked("What is the weather in Kiel?", tools=_TOOLS, stream=stream)
    answer = await client.chat.completions.create(**asked)
    if stream:
        deltas = [chunk.choices[0].delta async for chunk in answer]
        parts = [part.function for delta in deltas for part in delta.tool_calls or ()]
        name, arguments = parts[0].name, "".join(part.arguments for part in parts)
    else:
        called = answer.choices[0].message.tool_calls[0].function
        name, arguments = called.name, called.arguments
    assert (name, list(json.loads(arguments))) == ("get_weather", ["city"])


async def test_the_tools_answer_ends_the_turn(client):
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "tool", "tool_call_id": "call_1", "content": "windy"},
    ]
    answer = await client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, tools=_TOOLS
    )
    assert answer.choices[0].finish_reason == "stop"
    assert "windy" in answer.choices[0].message.content


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (FAILING, openai.InternalServerError),
        ("[[error:401]]", openai.AuthenticationError),
        ("[[error:404]]", openai.NotFoundError),
        ("[[error:429]]", openai.RateLimitError),
        ("[[error:400]]", openai.BadRequestError),
    ],
)
async def test_an_error_asked_for_is_raised_by_the_sdk(client, text, error):
    with pytest.raises(error):
        await client.chat.completions.create(**_asked(text))


async def test_an_endless_stream_can_be_given_up(client, double):
    stream = await client.chat.completions.create(**_asked(ENDLESS, stream=True))
    async for chunk in stream:
        assert chunk.choices[0].delta.content == "on and "
        break
    await stream.close()
    await double.until(lambda: double.aborted)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"model":"m","messages":[]}', b'{"model":"m","messages":[1]}']
)
async def test_a_question_that_is_none_is_the_clients_fault(connect, body):
    agent = await connect()
    answer = await agent.ask("POST", "/v1/chat/completions", [("Host", "a")], body)
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"
