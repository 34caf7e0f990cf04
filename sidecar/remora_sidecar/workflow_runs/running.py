"""One run going on: it does what the run's machine wants, and tells it what came of it."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from remora.clock import Clock
from remora.task_owner import TaskOwner
from remora.workflows.compiled import CompiledWorkflow
from remora_sidecar.engine.task_gate import TaskHold
from remora_sidecar.workflow_runs.asking import Asking, Outcome
from remora_sidecar.workflow_runs.caller import Caller
from remora_sidecar.workflow_runs.feed import Feed
from remora_sidecar.workflow_runs.receipts import Slip
from remora_sidecar.workflow_runs.run_file import RunFile
from remora_sidecar.workflow_runs.run_table import NewEntries
from remora_sidecar.workflow_runs.turns import Turns
from remora_sidecar.workflows.amounts import Bill
from remora_sidecar.workflows.commands import Abandon, Ask, Command, Finish, Save, Tell, Wait
from remora_sidecar.workflows.desk import ABANDONED
from remora_sidecar.workflows.events import Event
from remora_sidecar.workflows.execution import Execution
from remora_sidecar.workflows.inputs import (
    Answered,
    Cancel,
    Closed,
    Failed,
    Fired,
    Held,
    Input,
    Pause,
    Resume,
)
from remora_sidecar.workflows.run import Run
from remora_sidecar.workflows.saved import CallSettled, Entry, Failure, entry_value

_BILL_S: Final = 5.0
_BILL_WHILE_STOPPING_S: Final = 0.2
"""For the bill of a call that was cut."""

_BROKE: Final = "the sidecar could not ask: its log says why"

_OVER: Final = (Answered, Failed, Closed, Held)

type IsStopping = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all runs of a sidecar have in common.

    Attributes:
        asking: Asks models.
        turns: Whose call is next.
        file: Keeps what they save.
        clock: Tells the time.
        is_stopping: Whether the sidecar stops: nothing begins, and what breaks is no failure.
    """

    asking: Asking
    turns: Turns
    file: RunFile
    clock: Clock
    is_stopping: IsStopping

    @property
    def now_ms(self) -> int:
        """The monotonic clock, in milliseconds."""
        return int(self.clock.monotonic_s() * 1000)


