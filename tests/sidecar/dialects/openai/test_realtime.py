"""Conversations of the Realtime API and of the Responses API over WebSocket, event by event."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import (
    CallRequest,
    Completeness,
    Conversation,
    ConversationDialect,
    Turn,
)
from remora_sidecar.dialects.openai.conversation_requests import MAX_NOTES, MAX_WAITING
from remora_sidecar.dialects.openai.realtime import OpenAIRealtime
from remora_sidecar.dialects.openai.realtime_audio import AudioMeter, bytes_per_second
from remora_sidecar.dialects.openai.realtime_conversation import MAX_RESPONSES
from remora_sidecar.dialects.openai.responses_conversation import MAX_LANES
from remora_sidecar.dialects.openai.responses_websocket import OpenAIResponsesWebSocket
from remora_sidecar.dialects.registry import UNKNOWN, dialect_for
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import Refusal

REALTIME = OpenAIRealtime()
RESPONSES = OpenAIResponsesWebSocket()
NAMES = ("openai-chat", "openai-responses", "openai-realtime")
UPGRADE = [(b"Connection", b"Upgrade"), (b"Upgrade", b"WebSocket")]
AGENT, PROVIDER = "agent", "provider"


def _head(target: str, method: str = "GET", headers: Any = UPGRADE) -> RequestHead:
    path, _, query = target.partition("?")
    return RequestHead(method, "api.openai.com", path, query, headers)


# calls


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("/v1/realtime?model=gpt-realtime", "gpt-realtime"),
        ("/v1/realtime?intent=transcription", ""),
        ("/v1/realtime?call_id=rtc_1", ""),
        ("/v1/realtime/?model=a%20b&model=c", "a b"),
        ("/v1/realtime/translations?model=gpt-realtime-translate", "gpt-realtime-translate"),
        ("/openai/realtime?api-version=2025-04-01-preview&deployment=mine", "mine"),
        ("/openai/v1/realtime?model=mine", "mine"),
        ("/v1/realtime?" + "a=1&" * 1000, ""),
        ("/v1/realtime?model=%FF", "�"),
    ],
)
def test_websockets_to_realtime_are_claimed_and_their_model_read(target, model):
    head = _head(target)
    assert dialect_for(NAMES, head).name == "openai-realtime"
    request = REALTIME.read_request(head, b"")
    assert (request.operation, request.model, request.problem) == ("realtime", model, "")
    assert not request.states_usage


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/v1/realtime/client_secrets", b'{"session":{"model":"m"}}', "m"),
        ("/v1/realtime/sessions", b'{"model":"m"}', "m"),
        ("/v1/realtime/transcription_sessions", b"{}", ""),
        ("/v1/realtime/translations/client_secrets", b'{"session":{"model":"m"}}', "m"),
        ("/v1/realtime/calls", b"v=0\r\no=- 1", ""),
        ("/v1/realtime/calls?model=m", b"v=0", "m"),
        ("/v1/realtime/calls/rtc_1/accept", b'{"type":"realtime","model":"m"}', "m"),
        ("/v1/realtime/calls/rtc_1/hangup", b"", ""),
        ("/openai/v1/realtime/client_secrets", b"{", ""),
        ("/v1/realtime?model=m", b"v=0", "m"),
    ],
)
def test_what_is_asked_around_a_conversation_is_claimed_and_states_no_usage(path, body, model):
    head = _head(path, "POST", [])
    assert dialect_for(NAMES, head).name == "openai-realtime"
    request = REALTIME.read_request(head, body)
    assert request == CallRequest("realtime", model=model, states_usage=False)


@pytest.mark.parametrize(
    "head",
    [
        _head("/v1/realtime", "GET", []),
        _head("/v1/realtimes", "POST", []),
        _head("/v1/chat/completions"),
        _head("/v1/realtime", "PUT"),
    ],
    ids=["no upgrade", "another path", "another WebSocket", "another method"],
)
def test_other_calls_are_not_claimed(head):
    assert not REALTIME.claims(head)
    assert not RESPONSES.claims(head)


def test_a_websocket_to_responses_is_a_conversation_and_a_post_is_not():
    assert isinstance(dialect_for(NAMES, _head("/v1/responses")), OpenAIResponsesWebSocket)
    assert isinstance(dialect_for(NAMES, _head("/v1/responses")), ConversationDialect)
    assert not isinstance(dialect_for(NAMES, _head("/v1/responses", "POST")), ConversationDialect)
    assert dialect_for(["openai-chat"], _head("/v1/responses")) is UNKNOWN


@pytest.mark.parametrize("dialect", [REALTIME, RESPONSES], ids=["realtime", "responses"])
def test_a_refused_handshake_states_its_error(dialect):
    head = AnswerHead(401, [(b"content-type", b"application/json")])
    reader = dialect.answer_reader(head, dialect.read_request(_head("/v1/realtime"), b""))
    reader.feed(b'{"error":{"type":"invalid_request_error","message":"no key"}}')
    assert reader.finish().error == CallError("invalid_request_error", "no key")


@pytest.mark.parametrize("dialect", [REALTIME, RESPONSES], ids=["realtime", "responses"])
def test_refusals_are_worded_as_openai_does(dialect):
    answer = dialect.refuse(
        Refusal(403, "permission_error", "MODEL_DENIED", "not this one"), "call"
    )
    assert json.loads(answer.body)["error"]["code"] == "MODEL_DENIED"


# conversations


def _talk(conversation: Conversation, *said: Any, start: float = 0.0) -> list[Turn]:
    """Hold a conversation, a message a second; a message without its side is the provider's."""
    turns: list[Turn] = []
    for second, one in enumerate(said):
        side, message = one if isinstance(one, tuple) else (PROVIDER, one)
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        take = conversation.from_agent if side is AGENT else conversation.from_provider
        turns += take(data, start + second)
    return turns


