import json
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.records import CallError, Usage
from remora.testing.transcripts import Transcript
from remora_sidecar.dialects.anthropic.messages import AnthropicMessages
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.framing import answer_body
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import Refusal

MESSAGES = AnthropicMessages()
JSON = [(b"Content-Type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
PLAIN = CallRequest("chat", "claude")
STREAM = CallRequest("chat", "claude", True)
COUNT = CallRequest("count_tokens", "claude", states_usage=False)
BATCHES = CallRequest("batches", states_usage=False)
OLD = CallRequest("text_completion", "claude", True, states_usage=False)
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

START = {
    "type": "message_start",
    "message": {
        "type": "message",
        "id": "msg_1",
        "model": "claude-2",
        "content": [],
        "stop_reason": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15},
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hé"}}
TOOL = {
    "type": "content_block_start",
    "index": 1,
    "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
}
END = {
    "type": "message_delta",
    "delta": {"stop_reason": "tool_use", "stop_sequence": None},
    "usage": {"output_tokens": 42},
}
STOP = {"type": "message_stop"}
WHOLE = (START, {"type": "ping"}, TEXT, TOOL, END, STOP)


def _answer(
    body: object, *, status: int = 200, request: CallRequest = PLAIN, headers: Any = JSON
) -> AnswerFacts:
    reader = MESSAGES.answer_reader(AnswerHead(status, headers), request)
    reader.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
    return reader.finish()


def _sse(*events: Any) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode())
        for event in events
    )


def _stream(*events: Any, request: CallRequest = STREAM) -> AnswerFacts:
    return _answer(_sse(*events), request=request, headers=SSE)


def test_a_stream_is_read() -> None:
    assert _stream(*WHOLE) == AnswerFacts(
        model="claude-2",
        finish_reason="tool_use",
        response_id="msg_1",
        tool_names=("f",),
        usage=Usage(60, 42, 30, 20, cache_write_1h_tokens=15),
        completeness=Completeness.WHOLE,
        service_tier="standard",
    )


def test_a_json_answer_is_read_whether_or_not_a_stream_was_asked_for() -> None:
    message = START["message"] | {  # type: ignore[operator]
        "content": [TOOL["content_block"]],
        "stop_reason": "pause_turn",
    }
    for request, headers in ((PLAIN, JSON), (STREAM, JSON), (STREAM, [])):
        facts = _answer(message, request=request, headers=headers)
        assert facts.completeness is Completeness.WHOLE
        assert (facts.finish_reason, facts.tool_names) == ("pause_turn", ("f",))
        assert facts.usage == Usage(60, 1, 30, 20, cache_write_1h_tokens=15)


@pytest.mark.parametrize("end", range(len(WHOLE) - 1))
def test_a_stream_cut_at_any_event_states_what_it_had_stated(end: int) -> None:
    facts = _stream(*WHOLE[:end])
    assert facts.completeness is Completeness.CUT
    assert facts.error is None
    if end == 0:
        assert facts.usage_problem == "answer was cut before it stated usage"
    else:
        assert facts.usage is not None
        assert facts.usage.input_tokens == 60
        assert facts.usage.estimated is (END not in WHOLE[:end])
        assert facts.output_tokens_estimate == (1 if TEXT in WHOLE[:end] and end < 5 else 0)
        assert facts.usage_problem == ""


def test_an_error_in_mid_stream_is_read_and_the_stream_has_no_end() -> None:
    facts = _stream(START, TEXT, ERROR)
    assert facts.error == CallError("overloaded_error", "Overloaded")
    assert facts.completeness is Completeness.CUT
    assert facts.usage == Usage(60, 1, 30, 20, cache_write_1h_tokens=15, estimated=True)
    assert facts.usage_problem == ""


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(529, ERROR, CallError("overloaded_error", "Overloaded"), id="Anthropic"),
        pytest.param(
            200, ERROR, CallError("overloaded_error", "Overloaded"), id="Anthropic in a 200"
        ),
        pytest.param(
            429,
            [{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}}],
            CallError("RESOURCE_EXHAUSTED", "quota"),
            id="Vertex",
        ),
        pytest.param(403, {"message": "no"}, CallError("provider_error", "no"), id="AWS"),
        pytest.param(404, b"<html>", None, id="HTML"),
        pytest.param(500, b"", None, id="nothing"),
    ],
)
def test_errors_of_every_host_are_read(status: int, body: object, error: CallError | None) -> None:
    facts = _answer(body, status=status, request=STREAM)
    assert facts.error == error
    assert facts.usage_problem == ""


