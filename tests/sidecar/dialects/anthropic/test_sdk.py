"""The official SDK reads each recorded stream from a socket; what it comes to is the truth."""

from collections.abc import AsyncIterator, Callable, Sequence

import anthropic
import pytest
from anthropic.types.beta import BetaMessage

from remora.records import Usage
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import RandomCuts, answer_of
from remora.testing.transcripts import Transcript
from remora_sidecar.dialects.anthropic.messages import AnthropicMessages
from remora_sidecar.dialects.base import AnswerFacts, CallRequest
from remora_sidecar.model.exchange import AnswerHead

MESSAGES = AnthropicMessages()
ASKED = {"model": "claude", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
async def client(double: ProviderDouble) -> AsyncIterator[anthropic.AsyncAnthropic]:
    host, port = double.address
    url = f"http://{host}:{port}"
    async with anthropic.AsyncAnthropic(api_key="x", base_url=url, max_retries=0) as made:
        yield made


def _read(transcript: Transcript) -> AnswerFacts:
    fields = [(name.encode(), value.encode()) for name, value in transcript.response_headers]
    reader = MESSAGES.answer_reader(AnswerHead(200, fields), CallRequest("chat", stream=True))
    reader.feed(transcript.response_body)
    return reader.finish()


def _usage(message: BetaMessage) -> Usage:
    usage = message.usage
    caches = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    details, tools, ttl = usage.output_tokens_details, usage.server_tool_use, usage.cache_creation
    return Usage(
        input_tokens=usage.input_tokens + caches,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_input_tokens,
        cache_write_tokens=usage.cache_creation_input_tokens,
        reasoning_tokens=details.thinking_tokens if details else None,
        cache_write_1h_tokens=ttl.ephemeral_1h_input_tokens if ttl else None,
        web_searches=tools.web_search_requests if tools else None,
    )


async def test_the_official_sdk_comes_to_the_same_message(
    double: ProviderDouble,
    client: anthropic.AsyncAnthropic,
    recorded: Callable[[str], Sequence[Transcript]],
) -> None:
    streams = [transcript for transcript in recorded("anthropic-messages") if transcript.stream]
    assert streams
    for transcript in streams:
        double.script(answer_of(transcript, cuts=RandomCuts(seed=1)))
        async with client.beta.messages.stream(**ASKED) as stream:
            message = await stream.get_final_message()
        facts = _read(transcript)
        assert facts.usage == _usage(message), transcript.id
        assert facts.finish_reason == message.stop_reason, transcript.id
        assert (facts.model, facts.response_id) == (message.model, message.id)
        assert facts.service_tier == (message.usage.service_tier or "")
        called = [block.name for block in message.content if hasattr(block, "name")]
        assert list(facts.tool_names) == called, transcript.id
