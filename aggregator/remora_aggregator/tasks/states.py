"""Where a task stands, who moved it there, and which moves there are."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class State(Enum):
    """Where a task stands."""

    PENDING = "pending"
    PLANNING = "planning"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BUDGET_EXCEEDED = "budget_exceeded"


class Control(Enum):
    """What is to become of a task's next calls; only those of an open one may go."""

    OPEN = "open"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    BUDGET_EXCEEDED = "budget_exceeded"


class ActorKind(Enum):
    """Who changes tasks: all but a caller is the server's own conclusion, and a call undoes it."""

    CALL = "call"
    QUIET = "quiet"
    BUDGET = "budget"
    CALLER = "caller"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changed a task; a caller has the name by which the server knows it."""

    kind: ActorKind
    name: str = ""


CALL: Final = Actor(ActorKind.CALL)
QUIET: Final = Actor(ActorKind.QUIET)
BUDGET: Final = Actor(ActorKind.BUDGET)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a task; `before` is None where it was created."""

    at_unix_ns: int
    before: State | None
    after: State
    by: Actor
    reason: str = ""


_PENDING, _PLANNING, _RUNNING, _PAUSED = State.PENDING, State.PLANNING, State.RUNNING, State.PAUSED
_COMPLETED, _FAILED, _CANCELLED = State.COMPLETED, State.FAILED, State.CANCELLED
_BUDGET = State.BUDGET_EXCEEDED
_ENDS = frozenset({_COMPLETED, _FAILED, _CANCELLED})

ASKED: Final[Mapping[State, frozenset[State]]] = {
    _PENDING: _ENDS | {_PLANNING, _RUNNING, _PAUSED},
    _PLANNING: _ENDS | {_RUNNING, _PAUSED},
    _RUNNING: _ENDS | {_PLANNING, _PAUSED},
    _PAUSED: _ENDS,
    _BUDGET: _ENDS | {_PAUSED},
    _COMPLETED: frozenset(),
    _FAILED: frozenset(),
    _CANCELLED: frozenset(),
}
"""Where a caller may move a task, from each state. Besides, a paused one can be resumed, and who
asks for the state that it is in already changes nothing."""

CONCLUDED: Final[Mapping[State, frozenset[State]]] = {
    _PENDING: frozenset({_RUNNING, _BUDGET}),
    _PLANNING: frozenset({_PAUSED, _BUDGET}),
    _RUNNING: frozenset({_PAUSED, _BUDGET}),
    _PAUSED: frozenset({_PENDING, _PLANNING, _RUNNING, _COMPLETED, _BUDGET}),
    _BUDGET: frozenset({_RUNNING, _BUDGET}),
    _COMPLETED: frozenset({_RUNNING, _BUDGET}),
    _FAILED: frozenset(),
    _CANCELLED: frozenset(),
}
"""Where the server may move a task by itself; to the same state where it has another ground."""


def has_ended(state: State) -> bool:
    """Tell whether a task in this state is over."""
    return state in _ENDS
