import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.framing import answer_body
from remora_sidecar.dialects.openai.chat import OpenAIChat
from remora_sidecar.model.exchange import AnswerHead, RequestHead

CHAT = OpenAIChat()
JSON = [(b"Content-Type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def _head(path: str = "/v1/chat/completions", **changes: Any) -> RequestHead:
    fields = {"method": "POST", "host": "api.openai.com", "query": "", "headers": []} | changes
    return RequestHead(path=path, **fields)


def _request(body: object, head: RequestHead | None = None) -> CallRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return CHAT.read_request(head or _head(), raw)


STREAM = _request({"model": "m", "stream": True, "stream_options": {"include_usage": True}})
PLAIN = _request({"model": "m"})


def _answer(
    body: object, *, status: int = 200, request: CallRequest = PLAIN, headers: Any = JSON
) -> AnswerFacts:
    reader = CHAT.answer_reader(AnswerHead(status, headers), request)
    reader.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
    return reader.finish()


def _sse(*chunks: object, done: bool = True) -> bytes:
    events = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    return events + b"data: [DONE]\n\n" * done


def _stream(*chunks: object, done: bool = True, request: CallRequest = STREAM) -> AnswerFacts:
    return _answer(_sse(*chunks, done=done), request=request, headers=SSE)


def _delta(index: int = 0, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def _usage(usage: dict[str, Any], request: CallRequest = PLAIN) -> Usage:
    found = _answer({"usage": usage}, request=request).usage
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(USAGE, Usage(10, 5), id="plain"),
        pytest.param(
            USAGE
            | {
                "prompt_tokens_details": {
                    "cached_tokens": 4,
                    "cache_write_tokens": 3,
                    "audio_tokens": 2,
                },
                "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0},
            },
            Usage(10, 5, 4, 3, 1, 2, 0),
            id="details",
        ),
        pytest.param(
            USAGE | {"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6},
            Usage(10, 5, 4),
            id="DeepSeek",
        ),
        pytest.param(USAGE | {"num_cached_tokens": 4}, Usage(10, 5, 4), id="Mistral"),
        pytest.param(USAGE | {"cached_tokens": 4}, Usage(10, 5, 4), id="Together"),
        pytest.param(
            USAGE | {"cache_read_input_tokens": 4, "cache_creation_input_tokens": 3},
            Usage(10, 5, 4, 3),
            id="gateway in front of Anthropic",
        ),
        pytest.param(USAGE | {"reasoning_tokens": 2}, Usage(10, 5, None, None, 2), id="Perplexity"),
        pytest.param({"input_tokens": 1, "output_tokens": 2}, Usage(1, 2), id="other words"),
        pytest.param({"prompt_tokens": 7}, Usage(7), id="no output stated"),
        pytest.param(
            USAGE | {"prompt_tokens_details": None, "completion_tokens_details": 3},
            Usage(10, 5),
            id="details that are none",
        ),
        pytest.param(USAGE | {"cached_tokens": True}, Usage(10, 5), id="a truth is no count"),
        pytest.param(USAGE | {"cached_tokens": -1}, Usage(10, 5), id="nor is a negative"),
        pytest.param(USAGE | {"cached_tokens": 2**63}, Usage(10, 5), id="nor a huge one"),
        pytest.param(USAGE | {"cached_tokens": 4.0}, Usage(10, 5, 4), id="a whole float is"),
        pytest.param(
            USAGE | {"total_tokens": 22, "completion_tokens_details": {"reasoning_tokens": 7}},
            Usage(10, 12, None, None, 7),
            id="reasoning beside output",
        ),
        pytest.param(USAGE | {"total_tokens": 99}, Usage(10, 5), id="a total nobody explains"),
    ],
)
def test_usage_is_read_in_every_providers_words(usage: dict[str, Any], expected: Usage) -> None:
    assert _usage(usage) == expected


@pytest.mark.parametrize(
    "head",
    [
        _head("/v1beta/openai/chat/completions", host="127.0.0.1"),
        _head("/v1/projects/p/endpoints/openapi/chat/completions", host="gateway"),
        _head(host="generativelanguage.googleapis.com"),
    ],
    ids=["path", "vertex path", "host"],
)
def test_googles_hidden_thoughts_are_output(head: RequestHead) -> None:
    request = _request({"model": "gemini"}, head)
    assert _usage(USAGE | {"total_tokens": 99}, request) == Usage(10, 89)


def test_a_json_answer_is_read() -> None:
    facts = _answer(
        {
            "id": "chatcmpl-1",
            "model": "m-2",
            "service_tier": "flex",
            "choices": [
                {"index": 1, "message": {"content": "b"}, "finish_reason": "length"},
                {
                    "index": 0,
                    "message": {"tool_calls": [{"id": "1", "function": {"name": "f"}}]},
                    "finish_reason": "tool_calls",
                },
            ],
            "usage": USAGE,
        }
    )
    assert facts == AnswerFacts(
        model="m-2",
        finish_reason="tool_calls",
        response_id="chatcmpl-1",
        tool_names=("f",),
        usage=Usage(10, 5),
        completeness=Completeness.WHOLE,
        service_tier="flex",
    )


def test_a_stream_is_read() -> None:
    first = {"id": "c", "model": "m-2", "service_tier": "default"}
    facts = _stream(
        first | _delta(role="assistant", content=""),
        _delta(content="hi"),
        _delta(reason="stop"),
        {"choices": [], "usage": USAGE},
    )
    assert facts == AnswerFacts(
        model="m-2",
        finish_reason="stop",
        response_id="c",
        usage=Usage(10, 5),
        completeness=Completeness.WHOLE,
        service_tier="default",
    )


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([{"x_groq": {"usage": USAGE}}], id="Groq"),
        pytest.param([{"choices": [{"index": 0, "usage": USAGE}]}], id="Moonshot"),
        pytest.param(
            [{"usage": {"prompt_tokens": 10, "completion_tokens": 1}}, {"usage": USAGE}],
            id="running usage",
        ),
        pytest.param([{"usage": USAGE}, {"usage": None}, {"usage": {"cost": 1}}], id="not unsaid"),
    ],
)
def test_usage_in_a_stream_is_the_last_stated_wherever_it_stands(chunks: list[Any]) -> None:
    assert _stream(*chunks).usage == Usage(10, 5)


