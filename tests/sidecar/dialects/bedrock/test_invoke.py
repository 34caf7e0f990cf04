import json
import tracemalloc
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.records import CallError, Usage
from remora.testing.aws_events import aws_chunk, aws_event, aws_exception
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.bedrock.invoke import BedrockInvoke, InvokeReader
from remora_sidecar.model.exchange import AnswerHead, Headers, RequestHead

INVOKE = BedrockInvoke()
JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"application/vnd.amazon.eventstream")]
COUNTED = [
    *JSON,
    (b"X-Amzn-Bedrock-Input-Token-Count", b"11"),
    (b"X-Amzn-Bedrock-Output-Token-Count", b"22"),
]
METRICS = {
    "amazon-bedrock-invocationMetrics": {
        "inputTokenCount": 11,
        "outputTokenCount": 22,
        "invocationLatency": 9,
    }
}
INTERVENED = {"amazon-bedrock-guardrailAction": "INTERVENED"}


def _head(path: str, method: str = "POST") -> RequestHead:
    return RequestHead(method, "bedrock-runtime.us-east-1.amazonaws.com", path, "", [])


def _request(model: str = "m", asked: object = None, *, stream: bool = False) -> CallRequest:
    action = "invoke-with-response-stream" if stream else "invoke"
    body = json.dumps({"prompt": "Hi"} if asked is None else asked).encode()
    return INVOKE.read_request(_head(f"/model/{model}/{action}"), body)


def _reader(
    *, status: int = 200, headers: Headers = EVENTS, stream: bool = True, model: str = "m"
) -> InvokeReader:
    return INVOKE.answer_reader(AnswerHead(status, headers), _request(model, stream=stream))


def _answer(value: object, headers: Headers = JSON, model: str = "m") -> AnswerFacts:
    reader = _reader(headers=headers, stream=False, model=model)
    assert reader.feed(json.dumps(value).encode())
    return reader.finish()


def _stream(*chunks: Mapping[str, Any]) -> AnswerFacts:
    reader = _reader()
    for chunk in chunks:
        reader.feed(aws_chunk(chunk))
    return reader.finish()


@pytest.mark.parametrize(
    ("method", "path", "claimed"),
    [
        ("POST", "/model/a.b-v1%3A0/invoke", True),
        ("POST", "/model/a.b-v1:0/invoke-with-response-stream", True),
        ("POST", "/model/arn:aws:bedrock:us-east-1:0:inference-profile/us.a.b/invoke/", True),
        ("POST", "/async-invoke", True),
        ("GET", "/async-invoke", True),
        ("GET", "/async-invoke/arn%3Aaws%3Abedrock%3Ax", True),
        ("GET", "/model/m/invoke", False),
        ("POST", "/model/m/converse", False),
        ("POST", "/model/m/invoke-with-bidirectional-stream", False),
        ("POST", "/guardrail-checks/invoke", False),
        ("DELETE", "/async-invoke/x", False),
    ],
)
def test_invocations_are_claimed(method: str, path: str, claimed: bool) -> None:
    assert INVOKE.claims(_head(path, method)) is claimed


@pytest.mark.parametrize(
    ("model", "asked", "operation"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", {"messages": []}, "chat"),
        ("anthropic.claude-v2", {"prompt": "Human: Hi"}, "text_completion"),
        ("amazon.titan-text-lite-v1", {"inputText": "Hi"}, "text_completion"),
        ("cohere.command-r-v1:0", {"message": "Hi", "documents": [], "query": ""}, "chat"),
        ("meta.llama3-8b-instruct-v1:0", {"prompt": "Hi"}, "text_completion"),
        ("twelvelabs.pegasus-1-2-v1:0", {"inputPrompt": "What?"}, "text_completion"),
        ("amazon.titan-embed-text-v2:0", {"inputText": "Hi"}, "embeddings"),
        ("us.cohere.embed-v4:0", {"texts": ["Hi"]}, "embeddings"),
        ("twelvelabs.marengo-embed-2-7-v1:0", {"inputText": "Hi"}, "embeddings"),
        ("amazon.nova-2-multimodal-embeddings-v1:0", {"taskType": "X"}, "embeddings"),
        ("cohere.rerank-v3-5:0", {"query": "q", "documents": []}, "rerank"),
        ("amazon.rerank-v1:0", {}, "rerank"),
        ("us.stability.stable-image-inpaint-v1:0", {"prompt": "A cat"}, "image_generation"),
        ("amazon.nova-canvas-v1:0", {"taskType": "TEXT_IMAGE"}, "image_generation"),
        ("amazon.titan-image-generator-v2:0", {}, "image_generation"),
        ("profile", {"inputText": "Hi", "normalize": True}, "embeddings"),
        ("profile", {"texts": [], "input_type": "search_query"}, "embeddings"),
        ("profile", {"taskType": "S", "singleEmbeddingParams": {}}, "embeddings"),
        ("profile", {"taskType": "TEXT_IMAGE", "textToImageParams": {}}, "image_generation"),
        ("profile", {"text_prompts": []}, "image_generation"),
        ("profile", {"query": "q", "documents": []}, "rerank"),
        ("profile", {"messages": []}, "chat"),
        ("profile", {}, "chat"),
        ("profile", [], "chat"),
    ],
)
def test_the_operation_is_told_by_the_model_or_else_by_the_body(
    model: str, asked: object, operation: str
) -> None:
    assert _request(model, asked).operation == operation