@pytest.mark.parametrize(
    ("body", "request_", "problem"),
    [
        pytest.param(
            {"type": "message", "content": [], "stop_reason": "end_turn"},
            PLAIN,
            "searched usage for input_tokens, output_tokens; found type, content, stop_reason",
            id="none",
        ),
        pytest.param(
            {"type": "message", "usage": {"tokens": 1}}, PLAIN, "in usage: tokens", id="other words"
        ),
        pytest.param(_sse(STOP), STREAM, "found none", id="no message at all"),
        pytest.param([], PLAIN, "found none", id="no object"),
        pytest.param(b"not JSON", PLAIN, "answer is no JSON", id="no JSON"),
        pytest.param(b'{"type": ', PLAIN, "answer was cut before it stated usage", id="cut"),
    ],
)
def test_a_successful_message_without_usage_says_why(
    body: object, request_: CallRequest, problem: str
) -> None:
    facts = _answer(body, request=request_, headers=SSE if request_.stream else JSON)
    assert facts.usage is None
    assert problem in facts.usage_problem


def test_counted_tokens_are_no_usage() -> None:
    assert _answer({"input_tokens": 7}, request=COUNT) == AnswerFacts(
        completeness=Completeness.WHOLE
    )
    assert _answer(b'{"input_tokens": ', request=COUNT).completeness is Completeness.CUT
    refused = _answer(ERROR, status=404, request=COUNT)
    assert refused.error == CallError("overloaded_error", "Overloaded")


@pytest.mark.parametrize(
    ("body", "status", "headers", "expected"),
    [
        pytest.param(
            {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"},
            200,
            JSON,
            AnswerFacts(response_id="msgbatch_1", completeness=Completeness.WHOLE),
            id="batch",
        ),
        pytest.param(
            {"data": [], "has_more": False},
            200,
            JSON,
            AnswerFacts(completeness=Completeness.WHOLE),
            id="list",
        ),
        pytest.param(
            b'{"custom_id": "a", "result": {"type": "succeeded", "message": {"usage": {}}}}\n' * 2,
            200,
            [(b"content-type", b"application/x-jsonl")],
            AnswerFacts(),
            id="results",
        ),
        pytest.param(
            b'{"custom_id": "a"}\n{"custom_id": "b"}\n', 200, JSON, AnswerFacts(), id="called JSON"
        ),
        pytest.param(
            ERROR,
            404,
            JSON,
            AnswerFacts(
                error=CallError("overloaded_error", "Overloaded"),
                completeness=Completeness.WHOLE,
            ),
            id="error",
        ),
    ],
)
def test_what_is_done_with_batches_never_states_usage_and_never_fails_to(
    body: object, status: int, headers: Any, expected: AnswerFacts
) -> None:
    assert _answer(body, status=status, request=BATCHES, headers=headers) == expected


def test_old_text_completions_are_read() -> None:
    said = {"type": "completion", "id": "compl_1", "completion": "Hi", "model": "claude-1"}
    facts = _stream(said | {"stop_reason": None}, said | {"stop_reason": "stop"}, request=OLD)
    assert facts == AnswerFacts(
        model="claude-1",
        finish_reason="stop",
        response_id="compl_1",
        completeness=Completeness.WHOLE,
        output_tokens_estimate=1,
    )
    assert _stream(said, request=OLD).completeness is Completeness.CUT
    whole = _answer(said | {"stop_reason": "stop"}, request=OLD)
    assert (whole.finish_reason, whole.completeness) == ("stop", Completeness.WHOLE)


def test_recorded_calls_beside_messages_are_read_and_state_no_usage(
    recorded: Callable[[str], Sequence[Transcript]],
) -> None:
    for transcript in recorded("other"):
        head = RequestHead(transcript.method, transcript.host, transcript.path, "", [])
        request = MESSAGES.read_request(head, transcript.request_body)
        if not MESSAGES.claims(head) or request.operation == "batches":
            continue
        facts = _answer(transcript.response_body, status=transcript.status, request=request)
        expect = transcript.expect
        assert facts.completeness is Completeness.WHOLE
        assert (facts.model, facts.finish_reason) == (
            expect["model"] or "",
            expect["finish_reason"] or "",
        )
        assert (facts.error is not None) is expect["error"]
        assert (facts.usage, facts.usage_problem) == (None, "")


def test_the_stream_has_ended_with_its_stop_and_not_before() -> None:
    reader = MESSAGES.answer_reader(AnswerHead(200, SSE), STREAM)
    assert not reader.feed(_sse(START, {"type": "ping"}))
    assert reader.feed(_sse(TEXT))
    assert reader.feed(_sse(END))
    assert not reader.ended
    reader.feed(_sse(STOP)[:-1])
    assert not reader.ended
    reader.feed(b"\n")
    assert reader.ended


def test_an_error_is_no_output() -> None:
    assert not MESSAGES.answer_reader(AnswerHead(529, JSON), PLAIN).feed(b'{"type": "error"}')
    assert MESSAGES.answer_reader(AnswerHead(200, JSON), PLAIN).feed(b"{")
    assert not MESSAGES.answer_reader(AnswerHead(200, SSE), STREAM).feed(_sse(ERROR))


@pytest.mark.parametrize(
    ("body", "headers", "completeness"),
    [
        (_sse(*WHOLE), SSE, Completeness.WHOLE),
        (_sse(*WHOLE), [], Completeness.WHOLE),
        (_sse(*WHOLE).replace(b"\n", b"\r\n"), SSE, Completeness.WHOLE),
        (_sse(*WHOLE).rstrip(), SSE, Completeness.WHOLE),
        (_sse(*WHOLE) + b"data: [DONE]\n\n", SSE, Completeness.WHOLE),
        (_sse(*WHOLE)[:-10], SSE, Completeness.CUT),
        (_sse(*WHOLE[:-1]) + b"data:\n\ndata: [DONE]\n\n", SSE, Completeness.CUT),
        (b": ping\n\n", SSE, Completeness.CUT),
        (b"", SSE, Completeness.CUT),
        (b"<html>", [(b"content-type", b"text/html")], Completeness.UNKNOWN),
    ],
)
def test_the_stop_event_tells_whether_a_stream_is_whole(
    body: bytes, headers: Any, completeness: Completeness
) -> None:
    assert _answer(body, request=STREAM, headers=headers).completeness is completeness


def test_refusals_have_anthropics_shape() -> None:
    refused = MESSAGES.refuse(Refusal(429, "t", "BUDGET_EXCEEDED", "why"), "c1")
    body = json.loads(refused.body)
    assert refused.status == 429
    assert (body["type"], body["error"]["type"]) == ("error", "rate_limit_error")
    assert body["remora"] == {"code": "BUDGET_EXCEEDED", "why": "why", "call_id": "c1"}


def test_a_large_answer_and_a_large_event_are_not_held() -> None:
    megabyte = b"x" * (1 << 20)
    reader = MESSAGES.answer_reader(AnswerHead(200, JSON), PLAIN)
    reader.feed(b'{"x": "')
    for _ in range(answer_body.HELD_ANSWER_LIMIT_BYTES // len(megabyte) + 1):
        reader.feed(megabyte)
    facts = reader.finish()
    assert facts.completeness is Completeness.UNKNOWN
    assert facts.usage_problem == "answer is larger than 16777216 bytes"

    reader = MESSAGES.answer_reader(AnswerHead(200, SSE), STREAM)
    reader.feed(_sse(START) + b'event: content_block_delta\ndata: {"x": "')
    for _ in range(64):
        reader.feed(megabyte)
    reader.feed(b'"}\n\n' + _sse(END, STOP))
    facts = reader.finish()
    assert facts.completeness is Completeness.WHOLE
    assert facts.usage == Usage(60, 42, 30, 20, cache_write_1h_tokens=15)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "message", "content", "content_block", "delta", "usage", "input_tokens", "name",
                "output_tokens", "cache_creation", "ephemeral_1h_input_tokens", "stop_reason",
                "cache_read_input_tokens", "cache_creation_input_tokens", "server_tool_use",
                "web_search_requests", "service_tier", "error", "model", "id", "text", "to",
            ]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=25,
)  # fmt: skip
events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "message", "message_start", "content_block_start", "content_block_delta",
                "message_delta", "message_stop", "completion", "error", "ping",
            ]
        )
    },
    optional=dict.fromkeys(
        ["message", "delta", "content_block", "usage", "content", "error", "completion"],
        json_values,
    ),
)  # fmt: skip


