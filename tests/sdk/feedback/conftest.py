"""Feedback with a door that a test looks behind."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from remora.clock import SystemClock
from remora.errors import Unavailable
from remora.feedback.classifier.second_opinion import Opinion
from remora.feedback.doors import Wanted
from remora.feedback.feedback import Feedback


@dataclass
class KeepingDoor:
    """Keeps what it is given, and answers as a test says."""

    signals: list[Any] = field(default_factory=list)
    wants: Wanted = field(default_factory=Wanted)
    refuses: dict[str, str] = field(default_factory=dict)
    gives: Opinion | None = None
    questions: list[tuple[str, ...]] = field(default_factory=list)
    is_away: bool = False
    tries: int = 0
    wanted_asked: int = 0
    holds: threading.Event | None = None

    def wanted(self):
        self.wanted_asked += 1
        return self.wants

    def send(self, signals):
        self.tries += 1
        if self.holds is not None:
            assert self.holds.wait(30)
        if self.is_away:
            raise Unavailable("nobody is there")
        self.signals += [one for one in signals if one.kind not in self.refuses]
        return [self.refuses[one.kind] for one in signals if one.kind in self.refuses]

    def opinion(self, session_id, goal, message, context):
        self.questions.append((session_id, goal, message, context.answer))
        return self.gives

    def close(self):
        pass


@dataclass
class MovedClock:
    """The machine's clock, moved by hand."""

    ahead_s: float = 0.0

    def now_unix_ns(self):
        return SystemClock().now_unix_ns() + int(self.ahead_s * 1e9)

    def monotonic_s(self):
        return SystemClock().monotonic_s() + self.ahead_s


@dataclass
class Stage:
    """A feedback, its door and its clock."""

    feedback: Feedback
    door: KeepingDoor
    clock: MovedClock

    def sent(self) -> list[Any]:
        """What came through the door so far."""
        assert self.feedback.flush(30)
        return self.door.signals

    def later(self, seconds: float) -> None:
        """Let time pass, once what was reported so far is done."""
        self.sent()
        self.clock.ahead_s += seconds

    def said(self) -> list[tuple[str, str]]:
        """The same, as pairs of call and kind."""
        return [(one.call_id, one.kind) for one in self.sent()]


MakeStage = Callable[..., Stage]


@pytest.fixture
def make_stage() -> Iterator[MakeStage]:
    """Give what makes feedbacks, which end with the test."""
    made = []

    def make(**given: Any) -> Stage:
        door, clock = given.pop("door", None) or KeepingDoor(), MovedClock()
        find = given.pop("find", lambda near: door)
        feedback = Feedback(find=find, clock=clock, **given)
        made.append(feedback)
        return Stage(feedback, door, clock)

    yield make
    for feedback in made:
        feedback.close()


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    """A feedback with everything as by default."""
    return make_stage()


@pytest.fixture(autouse=True)
def _own_context(request):
    """Let no test see what another tracked in the same context."""
    from remora.feedback import following, runs

    following._latest.set(None)
    runs._of_context.set(None)
    runs._last_anchored.set(following.next_number())
