"""The official SDK reads each recorded stream from a socket; what it comes to is the truth."""

from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from google import genai
from google.genai import errors, types

from remora.records import Usage
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import RandomCuts, answer_of, json_answer
from remora.testing.transcripts import Transcript
from remora_sidecar.dialects.base import AnswerFacts, CallRequest
from remora_sidecar.dialects.gemini.generate import GeminiGenerate
from remora_sidecar.model.exchange import AnswerHead
from remora_sidecar.model.refusal import Refusal

GEMINI = GeminiGenerate()
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")


@pytest.fixture
async def client(double: ProviderDouble) -> AsyncIterator[genai.Client]:
    host, port = double.address
    options = types.HttpOptions(base_url=f"http://{host}:{port}")
    made = genai.Client(api_key="x", http_options=options)
    yield made
    await made.aio.aclose()
    made.close()


def _read(transcript: Transcript) -> AnswerFacts:
    fields = [(name.encode(), value.encode()) for name, value in transcript.response_headers]
    request = CallRequest("generate_content", stream=True)
    reader = GEMINI.answer_reader(AnswerHead(200, fields), request)
    reader.feed(transcript.response_body)
    return reader.finish()


def _sum(*figures: int | None) -> int | None:
    stated = [figure for figure in figures if figure is not None]
    return sum(stated) if stated else None


def _usage(stated: types.GenerateContentResponseUsageMetadata) -> Usage:
    return Usage(
        input_tokens=_sum(stated.prompt_token_count, stated.tool_use_prompt_token_count),
        output_tokens=_sum(stated.candidates_token_count, stated.thoughts_token_count),
        cache_read_tokens=stated.cached_content_token_count,
        reasoning_tokens=stated.thoughts_token_count,
    )


def _of_all_modalities(usage: Usage) -> Usage:
    figures = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )
    return Usage(*figures)


async def _asked(client: genai.Client) -> None:
    await client.aio.models.generate_content(model="m", contents="Hi")


async def _asked_for_a_stream(client: genai.Client) -> list[types.GenerateContentResponse]:
    stream = await client.aio.models.generate_content_stream(model="m", contents="Hi")
    return [chunk async for chunk in stream]


async def test_the_official_sdk_comes_to_the_same_answer(
    double: ProviderDouble,
    client: genai.Client,
    recorded: Callable[[str], Sequence[Transcript]],
) -> None:
    streams = [transcript for transcript in recorded("gemini-generate") if transcript.stream]
    assert streams
    for transcript in streams:
        double.script(answer_of(transcript, cuts=RandomCuts(seed=1)))
        chunks = await _asked_for_a_stream(client)
        facts = _read(transcript)
        stated = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
        assert facts.usage is not None
        assert _of_all_modalities(facts.usage) == _usage(stated[-1]), transcript.id
        last = chunks[-1]
        assert (facts.model, facts.response_id) == (last.model_version, last.response_id)
        called = [call.name for chunk in chunks for call in chunk.function_calls or ()]
        assert list(facts.tool_names) == called, transcript.id
        assert last.candidates
        assert last.candidates[0].finish_reason == facts.finish_reason, transcript.id


@pytest.mark.parametrize(
    ("status", "raised", "named"),
    [
        (402, errors.ClientError, "FAILED_PRECONDITION"),
        (403, errors.ClientError, "PERMISSION_DENIED"),
        (429, errors.ClientError, "RESOURCE_EXHAUSTED"),
        (502, errors.ServerError, "UNAVAILABLE"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_official_sdk_raises_a_refusal_as_what_it_is(
    double: ProviderDouble,
    client: genai.Client,
    status: int,
    raised: type[errors.APIError],
    named: str,
    stream: bool,
) -> None:
    refused = GEMINI.refuse(Refusal(status, "t", "CODE", "why"), "c1")
    double.script(json_answer(refused.body, status=refused.status))
    with pytest.raises(raised, match="remora: why") as caught:
        await (_asked_for_a_stream(client) if stream else _asked(client))
    assert (caught.value.code, caught.value.status) == (status, named)
