import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.records import CallError, Usage
from remora.testing.transcripts import Transcript
from remora_sidecar.dialects import base
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.openai.responses import OpenAIResponses
from remora_sidecar.model.exchange import AnswerHead, RequestHead

RESPONSES = OpenAIResponses()
JSON = [(b"Content-Type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


def _request(method: str, tail: str = "", query: str = "", **asked: Any) -> CallRequest:
    head = RequestHead(method, "api.openai.com", f"/v1/responses{tail}", query, [])
    return RESPONSES.read_request(head, json.dumps(asked).encode() if asked else b"")


PLAIN = _request("POST", model="m")
STREAM = _request("POST", model="m", stream=True)
GET = _request("GET", "/resp_1")
GET_STREAM = _request("GET", "/resp_1", "stream=true&starting_after=3")
CANCEL = _request("POST", "/resp_1/cancel")


def _response(status: str = "completed", **members: Any) -> dict[str, Any]:
    usage = USAGE if status in ("completed", "incomplete") else None
    stated = {"object": "response", "id": "resp_1", "model": "gpt", "status": status}
    return stated | {"output": [], "usage": usage, "error": None} | members


def _answer(
    body: object, *, status: int = 200, request: CallRequest = PLAIN, headers: Any = JSON
) -> AnswerFacts:
    reader = RESPONSES.answer_reader(AnswerHead(status, headers), request)
    reader.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
    return reader.finish()


def _sse(*events: Any, named: bool = True) -> bytes:
    return b"".join(
        (b"event: %s\n" % event["type"].encode() if named else b"")
        + b"data: %s\n\n" % json.dumps(event).encode()
        for event in events
    )


def _stream(*events: Any, request: CallRequest = STREAM, named: bool = True) -> AnswerFacts:
    return _answer(_sse(*events, named=named), request=request, headers=SSE)


def _progress(kind: str, status: str, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": _response(status, **members)}


CREATED = _progress("created", "in_progress")
QUEUED = _progress("created", "queued", background=True)
HELLO = {"type": "response.output_text.delta", "delta": "hello, you"}
COMPLETED = _progress("completed", "completed")
FAILED = _progress("failed", "failed", error={"code": "server_error", "message": "m"})
WHOLE = AnswerFacts(
    model="gpt",
    finish_reason="completed",
    response_id="resp_1",
    usage=Usage(10, 5),
    completeness=Completeness.WHOLE,
)


def test_a_json_answer_is_read() -> None:
    assert _answer(_response()) == WHOLE


@pytest.mark.parametrize("named", [True, False])
def test_a_stream_is_read(named: bool) -> None:
    facts = _stream(CREATED, COMPLETED, named=named)
    assert facts == WHOLE


@pytest.mark.parametrize(
    ("request_", "body", "pending", "in_background", "usage"),
    [
        (PLAIN, _response("queued", background=True), True, True, None),
        (PLAIN, _response("in_progress", background=True), True, True, None),
        (PLAIN, _response("completed", background=True), False, True, Usage(10, 5)),
        (PLAIN, _response("completed", background=False), False, False, Usage(10, 5)),
        (GET, _response("queued", background=True), True, True, None),
        (GET, _response("in_progress", background=True), True, True, None),
        (GET, _response("completed", background=True), False, True, Usage(10, 5)),
        (GET, _response("incomplete", background=True), False, True, Usage(10, 5)),
        (GET, _response("failed", background=True), False, True, None),
        (GET, _response("cancelled", background=True), False, True, None),
        (CANCEL, _response("cancelled", background=True), False, True, None),
        (CANCEL, _response("completed", background=True), False, True, Usage(10, 5)),
        (CANCEL, _response("in_progress", background=True), True, True, None),
    ],
)
def test_a_response_that_is_not_at_its_end_is_pending_and_no_parse_failure(
    request_: CallRequest,
    body: Any,
    pending: bool,
    in_background: bool,
    usage: Usage | None,
) -> None:
    facts = _answer(body, request=request_)
    assert (facts.pending, facts.in_background, facts.usage) == (pending, in_background, usage)
    assert facts.response_id == "resp_1"
    assert facts.usage_problem == ""
    assert facts.completeness is Completeness.WHOLE


@pytest.mark.parametrize(
    ("request_", "events", "pending", "problem"),
    [
        (STREAM, [CREATED, HELLO], False, "answer was cut before it stated usage"),
        (STREAM, [QUEUED, HELLO], True, ""),
        (STREAM, [QUEUED, HELLO, COMPLETED], False, ""),
        (GET_STREAM, [HELLO], True, ""),
        (GET_STREAM, [HELLO, COMPLETED], False, ""),
        (GET_STREAM, [HELLO, FAILED], False, ""),
    ],
    ids=["cut", "cut in background", "whole", "cut read back", "read back", "failed"],
)
def test_a_cut_stream_is_pending_where_the_provider_goes_on(
    request_: CallRequest, events: list[Any], pending: bool, problem: str
) -> None:
    facts = _stream(*events, request=request_)
    assert (facts.pending, facts.usage_problem) == (pending, problem)
    is_cut = events[-1] is HELLO
    assert facts.completeness is (Completeness.CUT if is_cut else Completeness.WHOLE)


def test_an_answer_that_is_refused_is_not_pending() -> None:
    facts = _answer(b"", status=404, request=GET)
    assert not facts.pending
    assert _answer({"error": {"message": "m"}}, status=404, request=GET).pending is False


def test_what_was_said_before_a_cut_is_estimated() -> None:
    assert _stream(CREATED, HELLO, HELLO).output_tokens_estimate == 5


@pytest.mark.parametrize(
    ("body", "completeness"),
    [
        (_sse(CREATED, COMPLETED), Completeness.WHOLE),
        (_sse(CREATED, _progress("incomplete", "incomplete")), Completeness.WHOLE),
        (_sse(CREATED, FAILED), Completeness.WHOLE),
        (_sse(CREATED, COMPLETED) + b"data: [DONE]\n\n", Completeness.WHOLE),
        (_sse(CREATED) + b"data: [DONE]\n\n", Completeness.WHOLE),
        (_sse(CREATED, COMPLETED).rstrip(), Completeness.WHOLE),
        (_sse(CREATED, COMPLETED)[:-4], Completeness.CUT),
        (_sse(CREATED, {"type": "error", "message": "m"}), Completeness.CUT),
        (_sse(CREATED, {"error": {"message": "m"}, "type": ""}), Completeness.CUT),
        (_sse(CREATED), Completeness.CUT),
        (b": ping\n\n", Completeness.CUT),
        (b"", Completeness.CUT),
    ],
)
def test_an_event_that_ends_the_response_tells_that_a_stream_is_whole(
    body: bytes, completeness: Completeness
) -> None:
    reader = RESPONSES.answer_reader(AnswerHead(200, SSE), STREAM)
    reader.feed(body)
    is_whole = completeness is Completeness.WHOLE
    assert reader.finish().completeness is completeness
    assert reader.ended is is_whole


def test_the_end_of_a_json_answer_is_not_known_from_inside() -> None:
    reader = RESPONSES.answer_reader(AnswerHead(200, JSON), PLAIN)
    reader.feed(json.dumps(_response()).encode())
    assert not reader.ended
    reader.finish()
    assert not reader.ended


def test_the_first_output_is_no_progress_event() -> None:
    reader = RESPONSES.answer_reader(AnswerHead(200, SSE), STREAM)
    assert not reader.feed(b": OPENROUTER PROCESSING\n\n")
    assert not reader.feed(_sse(CREATED, _progress("in_progress", "in_progress")))
    assert reader.feed(_sse(HELLO))
    assert reader.feed(b"")
    assert not reader.ended
    reader.feed(_sse(COMPLETED))
    assert reader.ended


def test_an_error_is_no_output() -> None:
    assert not RESPONSES.answer_reader(AnswerHead(429, JSON), PLAIN).feed(b'{"error": {}}')
    assert RESPONSES.answer_reader(AnswerHead(200, JSON), PLAIN).feed(b"{")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": {"type": "t", "message": "m", "code": "c"}}, CallError("t", "m")),
        (400, {"detail": "Unsupported"}, CallError("provider_error", "Unsupported")),
        (401, {"error": "text"}, CallError("provider_error", "text")),
        (200, {"error": {"code": 502, "message": "m"}}, CallError("502", "m")),
        (200, _response("failed", error={"code": "c", "message": "m"}), CallError("c", "m")),
        (502, b"<html>", None),
    ],
)
def test_errors_are_read_whatever_the_status(status: int, body: object, error: Any) -> None:
    facts = _answer(body, status=status)
    assert (facts.error, facts.usage_problem) == (error, "")


def test_an_error_in_a_stream_is_read() -> None:
    event = {"type": "error", "error": {"type": "server_error", "message": "m"}}
    assert _stream(CREATED, event).error == CallError("server_error", "m")
    assert _stream(CREATED, FAILED).error == CallError("server_error", "m")
    text = _sse(CREATED) + b"event: error\ndata: gone\n\n"
    error = _answer(text, request=STREAM, headers=SSE).error
    assert error == CallError("provider_error", "gone")


def test_missing_usage_names_the_keys_searched_and_found() -> None:
    searched = "searched usage for prompt_tokens, completion_tokens, input_tokens, output_tokens"
    assert _answer({"id": "1", "output": [], "usage": {"tokens": 3}}).usage_problem == (
        f"{searched}; found id, output, usage; in usage: tokens"
    )
    assert _stream(CREATED, _progress("completed", "completed", usage=None)).usage_problem == (
        f"{searched}; found object, id, model, status, output, usage, error"
    )
    done = _sse(CREATED) + b"data: [DONE]\n\n"
    problem = _answer(done, request=STREAM, headers=SSE).usage_problem
    assert problem == f"{searched}; found none"


def test_what_states_no_usage_owes_none() -> None:
    counted = _request("POST", "/input_tokens", model="m")
    facts = _answer({"object": "response.input_tokens", "input_tokens": 16}, request=counted)
    assert (facts.usage, facts.usage_problem) == (None, "")
    deleted = {"object": "response", "id": "resp_1", "deleted": True}
    facts = _answer(deleted, request=_request("DELETE", "/resp_1"))
    assert (facts.usage, facts.usage_problem, facts.pending) == (None, "", False)
    items = {"object": "list", "data": [{"id": "msg_1", "type": "message"}]}
    facts = _answer(items, request=_request("GET", "/resp_1/input_items"))
    assert (facts.usage, facts.usage_problem) == (None, "")


def test_a_compaction_states_usage() -> None:
    compacted = {"id": "resp_1", "object": "response.compaction", "output": [], "usage": USAGE}
    facts = _answer(compacted, request=_request("POST", "/compact", model="m"))
    assert (facts.usage, facts.response_id) == (Usage(10, 5), "resp_1")
    del compacted["usage"]
    facts = _answer(compacted, request=_request("POST", "/compact", model="m"))
    assert facts.usage_problem.endswith("found id, object, output")


IMAGE = {"type": "image_generation_call", "id": "ig_1", "result": "iVBORw0KGgo" * 600_000}


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1 << 16, 1 << 30], ids=["in pieces", "whole"])
def test_usage_behind_large_images_is_read(size: int) -> None:
    assert len(IMAGE["result"]) > base.HELD_EVENT_LIMIT_BYTES
    partial = {
        "type": "response.image_generation_call.partial_image",
        "partial_image_b64": IMAGE["result"],
    }
    reader = RESPONSES.answer_reader(AnswerHead(200, SSE), STREAM)
    assert not reader.feed(_sse(CREATED))
    assert reader.feed(_sse(partial))
    completed = _progress("completed", "completed", output=[IMAGE])
    for piece in _pieces(_sse(completed), size):
        reader.feed(piece)
    facts = reader.finish()
    assert (facts.usage, facts.tool_names) == (Usage(10, 5), ("image_generation",))
    assert _answer(_response(output=[IMAGE] * 3)).usage == Usage(10, 5)


