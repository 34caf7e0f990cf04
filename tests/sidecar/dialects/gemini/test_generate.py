import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import (
    HELD_ANSWER_LIMIT_BYTES,
    HELD_EVENT_LIMIT_BYTES,
    AnswerFacts,
    AnswerReader,
    CallRequest,
    Completeness,
)
from remora_sidecar.dialects.gemini.generate import GeminiGenerate
from remora_sidecar.model.exchange import AnswerHead
from remora_sidecar.model.refusal import Refusal

GEMINI = GeminiGenerate()
JSON = [(b"content-type", b"application/json; charset=UTF-8")]
SSE = [(b"content-type", b"text/event-stream")]
USAGE = {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12}
SAID = {"text": "Hello"}
QUOTA = {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}


def _candidate(*parts: object, reason: object = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, **more}
    return candidate if reason is None else candidate | {"finishReason": reason}


def _chunk(*candidates: object, usage: object = USAGE, **more: Any) -> dict[str, Any]:
    answer = {"candidates": list(candidates), "modelVersion": "gemini-2.5-flash"}
    return answer | {"usageMetadata": usage, "responseId": "r1"} | more


FIRST = _chunk(_candidate(SAID), usage={"promptTokenCount": 5})
LAST = _chunk(_candidate(SAID, reason="STOP"))


def _sse(*chunks: object) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def _array(*chunks: object) -> bytes:
    return b"[" + b",\r\n".join(json.dumps(c, indent=2).encode() + b"\n" for c in chunks) + b"]"


def _enveloped(*chunks: object) -> bytes:
    return _sse(*({"response": chunk, "traceId": "t"} for chunk in chunks))


def _reader(
    *, stream: bool = False, status: int = 200, headers: Any = None, operation: str = ""
) -> AnswerReader:
    request = CallRequest(operation or "generate_content", "m", stream=stream)
    return GEMINI.answer_reader(AnswerHead(status, headers or (SSE if stream else JSON)), request)


def _read(body: object, **how: Any) -> AnswerFacts:
    return _read_pieces([body if isinstance(body, bytes) else json.dumps(body).encode()], **how)


def _read_pieces(pieces: Iterable[bytes], **how: Any) -> AnswerFacts:
    reader = _reader(**how)
    for piece in pieces:
        reader.feed(piece)
    return reader.finish()


FRAMES = [
    pytest.param(_sse, id="events"),
    pytest.param(_array, id="array"),
    pytest.param(_enveloped, id="Gemini CLI"),
]


@pytest.mark.parametrize("body", [LAST, {"response": LAST}], ids=["plain", "Gemini CLI"])
def test_an_answer_states_all_of_it(body: object) -> None:
    assert _read(body) == AnswerFacts(
        model="gemini-2.5-flash",
        finish_reason="STOP",
        response_id="r1",
        usage=Usage(5, 7),
        completeness=Completeness.WHOLE,
    )


@pytest.mark.parametrize("frame", FRAMES)
def test_a_stream_states_what_its_last_chunk_does(frame: Any) -> None:
    usage = USAGE | {"thoughtsTokenCount": 3, "serviceTier": "flex"}
    last = _chunk(_candidate({"text": ""}, reason="MAX_TOKENS"), usage=usage)
    body = frame(FIRST, last)
    facts = _read(body, stream=True)
    assert facts == AnswerFacts(
        model="gemini-2.5-flash",
        finish_reason="MAX_TOKENS",
        response_id="r1",
        usage=Usage(5, 10, reasoning_tokens=3),
        completeness=Completeness.WHOLE,
        service_tier="flex",
    )
    assert _read_pieces((body[i : i + 1] for i in range(len(body))), stream=True) == facts


def test_usage_may_come_behind_the_end_and_without_candidates() -> None:
    finished = _chunk(_candidate(SAID, reason="STOP"), usage={"trafficType": "ON_DEMAND"})
    facts = _read(_sse(FIRST, finished, {"usageMetadata": USAGE}), stream=True)
    assert facts.usage == Usage(5, 7)
    assert facts.service_tier == "standard"
    assert facts.completeness is Completeness.WHOLE


