"""Holds back the calls of tasks that were paused, cancelled or have used up their own budget.

What the aggregator said last stays in force while it is away; calls of a task that it said nothing
of go on.
"""

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal, NamedTuple

from remora_sidecar.engine.refusal import task_held
from remora_sidecar.model.refusal import Refusal

MAX_TASKS = 10_000
"""That are remembered as held, and as held no more; the rest of each are forgotten."""

Control = Literal["open", "paused", "cancelled", "budget_exceeded"]


class TaskHold(NamedTuple):
    """What is to become of a task's next calls.

    Attributes:
        revision: Of the task, as the aggregator counts; a lower one is older.
        cut_streams: Calls in flight are cut, too.
        by: Who said so.
        reason: Why.
    """

    task_id: str
    control: Control
    revision: int
    cut_streams: bool = False
    by: str = ""
    reason: str = ""

    def says_more_than(self, known: "TaskHold") -> bool:
        """Tell whether it is newer, or tells of the same change what was not told before."""
        if self.revision != known.revision:
            return self.revision > known.revision
        return (self.cut_streams, bool(self.by)) > (known.cut_streams, bool(known.by))

    @property
    def refusal(self) -> Refusal:
        """What its calls are answered."""
        return task_held(self.task_id, self.control, self.by, self.reason)


Cut = Callable[[Refusal], None]
"""Ends a call that is carried no further."""


class TaskGate:
    """Knows which tasks are held, and which of their calls are in flight.

    Attributes:
        is_watched: Whether the aggregator tells of changes now.
        listeners: Each is told of what is said of tasks, once the gate goes by it.
    """

    def __init__(self) -> None:
        """Let everything go."""
        self.is_watched = False
        self.listeners: list[Callable[[TaskHold], None]] = []
        self._held: dict[str, TaskHold] = {}
        self._open: dict[str, TaskHold] = {}
        self._carried: dict[str, set[Carried]] = {}
        self._untasked = Carried(self._carried, "", lambda _: None)

    def refusal(self, task_id: str) -> Refusal | None:
        """Say why a call of a task may not go; None if it may."""
        hold = self._held.get(task_id) if self._held else None
        return None if hold is None else hold.refusal

    def carrying(self, task_id: str, cut: Cut) -> "Carried":
        """Watch over one call; to be entered by the asyncio task that carries it.

        Args:
            task_id: Its task; empty if it has none.
            cut: Called where the call is cut, in that task, once its carrying is broken off.
        """
        return Carried(self._carried, task_id, cut) if task_id else self._untasked

    def take(self, hold: TaskHold) -> None:
        """Go by what is said of one task, unless something newer was."""
        task_id = hold.task_id
        known = self._held.get(task_id) or self._open.get(task_id)
        if known is not None and not hold.says_more_than(known):
            return
        self._held.pop(task_id, None)
        self._open.pop(task_id, None)
        _remember(self._open if hold.control == "open" else self._held, hold)
        self._tell(hold)

    def take_all(self, holds: Mapping[str, TaskHold]) -> None:
        """Go by what is said of all tasks: those not named are open."""
        before, self._held = self._held, {}
        for task_id, hold in holds.items():
            self._open.pop(task_id, None)
            _remember(self._held, hold)
            self._tell(hold)
        for task_id in before.keys() - holds.keys():
            self._tell(TaskHold(task_id, "open", before[task_id].revision))

    def hold_of(self, task_id: str) -> TaskHold | None:
        """Give what holds a task back; None if nothing does."""
        return self._held.get(task_id)

    def _tell(self, hold: TaskHold) -> None:
        self._cut(hold)
        for told in self.listeners:
            told(hold)

    def _cut(self, hold: TaskHold) -> None:
        if hold.cut_streams and hold.control == "cancelled":
            for carried in tuple(self._carried.get(hold.task_id, ())):
                carried.break_off(hold.refusal)


def _remember(holds: dict[str, TaskHold], hold: TaskHold) -> None:
    while len(holds) >= MAX_TASKS:
        del holds[next(iter(holds))]
    holds[hold.task_id] = hold


class Carried:
    """One call while it is carried; breaking it off ends the block it was entered for."""

    __slots__ = ("_carried", "_cut", "_refusal", "_task", "_task_id")

    def __init__(self, carried: "dict[str, set[Carried]]", task_id: str, cut: Cut) -> None:
        """Take the calls in flight by task, and what ends this one."""
        self._carried = carried
        self._task_id = task_id
        self._cut = cut
        self._refusal: Refusal | None = None
        self._task: asyncio.Task[object] | None = None

    def break_off(self, refusal: Refusal) -> None:
        """Stop carrying the call; once."""
        if self._refusal is None and self._task is not None:
            self._refusal = refusal
            self._task.cancel()

    def __enter__(self) -> None:
        """Begin to carry it."""
        if self._task_id:
            self._task = asyncio.current_task()
            self._carried.setdefault(self._task_id, set()).add(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """End it; true where it ended because it was broken off."""
        if self._task is None:
            return False
        calls = self._carried[self._task_id]
        calls.discard(self)
        if not calls:
            del self._carried[self._task_id]
        if self._refusal is None:
            return False
        others_cancel = self._task.uncancel() > 0
        self._cut(self._refusal)
        return isinstance(error, asyncio.CancelledError) and not others_cancel
