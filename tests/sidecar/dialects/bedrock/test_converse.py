import json
import tracemalloc
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.records import CallError, Usage
from remora.testing.aws_events import aws_event, aws_exception, aws_message
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.bedrock.converse import BedrockConverse, ConverseReader
from remora_sidecar.model.exchange import AnswerHead, Headers, RequestHead

CONVERSE = BedrockConverse()
JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"application/vnd.amazon.eventstream")]
NOVA = "/model/us.amazon.nova-lite-v1%3A0"
ARN = "arn:aws:bedrock:eu-west-1:000000000000:inference-profile/eu.anthropic.claude-sonnet-4-v1:0"

START = aws_event("messageStart", {"role": "assistant"})
STOP = aws_event("messageStop", {"stopReason": "end_turn"})
USAGE = {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}
METADATA = aws_event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}})


def _head(path: str = f"{NOVA}/converse", method: str = "POST") -> RequestHead:
    return RequestHead(method, "bedrock-runtime.us-east-1.amazonaws.com", path, "", [])


def _delta(delta: Mapping[str, Any]) -> bytes:
    return aws_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta})


def _reader(*, status: int = 200, headers: Headers = EVENTS, stream: bool = True) -> ConverseReader:
    path = f"{NOVA}/converse-stream" if stream else f"{NOVA}/converse"
    request = CONVERSE.read_request(_head(path), b"{}")
    return CONVERSE.answer_reader(AnswerHead(status, headers), request)


def _answer(value: object) -> AnswerFacts:
    reader = _reader(headers=JSON, stream=False)
    reader.feed(json.dumps(value).encode())
    return reader.finish()


def _stream(*chunks: bytes) -> AnswerFacts:
    reader = _reader()
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish()


@pytest.mark.parametrize(
    ("method", "path", "claimed"),
    [
        ("POST", f"{NOVA}/converse", True),
        ("POST", f"{NOVA}/converse-stream", True),
        ("POST", f"{NOVA}/converse/", True),
        ("POST", f"/bedrock{NOVA}/converse", True),
        ("POST", f"/model/{ARN}/converse", True),
        ("POST", f"{NOVA}/count-tokens", True),
        ("POST", "/guardrail/g1/version/DRAFT/apply", True),
        ("POST", "/guardrail-checks/invoke", True),
        ("GET", f"{NOVA}/converse", False),
        ("POST", f"{NOVA}/invoke", False),
        ("POST", "/model//converse", False),
        ("POST", "/model/converse", False),
        ("POST", "/converse", False),
        ("GET", "/async-invoke", False),
    ],
)
def test_what_belongs_to_the_api_is_claimed(method: str, path: str, claimed: bool) -> None:
    assert CONVERSE.claims(_head(path, method)) is claimed


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (
            f"{NOVA}/converse",
            b"{}",
            CallRequest(
                "chat", "us.amazon.nova-lite-v1:0", priced_model="us.amazon.nova-lite-v1:0"
            ),
        ),
        (
            f"{NOVA}/converse-stream",
            b'{"inferenceConfig":{"temperature":0}}',
            CallRequest(
                "chat",
                "us.amazon.nova-lite-v1:0",
                stream=True,
                samples=False,
                priced_model="us.amazon.nova-lite-v1:0",
            ),
        ),
        (
            "/model/m/converse",
            b"[]",
            CallRequest("chat", "m", priced_model="m", problem="request body is no JSON object"),
        ),
        (
            f"{NOVA}/count-tokens",
            b"{}",
            CallRequest(
                "count_tokens",
                "us.amazon.nova-lite-v1:0",
                states_usage=False,
                samples=False,
                priced_model="us.amazon.nova-lite-v1:0",
            ),
        ),
        (
            "/guardrail/g1/version/1/apply",
            b"{}",
            CallRequest("guardrail", states_usage=False, samples=False),
        ),
    ],
    ids=["message", "stream", "body unread", "token count", "guardrail"],
)
def test_a_request_is_read_from_its_path(path: str, body: bytes, expected: CallRequest) -> None:
    read = CONVERSE.read_request(_head(path), body)
    assert read == expected


