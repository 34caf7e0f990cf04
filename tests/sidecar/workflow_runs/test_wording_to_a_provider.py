"""Questions put to a provider over a socket, and its answers heard."""

import json

import aiohttp
import pytest
from tests.sidecar.workflow_runs.worded_questions import CLOSED, form, provider, question

from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer, RandomCuts
from remora_sidecar.model.exchange import AnswerHead
from remora_sidecar.workflow_runs.heard import Heard
from remora_sidecar.workflow_runs.wording import worded

CLAUDE = [
    {"type": "message_start", "message": {"type": "message", "content": [], "usage": {}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "He"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "llo ✓"}},
    {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {}},
    {"type": "message_stop"},
]


async def put(double, asked, name):
    """Send a question as it is worded for a provider; return what is heard."""
    request = worded(asked, provider(name))
    base = provider(name).base_paths[request.surface.dialect]
    host, port = double.address
    url = f"http://{host}:{port}{base}{request.surface.path}"
    async with (
        aiohttp.ClientSession() as client,
        client.post(url, data=request.body, headers=request.headers) as answer,
    ):
        heard = Heard(AnswerHead(answer.status, answer.raw_headers), request.surface.dialect)
        async for data in answer.content.iter_any():
            heard.feed(data)
    return heard.finish()


async def test_a_chat_is_answered_and_heard():
    async with ProviderDouble() as double:
        said = await put(double, question("gpt-4o-mini", form=form(CLOSED)), "openai")
        (received,) = double.requests
    assert said.text
    assert (said.problem, said.was_cut, said.is_refused) == ("", False, False)
    assert received.head.path == "/v1/chat/completions"
    sent = json.loads(received.body)
    assert sent["stream_options"] == {"include_usage": True}
    assert sent["response_format"]["json_schema"]["schema"] == CLOSED


@pytest.mark.parametrize("seed", range(3))
async def test_a_message_of_claudes_is_heard_however_it_is_cut(seed):
    lines = [f"event: {e['type']}\ndata: {json.dumps(e, ensure_ascii=False)}\n\n" for e in CLAUDE]
    fields = (("content-type", "text/event-stream"),)
    async with ProviderDouble() as double:
        double.script(Answer(200, fields, "".join(lines).encode(), cuts=RandomCuts(seed=seed)))
        said = await put(double, question("claude-haiku-4-5"), "anthropic")
        (received,) = double.requests
    assert (said.text, said.was_cut, said.problem) == ("Hello ✓", True, "")
    assert received.head.path == "/v1/messages"
    assert received.head.header("anthropic-version") == "2023-06-01"


async def test_an_answer_that_is_no_success_is_not_taken_for_one():
    async with ProviderDouble() as double:
        double.script(Answer(429, (("content-type", "application/json"),), b'{"error": {}}'))
        said = await put(double, question(), "openai")
    assert said.problem == "the provider answered with status 429"