def test_usage_that_nobody_asked_for_is_read_if_it_is_there() -> None:
    request = _request({"model": "m", "stream": True})
    assert _stream({"usage": USAGE}, request=request).usage == Usage(10, 5)
    assert _stream(_delta(content="x"), request=request).usage_problem == ""


def test_missing_usage_names_the_keys_searched_and_found() -> None:
    facts = _answer({"id": "1", "choices": [], "usage": {"tokens": 3}})
    assert facts.usage is None
    assert facts.usage_problem == (
        "searched usage, x_groq.usage and choices[].usage for prompt_tokens, completion_tokens, "
        "input_tokens, output_tokens; found id, choices, usage; in usage: tokens"
    )


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (_sse(_delta(content="x")), "searched usage"),
        (_sse(_delta(content="x"), done=False), "answer was cut before it stated usage"),
        (_sse({"usage": {"prompt_tokens": "7", "completion_tokens": None}}), "in usage: prompt_"),
    ],
    ids=["whole", "cut", "not numbers"],
)
def test_a_stream_that_was_asked_for_usage_says_why_there_is_none(
    body: bytes, problem: str
) -> None:
    facts = _answer(body, request=STREAM, headers=SSE)
    assert facts.usage is None
    assert problem in facts.usage_problem


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(
            404,
            {"error": {"message": "no", "type": "invalid_request_error", "code": "not_found"}},
            CallError("invalid_request_error", "no"),
            id="OpenAI",
        ),
        pytest.param(
            429,
            {"error": {"code": 429, "message": "slow"}},
            CallError("429", "slow"),
            id="OpenRouter",
        ),
        pytest.param(
            200,
            {"error": {"message": "filtered", "type": None, "code": "content_filter"}},
            CallError("content_filter", "filtered"),
            id="Azure in a 200",
        ),
        pytest.param(
            429,
            [{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}}],
            CallError("RESOURCE_EXHAUSTED", "quota"),
            id="Google's list",
        ),
        pytest.param(
            400,
            {"object": "error", "message": "bad", "type": "invalid_request_error"},
            CallError("invalid_request_error", "bad"),
            id="Mistral",
        ),
        pytest.param(
            200,
            {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400},
            CallError("BadRequestError", "bad"),
            id="vLLM in a 200",
        ),
        pytest.param(
            422,
            {"detail": [{"loc": ["body", "model"], "msg": "required", "input": "SECRET"}]},
            CallError("provider_error", "body.model: required"),
            id="FastAPI, without the input",
        ),
        pytest.param(400, {"code": "bad", "error": "text"}, CallError("bad", "text"), id="xAI"),
        pytest.param(401, {"message": "who?"}, CallError("provider_error", "who?"), id="message"),
        pytest.param(502, b"<html>bad gateway</html>", None, id="HTML"),
        pytest.param(500, b"", None, id="nothing"),
        pytest.param(200, {"error": None, "usage": USAGE}, None, id="null"),
    ],
)
def test_errors_are_read_in_every_providers_words(
    status: int, body: object, error: CallError | None
) -> None:
    facts = _answer(body, status=status)
    assert facts.error == error
    assert facts.usage_problem == ""


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (b'data: {"error": {"type": "t", "message": "m"}}\n\n', CallError("t", "m")),
        (b'event: error\ndata: {"type": "t", "message": "m"}\n\n', CallError("t", "m")),
        (b"event: error\ndata: gone\n\n", CallError("provider_error", "gone")),
        (
            b'data: {"choices": [{"error": {"code": 502, "message": "m"}}]}\n\n',
            CallError("502", "m"),
        ),
    ],
    ids=["object", "named", "text", "of a choice"],
)
def test_an_error_in_a_stream_is_read_and_the_first_counts(event: bytes, error: CallError) -> None:
    later = b'data: {"error": {"message": "later"}}\n\n'
    assert _answer(event + later, request=STREAM, headers=SSE).error == error