@pytest.mark.parametrize(
    ("model", "states_usage"),
    [
        ("amazon.titan-embed-text-v1", True),
        ("meta.llama3-8b-instruct-v1:0", True),
        ("stability.sd3-5-large-v1:0", False),
        ("cohere.rerank-v3-5:0", False),
        ("twelvelabs.marengo-embed-2-7-v1:0", False),
    ],
)
def test_what_is_not_billed_by_the_token_states_none(model: str, states_usage: bool) -> None:
    assert _request(model).states_usage is states_usage


@pytest.mark.parametrize(
    ("asked", "samples"),
    [
        ({"prompt": "x"}, True),
        ({"prompt": "x", "temperature": 0}, False),
        ({"prompt": "x", "temperature": 0.5}, True),
        ({"inputText": "x", "textGenerationConfig": {"temperature": 0}}, False),
        ({"messages": [], "inferenceConfig": {"temperature": 0.0}}, False),
        ({"prompt": "x", "seed": 7}, False),
        ({"prompt": "x", "temperature": 0, "num_generations": 2}, True),
        ({"prompt": "x", "temperature": 0, "numResults": 2}, True),
        ({"texts": ["x"]}, False),
        ({"query": "q", "documents": []}, False),
        ({"text_prompts": []}, True),
    ],
)
def test_only_an_explicit_temperature_of_0_or_a_seed_promises_the_same_again(
    asked: object, samples: bool
) -> None:
    assert _request("profile", asked).samples is samples


def test_a_request_names_its_model_and_stream_mode_in_the_path() -> None:
    path = "/model/us.meta.llama3-1-8b-instruct-v1%3A0/invoke-with-response-stream"
    assert INVOKE.read_request(_head(path), b"") == CallRequest(
        "chat",
        "us.meta.llama3-1-8b-instruct-v1:0",
        stream=True,
        problem="request has no body",
        priced_model="us.meta.llama3-1-8b-instruct-v1:0",
    )


def test_an_asynchronous_invocation_is_recorded_without_usage() -> None:
    body = b'{"modelId":"amazon.nova-reel-v1:0","modelInput":{},"outputDataConfig":{}}'
    started = INVOKE.read_request(_head("/async-invoke"), body)
    assert started == CallRequest("async_invoke", "amazon.nova-reel-v1:0", states_usage=False)
    listed = INVOKE.read_request(_head("/async-invoke", "GET"), b"")
    assert listed == CallRequest("async_invoke", states_usage=False)
    reader = INVOKE.answer_reader(AnswerHead(200, JSON), listed)
    reader.feed(b'{"asyncInvokeSummaries":[]}')
    assert reader.finish() == AnswerFacts(completeness=Completeness.WHOLE)