def _realtime(model: str = "gpt-realtime", kept_bytes: int = 0) -> Conversation:
    return REALTIME.conversation(CallRequest("realtime", model=model), kept_bytes)


def _responses(kept_bytes: int = 0) -> Conversation:
    return RESPONSES.conversation(RESPONSES.read_request(_head("/v1/responses"), b""), kept_bytes)


def _session(model: str = "served", **members: Any) -> dict[str, Any]:
    return {"type": "session.created", "session": {"id": "sess_1", "model": model, **members}}


def _create(**members: Any) -> tuple[str, dict[str, Any]]:
    return AGENT, {"type": "response.create", **members}


def _created(response_id: str = "r1") -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": response_id, "status": "in_progress"}}


def _delta(kind: str, delta: Any = "hello", response_id: str = "r1") -> dict[str, Any]:
    return {"type": kind, "response_id": response_id, "delta": delta}


def _done(response_id: str = "r1", **members: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 5}
    response = {"id": response_id, "status": "completed", "usage": usage, **members}
    return {"type": "response.done", "response": response}


def test_a_response_is_timed_from_its_asking_to_its_end():
    (turn,) = _talk(
        _realtime(),
        _session(),
        (AGENT, {"type": "conversation.item.create"}),
        _create(),
        _created(),
        {"type": "response.output_item.added", "response_id": "r1", "item": {"type": "message"}},
        _delta("response.output_text.delta", ""),
        _delta("response.output_text.delta"),
        _done(),
    )
    assert (turn.started_s, turn.first_output_s) == (2, 6)
    assert turn.request == CallRequest("chat", model="gpt-realtime", stream=True)
    facts = turn.facts
    assert (facts.model, facts.response_id, facts.finish_reason) == ("served", "r1", "completed")
    assert facts.usage == Usage(10, 5)
    assert (facts.completeness, facts.error) == (Completeness.WHOLE, None)