def test_what_the_last_metadata_does_not_repeat_is_gone() -> None:
    body = _sse(FIRST, LAST, {"usageMetadata": {"promptTokenCount": 4, "thoughtsTokenCount": 2}})
    assert _read(body, stream=True).usage == Usage(4, 2, reasoning_tokens=2)


def test_the_tier_stands_in_a_header_where_the_answer_does_not_say() -> None:
    headers = [*JSON, (b"X-Gemini-Service-Tier", b"Priority")]
    assert _read(LAST, headers=headers).service_tier == "priority"
    usage = USAGE | {"serviceTier": "standard"}
    assert _read(_chunk(usage=usage), headers=headers).service_tier == "standard"


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        ([_candidate(reason="SAFETY")], "SAFETY"),
        ([_candidate(reason=1)], "1"),
        ([_candidate(reason=0)], ""),
        ([_candidate(reason="FINISH_REASON_UNSPECIFIED")], ""),
        ([_candidate(reason="STOP", index=0), _candidate(reason="SAFETY", index=1)], "STOP"),
        ([_candidate(reason="SAFETY", index=1), _candidate(reason="STOP", index=0)], "STOP"),
        ([{"finishReason": "STOP"}, {"finishReason": "SAFETY"}], "STOP"),
        ([{"finishReason": ["STOP"]}, None, 3], ""),
    ],
)
def test_the_finish_reason_is_that_of_the_first_candidate(candidates: Any, reason: str) -> None:
    assert _read(_chunk(*candidates)).finish_reason == reason


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_prompt_has_a_reason_and_needs_no_usage(stream: bool) -> None:
    feedback = {"blockReason": "PROHIBITED_CONTENT"}
    answer = {"promptFeedback": feedback, "usageMetadata": {"trafficType": "ON_DEMAND"}}
    facts = _read(_sse(answer) if stream else answer, stream=stream)
    assert facts.finish_reason == "PROHIBITED_CONTENT"
    assert facts.completeness is Completeness.WHOLE
    assert (facts.usage, facts.usage_problem) == (None, "")


def test_a_prompt_that_was_only_rated_is_not_blocked() -> None:
    rated = FIRST | {"promptFeedback": {"safetyRatings": []}}
    assert _read(_sse(rated), stream=True).completeness is Completeness.CUT


def test_tools_are_named_in_order() -> None:
    begun = {"functionCall": {"name": "read", "willContinue": True}}
    more = {"functionCall": {"partialArgs": [{"jsonPath": "$.a"}]}}
    call = {"functionCall": {"name": "write", "args": {"a": 1}}, "thoughtSignature": "x"}
    code = {"executableCode": {"code": "1"}}
    body = _sse(_chunk(_candidate(begun)), _chunk(_candidate(more, code, call, reason="STOP")))
    assert _read(body, stream=True).tool_names == ("read", "write")


def test_searches_that_differ_and_have_words_are_counted() -> None:
    first = _candidate(SAID, groundingMetadata={"webSearchQueries": ["", "a", "b", "a"]})
    last = _candidate(reason="STOP", groundingMetadata={"webSearchQueries": ["b", "c", 3, " "]})
    usage = _read(_sse(_chunk(first), _chunk(last)), stream=True).usage
    assert usage == Usage(5, 7, web_searches=3)
    without = _candidate(SAID, groundingMetadata={"groundingChunks": []})
    assert _read(_chunk(without)).usage == Usage(5, 7)


@pytest.mark.parametrize(
    ("part", "is_output"),
    [
        ({"text": "a"}, True),
        ({"text": "a", "thought": True}, True),
        ({"functionCall": {"name": "f"}}, True),
        ({"inlineData": {"data": ""}}, True),
        ({"executableCode": {}}, True),
        ({"codeExecutionResult": {}}, True),
        ({"toolCall": {}}, True),
        ({"text": ""}, False),
        ({"text": "", "thoughtSignature": "x"}, False),
        (None, False),
    ],
)
@pytest.mark.parametrize("frame", FRAMES)
def test_the_first_output_is_told_when_it_comes(frame: Any, part: Any, is_output: bool) -> None:
    reader = _reader(stream=True)
    body = frame(_chunk(_candidate()), _chunk(_candidate(part)))
    end = body.rindex(b"}")
    assert not reader.feed(body[:end])
    assert reader.feed(body[end:]) is is_output


