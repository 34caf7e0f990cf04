"""What an agent asked for on a connection and the provider has not taken up yet."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remora.records import CallError
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Turn

MAX_WAITING = 64
"""Requests that wait to be taken up; the oldest of more is given up."""

MAX_NOTES = 20


@dataclass(slots=True)
class Asked:
    """A request on a connection.

    Attributes:
        message: As sent, as far as it was to be kept.
        event_id: The agent's own name for it, which an error may tell.
        error: An error that may be the answer to it.
    """

    request: CallRequest
    at_s: float
    message: bytes = b""
    size: int = 0
    event_id: str = ""
    error: CallError | None = None

    def turn(
        self,
        facts: AnswerFacts,
        *,
        first_output_s: float | None = None,
        answered: bytes = b"",
        response_bytes: int = 0,
        notes: tuple[str, ...] = (),
    ) -> Turn:
        """Make the turn of this request and its answer."""
        return Turn(
            request=self.request,
            facts=facts,
            started_s=self.at_s,
            first_output_s=first_output_s,
            asked=self.message,
            answered=answered,
            request_bytes=self.size,
            response_bytes=response_bytes,
            notes=notes,
        )


class Requests:
    """Requests in the order in which they were sent, which is the order of their answers."""

    def __init__(self, kept_bytes: int) -> None:
        """Keep this much of each message."""
        self._kept_bytes = kept_bytes
        self._waiting: deque[Asked] = deque()

    def add(
        self, request: CallRequest, event: Mapping[str, Any], message: bytes, now_s: float
    ) -> Asked | None:
        """Take a request; gives back one that has waited too long in too long a row."""
        event_id = event.get("event_id")
        kept = message[: self._kept_bytes]
        name = event_id if type(event_id) is str else ""
        self._waiting.append(Asked(request, now_s, kept, len(message), name[:512]))
        return self._waiting.popleft() if len(self._waiting) > MAX_WAITING else None

    def next(self) -> tuple[Asked | None, list[Asked]]:
        """Give the request that the provider takes up, and those that it must have refused.

        The first request that no error seems to answer is taken up, and those before it were
        refused; where an error seems to answer every one, the first is taken up after all.
        """
        taken = next((asked for asked in self._waiting if asked.error is None), None)
        refused: list[Asked] = []
        if taken is None:
            return (self._waiting.popleft() if self._waiting else None), refused
        while (asked := self._waiting.popleft()) is not taken:
            refused.append(asked)
        return taken, refused

    def refused(self, event_id: object, *, surely: bool = False) -> Asked | None:
        """Take out the request that an error names, or else the first where it is `surely` one."""
        if type(event_id) is str and event_id:
            asked = next((one for one in self._waiting if one.event_id == event_id), None)
        else:
            asked = self._waiting[0] if surely and self._waiting else None
        if asked is not None:
            self._waiting.remove(asked)
        return asked

    def suspect(self, error: CallError) -> bool:
        """Keep an error with the first request that it may be the answer to; False if none waits.

        It is the answer if no other comes.
        """
        asked = next((one for one in self._waiting if one.error is None), None)
        if asked is not None:
            asked.error = error
        return asked is not None

    def take_all(self) -> list[Asked]:
        """Give what still waits."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting


class Notes:
    """Remarks that wait for a record to stand on; bounded."""

    def __init__(self) -> None:
        """Start without remarks."""
        self._notes: list[str] = []

    def add(self, note: str) -> None:
        """Keep a remark once."""
        if len(self._notes) < MAX_NOTES and note not in self._notes:
            self._notes.append(note)

    def take(self) -> tuple[str, ...]:
        """Give the remarks and forget them."""
        notes = tuple(self._notes)
        self._notes.clear()
        return notes