@pytest.mark.parametrize(
    "kind",
    [
        "response.output_text.delta", "response.output_audio.delta",
        "response.output_audio_transcript.delta", "response.function_call_arguments.delta",
        "response.mcp_call_arguments.delta", "response.text.delta", "response.audio.delta",
        "response.audio_transcript.delta",
    ],
)  # fmt: skip
def test_the_first_delta_is_the_first_output_by_the_names_of_beta_and_release(kind):
    (turn,) = _talk(_realtime(), _created(), _delta(kind), _done())
    assert turn.first_output_s == 1


def test_a_response_that_the_provider_began_by_itself_starts_there():
    (turn,) = _talk(_realtime(), _session(), _created(), _done())
    assert (turn.started_s, turn.asked, turn.request_bytes) == (1, b"", 0)


def test_responses_side_by_side_are_told_apart():
    turns = _talk(
        _realtime(),
        _create(),
        _create(),
        _created("a"),
        _created("b"),
        _delta("response.text.delta", response_id="b"),
        _done("b"),
        _done("a", usage={"input_tokens": 1, "output_tokens": 2}),
    )
    assert [turn.facts.response_id for turn in turns] == ["b", "a"]
    assert [turn.started_s for turn in turns] == [1, 0]
    assert [turn.first_output_s for turn in turns] == [4, None]
    assert turns[1].facts.usage == Usage(1, 2)


@pytest.mark.parametrize(
    ("members", "reason", "error", "usage_problem"),
    [
        ({}, "completed", None, False),
        ({"usage": None}, "completed", None, True),
        ({"status": "cancelled", "usage": None,
          "status_details": {"type": "cancelled", "reason": "turn_detected"}},
         "turn_detected", None, False),
        ({"status": "incomplete", "status_details": {"reason": "max_output_tokens"}},
         "max_output_tokens", None, False),
        ({"status": "failed", "usage": None, "status_details": {
            "type": "failed", "error": {"type": "server_error", "code": "x", "message": "sorry"}}},
         "failed", CallError("server_error", "sorry"), False),
        ({"status": "failed", "status_details": None}, "failed",
         CallError("response_failed", "the response failed; the provider did not say why"), False),
        ({"status": 7, "status_details": [1], "usage": 3, "output": {}}, "", None, False),
    ],
    ids=["completed", "no usage", "interrupted", "cut off", "failed", "unexplained", "nonsense"],
)  # fmt: skip
def test_how_a_response_ended_is_told(members, reason, error, usage_problem):
    (turn,) = _talk(_realtime(), _created(), _done(**members))
    assert (turn.facts.finish_reason, turn.facts.error) == (reason, error)
    assert bool(turn.facts.usage_problem) is usage_problem


def test_usage_is_read_with_all_that_it_details():
    usage = {
        "total_tokens": 300, "input_tokens": 200, "output_tokens": 100,
        "input_token_details": {
            "text_tokens": 100, "audio_tokens": 60, "image_tokens": 40, "cached_tokens": 64,
            "cached_tokens_details": {"text_tokens": 32, "audio_tokens": 32}},
        "output_token_details": {"text_tokens": 20, "audio_tokens": 80},
    }  # fmt: skip
    (turn,) = _talk(_realtime(), _created(), _done(usage=usage))
    stated = turn.facts.usage
    assert stated is not None
    assert (stated.input_tokens, stated.output_tokens, stated.cache_read_tokens) == (200, 100, 64)
    assert (stated.input_audio_tokens, stated.output_audio_tokens) == (60, 80)
    assert stated.input_image_tokens == 40
    assert (stated.cache_read_audio_tokens, stated.cache_read_image_tokens) == (32, None)


def test_tools_are_named_once_whether_the_response_came_to_its_end_or_not():
    call = {"id": "i1", "type": "function_call", "call_id": "c1", "name": "get_weather"}
    mcp = {"id": "i2", "type": "mcp_call", "name": "search"}
    added = {"type": "response.output_item.added", "response_id": "r1", "item": call}
    conversation = _realtime()
    (turn,) = _talk(conversation, _created(), added, _done(output=[call, mcp, {"type": "message"}]))
    assert turn.facts.tool_names == ("get_weather", "search")
    _talk(conversation, _created(), added)
    assert conversation.finish()[0].facts.tool_names == ("get_weather",)


