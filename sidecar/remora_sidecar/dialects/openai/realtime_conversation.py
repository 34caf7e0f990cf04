"""A conversation of OpenAI's Realtime API: events of both sides in, turns out.

Several responses may be under way at once; each ends with ``response.done``, which states its
usage. Transcriptions of the user's speech are made by another model, beside the responses, and
are billed apart: turns of their own. Events: platform.openai.com/docs/api-reference/realtime.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness, Turn
from remora_sidecar.dialects.framing.json_values import count, keys_found, member, parse_json, word
from remora_sidecar.dialects.openai.conversation_requests import Asked, Notes, Requests
from remora_sidecar.dialects.openai.realtime_audio import AudioMeter, bytes_per_second
from remora_sidecar.dialects.openai.usage import SEARCHED, read_usage, states_tokens
from remora_sidecar.dialects.provider_error import read_error
from remora_sidecar.dialects.text_meter import TextMeter

MAX_RESPONSES = 64
"""Responses under way at once; the oldest of more is given up."""

MAX_ITEMS = 256
"""Pieces of speech that may still be transcribed."""

MAX_TOOLS = 256

_BUSY = "conversation_already_has_active_response"
"""Code of an error that can only be the answer to a `response.create`."""

_CALLS = ("function_call", "mcp_call")
_AUDIO_DELTAS = ("response.output_audio.delta", "response.audio.delta")
_TRANSCRIPTION = "conversation.item.input_audio_transcription."


@dataclass(slots=True)
class _Response:
    """A response under way."""

    asked: Asked
    response_id: str
    audio: AudioMeter
    text: TextMeter = field(default_factory=TextMeter)
    tools: dict[str, str] = field(default_factory=dict)
    first_output_s: float | None = None
    received_bytes: int = 0

    def take_item(self, item: Mapping[str, Any]) -> None:
        """Note the tool that an output item calls."""
        if item.get("type") in _CALLS and (name := word(item.get("name"))):
            key = word(item.get("id")) or word(item.get("call_id"))
            if key in self.tools or len(self.tools) < MAX_TOOLS:
                self.tools[key] = name


@dataclass(slots=True)
class _Speech:
    """A piece of the user's speech that may be transcribed."""

    started_s: float
    first_output_s: float | None = None
    received_bytes: int = 0
    text: TextMeter = field(default_factory=TextMeter)


