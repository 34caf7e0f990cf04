"""The machine of one run: told of answers, time and requests, it says what is to be done next.

Same inputs, same commands: it has no clock, no chance and no I/O of its own. What it knows is the
sum of the entries that it had saved, so that a run goes on after a restart as `restored` from them.
"""

from collections.abc import Iterable

from remora.workflows.compiled import CompiledWorkflow
from remora.workflows.scope import Scope
from remora_sidecar.workflows import inputs
from remora_sidecar.workflows.admission import Admission
from remora_sidecar.workflows.commands import Abandon, Command, Finish, Tell, Wait
from remora_sidecar.workflows.deadlines import Deadlines
from remora_sidecar.workflows.desk import Desk, Refusal
from remora_sidecar.workflows.envelope import Envelope, Overrun, Verdict
from remora_sidecar.workflows.events import (
    Event,
    EventType,
    budget_said,
    final,
    step_ended,
    step_started,
    stopped,
)
from remora_sidecar.workflows.execution import Execution
from remora_sidecar.workflows.instance import LetGo, Place, Rest
from remora_sidecar.workflows.outbox import Outbox
from remora_sidecar.workflows.plan import Plan
from remora_sidecar.workflows.reporting import execution_of, report_of, reports_of
from remora_sidecar.workflows.saved import (
    BUDGET_EXCEEDED,
    Entry,
    Failure,
    LifeBegan,
    RunTurned,
    StepEnded,
    Turn,
)
from remora_sidecar.workflows.schedule import Schedule, passed_over
from remora_sidecar.workflows.state import RunState, state_of
from remora_sidecar.workflows.work import ItemDone, Work, WorkAct, WorkOver

_STEP_SCOPE = "step "


