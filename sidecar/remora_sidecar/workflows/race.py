"""How one try of a step asks: who is asked, whose answer stands, who no longer matters.

A race is told of answers and failures, and says what follows as moves. It keeps no time.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from remora.workflows.estimate import Role
from remora_sidecar.workflows.question import Purpose, SentMessage
from remora_sidecar.workflows.reading import Reader, Reading
from remora_sidecar.workflows.saved import BUDGET_EXCEEDED, Failure

INVALID_OUTPUT: Final = "invalid_output"
CHECK_FAILED: Final = "check_failed"


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a race.

    Attributes:
        name: Of the place, unique within its race.
        purpose: What its answer is for.
        role: What kind of model is asked.
        rank: The model of this place among those that fit, from 0; None: the best, and if it
            can't be reached the next.
        messages: What is sent; None: the step's own conversation.
    """

    name: str
    purpose: Purpose
    role: Role
    rank: int | None = None
    messages: tuple[SentMessage, ...] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Ask for this place."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class Leave:
    """This place can no longer matter."""

    name: str


@dataclass(frozen=True, slots=True)
class Won:
    """An answer stands.

    Attributes:
        name: Of the place that gave it.
        reading: The answer.
        note: How it was decided, where there is something to say.
    """

    name: str
    reading: Reading
    note: str = ""


@dataclass(frozen=True, slots=True)
class Faulty:
    """An answer whose faults its model may mend.

    Attributes:
        slot: The place that gave it.
        reading: The answer.
    """

    slot: Slot
    reading: Reading


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer stands.

    Attributes:
        failure: Why.
        may_retry: Whether another try may help.
        mendable: What may be mended; None: nothing.
    """

    failure: Failure
    may_retry: bool
    mendable: Faulty | None = None


type Move = Call | Leave | Won | Lost


class Race(ABC):
    """One try.

    Attributes:
        pending: Places whose answers are awaited, in the order in which they were asked.
    """

    def __init__(self, reader: Reader) -> None:
        """Take what reads the answers."""
        self._reader = reader
        self.pending: dict[str, Slot] = {}
        self._failure = Failure("no_model", "nobody was asked")
        self._may_retry = False
        self._mendable: Faulty | None = None
        self._refusal: Failure | None = None

    @abstractmethod
    def begin(self) -> list[Move]:
        """Ask the first questions."""

    @abstractmethod
    def _passed(self, slot: Slot, reading: Reading) -> list[Move]:
        """Go on after an answer that passes."""

    @abstractmethod
    def _spoiled(self, slot: Slot) -> list[Move]:
        """Go on after a place that gives nothing; why is noted already."""

    def answered(self, name: str, text: str, *, was_cut: bool = False) -> list[Move]:
        """Take an answer."""
        slot = self.pending.pop(name)
        reading = self._reader.read(text, was_cut=was_cut)
        if reading.fault is None:
            return self._passed(slot, reading)
        code = INVALID_OUTPUT if reading.fault.kind == "malformed" else CHECK_FAILED
        self._failure = Failure(code, "; ".join(reading.fault.problems))
        self._may_retry = True
        if reading.fault.may_mend:
            self._mendable = Faulty(slot, reading)
        return self._spoiled(slot)

    def failed(self, name: str, failure: Failure, *, may_retry: bool) -> list[Move]:
        """Take a failure."""
        slot = self.pending.pop(name)
        self._failure = failure
        self._may_retry = self._may_retry or may_retry
        if failure.code == BUDGET_EXCEEDED:
            self._refusal = failure
        return self._spoiled(slot)

    def _ask(self, slots: Sequence[Slot]) -> list[Move]:
        self.pending.update((slot.name, slot) for slot in slots)
        return [Call(slot) for slot in slots]

    def _leave_all(self) -> list[Move]:
        left: list[Move] = [Leave(name) for name in self.pending]
        self.pending.clear()
        return left

    def _won(self, name: str, reading: Reading, note: str = "") -> list[Move]:
        return [*self._leave_all(), Won(name, reading, note)]

    def _lost(self) -> list[Move]:
        return [*self._leave_all(), self._loss()]

    def _loss(self) -> Lost:
        """Say why nobody won; where a budget refused one, asking again would be refused too."""
        if self._refusal is not None:
            return Lost(self._refusal, may_retry=False)
        return Lost(self._failure, self._may_retry, self._mendable)


class First(Race):
    """Whoever passes first wins; with one place this is a single question."""

    def __init__(self, reader: Reader, slots: Sequence[Slot]) -> None:
        """Take the places."""
        super().__init__(reader)
        self._slots = slots

    def begin(self) -> list[Move]:
        """Ask them all."""
        return self._ask(self._slots)

    def _passed(self, slot: Slot, reading: Reading) -> list[Move]:
        return self._won(slot.name, reading)

    def _spoiled(self, slot: Slot) -> list[Move]:
        return [] if self.pending else self._lost()
