"""One step at work: its one question, or those about the items of the list it is mapped over."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from remora.workflows.compiled import CompiledStep
from remora.workflows.scope import Scope, StepStatus
from remora.workflows.templates import RenderError, render_value
from remora_sidecar.workflows.amounts import Bill
from remora_sidecar.workflows.instance import (
    TEMPLATE,
    Act,
    Instance,
    InstanceOver,
    LetGo,
    Place,
    Rest,
)
from remora_sidecar.workflows.reading import Expression
from remora_sidecar.workflows.saved import Failure, ItemEnded

BAD_LIST: Final = "bad_list"


@dataclass(frozen=True, slots=True)
class ItemDone:
    """An item is over; it is to be kept."""

    ended: ItemEnded


@dataclass(frozen=True, slots=True)
class WorkOver:
    """The step is over.

    Attributes:
        status: ``completed``, ``failed`` or ``defaulted``.
        output: What it leaves.
        failure: Why it failed; a default may stand in all the same.
        provider: Whose answer it is; empty: of several.
        model: Whose answer it is.
        note: How it came about.
    """

    status: StepStatus
    output: Any = None
    failure: Failure | None = None
    provider: str = ""
    model: str = ""
    note: str = ""


type WorkAct = Place | LetGo | Rest | ItemDone | WorkOver


def by_policy(step: CompiledStep, over: InstanceOver) -> WorkOver:
    """Say what a settled question leaves, by the step's ``on_failure``."""
    if over.failure is None:
        return WorkOver("completed", over.value, None, over.provider, over.model, over.note)
    if step.step.on_failure == "default":
        return WorkOver("defaulted", step.step.default, over.failure)
    return WorkOver("failed", None, over.failure)


