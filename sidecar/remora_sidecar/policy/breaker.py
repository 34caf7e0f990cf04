"""Whether a provider's model is worth asking after it failed. Pure: time is an argument.

    closed ──too many failures──▶ open ──open_for──▶ one probe ──succeeds──▶ closed
                                   ▲                     │
                                   └──────fails──────────┘

What tries began while the circuit was in another state say nothing about it now: a call that
began before the circuit opened and ends well does not close it, nor does it stand in for the probe.
"""

from collections import deque
from enum import Enum

from remora.policy.routing import Breaker as BreakerRule

_SLOTS = 10
"""Of the window; it moves on by a slot at a time."""


class Circuit(Enum):
    """What a breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Trial:
    """One attempt that was let through, until its result is told."""

    __slots__ = ("turn",)

    def __init__(self, turn: int) -> None:
        """Remember in which turn of the circuit it began; negative: it has ended."""
        self.turn = turn


class _Slot:
    """What happened in a tenth of the window."""

    __slots__ = ("attempts", "failures", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.attempts = 0
        self.failures = 0


class Breaker:
    """The circuit of one provider's model.

    Attributes:
        opened_total: How often it opened.
    """

    def __init__(self, rule: BreakerRule) -> None:
        """Stand closed."""
        self.opened_total = 0
        self._rule = rule
        self._slot_s = rule.window.seconds / _SLOTS
        self._slots: deque[_Slot] = deque()
        self._in_a_row = 0
        self._open_until_s: float | None = None
        self._probe: Trial | None = None
        self._turn = 0

    @property
    def circuit(self) -> Circuit:
        """How it stands; a circuit whose time is over stays open until somebody probes."""
        if self._probe is not None:
            return Circuit.PROBING
        return Circuit.CLOSED if self._open_until_s is None else Circuit.OPEN

    @property
    def consecutive_failures(self) -> int:
        """In a row, up to now."""
        return self._in_a_row

    def may_try(self, now_s: float) -> bool:
        """Tell whether an attempt may begin; changes nothing."""
        if self._open_until_s is None:
            return True
        return self._probe is None and now_s >= self._open_until_s

    def retry_after_s(self, now_s: float) -> float:
        """How long until a probe may begin; 0 while an attempt may or a probe is under way."""
        return 0.0 if self._open_until_s is None else max(0.0, self._open_until_s - now_s)

    def begin(self, now_s: float) -> Trial | None:
        """Begin an attempt, which must then be told of; None if it may not begin.

        The first one after the circuit was open for its time is the probe.
        """
        if not self.may_try(now_s):
            return None
        trial = Trial(self._turn)
        if self._open_until_s is not None:
            self._probe = trial
        return trial

    def succeeded(self, trial: Trial, now_s: float) -> None:
        """The provider answered."""
        if not self._counts(trial):
            return
        if self._probe is trial:
            self._turn_to(None)
            return
        self._in_a_row = 0
        self._slot(now_s).attempts += 1

    def failed(self, trial: Trial, now_s: float) -> None:
        """The provider failed."""
        if not self._counts(trial):
            return
        self._in_a_row += 1
        if self._probe is not trial:
            slot = self._slot(now_s)
            slot.attempts += 1
            slot.failures += 1
            if not self._is_too_much():
                return
        self.opened_total += 1
        self._turn_to(now_s + self._rule.open_for.seconds)

    def abandoned(self, trial: Trial) -> None:
        """Nobody waited for the result; if it was the probe, another attempt may probe."""
        if self._counts(trial) and self._probe is trial:
            self._probe = None

    def is_idle(self, now_s: float) -> bool:
        """Whether it says the same as a new one."""
        if self._open_until_s is not None or self._in_a_row:
            return False
        self._forget_before(now_s)
        return not self._slots

    def _counts(self, trial: Trial) -> bool:
        """Take a result, the first time, of attempts that began as the circuit stands now."""
        turn, trial.turn = trial.turn, -1
        return turn == self._turn

    def _turn_to(self, open_until_s: float | None) -> None:
        self._turn += 1
        self._open_until_s = open_until_s
        self._probe = None
        self._slots.clear()
        if open_until_s is None:
            self._in_a_row = 0

    def _is_too_much(self) -> bool:
        rule = self._rule
        if self._in_a_row >= rule.consecutive_failures:
            return True
        attempts = sum(slot.attempts for slot in self._slots)
        failures = sum(slot.failures for slot in self._slots)
        return attempts >= rule.minimum_attempts and failures * 100 >= rule.error_percent * attempts

    def _slot(self, now_s: float) -> _Slot:
        self._forget_before(now_s)
        number = int(now_s // self._slot_s)
        if not self._slots or self._slots[-1].number != number:
            self._slots.append(_Slot(number))
        return self._slots[-1]

    def _forget_before(self, now_s: float) -> None:
        oldest = int(now_s // self._slot_s) - _SLOTS + 1
        while self._slots and self._slots[0].number < oldest:
            self._slots.popleft()
