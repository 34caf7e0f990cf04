"""The runs of workflows in a sidecar: ordered, found again, taken up again, forgotten in time."""

import asyncio
import json
import logging
import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final
from weakref import WeakValueDictionary

from remora.errors import ConfigError, RemoraError
from remora.task_owner import TaskOwner
from remora.workflows.compiled import CompiledWorkflow
from remora_sidecar.engine.sessions import Sessions
from remora_sidecar.engine.task_gate import TaskGate, TaskHold
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.openai_api.client_key import ClientKey
from remora_sidecar.workflow_runs.caller import Caller
from remora_sidecar.workflow_runs.known import Known
from remora_sidecar.workflow_runs.lost_calls import Left, Waiting, lost_records
from remora_sidecar.workflow_runs.order import EXECUTION_PREFIX, Ordered, RunOrder, ordered_of
from remora_sidecar.workflow_runs.preparing import Prepared, Preparing, estimate_value
from remora_sidecar.workflow_runs.reports import Reports
from remora_sidecar.workflow_runs.run_table import EndedRun, Ending, NewEntries, NewRun
from remora_sidecar.workflow_runs.running import Running, Surroundings
from remora_sidecar.workflow_runs.task_envelopes import TaskEnvelopes
from remora_sidecar.workflow_runs.view import ended_value
from remora_sidecar.workflows.execution import Execution
from remora_sidecar.workflows.inputs import BudgetFreed, Cancel, Pause, Resume
from remora_sidecar.workflows.market_targets import MarketTargets
from remora_sidecar.workflows.plan import Plan
from remora_sidecar.workflows.question import ModelWish, Target
from remora_sidecar.workflows.run import Run, restored
from remora_sidecar.workflows.saved import CallSettled, Entry, Failure, entry_value
from remora_sidecar.workflows.state import state_of

logger = logging.getLogger(__name__)

MAX_RUNNING: Final = 2_000
"""Runs that go on at once."""

MAX_ENDED: Final = 1_000
MAX_ENDED_BYTES: Final = 64 * 1024 * 1024
FORGETS_EVERY_S: Final = 60.0
KEPT_NS: Final = 3_600 * 1_000_000_000
"""How long what a run came to can be asked for here, and its idempotency key is known."""


type _Key = tuple[str, str]
"""Session and idempotency key."""


class Conflict(RemoraError):
    """An idempotency key that was used for another order."""


class TooMany(RemoraError):
    """As many runs go on as may."""