ANTHROPIC = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-3-haiku-20240307",
    "content": [{"type": "tool_use", "name": "weather", "id": "t", "input": {}}],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 100,
              "cache_creation_input_tokens": 20},
}  # fmt: skip
NOVA = {
    "output": {"message": {"role": "assistant", "content": [{"toolUse": {"name": "weather"}}]}},
    "stopReason": "tool_use",
    "usage": {"inputTokens": 3, "outputTokens": 5, "cacheReadInputTokenCount": 100},
}
OPENAI = {
    "id": "chatcmpl-1", "object": "chat.completion", "model": "openai.gpt-oss-20b-1:0",
    "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"tool_calls": [
        {"id": "1", "function": {"name": "weather", "arguments": "{}"}}]}}],
    "usage": {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35,
              "completion_tokens_details": {"reasoning_tokens": 2}},
    "service_tier": "default",
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "usage", "reason", "tools"),
    [
        (ANTHROPIC, Usage(123, 5, 100, 20), "tool_use", ("weather",)),
        (NOVA, Usage(103, 5, 100), "tool_use", ("weather",)),
        (OPENAI, Usage(30, 5, reasoning_tokens=2), "tool_calls", ("weather",)),
        (
            {
                "inputTextTokenCount": 7.0,
                "results": [
                    {"tokenCount": 5, "outputText": "a", "completionReason": "FINISH"},
                    {"tokenCount": 6, "outputText": "b", "completionReason": "LENGTH"},
                ],
            },
            Usage(7, 11),
            "FINISH",
            (),
        ),
        (
            {
                "generation": "Hi",
                "prompt_token_count": 7,
                "generation_token_count": 0,
                "stop_reason": "stop",
            },
            Usage(7, 0),
            "stop",
            (),
        ),
        ({"outputs": [{"text": "Hi", "stop_reason": "length"}]}, Usage(11, 22), "length", ()),
        (
            {"choices": [{"index": 0, "message": {"content": ""}, "stop_reason": "stop"}]},
            Usage(11, 22),
            "stop",
            (),
        ),
        (
            {"generations": [{"id": "g", "text": "Hi", "finish_reason": "COMPLETE"}]},
            Usage(11, 22),
            "COMPLETE",
            (),
        ),
        (
            {"response_id": "r", "text": "", "tool_calls": [{"name": "weather", "parameters": {}}]},
            Usage(11, 22),
            "",
            ("weather",),
        ),
        (
            {"id": 1234, "completions": [{"finishReason": {"reason": "endoftext"}}]},
            Usage(11, 22),
            "endoftext",
            (),
        ),
        (
            {"type": "completion", "completion": "Hi", "stop_reason": "stop_sequence"},
            Usage(11, 22),
            "stop_sequence",
            (),
        ),
        ({"message": "A cat", "finishReason": "stop"}, Usage(11, 22), "stop", ()),
        ({"embedding": [0.1], "inputTextTokenCount": 4}, Usage(4, 22), "", ()),
        ({"embeddings": [[0.1]], "id": "e"}, Usage(11, 22), "", ()),
        ({**NOVA, "usage": {"inputTokens": 3}}, Usage(3, 22), "tool_use", ("weather",)),
        ({**ANTHROPIC, "usage": {}}, Usage(11, 22), "tool_use", ("weather",)),
    ],
    ids=[
        "Claude", "Nova", "OpenAI", "Titan", "Llama", "Mistral", "Mistral's chat", "Command",
        "Command R", "Jurassic", "Claude 2", "Pegasus", "Titan embeddings", "Cohere embeddings",
        "Nova with gaps", "Claude without usage",
    ],
)  # fmt: skip
def test_the_vendors_own_usage_counts_and_what_bedrock_counted_fills_its_gaps(
    value: object, usage: Usage, reason: str, tools: tuple[str, ...]
) -> None:
    facts = _answer(value, COUNTED)
    assert facts.usage == usage
    assert facts.finish_reason == reason
    assert facts.tool_names == tools
    assert facts.completeness is Completeness.WHOLE
    assert facts.error is None


def test_headers_leave_out_what_was_cached_so_that_it_is_added() -> None:
    headers = [
        *COUNTED,
        (b"x-amzn-bedrock-cache-read-input-token-count", b"100"),
        (b"x-amzn-bedrock-cache-write-input-token-count", b"20"),
    ]
    assert _answer({"outputs": []}, headers).usage == Usage(131, 22, 100, 20)


@pytest.mark.parametrize(("cached", "usage"), [(b"0", Usage(3, 5)), (b"100", Usage(103, 5, 100))])
def test_a_vendor_that_states_all_but_what_was_cached_is_believed(
    cached: bytes, usage: Usage
) -> None:
    headers = [*COUNTED, (b"x-amzn-bedrock-cache-read-input-token-count", cached)]
    value = {"output": {}, "usage": {"inputTokens": 3, "outputTokens": 5}}
    assert _answer(value, headers).usage == usage