def test_the_model_follows_the_session():
    turns = _talk(
        _realtime(""),
        (AGENT, {"type": "session.update", "session": {"type": "realtime", "model": "asked"}}),
        _session("served-1"),
        _create(),
        _created("a"),
        _done("a"),
        {"type": "session.updated", "session": {"model": "served-2"}},
        _created("b"),
        _done("b"),
    )
    assert [turn.request.model for turn in turns] == ["asked", "asked"]
    assert [turn.facts.model for turn in turns] == ["served-1", "served-2"]


def test_what_is_under_way_at_the_end_is_given_with_an_estimate():
    conversation = _realtime()
    said = [_session(), _create(), _create(event_id="later"), _created()]
    said += [_delta("response.output_text.delta", "four words, or so")]
    said += [_delta("response.output_audio.delta", "A" * 64_000)]
    assert _talk(conversation, *said) == []
    cut, unanswered = conversation.finish()
    assert cut.facts.completeness is unanswered.facts.completeness is Completeness.CUT
    assert (cut.facts.response_id, unanswered.facts.response_id) == ("r1", "")
    assert cut.facts.output_tokens_estimate == 4 + 20  # a second of 24 kHz PCM
    assert unanswered.started_s == 2
    assert cut.facts.usage is None


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ({}, 48_000),
        ({"audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}}}}, 48_000),
        ({"audio": {"output": {"format": {"type": "audio/pcmu"}}}}, 8_000),
        ({"output_audio_format": "pcm16"}, 48_000),
        ({"output_audio_format": "g711_alaw"}, 8_000),
        ({"output_audio_format": 1, "audio": {"output": {"format": {"rate": 0}}}}, 48_000),
    ],
)
def test_how_much_audio_a_second_is_depends_on_its_format(session, expected):
    assert bytes_per_second(session) == expected
    meter = AudioMeter(expected)
    meter.add("A" * (expected * 4 // 3))
    assert meter.tokens == 20


def _error(event_id: str | None = None, **members: Any) -> dict[str, Any]:
    stated = {"type": "invalid_request_error", "message": "no", "event_id": event_id, **members}
    return {"type": "error", "error": stated}


REFUSED = CallError("invalid_request_error", "no")


def test_an_error_that_names_a_request_is_its_answer():
    conversation = _realtime()
    turns = _talk(conversation, _create(event_id="a"), _create(event_id="b"), _error("b"))
    assert [(turn.started_s, turn.facts.error) for turn in turns] == [(1, REFUSED)]
    assert turns[0].facts.completeness is Completeness.WHOLE
    (left,) = conversation.finish()
    assert (left.started_s, left.facts.error) == (0, None)


def test_an_error_that_can_only_be_the_answer_to_a_request_is():
    code = "conversation_already_has_active_response"
    turns = _talk(_realtime(), _created(), _create(), _error(code=code), _done())
    assert [turn.facts.error for turn in turns] == [REFUSED, None]


def test_an_error_that_names_nothing_is_a_requests_if_nothing_else_answers_it():
    conversation = _realtime()
    turns = _talk(conversation, _create(), _error(), _create(), _created(), _done())
    assert [(turn.started_s, turn.facts.error) for turn in turns] == [(0, REFUSED), (2, None)]
    assert conversation.finish() == []
    _talk(conversation, _create(), _error())
    assert conversation.finish()[0].facts.error == REFUSED


def test_an_error_of_something_else_is_noted():
    (turn,) = _talk(_realtime(), _create(), _error("of another event"), _created(), _done())
    assert turn.facts.error is None
    assert "invalid_request_error: no" in turn.notes[0]
    (turn,) = _talk(_realtime(), _create(), _error(), _created(), _done())
    assert (turn.started_s, turn.facts.error, len(turn.notes)) == (0, None, 1)


def test_messages_are_kept_up_to_what_is_asked_and_counted_whole():
    (turn,) = _talk(_realtime(kept_bytes=20), _create(), _created(), _delta("x.delta"), _done())
    assert turn.asked == json.dumps(_create()[1]).encode()[:20]
    assert turn.answered == json.dumps(_done()).encode()[:20]
    assert turn.request_bytes == len(json.dumps(_create()[1]))
    said = (_created(), _delta("x.delta"), _done())
    assert turn.response_bytes == sum(len(json.dumps(event)) for event in said)


TRANSCRIPTION = "conversation.item.input_audio_transcription."
BY = {"audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}


def _transcribed(kind: str = "completed", **members: Any) -> dict[str, Any]:
    return {"type": TRANSCRIPTION + kind, "item_id": "item_1", "content_index": 0, **members}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"type": "tokens", "input_tokens": 17, "output_tokens": 4, "total_tokens": 21,
             "input_token_details": {"text_tokens": 3, "audio_tokens": 14}},
            Usage(17, 4, input_audio_tokens=14),
        ),
        ({"type": "duration", "seconds": 3.5}, Usage(input_audio_seconds=3.5)),
        (None, None),
    ],
    ids=["tokens", "seconds", "none"],
)  # fmt: skip
def test_a_transcription_is_a_turn_of_its_own(usage, expected):
    (turn,) = _talk(
        _realtime(),
        _session(**BY),
        {"type": "input_audio_buffer.committed", "item_id": "item_1"},
        _transcribed("delta", delta="Is"),
        _transcribed(usage=usage, transcript="Is it?"),
    )
    assert turn.request == CallRequest("transcription", model="gpt-4o-transcribe", stream=True)
    assert (turn.started_s, turn.first_output_s) == (1, 2)
    assert (turn.facts.response_id, turn.facts.usage) == ("item_1", expected)
    assert bool(turn.facts.usage_problem) is (expected is None)


