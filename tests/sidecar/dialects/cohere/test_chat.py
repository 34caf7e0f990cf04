import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from remora.records import CallError, Usage
from remora.testing.transcripts import Transcript
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.cohere.chat import CohereChat, CohereReader
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import Refusal

COHERE = CohereChat()
TOKENS = {"input_tokens": 91, "output_tokens": 11}
BILLED = {"input_tokens": 25, "output_tokens": 9}
FIGURES = Usage(91, 11, billed_input_tokens=25, billed_output_tokens=9)
USAGE = {"tokens": TOKENS, "billed_units": BILLED}


def _head(path: str = "/v2/chat", method: str = "POST") -> RequestHead:
    return RequestHead(method, "api.cohere.com", path, "", [])


def _request(asked: object, path: str = "/v2/chat") -> CallRequest:
    return COHERE.read_request(_head(path), json.dumps(asked).encode())


def _reader(
    path: str = "/v2/chat", *, stream: bool = False, status: int = 200, kind: str = ""
) -> CohereReader:
    fields = [(b"content-type", kind.encode())] if kind else []
    return COHERE.answer_reader(AnswerHead(status, fields), _request({"stream": stream}, path))


def _answer(answer: object, path: str = "/v2/chat", status: int = 200) -> AnswerFacts:
    reader = _reader(path, status=status)
    reader.feed(json.dumps(answer).encode())
    return reader.finish()


def _events(*events: Any) -> bytes:
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
    )


def _lines(*events: Any) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v2/chat", "chat"),
        ("/v1/chat/", "chat"),
        ("/providers/cohere/v2/chat", "chat"),
        ("/v1/generate", "text_completion"),
        ("/v1/summarize", "text_completion"),
        ("/v2/embed", "embeddings"),
        ("/v1/rerank", "rerank"),
        ("/v1/classify", "classification"),
        ("/v1/tokenize", "count_tokens"),
        ("/v1/detokenize", "detokenize"),
    ],
)
def test_every_call_that_runs_a_model_is_claimed(path: str, operation: str) -> None:
    assert COHERE.claims(_head(path))
    assert _request({}, path).operation == operation
    assert not COHERE.claims(_head(path, "GET"))


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/v1/embed-jobs", "/v3/chat", "/v1/chat/completions", "/chat", "/v1/chat/x"],
)
def test_other_calls_are_not_claimed(path: str) -> None:
    assert not COHERE.claims(_head(path))


@pytest.mark.parametrize(
    ("path", "asked", "expected"),
    [
        ("/v2/chat", {"model": "command"}, CallRequest("chat", "command")),
        ("/v2/chat", {"stream": True}, CallRequest("chat", stream=True)),
        ("/v2/chat", {"temperature": 0}, CallRequest("chat", samples=False)),
        ("/v2/chat", {"seed": 1}, CallRequest("chat", samples=False)),
        (
            "/v1/generate",
            {"temperature": 0, "num_generations": 2},
            CallRequest("text_completion"),
        ),
        ("/v2/embed", {"model": "embed"}, CallRequest("embeddings", "embed", samples=False)),
        ("/v1/rerank", {}, CallRequest("rerank", samples=False)),
        ("/v1/tokenize", {}, CallRequest("count_tokens", states_usage=False, samples=False)),
        ("/v2/chat", [], CallRequest("chat", problem="request body is no JSON object")),
    ],
    ids=str,
)
def test_requests_are_read(path: str, asked: object, expected: CallRequest) -> None:
    assert _request(asked, path) == expected


