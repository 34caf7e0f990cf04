import json
from typing import Any

import pytest
from google import genai
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from remora.records import CallError, Usage
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer, RandomCuts
from remora_sidecar.dialects.base import AnswerFacts, AnswerReader, CallRequest, Completeness
from remora_sidecar.dialects.gemini.generate import GeminiGenerate
from remora_sidecar.dialects.gemini.interactions import BACKGROUND, INTERACTION
from remora_sidecar.model.exchange import AnswerHead, RequestHead

GEMINI = GeminiGenerate()
PATH = "/v1beta/interactions"
VERTEX = "/v1beta1/projects/p/locations/global/interactions"
USAGE = {
    "total_input_tokens": 10,
    "total_output_tokens": 4,
    "total_thought_tokens": 2,
    "total_cached_tokens": 3,
    "total_tool_use_tokens": 5,
    "total_tokens": 21,
}
DONE = {
    "id": "v1_1",
    "object": "interaction",
    "model": "gemini-3-flash-preview",
    "status": "completed",
    "service_tier": "flex",
    "usage": USAGE,
}
STATED = Usage(15, 6, 3, reasoning_tokens=2)
SAID = {"event_type": "step.delta", "index": 1, "delta": {"type": "text", "text": "Hello there"}}
CALL = {"type": "function_call", "id": "c", "name": "read", "arguments": {}}


def _event(kind: str, **more: Any) -> dict[str, Any]:
    return {"event_type": kind, **more}


CREATED = _event(
    "interaction.created",
    interaction={"id": "v1_1", "status": "in_progress", "model": "gemini-3-flash-preview"},
)
COMPLETED = _event("interaction.completed", interaction=DONE)
STREAM = [
    CREATED,
    _event("interaction.status_update", interaction_id="v1_1", status="in_progress"),
    _event("step.start", index=0, step={"type": "thought"}),
    _event("step.stop", index=0),
    _event("step.start", index=1, step={"type": "model_output"}),
    SAID,
    _event("step.stop", index=1),
    _event("step.start", index=2, step=CALL),
    _event("step.stop", index=2),
    COMPLETED,
]


def _sse(*events: dict[str, Any], done: bool = True) -> bytes:
    lines = [f"event: {e.get('event_type')}\ndata: {json.dumps(e)}\n\n" for e in events]
    return "".join([*lines, "event: done\ndata: [DONE]\n\n" if done else ""]).encode()


def _head(path: str = PATH, method: str = "POST", query: str = "") -> RequestHead:
    return RequestHead(method, "generativelanguage.googleapis.com", path, query, [])


def _reader(variant: str = INTERACTION, *, stream: bool = False, status: int = 200) -> AnswerReader:
    request = CallRequest("generate_content", "m", stream=stream, variant=variant)
    kind = b"text/event-stream" if stream else b"application/json"
    return GEMINI.answer_reader(AnswerHead(status, [(b"content-type", kind)]), request)


def _read(body: object, *args: Any, **how: Any) -> AnswerFacts:
    reader = _reader(*args, **how)
    reader.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
    return reader.finish()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", PATH, CallRequest("generate_content", "m", variant=INTERACTION)),
        ("POST", VERTEX, CallRequest("generate_content", "m", variant=INTERACTION)),
        ("GET", f"{PATH}/v1_1", CallRequest("interactions.retrieve", variant=INTERACTION,
                                            reads_back=True)),
        ("POST", f"{PATH}/v1_1/cancel", CallRequest("interactions.cancel", states_usage=False,
                                                    variant=INTERACTION, reads_back=True)),
        ("DELETE", f"{PATH}/v1_1", CallRequest("interactions.delete", states_usage=False,
                                               variant=INTERACTION)),
    ],
)  # fmt: skip
def test_what_is_done_with_interactions_is_claimed_and_read(
    method: str, path: str, expected: CallRequest
) -> None:
    assert GEMINI.claims(_head(path, method))
    assert (
        GEMINI.read_request(_head(path, method), b'{"model":"models/m","input":"Hi"}') == expected
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", PATH), ("POST", f"{PATH}/v1_1"), ("PUT", PATH), ("POST", "/interactions")],
)
def test_other_calls_are_not_claimed(method: str, path: str) -> None:
    assert not GEMINI.claims(_head(path, method))


@pytest.mark.parametrize(
    ("asked", "changes"),
    [
        ({"model": "m", "stream": True}, {"stream": True}),
        ({"agent": "deep-research", "background": True},
         {"model": "deep-research", "variant": BACKGROUND}),
        ({"model": "m", "generation_config": {"temperature": 0}}, {"samples": False}),
        ([], {"model": "", "problem": "request body is no JSON object"}),
    ],
)  # fmt: skip
def test_requests_are_read(asked: object, changes: dict[str, Any]) -> None:
    usual = {"operation": "generate_content", "model": "m", "variant": INTERACTION}
    expected = CallRequest(**(usual | changes))
    assert GEMINI.read_request(_head(), json.dumps(asked).encode()) == expected


def test_reading_back_may_be_a_stream() -> None:
    head = _head(f"{PATH}/v1_1", "GET", "stream=true&last_event_id=3")
    assert GEMINI.read_request(head, b"").stream