@pytest.mark.parametrize(
    "session",
    [BY, {"input_audio_transcription": {"model": "gpt-4o-transcribe"}}],
    ids=["release", "beta"],
)
def test_the_transcribing_model_is_the_sessions(session):
    update = (AGENT, {"type": "transcription_session.update", "session": session})
    for told in (update, {"type": "transcription_session.created", "session": session}):
        (turn,) = _talk(_realtime(), told, _transcribed(usage={"type": "duration", "seconds": 1}))
        assert turn.facts.model == "gpt-4o-transcribe"


def test_a_failed_transcription_tells_why():
    failed = _transcribed("failed", error={"type": "transcription_error", "message": "noise"})
    (turn,) = _talk(_realtime(), failed)
    assert turn.facts.error == CallError("transcription_error", "noise")
    assert (turn.first_output_s, turn.facts.usage_problem) == (None, "")


def test_speech_is_given_at_the_end_only_if_its_transcription_had_begun():
    conversation = _realtime()
    commit = {"type": "input_audio_buffer.committed"}
    _talk(conversation, {**commit, "item_id": "item_0"}, {**commit, "item_id": "item_1"})
    _talk(conversation, _transcribed("delta", delta="Is it raining"))
    (turn,) = conversation.finish()
    assert (turn.facts.response_id, turn.facts.completeness) == ("item_1", Completeness.CUT)
    assert turn.facts.output_tokens_estimate == 3


def test_what_is_under_way_is_bounded():
    conversation = _realtime()
    turns = _talk(conversation, *(_created(f"r{n}") for n in range(MAX_RESPONSES + 5)))
    assert [turn.facts.response_id for turn in turns] == [f"r{n}" for n in range(5)]
    turns = _talk(conversation, *(_create() for _ in range(MAX_WAITING + 5)))
    assert len(turns) == 5
    _talk(conversation, *(_transcribed("delta", item_id=f"i{n}", delta="x") for n in range(999)))
    _talk(conversation, *(_error("x", message=str(n)) for n in range(999)))
    notes = conversation.take_notes()
    assert len(notes) == MAX_NOTES
    assert len(conversation.finish()) < 600


# the Responses API


