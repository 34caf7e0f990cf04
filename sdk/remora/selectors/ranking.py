"""Which combination is best, and the results in order. Pure."""

import math
from collections.abc import Callable, Sequence

from remora.selectors.findings import ModelResult

_TOLERANCE = 1e-9
_ENOUGH = 0.5


def primary(result: ModelResult) -> float:
    """What counts first: the objective if one was set, else the accuracy."""
    return result.accuracy if result.combined_objective is None else result.combined_objective


def _succeeded(result: ModelResult) -> float:
    """1 for a combination that did not always fail."""
    return float(result.failures < result.num_samples)


def _cheapness(result: ModelResult) -> float:
    """An unknown price comes after every known one."""
    return -math.inf if result.price is None else -float(result.price)


_IN_TURN: Sequence[Callable[[ModelResult], float]] = (
    _succeeded,
    primary,
    lambda result: -result.failures,
    lambda result: -result.latency_seconds,
    _cheapness,
)
"""Each decides among those that are equal by all before it."""


def best_of(results: Sequence[ModelResult], *, is_whole: bool = True) -> ModelResult | None:
    """Choose the best.

    Args:
        results: Those that may be.
        is_whole: The run came to its end. If not, only those with at least half as many
            evaluations as any can be best: one lucky score is no comparison.

    Returns:
        None if there is none, or all of them always failed.
    """
    left = [result for result in results if result.failures < result.num_samples]
    if not is_whole and left:
        enough = _ENOUGH * max(result.num_samples for result in left)
        left = [result for result in left if result.num_samples >= enough]
    for figure in _IN_TURN:
        best = max((figure(result) for result in left), default=0.0)
        left = [result for result in left if figure(result) >= best - _TOLERANCE]
    return left[0] if left else None


def ranked(results: Sequence[ModelResult]) -> list[ModelResult]:
    """Sort results: the best, then by the same figures in turn."""
    return sorted(
        results,
        key=lambda result: (result.is_best, *(figure(result) for figure in _IN_TURN)),
        reverse=True,
    )
