"""Which steps may begin: those that wait for nothing any more. Decides also who is skipped."""

from collections.abc import Collection

from remora.workflows.compiled import CompiledStep
from remora.workflows.conditions import ConditionError
from remora.workflows.scope import Scope
from remora_sidecar.workflows.plan import Plan
from remora_sidecar.workflows.saved import Failure, StepEnded

SKIPPED = "skipped"
CONDITION = "condition"


class Schedule:
    """The steps of a run that have not begun."""

    def __init__(self, plan: Plan, over: Collection[str]) -> None:
        """Begin with some steps that are over already."""
        self._plan = plan
        graph = plan.workflow.graph
        self._waits_for = {
            step_id: set(graph.dependencies[step_id]).difference(over)
            for step_id in graph.order
            if step_id not in over
        }
        self._ready = [step_id for step_id, before in self._waits_for.items() if not before]

    @property
    def is_empty(self) -> bool:
        """Whether every step has begun."""
        return not self._waits_for

    def take(self) -> str | None:
        """Return a step that may begin, which then has; None if there is none now."""
        if not self._ready:
            return None
        step_id = self._ready.pop(0)
        del self._waits_for[step_id]
        return step_id

    def over(self, step_id: str) -> None:
        """Note that a step is over: others may begin."""
        for after in self._plan.dependents[step_id]:
            before = self._waits_for.get(after)
            if before is not None and step_id in before:
                before.discard(step_id)
                if not before:
                    self._ready.append(after)


def passed_over(step: CompiledStep, scope: Scope) -> StepEnded | None:
    """Say how a step ends that is not to be asked; None if it is."""
    missing = sorted(s for s in step.needs if scope.steps[s].left_nothing)
    if missing:
        return _skipped(step, f"{', '.join(missing)} left nothing")
    if step.condition is None:
        return None
    try:
        holds = step.condition.holds(scope.data)
    except ConditionError as error:
        return _undecided(step, Failure(CONDITION, str(error)))
    return None if holds else _skipped(step, "its condition does not hold")


def _skipped(step: CompiledStep, why: str) -> StepEnded:
    failure = Failure(SKIPPED, why)
    if not step.step.has_default:
        return StepEnded(step.step.id, "skipped", failure=failure)
    return StepEnded(step.step.id, "defaulted", _default(step), failure=failure)


def _undecided(step: CompiledStep, failure: Failure) -> StepEnded:
    if step.step.on_failure == "default":
        return StepEnded(step.step.id, "defaulted", _default(step), failure=failure)
    return StepEnded(step.step.id, "failed", failure=failure)


def _default(step: CompiledStep) -> object:
    """Return what stands in for a whole step: of a mapped one the default is an item's."""
    return step.step.default if step.step.map is None else []