def _event(kind: str, response_id: str = "", lane: str = "", **members: Any) -> dict[str, Any]:
    response = {"response": {"id": response_id, "model": "served", **members}}
    event = {"type": kind, "sequence_number": 1, **(response if response_id else members)}
    return {**event, "stream_id": lane} if lane else event


COMPLETED = {"status": "completed", "usage": {"input_tokens": 36, "output_tokens": 87}}


def test_each_response_on_a_connection_is_a_turn():
    turns = _talk(
        _responses(),
        _create(model="gpt-5", input="hi", store=False),
        _event("response.created", "r1", status="in_progress"),
        _event("response.output_text.delta", delta="Hello"),
        _event("response.completed", "r1", **COMPLETED),
        _create(model="gpt-5-mini", previous_response_id="r1"),
        _event("response.created", "r2", status="in_progress"),
        _event("response.incomplete", "r2", status="incomplete", usage=COMPLETED["usage"],
               incomplete_details={"reason": "max_output_tokens"}),
    )  # fmt: skip
    assert [turn.request.model for turn in turns] == ["gpt-5", "gpt-5-mini"]
    assert [turn.facts.response_id for turn in turns] == ["r1", "r2"]
    assert [turn.facts.finish_reason for turn in turns] == ["completed", "max_output_tokens"]
    assert [(turn.started_s, turn.first_output_s) for turn in turns] == [(0, 2), (4, None)]
    assert all(turn.facts.usage == Usage(36, 87) for turn in turns)
    assert turns[0].facts.completeness is Completeness.WHOLE


def test_lanes_go_side_by_side_and_each_in_order():
    turns = _talk(
        _responses(),
        _create(model="a", stream_id="one"),
        _create(model="b", stream_id="two"),
        _create(model="c", stream_id="one"),
        _event("response.created", "ra", "one"),
        _event("response.created", "rb", "two"),
        _event("response.completed", "rb", "two", **COMPLETED),
        _event("response.completed", "ra", "one", **COMPLETED),
        _event("response.created", "rc", "one"),
        _event("response.completed", "rc", "one", **COMPLETED),
    )
    told = [(turn.request.model, turn.facts.response_id, turn.started_s) for turn in turns]
    assert told == [("b", "rb", 1), ("a", "ra", 0), ("c", "rc", 2)]


def test_a_response_that_only_makes_ready_owes_no_usage():
    (turn,) = _talk(
        _responses(),
        _create(model="m", generate=False),
        _event("response.created", "r1"),
        _event("response.completed", "r1", status="completed", usage=None),
    )
    assert not turn.request.states_usage
    assert turn.facts.usage_problem == ""


def test_a_whole_response_without_usage_is_a_problem():
    said = _create(model="m"), _event("response.completed", "r1", status="completed")
    (turn,) = _talk(_responses(), *said)
    assert "input_tokens" in turn.facts.usage_problem


def test_a_response_that_follows_by_itself_is_asked_as_the_one_before():
    turns = _talk(
        _responses(),
        _create(model="m"),
        _event("response.created", "r1"),
        (AGENT, {"type": "response.steer", "previous_response_id": "r1", "input": "more"}),
        {"type": "response.steer.accepted", "steer": {"id": "s1"}},
        _event("response.incomplete", "r1", usage=COMPLETED["usage"],
               incomplete_details={"reason": "steered"}),
        _event("response.created", "r2"),
        _event("response.completed", "r2", **COMPLETED),
    )  # fmt: skip
    assert [turn.facts.finish_reason for turn in turns] == ["steered", "completed"]
    assert [(turn.request.model, turn.started_s) for turn in turns] == [("m", 0), ("m", 5)]


def test_a_refused_request_is_a_turn():
    refusal = {"type": "error", "status": 400, "error": {
        "type": "invalid_request_error", "code": "previous_response_not_found",
        "message": "no"}}  # fmt: skip
    conversation = _responses()
    (turn,) = _talk(conversation, _create(model="m"), refusal)
    assert (turn.facts.error, turn.facts.completeness) == (REFUSED, Completeness.WHOLE)
    assert _talk(conversation, refusal) == []
    assert "invalid_request_error: no" in conversation.take_notes()[0]