@pytest.mark.parametrize(
    ("arn", "priced"),
    [
        (ARN, "eu.anthropic.claude-sonnet-4-v1:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-8b-v1:0", "meta.llama3-8b-v1:0"),
        ("arn:aws-us-gov:bedrock:us-gov-west-1:0:application-inference-profile/mi1d", ""),
        ("arn:aws:bedrock:us-east-1:0:prompt-router/r", ""),
        ("arn:aws:bedrock:us-east-1:0:default-prompt-router/anthropic.claude:1", ""),
        ("arn:aws:bedrock:us-east-1:0:prompt/ABCDEFGHIJ:1", ""),
        ("arn:aws:bedrock:us-east-1:0:provisioned-model/abc", "provisioned-model"),
        ("arn:aws:bedrock:us-east-1:0:imported-model/abc", "imported-model"),
        ("arn:aws:bedrock:us-east-1:0:custom-model/amazon.nova-lite-v1:0/a", "custom-model"),
        ("arn:aws:sagemaker:us-east-1:0:endpoint/e", "endpoint"),
        ("arn:", ""),
    ],
)
@pytest.mark.parametrize("quote", [True, False], ids=["quoted", "unquoted"])
def test_an_arn_is_requested_whole_and_priced_by_what_it_names(
    arn: str, priced: str, quote: bool
) -> None:
    name = arn.replace(":", "%3A").replace("/", "%2F") if quote else arn
    request = CONVERSE.read_request(_head(f"/model/{name}/converse"), b"{}")
    assert request.model == arn
    assert request.priced_model == priced


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (USAGE, Usage(input_tokens=5, output_tokens=7)),
        (
            {**USAGE, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20},
            Usage(input_tokens=125, output_tokens=7, cache_read_tokens=100, cache_write_tokens=20),
        ),
        (
            {**USAGE, "cacheReadInputTokenCount": 100, "cacheReadInputTokens": 0},
            Usage(input_tokens=5, output_tokens=7, cache_read_tokens=0),
        ),
        (
            {
                **USAGE,
                "cacheWriteInputTokens": 30,
                "cacheDetails": [
                    {"ttl": "5m", "inputTokens": 10},
                    {"ttl": "1h", "inputTokens": 20},
                    "?",
                ],
            },
            Usage(
                input_tokens=35,
                output_tokens=7,
                cache_write_tokens=30,
                cache_write_1h_tokens=20,
            ),
        ),
        ({"inputTokens": 5}, Usage(input_tokens=5)),
        ({"outputTokens": 7.0}, Usage(output_tokens=7)),
    ],
    ids=["plain", "cached", "doubled names", "kept for an hour", "input alone", "a float"],
)
def test_input_is_all_of_the_prompt_with_what_was_cached(
    usage: Mapping[str, Any], expected: Usage
) -> None:
    assert _answer({"stopReason": "end_turn", "usage": usage}).usage == expected
    assert _stream(START, aws_event("metadata", {"usage": usage})).usage == expected


def test_a_whole_answer_states_tools_reason_and_tier() -> None:
    content = [
        {"text": "Let me see"},
        {"toolUse": {"name": "code", "toolUseId": "1", "type": "server_tool_use", "input": {}}},
        {"toolResult": {"toolUseId": "1", "content": []}},
        {"toolUse": {"name": "weather", "toolUseId": "2", "input": {"name": "x"}}},
        None,
    ]
    facts = _answer(
        {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": "tool_use",
            "usage": USAGE,
            "serviceTier": {"type": "flex"},
        }
    )
    assert facts.finish_reason == "tool_use"
    assert facts.tool_names == ("code", "weather")
    assert facts.service_tier == "flex"
    assert facts.completeness is Completeness.WHOLE
    assert facts.error is None


@pytest.mark.parametrize(
    ("tier", "latency", "expected"),
    [
        ("priority", None, "priority"),
        ("default", None, "default"),
        (None, "standard", ""),
        (None, "optimized", "optimized"),
        ("default", "optimized", "optimized"),
        ("flex", "optimized", "flex"),
        (None, None, ""),
    ],
)
def test_the_tier_is_the_one_that_is_billed(
    tier: str | None, latency: str | None, expected: str
) -> None:
    metadata = {"usage": USAGE, "serviceTier": {"type": tier}}
    if latency:
        metadata["performanceConfig"] = {"latency": latency}
    assert _answer(metadata).service_tier == expected
    assert _stream(aws_event("metadata", metadata)).service_tier == expected


def test_the_model_that_a_router_chose_is_the_response_model() -> None:
    chosen = "arn:aws:bedrock:us-east-1:0:inference-profile/us.anthropic.claude-3-haiku-v1:0"
    trace = {"promptRouter": {"invokedModelId": chosen}}
    facts = _answer({"usage": USAGE, "trace": trace})
    assert facts.model == "us.anthropic.claude-3-haiku-v1:0"
    assert _stream(aws_event("metadata", {"trace": trace})).model == facts.model


def test_a_stream_is_read_event_by_event() -> None:
    reader = _reader()
    tool = {"toolUse": {"name": "weather", "toolUseId": "t"}}
    assert not reader.feed(START)
    assert reader.feed(aws_event("contentBlockStart", {"start": tool, "contentBlockIndex": 0}))
    reader.feed(_delta({"toolUse": {"input": '{"city":'}}) + STOP)
    assert not reader.ended
    reader.feed(METADATA)
    assert reader.ended
    assert reader.finish() == AnswerFacts(
        finish_reason="end_turn",
        tool_names=("weather",),
        usage=Usage(input_tokens=5, output_tokens=7),
        completeness=Completeness.WHOLE,
    )