class TaskIsOver(RemoraError):
    """The task of an order takes no more calls."""

    def __init__(self, refusal: Refusal) -> None:
        """Keep the refusal that its calls are answered."""
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What runs need to know of the sidecar.

    Attributes:
        preparing: Reads orders.
        gate: Says which tasks are held.
        sessions: Those that are open.
        waiting: Records that were not delivered.
        reports: Tells others of runs.
    """

    preparing: Preparing
    gate: TaskGate
    sessions: Sessions
    waiting: Waiting
    reports: Reports


class WorkflowRuns:
    """All runs; used on one event loop.

    Attributes:
        envelopes: Budgets that runs of one task share.
        ended: How many are over since the process began, by how they ended.
    """

    def __init__(self, knows: Knowledge, around: Surroundings) -> None:
        """Begin with none; `take_up` those of an earlier process."""
        self.envelopes = TaskEnvelopes(lambda trace_id: EXECUTION_PREFIX + trace_id in self._known)
        self.ended: Counter[str] = Counter()
        self._knows = knows
        self._around = around
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._by_key: dict[_Key, Known] = {}
        self._tasks = TaskOwner("workflows")
        self._ordering: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()
        self.envelopes.freed = self._freed
        knows.gate.listeners.append(self._hear)

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should know."""
        unkept = self._around.file.problem
        said = f"workflows do not outlive the process: {unkept}" if unkept else ""
        return tuple(filter(None, (said, self._knows.reports.problem)))

    @property
    def running_count(self) -> int:
        """How many go on."""
        return sum(known.running is not None for known in self._known.values())

    @property
    def preparing(self) -> Preparing:
        """Reads orders."""
        return self._knows.preparing

    # asking for them

    async def order(self, order: RunOrder, key: ClientKey) -> Known:
        """Begin a run, or find the one that the order's idempotency key names.

        Raises:
            Conflict: The key names the run of another order.
            TooMany: As many go on as may.
            TaskIsOver: Its task was cancelled.
            UnknownWorkflow: As `Preparing.prepare`.
            ConfigError: As `Preparing.prepare`.
        """
        if order.idempotency_key is None:
            return await self._begin(order, key)
        name = (key.session.session_id, order.idempotency_key)
        async with self._ordering.setdefault(name, asyncio.Lock()):
            known = self._by_key.get(name)
            if known is None:
                return await self._begin(order, key)
        if known.ordered.digest != order.digest:
            raise Conflict("the idempotency key was used for another order: take a new one")
        return known

    def find(self, execution_id: str) -> Known | None:
        """Find a run by its id."""
        return self._known.get(execution_id)

    def of_session(self, session_id: str) -> Iterator[Known]:
        """Give the runs of a session, newest first."""
        return (k for k in reversed(self._known.values()) if k.ordered.session_id == session_id)

    def steer(self, known: Known, given: Cancel | Pause | Resume) -> None:
        """Cancel, pause or resume a run; one that is over stays so."""
        if known.running is not None:
            known.running.post(given)

    # beginning

    async def _begin(self, order: RunOrder, key: ClientKey) -> Known:
        if self.running_count >= MAX_RUNNING:
            raise TooMany(f"{MAX_RUNNING} workflows run already: try again when some are over")
        hold = self._knows.gate.hold_of(order.task_id or "")
        if hold is not None and hold.control == "cancelled":
            raise TaskIsOver(hold.refusal)
        prepared = await self._knows.preparing.prepare(order, key)
        ordered = _ordered(order, prepared, key, self._around.clock.now_unix_ns())
        self._set_task_budget(ordered)
        began_ms = self._around.now_ms
        run = Run(self._plan(ordered, prepared.workflow, key), began_ms)
        known = self._know(ordered, Running(run, _caller(ordered, key), self._around, began_ms))
        self._start(known, hold)
        await known.kept.wait()
        return known

    def _set_task_budget(self, ordered: Ordered) -> None:
        self.envelopes.of(ordered.task_id, ordered.task_budget, self._around.now_ms)

    def _plan(self, ordered: Ordered, workflow: CompiledWorkflow, key: ClientKey) -> Plan:
        def choose(wish: ModelWish) -> Sequence[Target]:
            return MarketTargets(self._knows.preparing.market(key))(wish)

        return Plan(
            workflow=workflow,
            input_value=ordered.input,
            choose=choose,
            budget=ordered.budget,
            task=self.envelopes.of(ordered.task_id, None, self._around.now_ms),
        )

    def _know(self, ordered: Ordered, running: Running | None) -> Known:
        known = self._known[ordered.execution_id] = Known(ordered, running)
        if ordered.idempotency_key is not None:
            self._by_key[ordered.session_id, ordered.idempotency_key] = known
        return known

    def _start(self, known: Known, hold: TaskHold | None) -> None:
        running = known.running
        assert running is not None  # noqa: S101 - only what goes on is started
        running.settled = lambda: self._freed(running.task_id, but=running)
        running.changed = lambda: self._knows.reports.changed(known)
        self._knows.reports.began(known)
        if hold is not None:
            running.hear(hold)
        self._tasks.spawn(self._go(known, running), name=known.ordered.execution_id)

    # going on

    async def _go(self, known: Known, running: Running) -> None:
        await self._keep(known)
        try:
            result = ended_value(known.ordered, await running.go())
        except Exception:
            logger.exception("the workflow run %s broke", known.ordered.execution_id)
            failure = Failure("internal", "the sidecar could not go on with it: its log says why")
            result = ended_value(known.ordered, running.broken(failure))
        await self._end(known, result)

    async def _keep(self, known: Known) -> None:
        """Write down what was ordered, unless it was before."""
        if not known.kept.is_set():
            ordered = known.ordered
            new = NewRun(ordered.execution_id, _json(ordered.value()), ordered.began_unix_ns)
            await self._around.file.keep([new])
            known.kept.set()

    async def _end(self, known: Known, result: dict[str, Any]) -> None:
        ended_unix_ns = self._around.clock.now_unix_ns()
        await self._knows.reports.ended(known, result, ended_unix_ns)
        left, said = known.ordered.without_texts(), _json(result)
        ending = Ending(left.execution_id, _json(left.value()), ended_unix_ns, said)
        await self._around.file.keep([ending])
        self.ended[result["status"]] += 1
        known.end(result, ended_unix_ns, len(said))
        await self._forget_old()

    async def _forget_old(self) -> None:
        oldest = self._around.clock.now_unix_ns() - KEPT_NS
        ended = [known for known in self._known.values() if known.ended_unix_ns]
        ended.sort(key=lambda known: known.ended_unix_ns, reverse=True)
        sizes = accumulate(known.result_bytes for known in ended)
        gone = [
            known
            for number, (known, size) in enumerate(zip(ended, sizes, strict=True))
            if number >= MAX_ENDED or size > MAX_ENDED_BYTES or known.ended_unix_ns < oldest
        ]
        for known in gone:
            self._forget(known)
        if gone:
            await self._around.file.forget([known.ordered.execution_id for known in gone])

    async def _forget_in_time(self) -> None:
        """Forget what is old though no run ends, and leave no byte of it in the file."""
        while True:
            await asyncio.sleep(FORGETS_EVERY_S)
            await self._forget_old()
            await self._around.file.keep([])  # what could not be written before
            await self._around.file.tidy()

    def _forget(self, known: Known) -> None:
        ordered = known.ordered
        del self._known[ordered.execution_id]
        if ordered.idempotency_key is not None:
            self._by_key.pop((ordered.session_id, ordered.idempotency_key), None)
        if all(other.ordered.task_id != ordered.task_id for other in self._known.values()):
            self.envelopes.forget(ordered.task_id)

    def _freed(self, task_id: str, but: Running | None = None) -> None:
        if not self.envelopes.has(task_id):
            return
        for known in self._known.values():
            running = known.running
            if running is not None and running is not but and running.task_id == task_id:
                running.post(BudgetFreed())

    def _hear(self, hold: TaskHold) -> None:
        for known in self._known.values():
            if known.running is not None and known.running.task_id == hold.task_id:
                known.running.hear(hold)

    # after a restart

    async def take_up(self) -> None:
        """Go on with the runs that an earlier process left, and know again what came of others."""
        over = await self._around.file.ended_runs()
        left = [Left.of(run) for run in await self._around.file.open_runs()]
        for run in over:
            self._know_again(run)
        for one in left:
            self._set_task_budget(one.ordered)
        for run in over:
            self.envelopes.charge(run.result["task_id"], run.result)
        left = await self._with_bills(left)
        for one in left:
            self._charge(one.ordered, one.entries)
        for one in left:
            await self._take_up(one)
        await self._forget_old()
        self._tasks.spawn(self._forget_in_time(), name="forgetting")

    async def _with_bills(self, left: Sequence[Left]) -> list[Left]:
        """Add the bills of calls whose records outlived the process that made them."""
        records = await lost_records(self._knows.waiting, left)
        return [await self._with_found(one, one.bills(records)) for one in left]

    async def _with_found(self, left: Left, bills: Sequence[CallSettled]) -> Left:
        if not bills:
            return left
        values = [_json(entry_value(bill)) for bill in bills]
        first = len(left.entries)
        await self._around.file.keep(
            [NewEntries(left.ordered.execution_id, first, values, left.taken_ms)]
        )
        return replace(left, entries=[*left.entries, *bills])

    def _know_again(self, run: EndedRun) -> None:
        known = self._know(ordered_of(run.ordered), None)
        self._set_task_budget(known.ordered)
        known.end(run.result, run.ended_unix_ns, len(_json(run.result)))

    async def _take_up(self, left: Left) -> None:
        ordered, entries = left.ordered, left.entries
        session = self._knows.sessions.get(ordered.session_id) or self._knows.sessions.default
        key = ClientKey(session)
        try:
            workflow = await self._knows.preparing.read(ordered.workflow)
        except ConfigError as error:
            logger.error("the workflow run %s can't be taken up: %s", ordered.execution_id, error)
            what = "it was ordered of another version of Remora, which reads workflows otherwise"
            failed = Execution(ordered.name, "failed", {}, (), 0, Failure("unreadable", what))
            await self._end(self._know(ordered, None), ended_value(ordered, failed))
            return
        began_ms = self._around.now_ms - left.taken_ms
        run = restored(self._plan(ordered, workflow, key), entries, began_ms)
        running = Running(run, _caller(ordered, key), self._around, began_ms, saved=len(entries))
        known = self._know(ordered, running)
        known.kept.set()
        for event in run.told_before():
            running.feed.tell(event.value())
        self._start(known, self._knows.gate.hold_of(ordered.task_id))

    def _charge(self, ordered: Ordered, entries: Sequence[Entry]) -> None:
        envelope = self.envelopes.of(ordered.task_id, None, self._around.now_ms)
        if envelope is not None:
            for _, cost_usd, tokens in state_of(entries).spent():
                envelope.charge(cost_usd, tokens)

    def let_followers_go(self) -> None:
        """End what followers hear, though the runs are not over: the sidecar stops."""
        for known in self._known.values():
            known.feed.close()

    async def aclose(self) -> None:
        """Stop all runs where they are; `take_up` goes on with them."""
        self._knows.gate.listeners.remove(self._hear)
        self._knows.reports.close()
        await self._tasks.aclose()
        await self._around.file.aclose()


def _ordered(order: RunOrder, prepared: Prepared, key: ClientKey, now_unix_ns: int) -> Ordered:
    execution_id = EXECUTION_PREFIX + secrets.token_hex(16)
    task_id = order.task_id or key.session.task_id
    return Ordered(
        execution_id=execution_id,
        session_id=key.session.session_id,
        task_id=task_id or execution_id,
        owns_task=not task_id,
        workflow=prepared.document,
        name=prepared.workflow.workflow.name,
        workflow_digest=prepared.workflow.digest,
        digest=order.digest,
        began_unix_ns=now_unix_ns,
        estimate=estimate_value(prepared.estimate),
        warnings=[{"where": w.where, "what": w.what} for w in prepared.workflow.warnings],
        input=order.input,
        budget=order.budget,
        task_budget=order.task_budget,
        idempotency_key=order.idempotency_key,
    )


def _caller(ordered: Ordered, key: ClientKey) -> Caller:
    return Caller(ordered.execution_id, ordered.trace_id, ordered.task_id, ordered.name, key)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