LARGE_OUTPUT = [{"type": "message", "content": "x" * 4000}] * 1200


@pytest.mark.parametrize("size", [1 << 16, 1 << 30], ids=["in pieces", "whole"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "type in front"])
def test_the_end_of_a_stream_is_seen_even_if_its_event_is_too_large_to_be_held(
    size: int, named: bool
) -> None:
    call = {"type": "function_call", "name": "f"}
    item = {"type": "response.output_item.added", "output_index": 0, "item": call}
    end = _sse(_progress("completed", "completed", output=LARGE_OUTPUT), named=named)
    assert len(end) > base.HELD_EVENT_LIMIT_BYTES
    reader = RESPONSES.answer_reader(AnswerHead(200, SSE), STREAM)
    for piece in _pieces(_sse(CREATED, item, named=named) + end[:-1], size):
        reader.feed(piece)
        assert not reader.ended
    reader.feed(end[-1:])
    assert reader.ended
    facts = reader.finish()
    assert facts.completeness is Completeness.WHOLE
    assert (facts.finish_reason, facts.tool_names, facts.model) == ("completed", ("f",), "gpt")
    assert facts.usage is None
    assert facts.usage_problem == "1 events were too large to be read"


def test_a_stream_that_is_cut_in_an_event_too_large_to_be_held_is_cut() -> None:
    body = _sse(CREATED, _progress("completed", "completed", output=LARGE_OUTPUT))[:-10]
    facts = _answer(body, request=STREAM, headers=SSE)
    assert facts.completeness is Completeness.CUT
    assert facts.usage_problem == "answer was cut before it stated usage"