def _cut(body: bytes, seed: int) -> Iterable[bytes]:
    randomness = random.Random(seed)  # noqa: S311  # cuts that repeat
    at = 0
    while at < len(body):
        size = randomness.choice((1, 2, 5, 30, 200))
        yield body[at : at + size]
        at += size


def _pieces(chunks: Iterable[bytes]) -> AnswerFacts:
    reader = MESSAGES.answer_reader(AnswerHead(200, SSE), STREAM)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish()


@given(st.lists(events, max_size=6), st.integers())
def test_any_events_are_taken_and_where_they_were_cut_does_not_matter(
    taken: list[Any], seed: int
) -> None:
    body = _sse(*taken)
    facts = _pieces([body])
    assert facts == _pieces(_cut(body, seed))
    assert facts == _pieces(body[i : i + 1] for i in range(len(body)))
    figures = (getattr(facts.usage, n, None) for n in Usage.__slots__ if n != "estimated")
    assert all(figure is None or type(figure) is int for figure in figures)


@given(events | json_values, st.sampled_from([200, 400]), st.sampled_from([PLAIN, COUNT, BATCHES]))
def test_any_json_is_taken(value: Any, status: int, request_: CallRequest) -> None:
    facts = _answer(value, status=status, request=request_)
    assert facts.completeness is Completeness.WHOLE


@given(
    st.binary(),
    st.binary(),
    st.sampled_from([SSE, JSON, []]),
    st.sampled_from([200, 500]),
    st.sampled_from(
        ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages/batches/b/results"]
    ),
)
def test_any_bytes_are_taken(
    asked: bytes, body: bytes, headers: Any, status: int, path: str
) -> None:
    request = MESSAGES.read_request(RequestHead("POST", "h", path, "", []), asked)
    _answer(body, status=status, request=request, headers=headers)
    _answer(b"event: error\ndata: " + body + b"\n\n", request=request, headers=headers)