def test_a_response_that_failed_tells_why_once():
    error = {"type": "error", "sequence_number": 3, "error": {"type": "server_error",
             "message": "sorry"}}  # fmt: skip
    conversation = _responses()
    begun = _create(model="m"), _event("response.created", "r1")
    assert _talk(conversation, *begun, error) == []
    (turn,) = _talk(conversation, _event("response.failed", "r1", status="failed"))
    assert turn.facts.error == CallError("server_error", "sorry")
    # Where nothing more comes of it, the next response or the end brings it out.
    (turn,) = _talk(conversation, *begun, error, _create(model="m"), _event(
        "response.created", "r2"))  # fmt: skip
    assert (turn.facts.response_id, turn.facts.error) == ("r1", CallError("server_error", "sorry"))
    _talk(conversation, error)
    (turn,) = conversation.finish()
    assert (turn.facts.response_id, turn.facts.completeness) == ("r2", Completeness.WHOLE)


def test_responses_under_way_at_the_end_are_given():
    conversation = _responses()
    said = [_create(model="m"), _event("response.created", "r1")]
    _talk(conversation, *said, _event("response.output_text.delta", delta="x" * 40), _create())
    cut, waiting = conversation.finish()
    assert cut.facts.completeness is waiting.facts.completeness is Completeness.CUT
    assert (cut.facts.output_tokens_estimate, waiting.request.model) == (10, "m")


def test_lanes_are_bounded():
    conversation = _responses()
    created = (_event("response.created", f"r{n}", f"lane {n}") for n in range(MAX_LANES + 3))
    turns = _talk(conversation, *created)
    assert [turn.facts.response_id for turn in turns] == ["r0", "r1", "r2"]
    assert len(conversation.finish()) == MAX_LANES


# anything


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "error", "usage", "status", "output", "session", "model", "type", "item",
                 "response", "status_details", "input_tokens", "audio", "format", "name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=4,
)  # fmt: skip
KINDS = st.sampled_from(
    [
        "response.create", "response.created", "response.done", "response.completed", "error",
        "response.output_item.added", "response.text.delta", "session.created", "session.update",
        "input_audio_buffer.committed", TRANSCRIPTION + "delta", TRANSCRIPTION + "completed",
        TRANSCRIPTION + "failed", "response.failed",
    ]
) | st.text(max_size=5)  # fmt: skip
EVENTS = st.fixed_dictionaries(
    {"type": KINDS | VALUES},
    optional={
        name: VALUES | st.sampled_from(["r1", "r2"])
        for name in (
            "response", "response_id", "item_id", "delta", "error", "event_id", "session", "item",
            "usage", "stream_id", "sequence_number",
        )
    },
)  # fmt: skip
MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([AGENT, PROVIDER]),
        EVENTS.map(lambda event: json.dumps(event).encode()) | st.binary(max_size=20),
    ),
    max_size=8,
)


@pytest.mark.parametrize("begin", [_realtime, _responses], ids=["realtime", "responses"])
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=MESSAGES)
def test_no_messages_raise(begin, said: Iterable[Any]):
    conversation = begin(kept_bytes=10)
    turns = [*_talk(conversation, *said), *conversation.finish()]
    assert all(turn.request.operation in ("chat", "transcription") for turn in turns)
    assert all(len(turn.asked) <= 10 and len(turn.answered) <= 10 for turn in turns)
    assert conversation.finish() == [] or begin is _realtime
    conversation.take_notes()
    assert conversation.facts.completeness is Completeness.UNKNOWN


@given(st.text(), st.text(), st.binary(max_size=50))
def test_any_request_is_taken(path: str, query: str, body: bytes):
    for dialect in (REALTIME, RESPONSES):
        head = RequestHead("GET", "api.openai.com", path, query, UPGRADE)
        dialect.claims(head)
        dialect.read_request(head, b"{" + body)