@pytest.mark.parametrize("stated", [b"", b"x", b"-1", b"\xb2", b"1" * 5000, b" 7 "])
def test_a_header_that_is_no_number_states_nothing(stated: bytes) -> None:
    headers = [(b"x-amzn-bedrock-input-token-count", stated)]
    usage = _answer({"outputs": []}, headers).usage
    assert usage == (Usage(7) if stated == b" 7 " else None)


def test_the_tier_of_a_call_is_told_by_headers_or_the_vendor() -> None:
    assert _answer(OPENAI).service_tier == "default"
    flex = [*JSON, (b"X-Amzn-Bedrock-Service-Tier", b"flex")]
    assert _answer(OPENAI, flex).service_tier == "flex"
    fast = [*JSON, (b"X-Amzn-Bedrock-PerformanceConfig-Latency", b"optimized")]
    assert _answer(ANTHROPIC, fast).service_tier == "optimized"


def test_missing_usage_names_what_was_searched_and_found() -> None:
    facts = _answer({"outputs": [], "x": 1})
    assert facts.usage is None
    assert facts.usage_problem.endswith("found outputs, x")
    assert "amazon-bedrock-invocationMetrics" in facts.usage_problem
    assert _answer({"images": ["x"]}, model="stability.sd3-large-v1:0").usage_problem == ""


def test_an_error_that_a_successful_answer_states_is_its_error() -> None:
    facts = _answer({"images": None, "error": "Blocked"}, model="amazon.nova-canvas-v1:0")
    assert facts.error == CallError("provider_error", "Blocked")


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
def test_a_failed_answer_states_its_error(stream: bool) -> None:
    headers = [*COUNTED, (b"x-amzn-ErrorType", b"ThrottlingException:http://internal/")]
    reader = _reader(status=429, headers=headers, stream=stream)
    assert not reader.feed(b'{"message":"Too many requests"}')
    assert reader.finish() == AnswerFacts(
        error=CallError("ThrottlingException", "Too many requests"),
        completeness=Completeness.WHOLE,
    )


TITAN_STREAM = [
    {"outputText": "Hello", "index": 0, "inputTextTokenCount": 11},
    {
        "outputText": " you",
        "index": 0,
        "totalOutputTextTokenCount": 22,
        "completionReason": "FINISH",
        **METRICS,
    },
]
LLAMA_STREAM = [
    {
        "generation": "Hi",
        "prompt_token_count": 11,
        "generation_token_count": 1,
        "stop_reason": None,
    },
    {
        "generation": "",
        "prompt_token_count": None,
        "generation_token_count": 22,
        "stop_reason": "stop",
        **METRICS,
    },
]
MISTRAL_STREAM = [
    {"outputs": [{"text": "Hi", "stop_reason": None}]},
    {"outputs": [{"text": "", "stop_reason": "stop"}], **METRICS},
]
OPENAI_STREAM = [
    {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant"}}]},
    {"choices": [{"index": 0, "delta": {"reasoning": "Hm"}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [
        {"index": 0, "id": "1", "function": {"name": "weather", "arguments": "{}"}}]}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 22}, **METRICS},
]  # fmt: skip
COHERE_STREAM = [
    {"is_finished": False, "event_type": "stream-start", "generation_id": "g"},
    {"is_finished": False, "event_type": "text-generation", "text": "Hi"},
    {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE", "response": {
        "text": "Hi", "finish_reason": "COMPLETE"}, **METRICS},
]  # fmt: skip
CLAUDE_2_STREAM = [
    {"type": "completion", "completion": "Hi", "stop_reason": None, "stop": None},
    {"type": "completion", "completion": "", "stop_reason": "stop_sequence", **METRICS},
]
ANTHROPIC_STREAM = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "claude-3", "type": "message",
     "content": [], "usage": {"input_tokens": 11, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 22}},
    {"type": "message_stop", **METRICS},
]  # fmt: skip
NOVA_STREAM = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0}},
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 11, "outputTokens": 22}}, **METRICS},
]
STREAMS = {
    "Titan": (TITAN_STREAM, "FINISH", 0),
    "Llama": (LLAMA_STREAM, "stop", 0),
    "Mistral": (MISTRAL_STREAM, "stop", 0),
    "OpenAI": (OPENAI_STREAM, "stop", 1),
    "Command R": (COHERE_STREAM, "COMPLETE", 1),
    "Claude 2": (CLAUDE_2_STREAM, "stop_sequence", 0),
    "Claude": (ANTHROPIC_STREAM, "end_turn", 2),
    "Nova": (NOVA_STREAM, "end_turn", 1),
}