class Run:
    """One run of a workflow.

    `begin` once, then `handle` for every input; the commands of each are carried out in their
    order. Moments are milliseconds of one monotonic clock.
    """

    def __init__(self, plan: Plan, began_ms: int, state: RunState | None = None) -> None:
        """Prepare a run.

        Args:
            plan: What it goes by.
            began_ms: When it began; for one that goes on after a restart, now less the time
                that it has taken so far.
            state: What is known of it; None: it is new.
        """
        self._plan = plan
        self._began_ms = began_ms
        self._now_ms = began_ms
        self._state = state or RunState()
        self._out = Outbox(self._state)
        self._key = str(self._state.life + 1)
        self._admission = Admission(plan.choose, self._note)
        self._desk = Desk(self._admission, self._out.do, self._out.save)
        self._deadlines = Deadlines(self._key, self._out.do)
        self._envelope = plan.envelopes(began_ms)
        self._envelopes: dict[str, Envelope] = {}
        self._schedule = Schedule(plan, self._state.steps)
        self._works: dict[str, Work] = {}
        self._begun_ms: dict[str, int] = {}
        self._rests: dict[str, tuple[str, int | None]] = {}
        self._is_finished = False

    @property
    def is_finished(self) -> bool:
        """Whether `Finish` was said."""
        return self._is_finished

    @property
    def workflow(self) -> CompiledWorkflow:
        """What is run."""
        return self._plan.workflow

    @property
    def life(self) -> int:
        """How often a process took it up, this one included."""
        return int(self._key)

    @property
    def is_paused(self) -> bool:
        """Whether it waits for `Resume`."""
        return self._state.is_paused

    def so_far(self, now_ms: int) -> Execution:
        """Return how it stands; while it goes on its status says only that nothing ended it."""
        latency_ms = now_ms - self._began_ms
        return execution_of(self._plan, self._state, self._scope(), self._begun_ms, latency_ms)

    def broken(self, failure: Failure, now_ms: int) -> Execution:
        """Return how it stands where it can't go on: what it took, and no outputs."""
        steps = reports_of(self._plan, self._state, self._begun_ms)
        name, latency_ms = self.workflow.workflow.name, now_ms - self._began_ms
        return Execution(name, "failed", {}, steps, latency_ms, failure)

    def told_before(self) -> list[Event]:
        """Say again what was said of steps that were over before `begin`."""
        ended = [step_ended(report_of(self._state, step)) for step in self._state.steps.values()]
        return [*ended, Event("paused")] if self._state.is_paused else ended

    def begin(self, now_ms: int) -> list[Command]:
        """Begin, or go on where the saved entries end."""
        self._now_ms = now_ms
        self._take_up()
        self._out.save(LifeBegan(int(self._key)))
        for envelope in self._envelope.chain():
            self._deadlines.watch(envelope, now_ms)
        self._go_on()
        return self._out.drain()

    def handle(self, given: inputs.Input, now_ms: int) -> list[Command]:
        """Take an input; nothing follows from one about what is over."""
        if self._is_finished:
            return []
        self._now_ms = now_ms
        self._take(given)
        self._go_on()
        return self._out.drain()

    def _take_up(self) -> None:
        """Count what was spent before, and hold to what was decided."""
        state = self._state
        self._admission.downgraded.update(state.downgraded)
        self._admission.warned.update(state.warned)
        for step_id, cost, tokens in state.spent():
            for envelope in self._envelope_of(step_id).chain():
                if envelope is not self._plan.task:
                    envelope.charge(cost, tokens)
        if state.is_paused:
            self._hold()

    def _take(self, given: inputs.Input) -> None:
        match given:
            case inputs.Answered():
                self._answered(given)
            case inputs.Failed():
                self._refuse(self._desk.failed(given))
            case inputs.Closed(key, bill):
                self._desk.closed(key, bill)
            case inputs.Fired(key):
                self._fired(key)
            case inputs.Held(key):
                self._desk.held(key)
                self._pause()
            case inputs.Pause():
                self._pause()
            case inputs.Resume():
                self._resume()
            case inputs.Cancel(reason):
                self._stop("cancelled", Failure("cancelled", reason))
            case inputs.BudgetFreed():
                pass  # what waits is looked at after every input

    def _answered(self, given: inputs.Answered) -> None:
        request = self._desk.answered(given.key, given.bill)
        if request is not None:
            work = self._works[request.step_id]
            acts = work.answered(
                request.item, request.key, given.text, given.bill, was_cut=given.was_cut
            )
            self._follow(request.step_id, acts)

    def _fired(self, key: str) -> None:
        rest = self._rests.pop(key, None)
        if rest is not None:
            step_id, item = rest
            self._follow(step_id, self._works[step_id].rested(item, key))
            return
        late = self._deadlines.fired(key, self._now_ms)
        if late is not None:
            self._late(*late)
            return
        self._refuse(self._desk.fired(key))

    def _late(self, envelope: Envelope, step_id: str | None) -> None:
        overrun = envelope.lateness(self._deadlines.worked_ms(self._now_ms))
        if overrun is None:
            return
        if overrun.verdict is Verdict.WARN:
            self._admission.warn(overrun, step_id or "")
            return
        failure = Failure(BUDGET_EXCEEDED, str(overrun))
        if step_id is None:
            self._stop("budget_exceeded", failure)
        elif step_id in self._works:
            self._follow(step_id, self._works[step_id].fail(failure))

    def _pause(self) -> None:
        if not self._state.is_paused and self._state.end is None:
            self._out.save(RunTurned("paused"))
            self._tell(Event("paused"))
            self._hold()

    def _hold(self) -> None:
        self._desk.hold()
        self._deadlines.pause(self._now_ms)

    def _resume(self) -> None:
        if self._state.is_paused:
            self._out.save(RunTurned("resumed"))
            self._tell(Event("resumed"))
            self._desk.go_on()
            self._deadlines.resume(self._now_ms)

    def _stop(self, turn: Turn, failure: Failure, step_id: str | None = None) -> None:
        """End it: nothing begins, and what runs is abandoned."""
        if self._state.end is None:
            self._out.save(RunTurned(turn, failure=failure, step_id=step_id))
        works, self._works = self._works, {}
        for step, work in works.items():
            self._follow(step, [*work.abandon()])
        self._deadlines.forget_all()

    def _block(self, failure: Failure) -> None:
        """Let nothing begin any more; calls in flight go on, as they are paid."""
        if self._state.end is not None:
            return
        self._out.save(RunTurned("budget_exceeded", failure=failure))
        self._tell(stopped(failure))
        self._desk.shut(failure)
        for step_id, work in list(self._works.items()):
            self._follow(step_id, work.give_up_resting())

    def _go_on(self) -> None:
        while self._start_steps() or self._pump():
            pass
        may_begin = self._state.end is None and not self._schedule.is_empty
        if not self._works and not may_begin and self._desk.is_idle:
            self._finish()

    def _start_steps(self) -> bool:
        """Begin with the steps that may; tells whether there were any."""
        count = 0
        while not self._state.is_paused and self._state.end is None:
            step_id = self._schedule.take()
            if step_id is None:
                break
            self._start(step_id)
            count += 1
        return count > 0

    def _start(self, step_id: str) -> None:
        step, scope = self._plan.step(step_id), self._scope()
        ended = passed_over(step, scope)
        if ended is not None:
            self._end_step(ended)
            return
        self._begun_ms[step_id] = self._now_ms
        self._tell(step_started(step_id))
        self._deadlines.watch(self._envelope_of(step_id), self._now_ms, step_id)
        done = self._state.items.get(step_id, {})
        key = f"{self._key}/{step_id}"
        work = Work(step, scope, key, self._plan.expression, done)
        self._works[step_id] = work
        self._follow(step_id, work.begin())

    def _scope(self) -> Scope:
        plan = self._plan
        return Scope(plan.input, self._state.results, {}, plan.workflow.optional)

    def _envelope_of(self, step_id: str) -> Envelope:
        if step_id not in self._envelopes:
            budget = self._plan.step(step_id).step.budget
            now_ms = self._deadlines.worked_ms(self._now_ms)
            self._envelopes[step_id] = Envelope(
                f"{_STEP_SCOPE}{step_id}", budget, parent=self._envelope, began_ms=now_ms
            )
        return self._envelopes[step_id]

    def _pump(self) -> bool:
        """Ask what may be asked; tells whether something was refused, after which more may be."""
        count = 0
        for refusal in self._desk.pump(self._deadlines.worked_ms(self._now_ms)):
            self._refuse(refusal)
            count += 1
        return count > 0

    def _refuse(self, refusal: Refusal | None) -> None:
        if refusal is None:
            return
        if any(not scope.startswith(_STEP_SCOPE) for scope in refusal.scopes):
            self._block(refusal.failure)
        request = refusal.request
        work = self._works.get(request.step_id)
        if work is not None:
            acts = work.failed(
                request.item, request.key, refusal.failure, may_retry=refusal.may_retry
            )
            self._follow(request.step_id, acts)

    def _follow(self, step_id: str, acts: Iterable[WorkAct]) -> None:
        for act in acts:
            match act:
                case Place(request):
                    self._desk.place(request, self._envelope_of(step_id))
                case LetGo(key):
                    self._let_go(key)
                case Rest(key, _, item, delay_ms):
                    self._rests[key] = (step_id, item)
                    self._out.do(Wait(key, delay_ms))
                case ItemDone(ended):
                    self._out.save(ended)
                case WorkOver():
                    self._end_work(step_id, act)

    def _let_go(self, key: str) -> None:
        if self._rests.pop(key, None) is not None:
            self._out.do(Abandon(key))
        else:
            self._desk.let_go(key)

    def _end_work(self, step_id: str, over: WorkOver) -> None:
        self._works.pop(step_id)
        self._deadlines.forget(self._envelope_of(step_id))
        self._end_step(
            StepEnded(
                step_id=step_id,
                status=over.status,
                output=over.output,
                latency_ms=self._now_ms - self._begun_ms[step_id],
                provider=over.provider,
                model=over.model,
                note=over.note,
                failure=over.failure,
            )
        )

    def _end_step(self, ended: StepEnded) -> None:
        self._out.save(ended)
        self._schedule.over(ended.step_id)
        open_calls = self._desk.open_calls(ended.step_id)
        self._tell(step_ended(report_of(self._state, ended, open_calls)))
        fails = self._plan.step(ended.step_id).step.on_failure == "fail"
        if ended.status == "failed" and fails and self._state.end is None:
            failure = ended.failure or Failure("failed")
            turn: Turn = "budget_exceeded" if failure.code == BUDGET_EXCEEDED else "failed"
            self._stop(turn, failure, ended.step_id)

    def _note(self, verdict: Verdict, overrun: Overrun, step_id: str) -> None:
        """Keep that a budget warned or moved the run to cheaper models, and say so."""
        is_warning = verdict is Verdict.WARN
        turn: Turn = "warned" if is_warning else "downgraded"
        self._out.save(RunTurned(turn, scope=overrun.scope, limit=overrun.limit))
        kind: EventType = "budget_warning" if is_warning else "budget_downgraded"
        self._tell(budget_said(kind, overrun, step_id or None))

    def _finish(self) -> None:
        self._deadlines.forget_all()
        execution = self.so_far(self._now_ms)
        self._is_finished = True
        self._tell(final(execution))
        self._out.do(Finish(execution))

    def _tell(self, event: Event) -> None:
        self._out.do(Tell(event))


def restored(plan: Plan, entries: Iterable[Entry], began_ms: int) -> Run:
    """Return a run that goes on where its saved entries end.

    Steps and items that are over are not asked again; all others begin anew. A call that was
    intended and not settled counts against budgets as it was reserved, and is reported as lost,
    unless whoever knows its bill adds a `CallSettled` to the entries.

    Args:
        plan: What the run went by from the beginning; the envelope of its task has all that was
            spent before, by this run too.
        entries: As they were saved, in order.
        began_ms: Now, less the time that the run has taken so far.
    """
    return Run(plan, began_ms, state_of(entries))