class Work:
    """A step that has begun.

    Attributes:
        is_over: Whether all is settled or abandoned.
    """

    def __init__(
        self,
        step: CompiledStep,
        scope: Scope,
        key: str,
        expression: Expression,
        done: Mapping[int, ItemEnded],
    ) -> None:
        """Prepare to ask.

        Args:
            step: What is asked.
            scope: What its templates may refer to.
            key: Names the step within the run; keys of its calls begin with it.
            expression: Compiles expressions of checks.
            done: Items that are over already, from before a restart.
        """
        self._step = step
        self._scope = scope
        self._key = key
        self._expression = expression
        self._done = dict(done)
        self._open: dict[int | None, Instance] = {}
        self._todo: Iterator[tuple[int, object]] = iter(())
        self._answerers: set[tuple[str, str]] = set()
        self._count = 0
        self.is_over = False

    def begin(self) -> list[WorkAct]:
        """Ask the first questions."""
        if self._step.over is None:
            return self._follow(self._start(None, self._scope))
        found = self._items()
        if isinstance(found, Failure):
            return [self._ended(self._list_failed(found))]
        self._count = len(found)
        self._todo = ((n, item) for n, item in enumerate(found) if n not in self._done)
        return self._fill()

    def answered(
        self, item: int | None, key: str, text: str, bill: Bill, *, was_cut: bool
    ) -> list[WorkAct]:
        """Pass an answer on to the question it is for."""
        instance = self._open.get(item)
        if instance is None:
            return []
        return self._follow(instance.answered(key, text, bill, was_cut=was_cut))

    def failed(
        self, item: int | None, key: str, failure: Failure, *, may_retry: bool
    ) -> list[WorkAct]:
        """Pass a failure on to the question it is for."""
        instance = self._open.get(item)
        if instance is None:
            return []
        return self._follow(instance.failed(key, failure, may_retry=may_retry))

    def rested(self, item: int | None, key: str) -> list[WorkAct]:
        """Pass the end of a pause on to the question that made it."""
        instance = self._open.get(item)
        return [] if instance is None else self._follow(instance.rested(key))

    def give_up_resting(self) -> list[WorkAct]:
        """End what only waits to try again."""
        acts: list[WorkAct] = []
        for instance in list(self._open.values()):
            acts.extend(self._follow(instance.give_up_resting()))
        return acts

    def abandon(self) -> list[LetGo]:
        """Let everything go; nothing follows."""
        self.is_over = True
        acts = [act for instance in self._open.values() for act in instance.abandon()]
        self._open.clear()
        return acts

    def fail(self, failure: Failure) -> list[WorkAct]:
        """End it all for one reason, such as time that is over."""
        acts: list[WorkAct] = [*self.abandon()]
        if self._step.over is None:
            return [*acts, by_policy(self._step, InstanceOver(None, failure=failure))]
        return [*acts, self._list_failed(failure)]

    def _items(self) -> list[object] | Failure:
        assert self._step.over is not None  # noqa: S101 - only mapped steps have items
        assert self._step.step.map is not None  # noqa: S101
        try:
            found = render_value(self._step.over, self._scope.look_up)
        except RenderError as error:
            return Failure(TEMPLATE, str(error))
        limit = self._step.step.map.max_items
        if not isinstance(found, list):
            return Failure(BAD_LIST, "map.over should lead to a list, and there is none")
        if len(found) > limit:
            said = f"the list has {len(found)} items, map.max_items is {limit}"
            return Failure(BAD_LIST, said)
        return found

    def _list_failed(self, failure: Failure) -> WorkOver:
        """Say what a mapped step leaves that failed as a whole: a default is of one item."""
        if self._step.step.on_failure == "default":
            return WorkOver("defaulted", [], failure)
        return WorkOver("failed", None, failure)

    def _ended(self, over: WorkOver) -> WorkOver:
        self.is_over = True
        return over

    def _start(self, item: int | None, scope: Scope) -> list[Act]:
        key = self._key if item is None else f"{self._key}/{item}"
        instance = Instance(self._step, scope, key, item=item, expression=self._expression)
        self._open[item] = instance
        return instance.begin()

    def _fill(self) -> list[WorkAct]:
        """Begin with items as long as there is room, and end when none is left."""
        assert self._step.step.map is not None  # noqa: S101 - only mapped steps have items
        acts: list[WorkAct] = []
        while not self.is_over and len(self._open) < self._step.step.map.concurrency:
            following = next(self._todo, None)
            if following is None:
                break
            place, value = following
            items = {**self._scope.items, self._step.step.map.item: value}
            acts.extend(self._settle(self._start(place, replace(self._scope, items=items))))
        if not self.is_over and not self._open:
            acts.append(self._ended(self._all()))
        return acts

    def _follow(self, acts: list[Act]) -> list[WorkAct]:
        followed = self._settle(acts)
        if self._step.over is None or not any(isinstance(act, InstanceOver) for act in acts):
            return followed
        return [*followed, *(() if self.is_over else self._fill())]

    def _settle(self, acts: list[Act]) -> list[WorkAct]:
        settled: list[WorkAct] = []
        for act in acts:
            settled.extend(self._over(act) if isinstance(act, InstanceOver) else [act])
        return settled

    def _over(self, over: InstanceOver) -> list[WorkAct]:
        del self._open[over.item]
        outcome = by_policy(self._step, over)
        if over.item is None:
            return [self._ended(outcome)]
        if over.failure is not None and self._step.step.on_failure == "fail":
            return [*self.abandon(), replace(outcome, note=f"item {over.item}")]
        if over.model:
            self._answerers.add((over.provider, over.model))
        ended = ItemEnded(
            self._step.step.id, over.item, outcome.status, outcome.output, over.failure
        )
        self._done[over.item] = ended
        return [ItemDone(ended)]

    def _all(self) -> WorkOver:
        kept = [self._done[place] for place in range(self._count)]
        output = [ended.output for ended in kept if ended.status != "failed"]
        alone = next(iter(self._answerers)) if len(self._answerers) == 1 else ("", "")
        failed = sum(ended.failure is not None for ended in kept)
        note = f"{failed} of {self._count} items failed" if failed else ""
        return WorkOver("completed", output, None, *alone, note)
