"""The official SDK reads each recorded stream from a socket; what it comes to is the truth."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import openai
import pytest
from openai.types.responses import Response, ResponseUsage

from remora.records import Usage
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import RandomCuts, answer_of
from remora.testing.transcripts import Transcript
from remora_sidecar.dialects.base import AnswerFacts, CallRequest
from remora_sidecar.dialects.openai.responses import OpenAIResponses
from remora_sidecar.model.exchange import AnswerHead

RESPONSES = OpenAIResponses()


def _read(transcript: Transcript) -> AnswerFacts:
    fields = [(name.encode(), value.encode()) for name, value in transcript.response_headers]
    reader = RESPONSES.answer_reader(AnswerHead(200, fields), CallRequest("chat", stream=True))
    reader.feed(transcript.response_body)
    return reader.finish()


def _stated(usage: ResponseUsage | None) -> Usage | None:
    if usage is None:
        return None
    details = usage.input_tokens_details
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=details.cached_tokens,
        cache_write_tokens=getattr(details, "cache_write_tokens", None),
        reasoning_tokens=usage.output_tokens_details.reasoning_tokens,
    )


def _called(response: Response) -> list[str]:
    calls = (item for item in response.output if item.type.endswith("_call"))
    return [getattr(item, "name", None) or item.type.removesuffix("_call") for item in calls]


def _assert_the_same(facts: AnswerFacts, response: Response, name: str) -> None:
    tokens = facts.usage and replace(facts.usage, web_searches=None)  # stated elsewhere
    assert tokens == _stated(response.usage), name
    assert (facts.model, facts.response_id) == (response.model, response.id), name
    assert facts.finish_reason == response.status, name
    assert facts.service_tier == (response.service_tier or ""), name
    assert facts.in_background is bool(response.background), name
    assert list(facts.tool_names) == _called(response), name


# The SDK's types lag behind what web searches answer; its parser copies a response with a warning.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_the_official_sdk_comes_to_the_same_response(
    double: ProviderDouble,
    client: openai.AsyncOpenAI,
    recorded: Callable[[str], Sequence[Transcript]],
) -> None:
    streams = [transcript for transcript in recorded("openai-responses") if transcript.stream]
    assert streams
    for transcript in streams:
        double.script(answer_of(transcript, cuts=RandomCuts(seed=1)))
        async with client.responses.stream(model="m", input="hi") as stream:
            response = await stream.get_final_response()
        _assert_the_same(_read(transcript), response, transcript.id)


async def test_the_official_sdk_reads_the_same_response_back(
    double: ProviderDouble,
    client: openai.AsyncOpenAI,
    recorded: Callable[[str], Sequence[Transcript]],
) -> None:
    streams = [
        transcript
        for transcript in recorded("other")
        if transcript.stream and "/responses/" in transcript.path
    ]
    assert streams
    for transcript in streams:
        double.script(answer_of(transcript, cuts=RandomCuts(seed=1)))
        last = None
        async for event in await client.responses.retrieve("resp_1", stream=True):
            last = event
        assert last is not None
        assert last.type == "response.completed"
        _assert_the_same(_read(transcript), last.response, transcript.id)
