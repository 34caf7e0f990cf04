"""Signals on their way out of a program: kept in memory until somebody has them.

Used by one thread, but for `Sending.tell` and `Sending.counts`.
"""

import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from remora.client.signal import Signal
from remora.clock import Clock
from remora.errors import RemoraError
from remora.feedback.classifier.context import Context
from remora.feedback.classifier.second_opinion import Opinion
from remora.feedback.doors import Door, Wanted
from remora.pauses import GrowingPause

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 10_000
"""Signals that wait for a door; the oldest go first."""
MOST_AT_ONCE: Final = 500
_MOST_TOLD = 100
ASKS_AGAIN_S: Final = 60.0
"""What policy wants is asked for so often; so is a door, where there was none."""
_NOWHERE = (
    "signals go nowhere: no sidecar answers here and REMORA_AGGREGATOR names no aggregator, so "
    "they are dropped (start one, or name it in REMORA_GATEWAY_URL or REMORA_AGGREGATOR)"
)

type FindDoor = Callable[[str], Door | None]
"""Finds a door near a sidecar's control listener, if one is known; raises RemoraError."""


class Counts(NamedTuple):
    """What became of signals so far.

    Attributes:
        sent: Somebody has them.
        refused: They are never taken; why is in the log.
        dropped: There was nobody to take them, or no room.
        waiting: For the next try.
    """

    sent: int = 0
    refused: int = 0
    dropped: int = 0
    waiting: int = 0


class Sending:
    """Hands signals to the door that there is."""

    def __init__(
        self, find: FindDoor, clock: Clock, jitter: Callable[[], float] = random.random
    ) -> None:
        """Take what finds a door; nothing is looked for before the first signal."""
        self._find = find
        self._clock = clock
        self._jitter = jitter
        self._counts = Counts()
        self._told: set[str] = set()
        self._of_parent: Door | None = None
        self._begin()

    def _begin(self) -> None:
        self._waiting: deque[Signal] = deque()
        self._door: Door | None = None
        self._had_door = False
        self._near = self._found_near = ""
        self._look_again_s = 0.0
        self._try_again_s = 0.0
        self._wanted = Wanted()
        self._wanted_until_s = 0.0
        self._pause = GrowingPause(self._jitter)

    def begin_anew_after_fork(self) -> None:
        """Leave what waits, and every connection, to the parent."""
        self._of_parent = self._door  # kept: to close it would be to close the parent's
        self._begin()

    @property
    def counts(self) -> Counts:
        """What became of signals so far."""
        return self._counts._replace(waiting=len(self._waiting))

    def near(self, control_url: str) -> None:
        """Say which sidecar carries the program's calls."""
        if control_url:
            self._near = control_url

    def add(self, signal: Signal) -> None:
        """Take a signal; it is sent with the next `send`."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._count(dropped=1)
            self.tell("too many signals wait, so the oldest are dropped")
        self._waiting.append(signal)

    def send(self, *, now: bool = False) -> float | None:
        """Send what waits, if it is time.

        Args:
            now: It is.

        Returns:
            After how many seconds to call again; None if nothing waits.
        """
        while self._waiting:
            left_s = self._try_again_s - self._clock.monotonic_s()
            if left_s > 0 and not now:
                return left_s
            if not self._send_some():
                if not self._waiting:
                    break
                return max(self._try_again_s - self._clock.monotonic_s(), 0.0)
        return None

    def wanted(self) -> Wanted:
        """Say what is wanted besides signals; nothing where nobody answers."""
        try:
            door, now_s = self._found(), self._clock.monotonic_s()
            if now_s >= self._wanted_until_s:
                self._wanted, self._wanted_until_s = Wanted(), now_s + ASKS_AGAIN_S
                self._wanted = Wanted() if door is None else door.wanted()
        except RemoraError as error:
            self.tell(str(error))
        return self._wanted

    def opinion(self, session_id: str, goal: str, message: str, context: Context) -> Opinion | None:
        """Ask for a second opinion about a message, where policy wants that."""
        if not self.wanted().opinion or (door := self._found()) is None:
            return None
        opinion = None
        try:
            opinion = door.opinion(session_id, goal, message, context)
        except RemoraError as error:
            self.tell(str(error))
        if opinion is None:
            self._wanted = self._wanted._replace(opinion=False)
        return opinion

    def close(self) -> None:
        """Let go of the door."""
        if self._door is not None:
            self._door.close()
            self._door = None

    def _send_some(self) -> bool:
        """Send the oldest; false if it is not to be tried again at once."""
        try:
            door = self._found()
            if door is None:
                self._found_none()
                return False
            texts = self.wanted().text
            some = [self._waiting[at] for at in range(min(len(self._waiting), MOST_AT_ONCE))]
            reasons = door.send([one if texts else replace(one, text="") for one in some])
        except RemoraError as error:
            self.tell(f"{error}; signals wait")
            self._wait()
            return False
        for _ in some:
            self._waiting.popleft()
        for reason in reasons:
            self.tell(f"a signal is refused: {reason}")
        self._count(sent=len(some) - len(reasons), refused=len(reasons))
        self._pause.begin_anew()
        return True

    def _found(self) -> Door | None:
        """Give the door; look for one where there is none, or the sidecar is another now."""
        if self._door is not None and self._near == self._found_near:
            return self._door
        now_s = self._clock.monotonic_s()
        if self._door is None and now_s < self._look_again_s and self._near == self._found_near:
            return None
        self.close()
        self._look_again_s, self._found_near = now_s + ASKS_AGAIN_S, self._near
        self._wanted, self._wanted_until_s = Wanted(), 0.0
        self._door = self._find(self._near)
        self._had_door = self._had_door or self._door is not None
        return self._door

    def _wait(self) -> None:
        """Try again later, and look then who is there: a sidecar may be elsewhere by then."""
        self.close()
        self._look_again_s = 0.0
        self._try_again_s = self._clock.monotonic_s() + self._pause.next_s()

    def _found_none(self) -> None:
        """Wait for who was there before; without anybody ever there, signals are for nobody."""
        if self._had_door:
            self._wait()
            return
        self.tell(_NOWHERE)
        self._count(dropped=len(self._waiting))
        self._waiting.clear()

    def _count(self, *, sent: int = 0, refused: int = 0, dropped: int = 0) -> None:
        was = self._counts
        self._counts = Counts(was.sent + sent, was.refused + refused, was.dropped + dropped)

    def tell(self, problem: str) -> None:
        """Say a thing once, from any thread; it holds nothing that anybody wrote."""
        if problem not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(problem)
            logger.warning("feedback: %s", problem)
