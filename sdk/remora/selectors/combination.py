"""Combinations: one candidate for each node of the agent. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from remora.selectors.contract import ModelsConfig

_NAMES = ("model", "model_name", "id", "name")


@dataclass(frozen=True)
class Combination:
    """One assignment of candidates to nodes.

    Attributes:
        candidates: What the agent is made with, by node.
        models: Their labels, by node.
    """

    candidates: Mapping[str, Any]
    models: Mapping[str, str]

    @property
    def label(self) -> str:
        """Its name, such as ``planner=gpt-4o + solver=gpt-4o-mini``."""
        return " + ".join(f"{node}={model}" for node, model in self.models.items())

    def data_id(self, datapoint: int) -> str:
        """Name its evaluation on a datapoint, which is counted from 0; the name's from 1."""
        return f"{self.label}::dp_{datapoint + 1}"


def combinations_of(models: ModelsConfig) -> tuple[Combination, ...]:
    """Combine all candidates, in the order of the nodes and of their candidates.

    Raises:
        ValueError: There is nothing to choose from, or two candidates have one label.
    """
    labelled = [_labelled(node, candidates) for node, candidates in models.items()]
    if not labelled:
        raise ValueError("models is empty: name a list of candidates for each node of the agent")
    return tuple(
        Combination(
            {node: candidate for node, (_, candidate) in zip(models, chosen, strict=True)},
            {node: label for node, (label, _) in zip(models, chosen, strict=True)},
        )
        for chosen in product(*labelled)
    )


def _labelled(node: str, candidates: Sequence[Any]) -> list[tuple[str, Any]]:
    if isinstance(candidates, str) or not candidates:
        raise ValueError(f"models[{node!r}] should be a list with at least one candidate")
    labels = [candidate_label(candidate) for candidate in candidates]
    if len(set(labels)) < len(labels):
        raise ValueError(f"models[{node!r}] has two candidates of the same name")
    return list(zip(labels, candidates, strict=True))


def candidate_label(candidate: Any) -> str:
    """Name a candidate: itself if it is text, else its key or attribute that names a model.

    Raises:
        ValueError: It has none.
    """
    if isinstance(candidate, str):
        return candidate
    for name in _NAMES:
        found = (
            candidate.get(name)
            if isinstance(candidate, Mapping)
            else getattr(candidate, name, None)
        )
        if isinstance(found, str) and found:
            return found
    raise ValueError(
        f"a candidate of type {type(candidate).__name__} has no name: give text, or a key or "
        f"attribute {', '.join(_NAMES)}"
    )