def test_a_json_answer_over_the_limit_is_not_held() -> None:
    reader = RESPONSES.answer_reader(AnswerHead(200, JSON), PLAIN)
    piece = b'{"x":' * 200_000
    for _ in range(base.HELD_ANSWER_LIMIT_BYTES // len(piece) + 2):
        reader.feed(piece)
    facts = reader.finish()
    assert facts.completeness is Completeness.UNKNOWN
    assert facts.usage_problem == "answer is larger than 16777216 bytes"


def test_recorded_calls_around_responses_state_what_is_expected(
    recorded: Callable[[str], Sequence[Transcript]],
) -> None:
    seen = set()
    for transcript in recorded("other"):
        head = RequestHead(transcript.method, transcript.host, transcript.path, "", [])
        if not RESPONSES.claims(head):
            continue
        request = RESPONSES.read_request(
            RequestHead(transcript.method, transcript.host, transcript.path, transcript.query, []),
            transcript.request_body,
        )
        seen.add(request.operation)
        headers = SSE if transcript.stream else JSON
        facts = _answer(transcript.response_body, request=request, headers=headers)
        expect = transcript.expect
        assert facts.model == (expect["model"] or ""), transcript.id
        assert facts.finish_reason == (expect["finish_reason"] or ""), transcript.id
        figures = (facts.usage.input_tokens, facts.usage.output_tokens) if facts.usage else None
        assert figures == (
            (expect["input_tokens"], expect["output_tokens"]) if expect["input_tokens"] else None
        ), transcript.id
        assert facts.completeness is Completeness.WHOLE, transcript.id
        assert facts.pending is (request.reads_back and facts.usage is None), transcript.id
        assert facts.usage_problem == "", transcript.id
    assert seen == {"responses.retrieve", "responses.compact", "count_tokens"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "type", "response", "item", "output_index", "output", "delta", "usage", "error",
                "input_tokens", "output_tokens", "input_tokens_details", "cached_tokens", "id",
                "status", "incomplete_details", "reason", "model", "service_tier", "background",
                "tool_usage", "web_search", "num_requests", "action", "name", "code", "object",
            ]
        ),
        inner
        | st.sampled_from(
            [
                "response.completed", "response.failed", "response.output_item.done", "error",
                "response.output_text.delta", "web_search_call", "function_call", "in_progress",
            ]
        ),
        max_size=6,
    ),
    max_leaves=25,
)  # fmt: skip