@pytest.mark.parametrize(
    ("path", "answer", "expected"),
    [
        pytest.param("/v2/chat", {"usage": USAGE}, FIGURES, id="second version"),
        pytest.param("/v1/chat", {"meta": USAGE}, FIGURES, id="first version"),
        pytest.param(
            "/v2/chat",
            {"usage": {**USAGE, "cached_tokens": 16}},
            Usage(91, 11, 16, billed_input_tokens=25, billed_output_tokens=9),
            id="cached",
        ),
        pytest.param(
            "/v1/generate",
            {"meta": {"billed_units": BILLED}},
            Usage(25, 9, billed_input_tokens=25, billed_output_tokens=9),
            id="only what is billed",
        ),
        pytest.param(
            "/v2/embed",
            {"meta": {"billed_units": {"input_tokens": 2.0, "image_tokens": 7}}},
            Usage(2, input_image_tokens=7, billed_input_tokens=2),
            id="embeddings",
        ),
        pytest.param(
            "/v2/rerank",
            {"meta": {"billed_units": {"search_units": 1}}},
            Usage(rerank_searches=1),
            id="rerank",
        ),
        pytest.param("/v2/chat", {"usage": {"tokens": {"input_tokens": "1"}}}, None, id="words"),
        pytest.param("/v2/chat", {"meta": 1, "usage": []}, None, id="other things"),
    ],
)
def test_usage_is_what_was_processed_beside_what_is_billed(
    path: str, answer: Any, expected: Usage | None
) -> None:
    assert _answer(answer, path).usage == expected


def test_missing_usage_names_the_keys_searched_and_found() -> None:
    assert _answer({"id": "1", "meta": {"api_version": {}}}).usage_problem == (
        "searched usage and meta for tokens and billed_units; found id, meta; in usage: api_version"
    )
    assert _answer({"tokens": [1]}, "/v1/tokenize").usage_problem == ""
    assert _answer({"message": "no"}, status=429).usage_problem == ""


def test_a_chat_of_the_second_version_is_read() -> None:
    calls = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    answer = {
        "id": "c-1",
        "finish_reason": "TOOL_CALL",
        "message": {"role": "assistant", "tool_calls": calls},
        "usage": USAGE,
    }
    assert _answer(answer) == AnswerFacts(
        finish_reason="TOOL_CALL",
        response_id="c-1",
        tool_names=("f",),
        usage=FIGURES,
        completeness=Completeness.WHOLE,
    )


def test_a_chat_of_the_first_version_is_read() -> None:
    answer = {
        "response_id": "r-1",
        "generation_id": "g-1",
        "text": "x",
        "finish_reason": "COMPLETE",
        "tool_calls": [{"name": "f", "parameters": {}}, {"name": "g", "parameters": {}}],
        "meta": USAGE,
    }
    facts = _answer(answer, "/v1/chat")
    assert (facts.response_id, facts.finish_reason) == ("r-1", "COMPLETE")
    assert (facts.tool_names, facts.usage) == (("f", "g"), FIGURES)


def test_a_generation_states_the_reason_of_its_first_text() -> None:
    answer = {"id": "1", "generations": [{"finish_reason": "MAX_TOKENS"}], "meta": USAGE}
    assert _answer(answer, "/v1/generate").finish_reason == "MAX_TOKENS"


START = {"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant"}}}
TEXT = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "hi" * 8}}}}
END = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": USAGE}}


