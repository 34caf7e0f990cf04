"""What the tracker's forerunner got wrong, each as a call that a program makes and a record."""

import json

import httpx
import openai
import pytest

from remora import LLMTracker, RandomRouter
from remora.testing.aws_events import aws_event
from remora.testing.double_answer import Answer, Fault, FaultKind, json_answer
from remora.testing.streamed_answers import AWS_EVENTS, SSE

HI = [{"role": "user", "content": "hi"}]
OPENAI, ANTHROPIC = "https://api.openai.com", "https://api.anthropic.com"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash"
CLI = "https://cloudcode-pa.googleapis.com/v1internal"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
CONTENTS = {"contents": [{"parts": [{"text": "hi"}]}]}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
CACHED = {
    "input_tokens": 10,
    "cache_read_input_tokens": 1000,
    "cache_creation_input_tokens": 200,
    "output_tokens": 7,
}
GEMINI_USAGE = {
    "promptTokenCount": 9,
    "toolUsePromptTokenCount": 50,
    "candidatesTokenCount": 4,
    "thoughtsTokenCount": 3,
    "totalTokenCount": 66,
}
GEMINI_ANSWER = {
    "candidates": [{"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"}],
    "usageMetadata": GEMINI_USAGE,
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-4o",
    "output": [],
    "usage": {"input_tokens": 11, "output_tokens": 6, "total_tokens": 17},
}
CONVERSED = {
    "output": {"message": {"role": "assistant", "content": [{"text": "ok"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 12, "outputTokens": 5, "totalTokens": 17},
}
CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": []}


def events(*values, blank=" ", names=()):
    lines = []
    for place, value in enumerate(values):
        name = names[place] if names else ""
        lines.append((f"event: {name}\n" if name else "") + f"data:{blank}{json.dumps(value)}\n\n")
    return "".join(lines).encode()


def stream(body, content_type=SSE):
    return Answer(200, (("content-type", content_type),), body)


SHAPES = {
    "responses stream": (
        f"{OPENAI}/v1/responses",
        {"model": "gpt-4o", "input": "hi", "stream": True},
        stream(
            events(
                {"type": "response.created", "response": {**RESPONSE, "usage": None}},
                {"type": "response.completed", "response": RESPONSE},
                names=("response.created", "response.completed"),
            )
        ),
        (11, 6),
    ),
    "anthropic, cached prompt": (
        f"{ANTHROPIC}/v1/messages",
        {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": HI},
        json_answer(
            json.dumps(
                {
                    "id": "m",
                    "type": "message",
                    "role": "assistant",
                    "model": "claude-haiku-4-5",
                    "content": [{"type": "text", "text": "ok"}],
                    "stop_reason": "end_turn",
                    "usage": CACHED,
                }
            ).encode()
        ),
        (1210, 7),
    ),
    "anthropic stream, cached prompt": (
        f"{ANTHROPIC}/v1/messages",
        {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": HI, "stream": True},
        stream(
            events(
                {
                    "type": "message_start",
                    "message": {
                        "id": "m",
                        "type": "message",
                        "role": "assistant",
                        "model": "claude-haiku-4-5",
                        "content": [],
                        "usage": {**CACHED, "output_tokens": 1},
                    },
                },
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn"},
                    "usage": {"output_tokens": 7},
                },
                {"type": "message_stop"},
                names=("message_start", "message_delta", "message_stop"),
            )
        ),
        (1210, 7),
    ),
    "gemini with tools and thoughts": (
        f"{GEMINI}:generateContent",
        CONTENTS,
        json_answer(json.dumps(GEMINI_ANSWER).encode()),
        (59, 7),
    ),
    "gemini stream as an array": (
        f"{GEMINI}:streamGenerateContent",
        CONTENTS,
        json_answer(json.dumps([GEMINI_ANSWER]).encode()),
        (59, 7),
    ),
    "gemini cli": (
        f"{CLI}:generateContent",
        {"model": "gemini-2.5-flash", "request": CONTENTS},
        json_answer(json.dumps({"response": GEMINI_ANSWER}).encode()),
        (59, 7),
    ),
    "gemini cli stream": (
        f"{CLI}:streamGenerateContent?alt=sse",
        {"model": "gemini-2.5-flash", "request": CONTENTS},
        stream(events({"response": GEMINI_ANSWER})),
        (59, 7),
    ),
    "bedrock converse": (
        f"{BEDROCK}/amazon.nova-lite-v1%3A0/converse",
        CONVERSE,
        json_answer(json.dumps(CONVERSED).encode()),
        (12, 5),
    ),
    "bedrock event stream": (
        f"{BEDROCK}/amazon.nova-lite-v1%3A0/converse-stream",
        CONVERSE,
        stream(
            aws_event("messageStart", {"role": "assistant"})
            + aws_event("messageStop", {"stopReason": "end_turn"})
            + aws_event("metadata", {"usage": CONVERSED["usage"]}),
            AWS_EVENTS,
        ),
        (12, 5),
    ),
    "events without a blank": (
        f"{OPENAI}/v1/chat/completions",
        {"model": "gpt-4o", "messages": HI, "stream": True},
        stream(
            events(
                {
                    **CHUNK,
                    "usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10},
                },
                blank="",
            )
            + b"data:[DONE]\n\n"
        ),
        (8, 2),
    ),
    "embeddings": (
        f"{OPENAI}/v1/embeddings",
        {"model": "text-embedding-3-small", "input": "hi"},
        json_answer(
            json.dumps(
                {
                    "object": "list",
                    "data": [],
                    "model": "text-embedding-3-small",
                    "usage": {"prompt_tokens": 4, "total_tokens": 4},
                }
            ).encode()
        ),
        (4, 0),
    ),
    "cohere": (
        "https://api.cohere.com/v2/chat",
        {"model": "command-a-03-2025", "messages": HI},
        json_answer(
            json.dumps(
                {
                    "id": "c",
                    "message": {"role": "assistant", "content": [{"type": "text", "text": "ok"}]},
                    "finish_reason": "COMPLETE",
                    "usage": {"tokens": {"input_tokens": 6, "output_tokens": 3}},
                }
            ).encode()
        ),
        (6, 3),
    ),
    "ollama": (
        "http://localhost:11434/api/chat",
        {"model": "llama3", "messages": HI, "stream": False},
        json_answer(
            json.dumps(
                {
                    "model": "llama3",
                    "message": {"role": "assistant", "content": "ok"},
                    "done": True,
                    "prompt_eval_count": 5,
                    "eval_count": 2,
                }
            ).encode()
        ),
        (5, 2),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_usage_is_read_in_every_shape(tracker, provider, shape):
    url, body, answer, (prompt, completion) = SHAPES[shape]
    provider.script(answer)
    with tracker.track(shape):
        httpx.post(url, json=body, timeout=30)
    (record,) = tracker.records
    assert record.error is None
    assert (record.prompt_tokens, record.completion_tokens) == (prompt, completion)
    assert tracker.get_usage() == {record.model: (prompt, completion)}


def test_usage_that_is_not_there_is_an_error_that_names_what_was_found(tracker, provider):
    provider.script(json_answer(b'{"id": "c", "choices": [], "consumption": {"tokens": 3}}'))
    with tracker.track():
        httpx.post(f"{OPENAI}/v1/chat/completions", json={"model": "gpt-4o", "messages": HI})
    (record,) = tracker.records
    assert (record.status_code, record.usage_known, record.prompt_tokens) == (200, False, 0)
    assert "usage" in record.error


def test_a_stream_that_is_cut_is_a_record(tracker, provider):
    body = events({**CHUNK, "choices": [{"index": 0, "delta": {"content": "Hello there"}}]})
    fault = Fault(FaultKind.RESET, len(body))
    provider.script(Answer(200, (("content-type", SSE),), body + b" " * 100, fault=fault))
    asked = {"model": "gpt-4o", "messages": HI, "stream": True}
    with tracker.track("cut"), pytest.raises(httpx.HTTPError):
        httpx.post(f"{OPENAI}/v1/chat/completions", json=asked)
    (record,) = tracker.records
    assert (record.data_id, record.status_code, record.estimated) == ("cut", 200, True)
    assert record.error is not None
    assert record.completion_tokens > 0


def test_an_agent_that_leaves_in_the_middle_of_a_stream_leaves_a_record(tracker, provider, until):
    chunk = events({**CHUNK, "choices": [{"index": 0, "delta": {"content": "Hello"}}]})
    answer = Answer(
        200,
        (("content-type", SSE),),
        chunk * 200,
        cuts=tuple(len(chunk) * number for number in range(1, 200)),
        between_chunks_s=0.05,
    )
    provider.script(answer)
    client = openai.OpenAI(api_key="sk-1", max_retries=0)
    with tracker.track("left"):
        asked = client.chat.completions.create(model="gpt-4o", messages=HI, stream=True)
        next(iter(asked))
        asked.close()
    client.close()
    until(lambda: tracker.records)
    (record,) = tracker.records
    assert (record.data_id, record.stream) == ("left", True)


def test_an_agent_does_not_see_the_usage_that_only_we_asked_for(tracker):
    client = openai.OpenAI(api_key="sk-1", max_retries=0)
    with tracker.track():
        chunks = list(client.chat.completions.create(model="gpt-4o", messages=HI, stream=True))
    client.close()
    assert [chunk.usage for chunk in chunks if chunk.usage is not None] == []
    assert tracker.records[0].usage_known


def test_embeddings_are_not_routed_by_a_router_of_chats(make_tracker, provider):
    provider.script(SHAPES["embeddings"][2])
    with make_tracker(router=RandomRouter(["gpt-4.1-nano"])) as tracker, tracker.track():
        httpx.post(SHAPES["embeddings"][0], json=SHAPES["embeddings"][1])
    assert provider.models == ["text-embedding-3-small"]


def test_what_no_call_is_leaves_no_failed_record(tracker, provider):
    provider.script(json_answer(b'{"object": "list", "data": []}'))
    with tracker.track():
        httpx.get(f"{OPENAI}/v1/models")
    assert all(record.error is None for record in tracker.records)


def test_a_provider_that_can_not_be_reached_is_a_record(make_tracker, monkeypatch, own_dir):
    monkeypatch.setenv("REMORA_CONNECT_TO", "::127.0.0.1:1")
    with make_tracker(cache_dir=own_dir) as tracker, tracker.track("refused"):
        httpx.post(f"{OPENAI}/v1/chat/completions", json={"model": "gpt-4o", "messages": HI})
    (record,) = tracker.records
    assert (record.data_id, record.status_code) == ("refused", 0)
    assert "can't be reached" in record.error


def test_a_cut_answer_is_never_cached(tracker, provider):
    whole = json_answer(json.dumps({**RESPONSE}).encode())
    cut = Answer(200, whole.headers, whole.body, fault=Fault(FaultKind.RESET, 20))
    provider.script(cut, whole)
    asked = {"model": "gpt-4o", "input": "hi", "temperature": 0}
    with tracker.track(), pytest.raises(httpx.HTTPError):
        httpx.post(f"{OPENAI}/v1/responses", json=asked)
    with tracker.track():
        assert httpx.post(f"{OPENAI}/v1/responses", json=asked).status_code == 200
    assert provider.requests == 2


def test_trackers_of_other_directories_share_nothing(make_tracker, own_dir, provider):
    with make_tracker() as one, make_tracker(cache_dir=own_dir) as other:
        for tracker in (one, other):
            assert isinstance(tracker, LLMTracker)
            with tracker.track():
                httpx.post(
                    f"{OPENAI}/v1/chat/completions", json={"model": "gpt-4o", "messages": HI}
                )
    assert provider.requests == 2
