"""The official SDK and LangChain, with the sidecar as their base URL."""

import asyncio
import json

import openai
import pytest
from tests.sidecar.openai_api.conftest import CHAT, MESSAGES, failing

from remora.testing.double_answer import json_answer

TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
    },
}
EMBEDDED = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}


def client_of(served, key="kr-nobodys", **options):
    return openai.OpenAI(base_url=served.url, api_key=key, max_retries=0, **options)


async def test_the_sdk_chats(served):
    with client_of(served) as client:
        answer = await asyncio.to_thread(
            client.chat.completions.create, model="auto", messages=MESSAGES
        )
    assert answer.choices[0].message.content
    assert answer.model_extra["remora"]["model"] == answer.model
    assert answer.model_extra["x_kairosroute"]["cost_usd"] > 0


async def test_the_asynchronous_sdk_streams(served):
    async with openai.AsyncOpenAI(base_url=served.url, api_key="x", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="auto", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    words = [one.choices[0].delta.content or "" for one in chunks if one.choices]
    assert "remora would hold on" in "".join(words)
    assert chunks[-1].usage.total_tokens > 0
    assert chunks[-1].model_extra["remora"]["cost_usd"]


async def test_the_sdk_gets_tool_calls(served):
    async with openai.AsyncOpenAI(base_url=served.url, api_key="x") as client:
        answer = await client.chat.completions.create(model="auto", messages=MESSAGES, tools=[TOOL])
        with_stream = client.chat.completions.stream(model="auto", messages=MESSAGES, tools=[TOOL])
        async with with_stream as stream:
            final = await stream.get_final_completion()
    for got in (answer, final):
        assert got.choices[0].finish_reason == "tool_calls"
        assert got.choices[0].message.tool_calls[0].function.name == "look_up"


async def test_the_sdk_embeds(served):
    served.double.route("POST", "/v1/embeddings", json_answer(json.dumps(EMBEDDED).encode()))
    async with openai.AsyncOpenAI(base_url=served.url, api_key="x") as client:
        answer = await client.embeddings.create(
            model="auto", input="hello", encoding_format="float"
        )
    assert answer.data[0].embedding == [0.5, 0.25]


async def test_the_sdk_lists_models(served):
    async with openai.AsyncOpenAI(base_url=served.url, api_key="x") as client:
        names = [model.id async for model in client.models.list()]
        found = await client.models.retrieve("gpt-4o-mini")
    assert names[0] == "auto"
    assert found.owned_by == "openai"


async def test_the_sdk_reads_raw_headers(served):
    async with openai.AsyncOpenAI(base_url=served.url, api_key="x") as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="auto", messages=MESSAGES, extra_body={"task_id": "t-9"}
        )
    (record,) = await served.records(1)
    assert float(raw.headers["x-kairosroute-cost"]) > 0
    assert raw.headers["remora-call-id"] == record.call_id
    assert record.attribution.task_id == "t-9"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
async def test_a_providers_errors_stay_its_errors(served, status, error):
    served.double.route("POST", CHAT, failing(status))
    async with openai.AsyncOpenAI(base_url=served.url, api_key="x", max_retries=0) as client:
        with pytest.raises(error):
            await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)


async def test_a_session_that_has_ended_is_an_error_of_authentication(served):
    async with openai.AsyncOpenAI(
        base_url=served.url, api_key="sess_0000000000", max_retries=0
    ) as client:
        with pytest.raises(openai.AuthenticationError, match="POST /v1/sessions"):
            await client.chat.completions.create(model="auto", messages=MESSAGES)


async def test_langchain_chats_streams_and_calls_tools(served):
    langchain = pytest.importorskip("langchain_openai")
    async with openai.DefaultAsyncHttpxClient() as http:
        chat = langchain.ChatOpenAI(
            base_url=served.url, api_key="x", model="auto", max_retries=0, http_async_client=http
        )
        told = await chat.ainvoke("Say hello.")
        pieces = [piece.text async for piece in chat.astream("Say hello.")]
        called = await chat.bind_tools([TOOL]).ainvoke("Say hello.")
    assert "remora would hold on" in told.text
    assert "remora would hold on" in "".join(pieces)
    assert called.tool_calls[0]["name"] == "look_up"
    assert len(await served.records(3)) == 3


async def test_langchain_embeds(served):
    langchain = pytest.importorskip("langchain_openai")
    served.double.route("POST", "/v1/embeddings", json_answer(json.dumps(EMBEDDED).encode()))
    async with openai.DefaultAsyncHttpxClient() as http:
        embeddings = langchain.OpenAIEmbeddings(
            base_url=served.url, api_key="x", model="auto", max_retries=0,
            check_embedding_ctx_length=False, http_async_client=http,
        )  # fmt: skip
        assert await embeddings.aembed_query("hello") == [0.5, 0.25]


async def test_many_calls_at_once_are_each_told_what_they_came_to(served):
    async with openai.AsyncOpenAI(base_url=served.url, api_key="x") as client:
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(
                    model="auto", messages=[{"role": "user", "content": f"{at} " * (at + 1)}]
                )
                for at in range(40)
            )
        )
    by_id = {record.call_id: record for record in await served.records(40)}
    told = {one.model_extra["remora"]["call_id"]: one for one in answers}
    assert told.keys() == by_id.keys()
    for call_id, answer in told.items():
        assert answer.usage.prompt_tokens == by_id[call_id].usage.input_tokens
        assert answer.model_extra["remora"]["cost_usd"] == f"{by_id[call_id].cost.total_usd:f}"
