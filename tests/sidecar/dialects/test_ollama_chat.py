import json
from typing import Any

import pytest

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.ollama_chat import OllamaChat, OllamaReader
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import Refusal

OLLAMA = OllamaChat()
LINES = "application/x-ndjson"
JSON = "application/json; charset=utf-8"
COUNTS = {"prompt_eval_count": 17, "eval_count": 63}
LAST = {"model": "llama3", "done": True, "done_reason": "stop", **COUNTS}


def _head(path: str = "/api/chat", method: str = "POST") -> RequestHead:
    return RequestHead(method, "127.0.0.1", path, "", [])


def _request(asked: object, path: str = "/api/chat") -> CallRequest:
    return OLLAMA.read_request(_head(path), json.dumps(asked).encode())


def _reader(
    asked: Any = None, path: str = "/api/chat", kind: str = LINES, status: int = 200
) -> OllamaReader:
    head = AnswerHead(status, [(b"content-type", kind.encode())])
    return OLLAMA.answer_reader(head, _request(asked or {}, path))


def _answer(answer: object, path: str = "/api/chat", status: int = 200) -> AnswerFacts:
    reader = _reader({"stream": False}, path, JSON, status)
    reader.feed(json.dumps(answer).encode())
    return reader.finish()


def _lines(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _piece(**message: Any) -> dict[str, Any]:
    return {"model": "llama3", "message": {"role": "assistant", **message}, "done": False}


@pytest.mark.parametrize(
    ("method", "path", "claimed"),
    [
        ("POST", "/api/chat", True),
        ("POST", "/api/generate/", True),
        ("POST", "/api/embed", True),
        ("POST", "/api/embeddings", True),
        ("POST", "/ollama/api/chat", True),
        ("GET", "/api/chat", False),
        ("POST", "/api/show", False),
        ("POST", "/api/pull", False),
        ("POST", "/v1/chat/completions", False),
        ("POST", "/v1/embeddings", False),
    ],
)
def test_calls_that_run_a_model_are_claimed(method: str, path: str, claimed: bool) -> None:
    assert OLLAMA.claims(_head(path, method)) is claimed


@pytest.mark.parametrize(
    ("path", "asked", "expected"),
    [
        ("/api/chat", {"model": "m"}, CallRequest("chat", "m", True)),
        ("/api/chat", {"stream": False}, CallRequest("chat")),
        ("/api/chat", {"stream": None}, CallRequest("chat", stream=True)),
        (
            "/api/chat",
            {"stream": False, "options": {"temperature": 0}},
            CallRequest("chat", samples=False),
        ),
        (
            "/api/generate",
            {"options": {"seed": 1}},
            CallRequest("text_completion", stream=True, samples=False),
        ),
        ("/api/embed", {"model": "m"}, CallRequest("embeddings", "m", samples=False)),
        (
            "/api/embeddings",
            {},
            CallRequest("embeddings", states_usage=False, samples=False),
        ),
        ("/api/chat", 1, CallRequest("chat", "", True, problem="request body is no JSON object")),
    ],
    ids=str,
)
def test_requests_are_read(path: str, asked: object, expected: CallRequest) -> None:
    assert _request(asked, path) == expected


def test_a_stream_ends_with_the_line_that_is_done() -> None:
    reader = _reader()
    assert not reader.feed(_lines(_piece(content="")))
    assert reader.feed(_lines(_piece(content="hi")))
    assert not reader.ended
    reader.feed(_lines(LAST))
    assert reader.ended
    assert reader.finish() == AnswerFacts(
        model="llama3",
        finish_reason="stop",
        usage=Usage(17, 63),
        completeness=Completeness.WHOLE,
    )


def test_an_answer_in_one_piece_is_read() -> None:
    reader = _reader({"stream": False}, kind=JSON)
    assert reader.feed(json.dumps(LAST | {"message": {"content": "hi"}}).encode())
    assert not reader.ended
    facts = reader.finish()
    assert (facts.usage, facts.completeness) == (Usage(17, 63), Completeness.WHOLE)


@pytest.mark.parametrize("said", [{"response": "x"}, {"thinking": "x"}], ids=str)
def test_a_completions_text_and_thoughts_are_output(said: Any) -> None:
    assert _reader(path="/api/generate").feed(_lines({"done": False, **said}))


def test_calls_of_tools_are_counted_over_all_lines() -> None:
    reader = _reader()
    call = {"function": {"name": "f", "arguments": {}}}
    other = {"id": "call_1", "function": {"index": 0, "name": "g", "arguments": {}}}
    assert reader.feed(_lines(_piece(content="", tool_calls=[call, other])))
    reader.feed(_lines(_piece(tool_calls=[call]), LAST))
    assert reader.finish().tool_names == ("f", "g", "f")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"eval_count": 5}, Usage(None, 5)),
        ({"prompt_eval_count": 5}, Usage(5)),
        ({"prompt_eval_count": 5, "eval_count": "x"}, Usage(5)),
    ],
    ids=["prompt in memory", "nothing said", "no number"],
)
def test_what_is_not_counted_is_not_stated(counts: Any, expected: Usage) -> None:
    assert _answer({"done": True, **counts}).usage == expected


def test_missing_usage_names_the_keys_searched_and_found() -> None:
    assert _answer({"model": "m", "done": True}).usage_problem == (
        "searched prompt_eval_count and eval_count; found model, done"
    )


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_moving_a_model_in_or_out_of_memory_owes_no_usage(reason: str) -> None:
    facts = _answer({"model": "m", "done": True, "done_reason": reason}, "/api/generate")
    assert (facts.finish_reason, facts.usage_problem) == (reason, "")


def test_embeddings_are_read_without_their_numbers() -> None:
    numbers = [[0.5] * 1_000_000] * 5
    facts = _answer({"model": "m", "embeddings": numbers, "prompt_eval_count": 8}, "/api/embed")
    assert (facts.model, facts.usage) == ("m", Usage(8))
    old = _answer({"embedding": [0.5]}, "/api/embeddings")
    assert old == AnswerFacts(completeness=Completeness.WHOLE)


def test_a_cut_stream_is_cut_and_its_output_estimated() -> None:
    reader = _reader()
    reader.feed(_lines(_piece(content="x" * 40)) + json.dumps(LAST).encode()[:-5])
    facts = reader.finish()
    assert facts.completeness is Completeness.CUT
    assert facts.usage_problem == "answer was cut before it stated usage"
    assert 5 < facts.output_tokens_estimate < 15


def test_an_error_within_a_stream_is_read() -> None:
    reader = _reader()
    reader.feed(_lines(_piece(content="Yes"), {"error": "an error was encountered"}))
    facts = reader.finish()
    assert facts.error == CallError("provider_error", "an error was encountered")
    assert (facts.completeness, facts.usage_problem) == (Completeness.CUT, "")


def test_a_refused_call_states_its_error() -> None:
    facts = _answer({"error": 'model "m" not found'}, status=404)
    assert facts.error == CallError("provider_error", 'model "m" not found')


def test_a_refusal_has_ollamas_shape() -> None:
    refusal = Refusal(status=403, type="t", code="MODEL_DENIED", message="no")
    body = json.loads(OLLAMA.refuse(refusal, "").body)
    assert body["error"] == "remora: no"
    assert body["remora"]["code"] == "MODEL_DENIED"