def _tool(index: int, name: str) -> dict[str, Any]:
    call = {"id": f"t{index}", "type": "function", "function": {"name": name}}
    return {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": call}}}


def test_a_stream_of_the_second_version_ends_with_message_end() -> None:
    reader = _reader(stream=True, kind="text/event-stream")
    assert not reader.feed(_events(START, {"type": "content-start", "index": 0, "delta": {}}))
    assert reader.feed(_events(TEXT))
    reader.feed(_events(_tool(0, "f"), _tool(1, "f")))
    assert not reader.ended
    reader.feed(_events(END))
    assert reader.ended
    reader.feed(b"data: [DONE]\n\n")
    assert reader.finish() == AnswerFacts(
        finish_reason="COMPLETE",
        response_id="c-1",
        tool_names=("f", "f"),
        usage=FIGURES,
        completeness=Completeness.WHOLE,
    )


def test_a_stream_of_the_first_version_ends_with_stream_end() -> None:
    reader = _reader("/v1/chat", stream=True, kind="application/stream+json")
    calls = [{"name": "f", "parameters": {}}]
    whole = {"response_id": "r-1", "text": "x", "tool_calls": calls, "meta": USAGE}
    assert not reader.feed(_lines({"event_type": "stream-start", "generation_id": "g-1"}))
    assert reader.feed(_lines({"event_type": "text-generation", "text": "x"}))
    reader.feed(_lines({"event_type": "tool-calls-generation", "tool_calls": calls}))
    end = {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": whole}
    reader.feed(_lines(end))
    assert reader.ended
    assert reader.finish() == AnswerFacts(
        finish_reason="COMPLETE",
        response_id="g-1",
        tool_names=("f",),
        usage=FIGURES,
        completeness=Completeness.WHOLE,
    )


@pytest.mark.parametrize(
    "event",
    [
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will"}}},
        {"type": "content-delta", "delta": {"message": {"content": {"thinking": "hm"}}}},
        {"event_type": "search-queries-generation", "search_queries": []},
        {"event_type": "tool-calls-chunk", "tool_call_delta": {"name": "f"}},
    ],
    ids=["plan", "thought", "search", "piece of a call"],
)
def test_whatever_the_model_says_first_is_output(event: Any) -> None:
    assert _reader(stream=True).feed(_lines(event))


def test_a_cut_stream_is_cut_and_its_output_estimated() -> None:
    reader = _reader(stream=True, kind="text/event-stream")
    reader.feed(_events(START, TEXT))
    facts = reader.finish()
    assert facts.completeness is Completeness.CUT
    assert facts.usage_problem == "answer was cut before it stated usage"
    assert 0 < facts.output_tokens_estimate < 9


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            _events({"type": "message-end", "delta": {"error": "boom", "finish_reason": "ERROR"}}),
            CallError("provider_error", "boom"),
        ),
        (
            _events({"type": "message-end", "delta": {"finish_reason": "TIMEOUT"}}),
            CallError("TIMEOUT", ""),
        ),
        (
            _lines({"event_type": "stream-end", "finish_reason": "ERROR", "response": {}}),
            CallError("ERROR", ""),
        ),
        (
            _lines({"event_type": "stream-error", "finish_reason": "ERROR", "err": "boom"}),
            CallError("provider_error", "boom"),
        ),
        (_lines({"message": "boom", "error": "x"}), CallError("provider_error", "x")),
    ],
    ids=["error", "timeout", "first version", "generation", "no event"],
)
def test_a_stream_that_failed_is_an_error(body: bytes, error: CallError) -> None:
    reader = _reader(stream=True)
    reader.feed(body)
    facts = reader.finish()
    assert (facts.error, facts.usage_problem) == (error, "")


def test_a_refused_call_states_its_error() -> None:
    facts = _answer({"id": "1", "message": "model 'x' not found"}, status=404)
    assert facts.error == CallError("provider_error", "model 'x' not found")
    assert not _reader(status=404).feed(b"{")


def test_a_refusal_has_coheres_shape() -> None:
    refusal = Refusal(status=429, type="t", code="RATE_LIMITED", message="later")
    assert json.loads(COHERE.refuse(refusal, "").body)["message"] == "remora: later"


def test_what_is_billed_is_read_from_every_recorded_exchange(
    recorded: Callable[[str], Sequence[Transcript]],
) -> None:
    for transcript in recorded("cohere"):
        request = COHERE.read_request(_head(transcript.path), transcript.request_body)
        fields = [(name.encode(), value.encode()) for name, value in transcript.response_headers]
        reader = COHERE.answer_reader(AnswerHead(transcript.status, fields), request)
        reader.feed(transcript.response_body)
        usage = reader.finish().usage
        for side in ("input", "output"):
            billed = transcript.expect_extra.get(f"billed_{side}_tokens")
            assert getattr(usage, f"billed_{side}_tokens", None) == billed, transcript.id