class Running:
    """A run while it goes on; used on one event loop.

    Attributes:
        feed: What it tells.
        changed: Called after each event.
        settled: Called when calls are over: budgets that others share may have room.
    """

    def __init__(
        self,
        run: Run,
        caller: Caller,
        around: Surroundings,
        began_ms: int,
        *,
        saved: int = 0,
    ) -> None:
        """Prepare a run.

        Args:
            run: Its machine.
            caller: On whose behalf it asks.
            around: What it shares with others.
            began_ms: When it began, by the monotonic clock.
            saved: How many entries of it are kept already.
        """
        self.feed = Feed(run.life)
        self.changed: Callable[[], None] = _nothing
        self.settled: Callable[[], None] = _nothing
        self._run = run
        self._caller = caller
        self._around = around
        self._began_ms = began_ms
        self._saved = saved
        self._mail: deque[Input] = deque()
        self._due: deque[Command] = deque()
        self._has_mail = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._tasks = TaskOwner(f"workflow {caller.execution_id}")
        self._asks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._queued: set[str] = set()
        self._not_begun: dict[str, Wait] = {}
        self._abandoned: set[str] = set()
        self._told: set[str] = set()
        self._cut: list[CallSettled] = []
        self._is_held_by_task = False
        self._execution: Execution | None = None

    @property
    def task_id(self) -> str:
        """Of its task."""
        return self._caller.task_id

    @property
    def agent_id(self) -> str:
        """Of its client's session."""
        return self._caller.key.session.agent_id

    @property
    def workflow(self) -> CompiledWorkflow:
        """What is run."""
        return self._run.workflow

    @property
    def is_paused(self) -> bool:
        """Whether somebody paused it."""
        return self._run.is_paused

    def so_far(self) -> Execution:
        """Return how it stands now."""
        return self._run.so_far(self._around.now_ms)

    def broken(self, failure: Failure) -> Execution:
        """Return how it stands where it can't go on."""
        return self._run.broken(failure, self._around.now_ms)

    def post(self, given: Input) -> None:
        """Tell it something; it is taken in the loop's next turns, in order."""
        self._mail.append(given)
        self._has_mail.set()
        self._is_idle.clear()

    async def settled_down(self) -> None:
        """Wait until all that it was told is done, or it is over."""
        await self._is_idle.wait()

    def hear(self, hold: TaskHold) -> None:
        """Take what is said of its task."""
        if hold.control == "cancelled":
            self.post(Cancel(hold.reason or "the task was cancelled"))
        elif hold.control == "paused":
            self._is_held_by_task = True
            self.post(Pause())
        elif hold.control == "open" and self._is_held_by_task:
            self._is_held_by_task = False
            self.post(Resume())

    async def go(self) -> Execution:
        """Run it to its end; cancelled, it stops where it is, and can be taken up again."""
        try:
            await self._carry_out(self._run.begin(self._around.now_ms))
            while self._execution is None:
                if not self._mail:
                    self._is_idle.set()
                await self._has_mail.wait()
                self._has_mail.clear()
                await self._carry_out(self._handled())
            return self._execution
        finally:
            self._is_idle.set()
            await self._stop()

    def _handled(self) -> list[Command]:
        """Handle all that came; what it wants kept comes first."""
        commands: list[Command] = []
        has_settled = False
        while self._mail:
            given = self._mail.popleft()
            has_settled = has_settled or isinstance(given, _OVER)
            commands += self._run.handle(given, self._around.now_ms)
        if has_settled:
            self.settled()
        return commands

    # what it wants

    async def _carry_out(self, commands: Sequence[Command]) -> None:
        self._due.extend(commands)
        await self._save([entry for c in commands if isinstance(c, Save) for entry in c.entries])
        while self._due:
            match command := self._due.popleft():
                case Ask():
                    self._queue(command)
                case Abandon(key):
                    self._abandon(key)
                case Wait():
                    self._wait(command)
                case Tell(event):
                    self._tell(event)
                case Finish(execution):
                    self._execution = execution
                case Save():
                    pass

    async def _save(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        values = [_encoded(entry) for entry in entries]
        taken_ms = self._around.now_ms - self._began_ms
        first, self._saved = self._saved, self._saved + len(values)
        change = NewEntries(self._caller.execution_id, first, values, taken_ms)
        await self._around.file.keep([change])

    def _tell(self, event: Event) -> None:
        if event.type != "final":  # whoever keeps the execution says it, once that is kept
            self.feed.tell(event.value())
            self.changed()

    def _wait(self, wait: Wait) -> None:
        def fire() -> None:
            del self._timers[wait.key]
            self.post(Fired(wait.key))

        if wait.since in self._queued:
            self._not_begun[wait.since] = wait
            return
        loop = asyncio.get_running_loop()
        self._timers[wait.key] = loop.call_later(wait.delay_ms / 1000, fire)

    # calls

    def _queue(self, ask: Ask) -> None:
        self._queued.add(ask.key)
        self._around.turns.want(self._caller.execution_id, ask.key, lambda: self._start(ask))

    def _start(self, ask: Ask) -> None:
        if self._around.is_stopping():
            self._around.turns.shut()
            return
        self._queued.discard(ask.key)
        task = self._asks[ask.key] = self._tasks.spawn(self._ask(ask), name=ask.key)
        task.add_done_callback(lambda task: self._asked(ask.key, task))
        if (wait := self._not_begun.pop(ask.key, None)) is not None:
            self._wait(wait)

    async def _ask(self, ask: Ask) -> None:
        key = ask.key
        with self._around.asking.awaited(key, self._caller) as slip:
            try:
                self._take(await self._around.asking.ask(key, ask.question, self._caller, slip))
            except asyncio.CancelledError:
                is_stopping = self._around.is_stopping()  # then no bill comes that is not in
                limit_s = _BILL_WHILE_STOPPING_S if is_stopping else _BILL_S
                self._take_cut(key, await _last_bill(slip, limit_s))

    def _asked(self, key: str, task: asyncio.Task[None]) -> None:
        """Give its turn back; a call that said nothing was cut before it began, or broke."""
        del self._asks[key]
        self._around.turns.done()
        if key not in self._told:
            if task.cancelled():
                self._take_cut(key, None)
            else:
                self.post(Failed(key, "internal", _BROKE, may_retry=False))
        self._told.discard(key)
        self._abandoned.discard(key)

    def _take(self, outcome: Outcome) -> None:
        """Take what came of a call; where the sidecar stops, what broke is to be asked again."""
        if isinstance(outcome, Failed) and self._around.is_stopping():
            self._take_cut(outcome.key, outcome.bill)
        else:
            self._told.add(outcome.key)
            self.post(outcome)

    def _take_cut(self, key: str, bill: Bill | None) -> None:
        self._told.add(key)
        if key in self._abandoned:
            self.post(Closed(key, bill))
        else:
            self._cut.append(CallSettled(key, bill, ABANDONED))

    def _abandon(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        elif self._around.turns.forget(self._caller.execution_id, key):
            self._queued.discard(key)
            self._not_begun.pop(key, None)
            self.post(Closed(key))
        elif (asked := self._asks.get(key)) is not None:
            self._abandoned.add(key)
            asked.cancel()

    async def _stop(self) -> None:
        """End the calls that are open, and keep what is known, for who takes the run up again."""
        for timer in self._timers.values():
            timer.cancel()
        for asked in tuple(self._asks.values()):
            asked.cancel()
        while self._asks:
            await asyncio.wait(tuple(self._asks.values()))
            await asyncio.sleep(0)  # what is called when a task is done comes a turn later
        await self._tasks.aclose()
        if self._execution is None:
            await self._save_rest()

    async def _save_rest(self) -> None:
        for key in self._queued:
            self._around.turns.forget(self._caller.execution_id, key)
        commands = self._handled()
        unasked = [*self._queued, *(c.key for c in (*self._due, *commands) if isinstance(c, Ask))]
        entries = [entry for c in commands if isinstance(c, Save) for entry in c.entries]
        never = [CallSettled(key, None, ABANDONED) for key in unasked]
        await self._save([*entries, *self._cut, *never])


async def _last_bill(slip: Slip, limit_s: float) -> Bill | None:
    """Wait for the bill of a call that was cut; not when that is cut as well."""
    try:
        return await slip.within(limit_s)
    except asyncio.CancelledError:
        return slip.bill


def _nothing() -> None:
    pass


def _encoded(entry: Entry) -> bytes:
    return json.dumps(entry_value(entry), separators=(",", ":")).encode()