@given(st.lists(json_values, max_size=4), st.booleans(), st.sampled_from([200, 400]))
def test_any_json_is_taken(values: list[Any], stream: bool, status: int) -> None:
    events = b"".join(b"data: %s\n\n" % json.dumps(value).encode() for value in values)
    body = events + b"data: [DONE]\n\n" if stream else json.dumps(values[:1]).encode()
    facts = _answer(
        body, status=status, request=STREAM if stream else PLAIN, headers=SSE if stream else JSON
    )
    assert facts.completeness is Completeness.WHOLE
    figures = (getattr(facts.usage, n, None) for n in ("input_tokens", "web_searches"))
    assert all(figure is None or type(figure) is int for figure in figures)
    assert not (facts.pending and facts.usage)


@given(st.binary(), st.sampled_from([SSE, JSON, []]), st.sampled_from([200, 500]))
def test_any_bytes_are_taken(body: bytes, headers: Any, status: int) -> None:
    for request in (PLAIN, STREAM, GET, GET_STREAM, CANCEL):
        _answer(body, status=status, request=request, headers=headers)
        _answer(b"data: " + body + b"\n\n", status=status, request=request, headers=headers)


_EVENTS = [
    _sse(CREATED), _sse(QUEUED), _sse(HELLO), _sse(COMPLETED), _sse(FAILED), b"data: [DONE]\n\n",
    _sse({"type": "error", "code": "c", "message": "é€😀"}), b": ping\r\n\r\n", b"event: error\n",
]  # fmt: skip


@given(
    st.lists(st.sampled_from(_EVENTS) | st.binary(max_size=8), max_size=8).map(b"".join),
    st.lists(st.integers(min_value=0), max_size=8),
)
def test_cuts_do_not_matter(body: bytes, places: list[int]) -> None:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    facts = _answer(body, request=STREAM, headers=SSE)
    for chunks in (
        [body[i : i + 1] for i in range(len(body))],
        [body[a:b] for a, b in itertools.pairwise(edges)],
    ):
        reader = RESPONSES.answer_reader(AnswerHead(200, SSE), STREAM)
        for chunk in chunks:
            reader.feed(chunk)
        assert reader.finish() == facts