@pytest.mark.parametrize(("chunks", "reason", "output_at"), STREAMS.values(), ids=STREAMS)
def test_the_stream_of_each_vendor_is_read_to_its_end_and_judged_cut_before_it(
    chunks: list[dict[str, Any]], reason: str, output_at: int
) -> None:
    reader = _reader()
    for number, chunk in enumerate(chunks):
        assert not reader.ended
        assert _stream(*chunks[:number]).completeness is Completeness.CUT
        assert reader.feed(aws_chunk(chunk)) is (number >= output_at), number
    assert reader.ended
    facts = reader.finish()
    assert facts.usage == Usage(11, 22)
    assert facts.finish_reason == reason
    assert facts.completeness is Completeness.WHOLE
    assert facts.tool_names == (("weather",) if chunks is OPENAI_STREAM else ())


@pytest.mark.parametrize(
    "chunks", [ANTHROPIC_STREAM, NOVA_STREAM], ids=["message_stop", "metadata"]
)
def test_a_vendors_own_last_event_ends_a_stream_without_metrics(
    chunks: list[dict[str, Any]],
) -> None:
    bare = [{name: chunk[name] for name in chunk if name not in METRICS} for chunk in chunks]
    facts = _stream(*bare)
    assert facts.completeness is Completeness.WHOLE
    assert facts.usage == Usage(11, 22)


BLOCKED: dict[str, dict[str, Any]] = {
    "Titan": {"outputText": "No", "totalOutputTextTokenCount": 22.0, "inputTextTokenCount": 11.0},
    "Llama": {"generation": "No", "prompt_token_count": 11, "generation_token_count": 22},
    "Claude": {"type": "message", "content": [], "usage": {"input_tokens": 11, "output_tokens": 22},
               "stop_reason": "guardrail_intervened"},
    "Nova": {"output": {"message": {"content": [{"text": "No"}]}},
             "usage": {"inputTokens": 11, "outputTokens": 22}},
}  # fmt: skip


@pytest.mark.parametrize("chunk", BLOCKED.values(), ids=BLOCKED)
def test_an_answer_of_a_guardrail_in_one_chunk_is_whole(chunk: dict[str, Any]) -> None:
    facts = _stream({**chunk, **INTERVENED})
    assert facts.completeness is Completeness.WHOLE
    assert facts.finish_reason == "guardrail_intervened"
    assert facts.usage == Usage(11, 22)


@pytest.mark.parametrize(("chunks", "reason", "output_at"), STREAMS.values(), ids=STREAMS)
def test_chunks_that_a_guardrail_changed_do_not_end_a_stream(
    chunks: list[dict[str, Any]], reason: str, output_at: int
) -> None:
    changed = [{**chunk, **INTERVENED} for chunk in chunks]
    for end in range(len(chunks)):
        assert _stream(*changed[:end]).completeness is Completeness.CUT
    facts = _stream(*changed)
    assert facts.completeness is Completeness.WHOLE
    assert facts.finish_reason == reason


def test_an_exception_in_a_stream_is_its_error() -> None:
    reader = _reader()
    reader.feed(aws_chunk(LLAMA_STREAM[0]) + aws_exception("modelTimeoutException", "Too slow"))
    facts = reader.finish()
    assert facts.error == CallError("modelTimeoutException", "Too slow")
    assert facts.completeness is Completeness.CUT
    assert facts.usage_problem == ""
    assert not reader.ended


def test_what_was_seen_of_a_cut_stream_is_estimated() -> None:
    chunk = {"outputs": [{"text": "a" * 400, "stop_reason": None}]}
    facts = _stream(chunk)
    assert facts.usage_problem == "answer was cut before it stated usage"
    assert 80 <= facts.output_tokens_estimate <= 120
    claude = _stream(*ANTHROPIC_STREAM[:3])
    assert claude.usage is not None
    assert claude.usage.estimated


