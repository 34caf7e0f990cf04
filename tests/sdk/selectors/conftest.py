"""A tracker in memory, and what selectors are tried with."""

import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count

import pytest

from remora.selectors import ModelSelector


@dataclass(frozen=True)
class Call:
    """A call as a tracker records it."""

    data_id: str | None
    combo_id: str | None
    agent_id: str | None
    session_id: str
    model: str
    prompt_tokens: int = 100
    completion_tokens: int = 10
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    latency_seconds: float = 0.0
    cached: bool = False
    status_code: int = 200
    error: str | None = None
    cost_usd: Decimal | None = Decimal("0.01")
    saved_usd: Decimal | None = None


@dataclass(frozen=True)
class Session:
    session_id: str
    data_id: str | None
    combo_id: str | None
    agent_id: str | None


@dataclass
class MemoryTracker:
    """Keeps sessions and calls; `call` belongs to the session of its context."""

    records: list[Call] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    started: int = 0
    stopped: int = 0

    def __post_init__(self) -> None:
        self.current: ContextVar[Session | None] = ContextVar("session", default=None)
        self._numbers = count()
        self._lock = threading.Lock()

    def start(self) -> None:
        self.started += 1

    def stop(self) -> None:
        self.stopped += 1

    def track(self, data_id=None, combo_id=None, agent_id=None, router=None) -> "Open":
        if self.started == self.stopped:
            raise RuntimeError("the tracker is not started")
        return Open(self, Session(f"s{next(self._numbers)}", data_id, combo_id, agent_id))

    def get_records(self, data_id=None, combo_id=None, agent_id=None) -> list[Call]:
        with self._lock:
            return [
                call
                for call in self.records
                if data_id in (None, call.data_id) and combo_id in (None, call.combo_id)
            ]

    def call(self, model: str, **facts: object) -> None:
        """Record a call of the session that this runs in; none outside of sessions."""
        session = self.current.get()
        if session is None:
            return
        made = Call(
            session.data_id, session.combo_id, session.agent_id, session.session_id, model, **facts
        )
        with self._lock:
            self.records.append(made)


class Open:
    """A session for as long as a block runs; one that is never left is just left open."""

    def __init__(self, tracker: MemoryTracker, session: Session) -> None:  # noqa: D107
        self.tracker = tracker
        self.session = session

    def __enter__(self) -> Session:
        self.token = self.tracker.current.set(self.session)
        self.tracker.sessions.append(self.session)
        return self.session

    def __exit__(self, *_: object) -> None:
        self.tracker.current.reset(self.token)


@pytest.fixture
def tracker() -> MemoryTracker:
    return MemoryTracker()


@pytest.fixture(scope="session")
def new_tracker() -> type[MemoryTracker]:
    return MemoryTracker


@pytest.fixture(scope="session")
def new_call() -> Callable[..., Call]:
    def make(model: str = "m", **facts: object) -> Call:
        return Call(None, None, None, "s", model, **facts)

    return make


def equal(expected: object, actual: object) -> bool:
    return expected == actual


@pytest.fixture(scope="session")
def select_with() -> Callable[..., ModelSelector]:
    """Make a selector of a tracker and an agent that answers by a function of (models, input)."""

    def make(tracker, answer, models, dataset, **options) -> ModelSelector:
        class Agent:
            def __init__(self, models):
                self.models = models

            def run(self, given):
                return answer(self.models, given)

        options = {"eval_fn": equal, "progress": False} | options
        return ModelSelector(Agent, models, dataset=dataset, tracker=tracker, **options)

    return make


@pytest.fixture
def select(tracker: MemoryTracker, select_with) -> Callable[..., ModelSelector]:
    """Make a selector with the test's tracker, or one that it names."""

    def make(answer, models, dataset, **options) -> ModelSelector:
        return select_with(options.pop("tracker", tracker), answer, models, dataset, **options)

    return make