class RealtimeConversation:
    """Watches one connection; keeps what is under way, never what was said."""

    def __init__(self, model: str, kept_bytes: int) -> None:
        """Take the model that the handshake named, if it did."""
        self._requested = model
        self._served = ""
        self._session_id = ""
        self._transcribed_by = ""
        self._audio_bytes_per_s = bytes_per_second({})
        self._kept_bytes = kept_bytes
        self._requests = Requests(kept_bytes)
        self._responses: dict[str, _Response] = {}
        self._speech: dict[str, _Speech] = {}
        self._notes = Notes()
        self._takers: Mapping[str, Callable[[Mapping[str, Any], bytes, float], Sequence[Turn]]] = {
            "session.created": self._take_session,
            "session.updated": self._take_session,
            "transcription_session.created": self._take_session,
            "transcription_session.updated": self._take_session,
            "response.created": self._begin,
            "response.output_item.added": self._take_item,
            "response.output_item.done": self._take_item,
            "response.done": self._end,
            "input_audio_buffer.committed": self._commit,
            _TRANSCRIPTION + "delta": self._transcribe,
            _TRANSCRIPTION + "completed": self._transcribed,
            _TRANSCRIPTION + "failed": self._transcribed,
            "error": self._take_error,
        }

    def from_agent(self, message: bytes, now_s: float) -> Sequence[Turn]:
        """Take an event of the agent; none ends a turn, but for what is too much at once."""
        event = parse_json(message)
        if not isinstance(event, dict):
            return ()
        kind = event.get("type")
        if kind == "response.create":
            request = CallRequest("chat", model=self._requested, stream=True)
            overdue = self._requests.add(request, event, message, now_s)
            return [self._unanswered(overdue)] if overdue is not None else ()
        if kind in ("session.update", "transcription_session.update"):
            session = member(event, "session")
            self._requested = word(session.get("model")) or self._requested
            self._take_transcriber(session)
        return ()

    def from_provider(self, message: bytes, now_s: float) -> Sequence[Turn]:
        """Take an event of the provider."""
        event = parse_json(message)
        if not isinstance(event, dict) or type(kind := event.get("type")) is not str:
            self._notes.add("a message of the provider was no event")
            return ()
        response_id = event.get("response_id")
        if type(response_id) is str and (response := self._responses.get(response_id)):
            response.received_bytes += len(message)
            if kind.endswith(".delta"):
                self._take_delta(response, kind, event.get("delta"), now_s)
                return ()
        taker = self._takers.get(kind)
        return taker(event, message, now_s) if taker is not None else ()

    def finish(self) -> Sequence[Turn]:
        """Give what was under way."""
        cut = [self._cut(response) for response in self._responses.values()]
        spoken = [
            self._transcription(item_id, speech, AnswerFacts(completeness=Completeness.CUT))
            for item_id, speech in self._speech.items()
            if speech.first_output_s is not None
        ]
        unanswered = [self._unanswered(asked) for asked in self._requests.take_all()]
        return [*cut, *spoken, *unanswered]

    @property
    def facts(self) -> AnswerFacts:
        """What was said of the session."""
        return AnswerFacts(model=self._served, response_id=self._session_id)

    def take_notes(self) -> tuple[str, ...]:
        """Give the remarks since the last turn."""
        return self._notes.take()

    def _take_session(self, event: Mapping[str, Any], _: bytes, now_s: float) -> Sequence[Turn]:
        session = member(event, "session")
        self._served = word(session.get("model")) or self._served
        self._session_id = word(session.get("id")) or self._session_id
        self._audio_bytes_per_s = bytes_per_second(session)
        self._take_transcriber(session)
        return ()

    def _take_transcriber(self, session: Mapping[str, Any]) -> None:
        released = member(member(member(session, "audio"), "input"), "transcription")
        beta = member(session, "input_audio_transcription")
        model = word(released.get("model")) or word(beta.get("model"))
        self._transcribed_by = model or self._transcribed_by

    def _begin(self, event: Mapping[str, Any], message: bytes, now_s: float) -> Sequence[Turn]:
        response_id = word(member(event, "response").get("id"))
        if response_id in self._responses:
            return ()
        asked, refused = self._requests.next()
        if asked is None:  # by the provider itself, as it heard the end of speech
            asked = Asked(CallRequest("chat", model=self._requested, stream=True), now_s)
        elif asked.error is not None:  # it was another's
            self._note_error(asked.error)
        turns = [self._unanswered(one) for one in refused]
        if len(self._responses) >= MAX_RESPONSES:
            oldest = self._responses.pop(next(iter(self._responses)))
            self._notes.add(f"more than {MAX_RESPONSES} responses were under way at once")
            turns.append(self._cut(oldest))
        self._responses[response_id] = _Response(
            asked, response_id, AudioMeter(self._audio_bytes_per_s), received_bytes=len(message)
        )
        return turns

    def _take_delta(self, response: _Response, kind: str, delta: object, now_s: float) -> None:
        if not delta or type(delta) is not str:
            return
        if response.first_output_s is None:
            response.first_output_s = now_s
        (response.audio if kind in _AUDIO_DELTAS else response.text).add(delta)

    def _take_item(self, event: Mapping[str, Any], _: bytes, now_s: float) -> Sequence[Turn]:
        response = self._responses.get(word(event.get("response_id")))
        if response is not None:
            response.take_item(member(event, "item"))
        return ()

    def _end(self, event: Mapping[str, Any], message: bytes, now_s: float) -> Sequence[Turn]:
        stated = member(event, "response")
        response_id = word(stated.get("id"))
        response = self._responses.pop(response_id, None)
        if response is None:  # begun before anybody watched
            asked = Asked(CallRequest("chat", model=self._requested, stream=True), now_s)
            response = _Response(asked, response_id, AudioMeter(self._audio_bytes_per_s))
        response.received_bytes += len(message)
        output = stated.get("output")
        for item in output if isinstance(output, list) else ():
            if isinstance(item, dict):
                response.take_item(item)
        facts = self._stated_facts(response, stated)
        return [self._turn(response, facts, message[: self._kept_bytes])]

    def _stated_facts(self, response: _Response, stated: Mapping[str, Any]) -> AnswerFacts:
        details = member(stated, "status_details")
        status = word(stated.get("status"))
        read = _usage(member(stated, "usage"))
        problem = "" if read or status != "completed" else _usage_problem(stated)
        return AnswerFacts(
            model=self._served,
            finish_reason=word(details.get("reason")) or status,
            response_id=response.response_id,
            tool_names=tuple(response.tools.values()),
            error=_failure(status, details),
            usage=read,
            usage_problem=problem,
            completeness=Completeness.WHOLE,
            output_tokens_estimate=_estimate(response),
        )

    def _cut(self, response: _Response) -> Turn:
        facts = AnswerFacts(
            model=self._served,
            response_id=response.response_id,
            tool_names=tuple(response.tools.values()),
            completeness=Completeness.CUT,
            output_tokens_estimate=_estimate(response),
        )
        return self._turn(response, facts)

    def _turn(self, response: _Response, facts: AnswerFacts, answered: bytes = b"") -> Turn:
        return response.asked.turn(
            facts,
            first_output_s=response.first_output_s,
            answered=answered,
            response_bytes=response.received_bytes,
            notes=self._notes.take(),
        )

    def _unanswered(self, asked: Asked) -> Turn:
        completeness = Completeness.CUT if asked.error is None else Completeness.WHOLE
        facts = AnswerFacts(model=self._served, error=asked.error, completeness=completeness)
        return asked.turn(facts, notes=self._notes.take())

    def _commit(self, event: Mapping[str, Any], _: bytes, now_s: float) -> Sequence[Turn]:
        self._speech_of(event, now_s)
        return ()

    def _speech_of(self, event: Mapping[str, Any], now_s: float) -> _Speech:
        item_id = word(event.get("item_id"))
        speech = self._speech.get(item_id)
        if speech is None:
            if len(self._speech) >= MAX_ITEMS:
                del self._speech[next(iter(self._speech))]
            speech = self._speech[item_id] = _Speech(now_s)
        return speech

    def _transcribe(self, event: Mapping[str, Any], message: bytes, now_s: float) -> Sequence[Turn]:
        speech = self._speech_of(event, now_s)
        speech.received_bytes += len(message)
        speech.text.add(event.get("delta"))
        if speech.first_output_s is None:
            speech.first_output_s = now_s
        return ()

    def _transcribed(
        self, event: Mapping[str, Any], message: bytes, now_s: float
    ) -> Sequence[Turn]:
        speech = self._speech_of(event, now_s)
        item_id = word(event.get("item_id"))
        del self._speech[item_id]
        speech.received_bytes += len(message)
        failed = event.get("type") == _TRANSCRIPTION + "failed"
        usage = None if failed else read_usage(member(event, "usage"))
        facts = AnswerFacts(
            error=read_error(event, failed=True) if failed else None,
            usage=usage,
            usage_problem="" if usage or failed else _usage_problem(event),
            completeness=Completeness.WHOLE,
        )
        if speech.first_output_s is None and not failed:
            speech.first_output_s = now_s
        return [self._transcription(item_id, speech, facts, message[: self._kept_bytes])]

    def _transcription(
        self, item_id: str, speech: _Speech, facts: AnswerFacts, answered: bytes = b""
    ) -> Turn:
        model = self._transcribed_by
        return Turn(
            request=CallRequest("transcription", model=model, stream=True),
            facts=AnswerFacts(
                model=model,
                response_id=item_id,
                error=facts.error,
                usage=facts.usage,
                usage_problem=facts.usage_problem,
                completeness=facts.completeness,
                output_tokens_estimate=speech.text.tokens,
            ),
            started_s=speech.started_s,
            first_output_s=speech.first_output_s,
            answered=answered,
            response_bytes=speech.received_bytes,
            notes=self._notes.take(),
        )

    def _take_error(self, event: Mapping[str, Any], _: bytes, now_s: float) -> Sequence[Turn]:
        error = read_error(event, failed=True) or CallError("error", "")
        stated = member(event, "error")
        event_id = stated.get("event_id")
        refused = self._requests.refused(event_id, surely=stated.get("code") == _BUSY)
        if refused is not None:
            refused.error = error
            return [self._unanswered(refused)]
        if event_id or not self._requests.suspect(error):
            self._note_error(error)
        return ()

    def _note_error(self, error: CallError) -> None:
        text = f"{error.type}: {error.message}"[:500]
        self._notes.add(f"the provider sent an error outside a response: {text}")


def _failure(status: str, details: Mapping[str, Any]) -> CallError | None:
    if status != "failed":
        return None
    return read_error(details, failed=False) or CallError(
        "response_failed", "the response failed; the provider did not say why"
    )


def _usage(stated: Mapping[str, Any]) -> Usage | None:
    """Read a response's usage, with what of it was cached by what it is."""
    usage = read_usage(stated) if states_tokens(stated) else None
    if usage is None:
        return None
    cached = member(member(stated, "input_token_details"), "cached_tokens_details")
    return replace(
        usage,
        cache_read_audio_tokens=count(cached.get("audio_tokens")),
        cache_read_image_tokens=count(cached.get("image_tokens")),
    )


def _usage_problem(stated: Mapping[str, Any]) -> str:
    usage = stated.get("usage")
    inside = f"; in usage: {keys_found(usage)}" if isinstance(usage, dict) else ""
    return f"searched usage for {SEARCHED}; found {keys_found(stated)}{inside}"


def _estimate(response: _Response) -> int:
    return response.text.tokens + response.audio.tokens