@pytest.mark.parametrize(
    "event",
    [{}, {"bytes": 7}, {"bytes": "?"}, {"bytes": "é"}, {"bytes": "WzFd"}, {"bytes": "e30="}],
    ids=["nothing", "a number", "no base64", "no ASCII", "no object", "an empty object"],
)
def test_a_chunk_that_can_not_be_read_is_passed_over(event: Mapping[str, Any]) -> None:
    reader = _reader()
    assert not reader.feed(aws_event("chunk", event))
    reader.feed(b"".join(map(aws_chunk, MISTRAL_STREAM)))
    assert reader.finish().usage == Usage(11, 22)


def test_metrics_alone_are_enough() -> None:
    facts = _stream(METRICS)
    assert facts.usage == Usage(11, 22)
    assert facts.completeness is Completeness.WHOLE


def test_embeddings_larger_than_any_limit_are_read() -> None:
    reader = _reader(headers=JSON, stream=False, model="amazon.titan-embed-text-v2:0")
    row = b"[" + b"0.123456789," * 100_000 + b"0]"
    tracemalloc.start()
    try:
        reader.feed(b'{"embeddings":[')
        for _ in range(40):
            reader.feed(row + b",")
        reader.feed(b'[]],"inputTextTokenCount":5}')
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    assert reader.finish().usage == Usage(5)


def test_an_endless_stream_takes_bounded_memory() -> None:
    reader = _reader()
    piece = b"".join(map(aws_chunk, OPENAI_STREAM[:3]))
    for _ in range(400):
        reader.feed(piece)
    tracemalloc.start()
    try:
        for _ in range(3000):
            reader.feed(piece)
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()


names = st.sampled_from(
    [
        "amazon-bedrock-guardrailAction", "amazon-bedrock-invocationMetrics", "choices",
        "completion", "completionReason", "content", "contentBlockDelta", "delta", "error",
        "finish_reason", "function", "generation", "generation_token_count", "generations", "id",
        "index", "inputTextTokenCount", "inputTokenCount", "message", "metadata", "model", "name",
        "output", "outputTokenCount", "outputs", "prompt_token_count", "prompt_tokens", "reason",
        "results", "stop_reason", "text", "tokenCount", "tool_calls", "type", "usage",
    ]
)  # fmt: skip
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["INTERVENED", "message", "message_stop", "message_start"])
)  # fmt: skip
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(names, values, max_size=6)
pieces = (
    objects.map(aws_chunk)
    | objects.map(lambda value: json.dumps(value).encode())
    | st.builds(aws_event, st.just("chunk"), objects)
    | st.just(aws_exception("throttlingException", "why"))
    | st.binary(max_size=20)
)
bodies = st.lists(pieces, max_size=5).map(b"".join)


@settings(deadline=None)
@given(
    body=bodies,
    status=st.sampled_from([200, 400]),
    headers=st.sampled_from([JSON, EVENTS, COUNTED]),
    stream=st.booleans(),
    model=st.sampled_from(["m", "amazon.titan-embed-text-v1"]),
    cuts=st.lists(st.integers(0, 800), max_size=4),
)
def test_any_answer_states_the_same_wherever_it_is_cut(
    body: bytes, status: int, headers: Headers, stream: bool, model: str, cuts: list[int]
) -> None:
    def read(chunks: Iterable[bytes]) -> tuple[bool, bool, AnswerFacts]:
        reader = _reader(status=status, headers=headers, stream=stream, model=model)
        has_output = False
        for chunk in chunks:
            has_output = reader.feed(chunk)
        return has_output, reader.ended, reader.finish()

    whole = read([body])
    assert read(body[i : i + 1] for i in range(len(body))) == whole
    at = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    assert read(body[a:b] for a, b in pairwise(at)) == whole


@given(
    path=st.text(),
    method=st.sampled_from(["GET", "POST"]),
    body=objects.map(lambda value: json.dumps(value).encode()) | st.binary(),
)
def test_any_request_is_taken(path: str, method: str, body: bytes) -> None:
    for taken in (path, f"/model/{path}/invoke", f"{path}/async-invoke"):
        INVOKE.claims(_head(taken, method))
        INVOKE.read_request(_head(taken, method), body)
