"""A conversation of OpenAI's Responses API over WebSocket: events of both sides in, turns out.

The agent sends ``response.create``, the provider the events that a stream over HTTP would have.
Responses on one lane (``stream_id``; without one all are on the same) come one after the other,
lanes side by side. A response may also follow by itself from input that steered the one before.
Guide: developers.openai.com/api/docs/guides/websocket-mode; types: the official SDK's
``responses_client_event`` and ``responses_server_event``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from remora.records import CallError
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness, Turn, samples
from remora_sidecar.dialects.framing.json_values import member, parse_json, word
from remora_sidecar.dialects.openai.conversation_requests import Asked, Notes, Requests
from remora_sidecar.dialects.openai.response import ResponseReading
from remora_sidecar.dialects.provider_error import UNNAMED_TYPE, read_error

MAX_LANES = 64
"""Lanes that are followed at once; what is under way on the oldest of more is given up."""

_BEGINS = ("response.created", "response.queued", "response.in_progress")
_STEERING = "response.steer."


@dataclass(slots=True)
class _Response:
    """A response under way."""

    asked: Asked
    reading: ResponseReading = field(default_factory=ResponseReading)
    first_output_s: float | None = None
    received_bytes: int = 0

    def take(self, event: Mapping[str, Any], size: int, now_s: float) -> None:
        self.received_bytes += size
        self.reading.take(event)
        if self.first_output_s is None and self.reading.has_output:
            self.first_output_s = now_s

    def turn(self, answered: bytes, notes: tuple[str, ...]) -> Turn:
        reading = self.reading
        if reading.ended or reading.error is not None:
            problem = reading.usage_searched if self.asked.request.states_usage else ""
            facts = reading.facts(Completeness.WHOLE, problem)
        else:
            facts = reading.facts(Completeness.CUT)
        return self.asked.turn(
            facts,
            first_output_s=self.first_output_s,
            answered=answered,
            response_bytes=self.received_bytes,
            notes=notes,
        )


@dataclass(slots=True)
class _Lane:
    """Responses that come one after the other."""

    requests: Requests
    request: CallRequest
    current: _Response | None = None


class ResponsesConversation:
    """Watches one connection; keeps what is under way, never what was said."""

    def __init__(self, request: CallRequest, kept_bytes: int) -> None:
        """Take what the handshake asked for."""
        self._asked_at_first = request
        self._kept_bytes = kept_bytes
        self._lanes: dict[str, _Lane] = {}
        self._overflow: list[Turn] = []
        self._notes = Notes()

    @property
    def facts(self) -> AnswerFacts:
        """Nothing is said of a connection as a whole."""
        return AnswerFacts()

    def take_notes(self) -> tuple[str, ...]:
        """Give the remarks since the last turn."""
        return self._notes.take()

    def from_agent(self, message: bytes, now_s: float) -> Sequence[Turn]:
        """Take an event of the agent; none ends a turn, but for what is too much at once."""
        event = parse_json(message)
        if not isinstance(event, dict) or event.get("type") != "response.create":
            return ()
        lane = self._lane(event)
        lane.request = _request(member(event, "response") or event, lane.request)
        overdue = lane.requests.add(lane.request, event, message, now_s)
        turns = [] if overdue is None else [self._unanswered(overdue)]
        return [*self._take_overflow(), *turns]

    def from_provider(self, message: bytes, now_s: float) -> Sequence[Turn]:
        """Take an event of the provider."""
        event = parse_json(message)
        if not isinstance(event, dict) or type(kind := event.get("type")) is not str:
            self._notes.add("a message of the provider was no event")
            return ()
        if kind.startswith(_STEERING):
            return ()
        lane = self._lane(event)
        if kind == "error":
            return [*self._take_overflow(), *self._take_error(lane, event, len(message), now_s)]
        turns: list[Turn] = []
        if lane.current is None or _begins_another(lane.current, kind, event):
            turns = self._begin(lane, now_s) if kind.startswith("response.") else []
        current = lane.current
        if current is not None:
            current.take(event, len(message), now_s)
            if current.reading.ended:
                lane.current = None
                turns.append(current.turn(message[: self._kept_bytes], self._notes.take()))
        return [*self._take_overflow(), *turns] if turns or self._overflow else ()

    def finish(self) -> Sequence[Turn]:
        """Give what was under way."""
        turns = [turn for lane in self._lanes.values() for turn in self._given_up(lane)]
        self._lanes.clear()
        return turns

    def _lane(self, event: Mapping[str, Any]) -> _Lane:
        name = word(event.get("stream_id"))
        lane = self._lanes.get(name)
        if lane is None:
            if len(self._lanes) >= MAX_LANES:
                self._overflow += self._given_up(self._lanes.pop(next(iter(self._lanes))))
            lane = _Lane(Requests(self._kept_bytes), self._asked_at_first)
            self._lanes[name] = lane
        return lane

    def _take_overflow(self) -> list[Turn]:
        turns, self._overflow = self._overflow, []
        return turns

    def _given_up(self, lane: _Lane) -> list[Turn]:
        current = [lane.current.turn(b"", self._notes.take())] if lane.current else []
        lane.current = None
        return [*current, *(self._unanswered(asked) for asked in lane.requests.take_all())]

    def _begin(self, lane: _Lane, now_s: float) -> list[Turn]:
        """Begin a response: of the request that waits, or by itself where one was steered."""
        turns = [lane.current.turn(b"", self._notes.take())] if lane.current else []
        asked, _ = lane.requests.next()
        lane.current = _Response(asked or Asked(lane.request, now_s))
        return turns

    def _take_error(
        self, lane: _Lane, event: Mapping[str, Any], size: int, now_s: float
    ) -> list[Turn]:
        """Take an error: of the stream of a response, of a request, or of nobody."""
        in_stream = event.get("sequence_number") is not None
        if lane.current is not None and in_stream:
            lane.current.take(event, size, now_s)  # what ends the response may still come
            return []
        error = _error(event)
        refused = lane.requests.refused(None, surely=True)
        if refused is not None:
            refused.error = error
            return [self._unanswered(refused)]
        if lane.current is not None:
            lane.current.take(event, size, now_s)
            return []
        text = f"{error.type}: {error.message}"[:500]
        self._notes.add(f"the provider sent an error outside a response: {text}")
        return []

    def _unanswered(self, asked: Asked) -> Turn:
        completeness = Completeness.CUT if asked.error is None else Completeness.WHOLE
        facts = AnswerFacts(error=asked.error, completeness=completeness)
        return asked.turn(facts, notes=self._notes.take())


def _request(asked: Mapping[str, Any], before: CallRequest) -> CallRequest:
    return CallRequest(
        "chat",
        model=word(asked.get("model")) or before.model,
        stream=True,
        # Without `generate` the provider only makes ready for a later request.
        states_usage=asked.get("generate") is not False,
        samples=samples(asked.get("temperature")),
    )


def _begins_another(current: _Response, kind: str, event: Mapping[str, Any]) -> bool:
    """Tell whether an event is of a response that follows one which never said that it ended."""
    if kind not in _BEGINS:
        return False
    begun, known = word(member(event, "response").get("id")), current.reading.response_id
    return bool(known) and begun != known


def _error(event: Mapping[str, Any]) -> CallError:
    # `type` says here that this is an error, not of which type it is.
    described = {name: stated for name, stated in event.items() if name != "type"}
    return read_error(described, failed=True) or CallError(UNNAMED_TYPE, "")