FACTS = AnswerFacts(
    model="gemini-3-flash-preview",
    finish_reason="completed",
    response_id="v1_1",
    tool_names=("read",),
    usage=STATED,
    completeness=Completeness.WHOLE,
    service_tier="flex",
)


@pytest.mark.parametrize("name", ["steps", "outputs"])
def test_an_answer_states_all_of_it(name: str) -> None:
    steps = [{"type": "thought"}, {"type": "model_output"}, CALL]
    assert _read(DONE | {name: steps}) == FACTS


def test_a_stream_states_what_its_end_does_however_it_is_cut() -> None:
    body = _sse(*STREAM)
    assert _read(body, stream=True) == FACTS
    reader = _reader(stream=True)
    for byte in body:
        reader.feed(bytes([byte]))
    assert reader.finish() == FACTS


def test_the_words_of_the_first_revision_are_read() -> None:
    body = _sse(
        _event("interaction.start", interaction={"id": "v1_1", "status": "in_progress"}),
        _event("content.start", index=0, content=CALL),
        _event("content.delta", index=1, delta={"type": "text", "text": "a"}),
        _event("interaction.complete", interaction=DONE),
    )
    assert _read(body, stream=True) == FACTS


def test_the_end_and_the_first_output_are_seen_when_they_come() -> None:
    reader = _reader(stream=True)
    assert not reader.feed(_sse(*STREAM[:5], done=False))
    assert reader.feed(_sse(SAID, done=False))
    assert not reader.ended
    reader.feed(_sse(COMPLETED, done=False))
    assert reader.ended
    signature = _event("step.delta", delta={"type": "thought_signature", "signature": "x"})
    assert not _reader(stream=True).feed(_sse(signature))


def test_a_cut_stream_estimates_its_output() -> None:
    facts = _read(_sse(CREATED, SAID, done=False), stream=True)
    assert facts.completeness is Completeness.CUT
    assert facts.usage_problem == "answer was cut before it stated usage"
    assert facts.output_tokens_estimate > 0
    assert not facts.pending


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_one_made_in_the_background_is_pending(status: str) -> None:
    facts = _read({"id": "v1_1", "status": status}, BACKGROUND)
    assert (facts.pending, facts.in_background, facts.usage_problem) == (True, True, "")
    assert _read({"id": "v1_1", "status": status}).pending
    done = _read(DONE, BACKGROUND)
    assert (done.pending, done.usage) == (False, STATED)


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ({"error": {"code": "not_found", "message": "Gone."}}, {"status": 404}),
        (_sse(CREATED, _event("error", error={"code": "not_found", "message": "Gone."})),
         {"stream": True}),
    ],
)  # fmt: skip
def test_errors_are_read(body: object, how: Any) -> None:
    facts = _read(body, **how)
    assert facts.error == CallError("not_found", "Gone.")
    assert facts.usage_problem == ""


def test_missing_usage_is_told_with_what_was_there() -> None:
    facts = _read({"id": "v1_1", "status": "completed", "usage": {"total_tokens": 3}})
    assert facts.usage_problem.endswith("found id, status, usage; in usage: total_tokens")
    assert _read({"id": "v1_1", "status": "failed"}).usage_problem == ""


def test_searches_and_modalities_are_counted() -> None:
    usage = USAGE | {
        "input_tokens_by_modality": [{"modality": "audio", "tokens": 7}],
        "output_tokens_by_modality": [{"modality": "image", "tokens": 4}],
        "grounding_tool_count": [{"type": "google_search", "count": 2}, {"type": "google_maps"}],
    }
    stated = _read(DONE | {"usage": usage}).usage
    assert stated == Usage(
        15, 6, 3, reasoning_tokens=2, input_audio_tokens=7, output_image_tokens=4, web_searches=2
    )


@pytest.mark.filterwarnings("ignore")  # the SDK says that the API is experimental
async def test_the_official_sdk_reads_the_same_stream() -> None:
    async with ProviderDouble() as double:
        host, port = double.address
        options = types.HttpOptions(base_url=f"http://{host}:{port}")
        client = genai.Client(api_key="x", http_options=options)
        fields = (("content-type", "text/event-stream"),)
        double.script(Answer(200, fields, _sse(*STREAM), cuts=RandomCuts(seed=1)))
        stream = await client.aio.interactions.create(model="m", input="Hi", stream=True)
        events = [event async for event in stream]
        await client.aio.aclose()
    last = events[-1].interaction
    assert (last.id, last.status, last.model) == ("v1_1", "completed", "gemini-3-flash-preview")
    assert last.usage.total_tokens == (STATED.input_tokens or 0) + (STATED.output_tokens or 0)


names = st.sampled_from(
    ["id", "model", "status", "usage", "interaction", "event_type", "step", "steps", "delta"]
)
texts = st.sampled_from(["interaction.completed", "step.start", "step.delta", "error", "completed"])
shapes = st.recursive(
    st.none() | st.integers() | st.text() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)


@given(shapes, st.binary())
def test_no_shape_and_no_bytes_raise(value: Any, junk: bytes) -> None:
    _read(value)
    _read(b"data: " + json.dumps(value).encode() + b"\n\n" + junk, stream=True)
    _read(junk)
