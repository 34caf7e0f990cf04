"""Makes results of a book: what each combination came to, and which is best. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from remora.selectors.algorithm import Combinations
from remora.selectors.book import Book
from remora.selectors.combination import Combination
from remora.selectors.evaluation import Evaluation
from remora.selectors.findings import DatapointResult, ModelResult
from remora.selectors.ranking import best_of


def results_of(
    book: Book,
    combinations: Sequence[Combination],
    finalists: Combinations,
    *,
    is_whole: bool,
) -> list[ModelResult]:
    """Reckon up a run.

    Args:
        book: What was evaluated.
        combinations: In their order.
        finalists: Numbers of those that may be best.
        is_whole: The run came to its end.

    Returns:
        Combinations that were evaluated, in their order; one of them is the best, unless
        all that may be always failed.
    """
    objectives = _objectives(book)
    made = {
        number: _result(combination, evaluations, objectives[number])
        for number, combination in enumerate(combinations)
        if (evaluations := book.of_combination(number))
    }
    standing = [made[int(number)] for number in finalists if int(number) in made]
    best = best_of(standing, is_whole=is_whole)
    return [replace(result, is_best=result is best) for result in made.values()]


def _objectives(book: Book) -> list[float | None]:
    """Give mean objectives, scaled by the whole run; None without weights."""
    outcomes = book.outcomes
    if not book.weights.any:
        return [None] * len(outcomes.seen)
    values = outcomes.objectives(book.weights)
    return [
        float(np.nanmean(row)) if seen.any() else None
        for row, seen in zip(values, outcomes.seen, strict=True)
    ]


def _result(
    combination: Combination, evaluations: Sequence[Evaluation], objective: float | None
) -> ModelResult:
    return ModelResult(
        model_name=combination.label,
        models=combination.models,
        accuracy=math.fsum(e.score for e in evaluations) / len(evaluations),
        latency_seconds=fmean(e.latency_seconds for e in evaluations),
        input_tokens=_added(e.bill.input_tokens.items() for e in evaluations),
        output_tokens=_added(e.bill.output_tokens.items() for e in evaluations),
        datapoint_results=tuple(map(_datapoint_result, evaluations)),
        combined_objective=objective,
        unknown=tuple(sorted({why for e in evaluations for why in e.bill.unknown})),
    )


def _datapoint_result(evaluation: Evaluation) -> DatapointResult:
    bill = evaluation.bill
    return DatapointResult(
        evaluation.cell.datapoint,
        evaluation.score,
        evaluation.latency_seconds,
        bill.input_tokens,
        bill.output_tokens,
        bill.cost_usd,
        evaluation.error,
    )


def _added(counts: Iterable[Iterable[tuple[str, int]]]) -> dict[str, int]:
    added: dict[str, int] = {}
    for entries in counts:
        for model, number in entries:
            added[model] = added.get(model, 0) + number
    return added
