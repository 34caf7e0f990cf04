"""What a call leaves behind: nothing that only a collection could free.

The collector stops everything while it runs; calls that need none keep streams on time.
"""

import contextlib
import gc
import json

import pytest

from remora.testing.double_answer import Answer, Framing

CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 7, "completion_tokens": 2}
WHOLE = json.dumps({"id": "c", "model": "gpt-4o", "choices": [], "usage": USAGE}).encode()
EVENTS = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"H"}}]}\n\ndata: [DONE]\n\n'
JSON = Answer(headers=(("Content-Type", "application/json"),), body=WHOLE)
STREAM = Answer(
    headers=(("Content-Type", "text/event-stream"),), body=EVENTS, framing=Framing.CHUNKED
)
TO_ANOTHER = {"policy": "weighted", "candidates": [{"model": "o3", "weight": 1}]}
SPEC = {
    "cache": {"mode": "readwrite"},
    "routes": [
        {
            "name": "r",
            "match": {"models": ["gpt-*"]},
            "router": TO_ANOTHER,
            "fallback": [{"model": "gpt-4o-mini"}],
        }
    ],
    "budgets": [{"name": "b", "per": "pod", "maxCostUSD": "1"}],
}


def _asked(question, **more):
    messages = [{"role": "user", "content": question}]
    return json.dumps({"model": "gpt-4o", "temperature": 0, "messages": messages, **more}).encode()


@contextlib.contextmanager
def _garbage(found):
    """Keep what a collection would have freed; nothing is collected meanwhile."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [one for one in gc.garbage if type(one).__module__.startswith("remora_sidecar")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


KINDS = {
    "JSON": ([JSON], [_asked("a")]),
    "a stream": ([STREAM], [_asked("b", stream=True)]),
    "from the cache": ([JSON], [_asked("c"), _asked("c")]),
    "a refused key": ([Answer(401, JSON.headers, b'{"error":{"message":"no"}}')], [_asked("d")]),
    "tried elsewhere": ([Answer(500, JSON.headers, b"{}"), JSON], [_asked("e")]),
    "no JSON at all": ([Answer(200, JSON.headers, b"<html>")], [b"\xff"]),
}


@pytest.mark.parametrize(("answers", "asked"), KINDS.values(), ids=KINDS)
async def test_a_call_leaves_nothing_to_the_collector(ruled, answers, asked):
    async with ruled(SPEC) as carrying:
        agent = await carrying.agent()
        carrying.double.script(JSON)
        head = [("Host", "api.openai.com"), ("Content-Type", "application/json")]
        await agent.ask("POST", CHAT, head, _asked("first"))
        carrying.double.script(*answers)
        found = []
        with _garbage(found):
            for body in asked:
                await agent.ask("POST", CHAT, head, body)
            await carrying.records(1 + len(asked))

    assert [type(one).__name__ for one in found] == []