@pytest.mark.parametrize(
    ("delta", "says"),
    [
        ({"text": "Hi"}, True),
        ({"text": ""}, False),
        ({"reasoningContent": {"text": "Hm"}}, True),
        ({"reasoningContent": {"text": ""}}, False),
        ({"reasoningContent": {"signature": "abc"}}, True),
        ({"reasoningContent": {"redactedContent": "abc"}}, True),
        ({"citation": {"title": "A page"}}, True),
        ({"image": {"source": {"bytes": "AAAA"}}}, True),
        ({"toolResult": [{"text": "4"}]}, True),
        ({"toolUse": {"input": ""}}, False),
        ({}, False),
        (None, False),
    ],
    ids=str,
)
def test_the_first_real_output_is_told_from_empty_deltas(delta: Any, says: bool) -> None:
    assert _reader().feed(START + _delta(delta)) is says


@pytest.mark.parametrize("body", [[START], [START, _delta({"text": "Hello"})], [START, STOP]])
def test_a_stream_without_its_last_event_was_cut(body: list[bytes]) -> None:
    facts = _stream(*body)
    assert facts.completeness is Completeness.CUT
    assert facts.usage is None
    assert facts.usage_problem == "answer was cut before it stated usage"


def test_what_was_seen_of_a_cut_stream_is_estimated() -> None:
    facts = _stream(START, _delta({"text": "a" * 42}), _delta({"reasoningContent": {"text": "bb"}}))
    assert 9 <= facts.output_tokens_estimate <= 12
    assert _stream(START, _delta({"text": "a" * 42}), METADATA).output_tokens_estimate == 0


@pytest.mark.parametrize("left", [1, 11, 30], ids=str)
def test_a_stream_with_a_torn_message_behind_its_last_event_was_cut(left: int) -> None:
    reader = _reader()
    reader.feed(START + METADATA + STOP[:left])
    assert not reader.ended
    facts = reader.finish()
    assert facts.completeness is Completeness.CUT
    assert facts.usage == Usage(input_tokens=5, output_tokens=7)


def test_a_damaged_message_makes_a_stream_no_whole_one() -> None:
    damaged = STOP[:-1] + bytes([STOP[-1] ^ 1])
    facts = _stream(START + damaged + METADATA)
    assert facts.completeness is Completeness.CUT
    assert facts.usage == Usage(input_tokens=5, output_tokens=7)
    unread = _stream(START + METADATA[:-1] + b"\0")
    assert "1 events were damaged" in unread.usage_problem


def test_a_message_too_large_is_told_where_it_hides_the_usage() -> None:
    large = aws_event("metadata", {"usage": USAGE, "trace": "x" * 5_000_000})
    facts = _stream(START + large)
    assert facts.usage_problem == "1 events were too large to be read"


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (
            aws_exception("throttlingException", "Too many tokens"),
            CallError("throttlingException", "Too many tokens"),
        ),
        (
            aws_exception("modelStreamErrorException", ""),
            CallError("modelStreamErrorException", ""),
        ),
        (
            aws_message(
                {":message-type": "error", ":error-code": "InternalError", ":error-message": "why"}
            ),
            CallError("InternalError", "why"),
        ),
        (
            aws_message(
                {":message-type": "exception", ":exception-type": "validationException"}, b"?"
            ),
            CallError("validationException", ""),
        ),
        (aws_message({":message-type": "exception"}), CallError("provider_error", "")),
    ],
    ids=["exception", "no message", "error", "payload unread", "unnamed"],
)
def test_an_exception_in_a_stream_is_its_error(frame: bytes, error: CallError) -> None:
    facts = _stream(START + _delta({"text": "Hi"}) + frame)
    assert facts.error == error
    assert facts.completeness is Completeness.CUT
    assert facts.usage_problem == ""