@pytest.mark.parametrize(
    ("deltas", "names"),
    [
        pytest.param(
            [
                [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}],
                [{"index": 0, "function": {"arguments": "{"}}],
                [{"index": 1, "id": "b", "function": {"name": "g"}}],
                [{"index": 1, "id": None, "function": {"name": None, "arguments": "{"}}],
            ],
            ("f", "g"),
            id="OpenAI",
        ),
        pytest.param(
            [[{"index": 0, "id": "a", "function": {"name": "f"}}]] * 3, ("f",), id="repeated"
        ),
        pytest.param(
            [
                [{"index": 0, "id": "a", "function": {"name": "get_"}}],
                [{"index": 0, "function": {"name": "time"}}],
            ],
            ("get_time",),
            id="in parts",
        ),
        pytest.param(
            [
                [{"index": 0, "id": "a", "function": {"name": "f"}}],
                [{"index": 0, "id": "b", "function": {"name": "f"}}],
            ],
            ("f", "f"),
            id="all numbered 0",
        ),
        pytest.param(
            [[{"function": {"name": "f"}}, {"function": {"name": "g"}}]],
            ("f", "g"),
            id="no numbers",
        ),
        pytest.param([[{"custom": {"name": "f"}, "type": "custom"}]], ("f",), id="custom"),
        pytest.param([[None, 7, {"function": 7}, {}], "x", {}], (), id="nonsense"),
    ],
)
def test_tool_names_are_put_together(deltas: list[Any], names: tuple[str, ...]) -> None:
    assert _stream(*(_delta(tool_calls=calls) for calls in deltas)).tool_names == names


def test_the_old_function_call_is_a_tool() -> None:
    assert _stream(_delta(function_call={"name": "f"})).tool_names == ("f",)


def test_two_choices_that_call_tools_are_kept_apart() -> None:
    call = [{"index": 0, "function": {"name": "f"}}]
    assert _stream(_delta(0, tool_calls=call), _delta(1, tool_calls=call)).tool_names == ("f", "f")


def test_the_first_output_is_no_role_chunk() -> None:
    reader = CHAT.answer_reader(AnswerHead(200, SSE), STREAM)
    assert not reader.feed(b": ping\n\n")
    assert not reader.feed(_sse(_delta(role="assistant", content=""), done=False))
    assert not reader.feed(_sse({"choices": []}, done=False))
    assert reader.feed(_sse(_delta(reasoning_content="hm"), done=False))
    assert reader.feed(b"")
    assert not reader.ended
    reader.feed(_sse())
    assert reader.ended


