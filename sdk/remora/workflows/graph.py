"""Which step waits for which: what people wrote, and what references say. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter


@dataclass(frozen=True)
class Graph:
    """The order of a workflow's steps.

    Attributes:
        dependencies: Of each step, those that have to be over before it begins.
        levels: Steps by how many others have to be over one after another; those of one level
            never wait for each other.
    """

    dependencies: Mapping[str, frozenset[str]]
    levels: tuple[tuple[str, ...], ...]

    @property
    def order(self) -> tuple[str, ...]:
        """All steps, none before one that it waits for."""
        return tuple(step for level in self.levels for step in level)

    def dependents(self, step_id: str) -> frozenset[str]:
        """Return the steps that wait for a step directly."""
        return frozenset(s for s, waits_for in self.dependencies.items() if step_id in waits_for)

    @property
    def last(self) -> tuple[str, ...]:
        """The steps that no other waits for."""
        needed = {step for waits_for in self.dependencies.values() for step in waits_for}
        return tuple(step for step in self.order if step not in needed)

    def needed_for(self, wanted: Collection[str]) -> frozenset[str]:
        """Return some steps and all that they wait for, however far back."""
        needed: set[str] = set()
        pending = list(wanted)
        while pending:
            step = pending.pop()
            if step not in needed:
                needed.add(step)
                pending.extend(self.dependencies[step])
        return frozenset(needed)


def graph_of(dependencies: Mapping[str, Collection[str]]) -> Graph:
    """Order steps that wait for each other in no circle.

    Args:
        dependencies: Of each step, in the order of the document.

    Raises:
        graphlib.CycleError: They wait in a circle.
    """
    place = {step: number for number, step in enumerate(dependencies)}
    sorter = TopologicalSorter(dependencies)
    sorter.prepare()
    levels = []
    while sorter.is_active():
        level = tuple(sorted(sorter.get_ready(), key=place.__getitem__))
        levels.append(level)
        sorter.done(*level)
    frozen = {step: frozenset(waits_for) for step, waits_for in dependencies.items()}
    return Graph(frozen, tuple(levels))


def circles(dependencies: Mapping[str, Collection[str]]) -> Iterator[tuple[str, ...]]:
    """Give circles of waiting, until without their last links none is left.

    Each one begins and ends with the same step, and every step waits for the next.
    """
    left = {step: set(waits_for) for step, waits_for in dependencies.items()}
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            circle = tuple(reversed(error.args[1]))
            left[circle[0]].discard(circle[1])
            yield circle
        else:
            return