@pytest.mark.parametrize(
    ("header", "body", "error"),
    [
        (
            b"ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/",
            b'{"message":"The provided model identifier is invalid."}',
            CallError("ValidationException", "The provided model identifier is invalid."),
        ),
        (
            b"AccessDeniedException",
            b'{"Message":"Not you."}',
            CallError("AccessDeniedException", "Not you."),
        ),
        (
            b"",
            b'{"__type":"com.amazon.coral.service#ThrottlingException","message":"Slow down"}',
            CallError("ThrottlingException", "Slow down"),
        ),
        (b"", b'{"message":"Forbidden"}', CallError("provider_error", "Forbidden")),
        (b"ServiceUnavailableException", b"", CallError("ServiceUnavailableException", "")),
        (b"InternalFailure", b"<html>", CallError("InternalFailure", "")),
        (b"", b"<html>", None),
    ],
    ids=[
        "address behind",
        "capital M",
        "namespace in front",
        "no name",
        "empty",
        "no JSON",
        "page",
    ],
)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
def test_a_failed_answer_states_its_error(
    header: bytes, body: bytes, error: CallError | None, stream: bool
) -> None:
    headers = [*JSON, (b"x-amzn-ErrorType", header)] if header else JSON
    reader = _reader(status=400, headers=headers, stream=stream)
    assert not reader.feed(body)
    facts = reader.finish()
    assert facts.error == error
    assert facts.usage is None
    assert facts.usage_problem == ""
    assert not reader.ended


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            {"stopReason": "end_turn", "output": {}},
            "searched usage for inputTokens, outputTokens; found stopReason, output",
        ),
        (
            {"usage": {"totalTokens": 12, "inputTokens": -1}},
            "searched usage for inputTokens, outputTokens; "
            "found usage; in usage: totalTokens, inputTokens",
        ),
        ({"usage": 7}, "searched usage for inputTokens, outputTokens; found usage"),
    ],
    ids=["no usage", "no figures", "no object"],
)
def test_missing_usage_is_never_a_silent_zero(value: object, problem: str) -> None:
    facts = _answer(value)
    assert facts.usage is None
    assert facts.usage_problem == problem


def test_an_answer_that_is_no_stream_though_asked_for_one_is_read() -> None:
    reader = _reader(headers=JSON)
    reader.feed(json.dumps({"stopReason": "end_turn", "usage": USAGE}).encode())
    assert reader.finish().usage == Usage(input_tokens=5, output_tokens=7)
    page = _reader(headers=[(b"content-type", b"text/html")])
    page.feed(b"<html><body>Not here</body></html>")
    assert "damaged" in page.finish().usage_problem


def test_a_token_count_is_nobodys_usage() -> None:
    request = CONVERSE.read_request(_head(f"{NOVA}/count-tokens"), b"{}")
    reader = CONVERSE.answer_reader(AnswerHead(200, JSON), request)
    assert reader.feed(b'{"inputTokens": 42}')
    facts = reader.finish()
    assert (facts.usage, facts.usage_problem) == (None, "")
    assert facts.completeness is Completeness.WHOLE


def test_an_endless_stream_takes_bounded_memory() -> None:
    reader = _reader()
    name = {"toolUse": {"name": "n" * 100, "toolUseId": "t"}}
    piece = aws_event("contentBlockStart", {"start": name}) + _delta({"text": "x" * 500})
    for _ in range(300):
        reader.feed(piece)
    tracemalloc.start()
    try:
        for _ in range(5000):
            reader.feed(piece)
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()
    assert len(reader.finish().tool_names) == 256


names = st.sampled_from(
    [
        "cacheDetails", "contentBlockIndex", "delta", "inputTokens", "input", "invokedModelId",
        "latency", "message", "content", "name", "output", "outputTokens", "performanceConfig",
        "promptRouter", "reasoningContent", "serviceTier", "start", "stopReason", "text",
        "toolUse", "trace", "ttl", "type", "usage",
    ]
)  # fmt: skip
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("1h")
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(names, values, max_size=6)
events = st.sampled_from(
    ["messageStart", "contentBlockStart", "contentBlockDelta", "messageStop", "metadata", "other"]
)
pieces = (
    st.builds(aws_event, events, objects)
    | objects.map(lambda value: json.dumps(value).encode())
    | st.just(aws_exception("throttlingException", "why"))
    | st.binary(max_size=20)
)
bodies = st.lists(pieces, max_size=5).map(b"".join)


@settings(deadline=None)
@given(
    body=bodies,
    status=st.sampled_from([200, 400]),
    headers=st.sampled_from([JSON, EVENTS]),
    stream=st.booleans(),
    cuts=st.lists(st.integers(0, 500), max_size=4),
)
def test_any_answer_states_the_same_wherever_it_is_cut(
    body: bytes, status: int, headers: Headers, stream: bool, cuts: list[int]
) -> None:
    def read(chunks: Iterable[bytes]) -> tuple[bool, bool, AnswerFacts]:
        reader = _reader(status=status, headers=headers, stream=stream)
        has_output = False
        for chunk in chunks:
            has_output = reader.feed(chunk)
        return has_output, reader.ended, reader.finish()

    whole = read([body])
    assert read(body[i : i + 1] for i in range(len(body))) == whole
    at = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    assert read(body[a:b] for a, b in pairwise(at)) == whole


@given(path=st.text(), body=objects.map(lambda o: json.dumps(o).encode()) | st.binary())
def test_any_request_is_taken(path: str, body: bytes) -> None:
    for taken in (path, f"/model/{path}/converse", f"{path}/model/x/converse-stream"):
        head = _head(taken)
        CONVERSE.claims(head)
        CONVERSE.read_request(head, body)