def test_an_error_is_no_output() -> None:
    assert not CHAT.answer_reader(AnswerHead(429, JSON), PLAIN).feed(b'{"error": {}}')
    assert CHAT.answer_reader(AnswerHead(200, JSON), PLAIN).feed(b"{")


@pytest.mark.parametrize(
    ("body", "headers", "completeness"),
    [
        (_sse(), SSE, Completeness.WHOLE),
        (b"data: [DONE]", SSE, Completeness.WHOLE),
        (b"data:[DONE]\r\n\r\n", SSE, Completeness.WHOLE),
        (b"data: [DONE", SSE, Completeness.CUT),
        (b": ping\n\n", SSE, Completeness.CUT),
        (b"", SSE, Completeness.CUT),
        (_sse(), [], Completeness.WHOLE),
        (_sse(), [(b"content-type", b"text/plain")], Completeness.WHOLE),
        (b'{"choices": []}', SSE, Completeness.WHOLE),
        (b' \n\n {"choices": []}\n', JSON, Completeness.WHOLE),
        (b'{"choices": [', JSON, Completeness.CUT),
        (b"", JSON, Completeness.CUT),
        (b"", [*JSON, (b"content-encoding", b"gzip")], Completeness.UNKNOWN),
        (b"<html>", [(b"content-type", b"text/html")], Completeness.UNKNOWN),
    ],
)
def test_an_answers_own_end_tells_whether_it_is_whole(
    body: bytes, headers: Any, completeness: Completeness
) -> None:
    assert _answer(body, request=STREAM, headers=headers).completeness is completeness


def test_a_json_answer_over_the_limit_is_not_held() -> None:
    reader = CHAT.answer_reader(AnswerHead(200, JSON), PLAIN)
    megabyte = b'{"x": "' + b"x" * (1 << 20)
    for _ in range(answer_body.HELD_ANSWER_LIMIT_BYTES // len(megabyte) + 2):
        reader.feed(megabyte)
    facts = reader.finish()
    assert facts.completeness is Completeness.UNKNOWN
    assert facts.usage_problem == "answer is larger than 16777216 bytes"


def test_names_are_bounded_and_fit_for_storage() -> None:
    facts = _answer(b'{"model": "\\ud800\\u0000' + b"x" * 1000 + b'", "id": 7, "usage": {}}')
    assert facts.model == "?" + "x" * 254
    facts.model.encode()
    assert facts.response_id == ""


def test_a_stream_of_endless_tool_calls_is_bounded() -> None:
    calls = [
        _delta(tool_calls=[{"index": n, "id": f"{n}", "function": {"name": "f"}}])
        for n in range(1000)
    ]
    assert len(_stream(*calls).tool_names) == 256


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "choices", "delta", "message", "tool_calls", "function", "name", "index", "usage",
                "x_groq", "prompt_tokens", "completion_tokens", "total_tokens", "error", "code",
                "prompt_tokens_details", "cached_tokens", "finish_reason", "model", "id", "detail",
            ]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=25,
)  # fmt: skip


@given(st.lists(json_values, max_size=4), st.booleans(), st.sampled_from([200, 400]))
def test_any_json_is_taken(values: list[Any], stream: bool, status: int) -> None:
    body = _sse(*values) if stream else json.dumps(values[:1]).encode()
    facts = _answer(
        body, status=status, request=STREAM if stream else PLAIN, headers=SSE if stream else JSON
    )
    assert facts.completeness is Completeness.WHOLE
    figures = (getattr(facts.usage, n, None) for n in Usage.__slots__ if n != "estimated")
    assert all(figure is None or type(figure) is int for figure in figures)


@given(st.binary(), st.binary(), st.sampled_from([SSE, JSON, []]), st.sampled_from([200, 500]))
def test_any_bytes_are_taken(request_body: bytes, body: bytes, headers: Any, status: int) -> None:
    request = CHAT.read_request(_head(), request_body)
    _answer(body, status=status, request=request, headers=headers)
    _answer(b"data: " + body + b"\n\n", status=status, request=request, headers=headers)