def test_a_json_answer_is_output_as_soon_as_it_begins() -> None:
    assert _reader().feed(b"{")
    assert not _reader(status=400).feed(b"{")


@pytest.mark.parametrize(
    ("body", "whole", "ended"),
    [
        (_sse(FIRST, LAST), True, False),
        (_sse(FIRST, LAST).rstrip(), True, False),
        (_sse(FIRST), False, False),
        (_sse(FIRST, LAST)[:-40], False, False),
        (_sse(FIRST, LAST, LAST)[:-40], False, False),
        (_sse(LAST, FIRST), True, False),
        (_sse(_chunk(_candidate(reason="STOP"), _candidate(SAID))), False, False),
        (_sse(_chunk(_candidate(SAID), _candidate(reason="STOP")), LAST), True, False),
        (_array(FIRST, LAST), True, True),
        (_array(FIRST, LAST)[:-1], False, False),
        (_array(FIRST), False, True),
        (b"[]", False, True),
        (b"", False, False),
    ],
    ids=[
        "events", "no blank line at the end", "no finish reason", "torn in the last event",
        "torn behind the finish reason", "a chunk behind the finish reason",
        "another candidate unfinished", "candidates that end apart", "array", "array not closed",
        "array without finish reason", "empty array", "nothing",
    ],
)  # fmt: skip
def test_a_stream_is_whole_once_all_that_it_began_is_ended(
    body: bytes, whole: bool, ended: bool
) -> None:
    reader = _reader(stream=True)
    reader.feed(body)
    assert reader.ended is ended
    assert (reader.finish().completeness is Completeness.WHOLE) is whole


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ({"error": QUOTA}, {"status": 429}),
        ([{"error": QUOTA}], {"status": 429}),
        ([{"error": QUOTA}], {"status": 429, "stream": True, "headers": JSON}),
        ([{"error": QUOTA}], {"stream": True, "headers": JSON}),
        ({"error": QUOTA}, {"stream": True, "headers": JSON}),
        (_sse(FIRST, {"error": QUOTA}), {"stream": True}),
        (_array(FIRST, {"error": QUOTA}), {"stream": True}),
        (b"event: error\n" + _sse(QUOTA), {"stream": True}),
    ],
    ids=["JSON", "array", "stream refused", "array, 200", "JSON, 200", "events", "in an array",
         "named event"],
)  # fmt: skip
def test_errors_are_read_wherever_they_stand(body: object, how: Any) -> None:
    facts = _read(body, **how)
    assert facts.error == CallError("RESOURCE_EXHAUSTED", "Quota exceeded.")
    assert facts.usage_problem == ""


@pytest.mark.parametrize(
    ("body", "how", "problem"),
    [
        ({"candidates": []}, {}, "found candidates"),
        (
            _chunk(_candidate(reason="STOP"), usage={"trafficType": 1}),
            {},
            "found candidates, modelVersion, usageMetadata, responseId; in usageMetadata: traffic",
        ),
        (_sse(LAST | {"usageMetadata": {}}), {"stream": True}, "searched usageMetadata for prompt"),
        (b'{"candidates"', {}, "answer was cut before it stated usage"),
        (_sse(FIRST | {"usageMetadata": 1}), {"stream": True}, "answer was cut before"),
        (b"\x08\x01", {}, "answer is no JSON"),
    ],
    ids=["no metadata", "no figures", "stream", "cut", "cut stream", "another format"],
)
def test_missing_usage_is_told_with_what_was_there(body: object, how: Any, problem: str) -> None:
    facts = _read(body, **how)
    assert facts.usage is None
    assert problem in facts.usage_problem


def test_the_output_of_a_cut_stream_is_estimated() -> None:
    said = _chunk(_candidate({"text": "abcd" * 10}), usage={"promptTokenCount": 5})
    seen = _read(_sse(said), stream=True).output_tokens_estimate
    assert seen > 0
    assert _read(_sse(said, said), stream=True).output_tokens_estimate > seen
    assert _read(_sse(said, LAST), stream=True).output_tokens_estimate == 0
    unstated = LAST | {"usageMetadata": {}}
    assert _read(_sse(said, unstated), stream=True).output_tokens_estimate > seen


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"embedding": {"values": [0.5] * 9}}, None),
        ({"embeddings": [], "usageMetadata": {"promptTokenCount": 4}}, Usage(4)),
        ({"predictions": [{"embeddings": {"statistics": {"token_count": 4}}}]}, Usage(4)),
    ],
)
def test_embeddings_state_what_they_state(answer: object, usage: Usage | None) -> None:
    facts = _read(answer, operation="embeddings")
    assert facts.usage == usage
    assert facts.completeness is Completeness.WHOLE


def test_an_older_embedding_without_its_statistics_is_told() -> None:
    facts = _read({"predictions": [{}], "metadata": {}}, operation="embeddings")
    assert facts.usage_problem.endswith("for token_count; found predictions, metadata")


@pytest.mark.parametrize("operation", ["count_tokens", "image_generation", "batches"])
def test_other_answers_use_nothing_and_tell_their_errors(operation: str) -> None:
    counted = {"totalTokens": 9, "usageMetadata": USAGE}
    assert _read(counted, operation=operation).usage is None
    failed = _read({"error": QUOTA}, operation=operation, status=429)
    assert failed.error == CallError("RESOURCE_EXHAUSTED", "Quota exceeded.")


@pytest.mark.parametrize(
    "frame", [*FRAMES, pytest.param(lambda c: json.dumps(c).encode(), id="JSON")]
)
def test_usage_beside_a_picture_of_any_size_is_read(frame: Any) -> None:
    size = max(HELD_ANSWER_LIMIT_BYTES, HELD_EVENT_LIMIT_BYTES) + 1
    picture = {"inlineData": {"mimeType": "image/png", "data": "iVBO" * (size // 4)}}
    body = frame(_chunk(_candidate(picture, reason="STOP")))
    pieces = [body[i : i + 65536] for i in range(0, len(body), 65536)]
    facts = _read_pieces(pieces, stream=body[:1] != b"{")
    assert facts.usage == Usage(5, 7)
    assert facts.completeness is Completeness.WHOLE


def test_endless_streams_are_not_kept() -> None:
    reader = _reader(stream=True)
    for number in range(3000):
        call = {"functionCall": {"name": f"f{number}"}}
        query = {"webSearchQueries": [str(number)]}
        candidate = _candidate(SAID, call, index=number, groundingMetadata=query)
        reader.feed(_sse(_chunk(candidate, responseId=str(number))))
    facts = reader.finish()
    assert len(facts.tool_names) == 256
    assert facts.usage is not None
    assert facts.usage.web_searches == 1024


def test_refusals_are_worded_as_google_does() -> None:
    refused = GEMINI.refuse(Refusal(429, "budget", "BUDGET_EXCEEDED", "no money"), "c1")
    error = json.loads(refused.body)["error"]
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")


fragments = st.sampled_from(
    [b"data: ", b"\n\n", b"\r\n", b"[", b"]", b",", b'{"response":', b"}", b'"', b"event: error\n"]
    + [json.dumps(chunk).encode() for chunk in (FIRST, LAST, {"error": QUOTA}, {"candidates": 1})]
)


@given(
    st.lists(fragments | st.binary()).map(b"".join),
    st.booleans(),
    st.sampled_from([200, 400]),
    st.sampled_from(["generate_content", "embeddings"]),
    st.data(),
)
def test_any_bytes_are_read_the_same_however_they_are_cut(
    whole: bytes, stream: bool, status: int, operation: str, data: st.DataObject
) -> None:
    at = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]
    how: dict[str, Any] = {"stream": stream, "status": status, "operation": operation}
    assert _read_pieces(pieces, **how) == _read(whole, **how)


NAMES = [
    "candidates", "content", "parts", "text", "functionCall", "name", "finishReason", "index",
    "usageMetadata", "promptTokenCount", "promptFeedback", "blockReason", "response",
    "groundingMetadata", "webSearchQueries", "error", "predictions",
]  # fmt: skip
shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(shapes)
def test_no_shape_raises(value: Any) -> None:
    for stream in (False, True):
        _read(_sse(value) if stream else value, stream=stream)
    _read(value, operation="embeddings")
