"""Scores less cost and latency, as the user weighs them."""

import numpy as np
import pytest

from remora.selectors.objective import Outcomes, Weights

NAN = float("nan")


def outcomes(**changes):
    """One row, of which the last cell was not evaluated; costs 1, 2, 3 and latencies 10, 30, 20."""
    facts = {
        "seen": [True, True, True, False],
        "failed": [False] * 4,
        "scores": [1.0, 1.0, 0.5, 0.0],
        "costs": [1.0, 2.0, 3.0, NAN],
        "latencies": [10.0, 30.0, 20.0, 0.0],
    } | changes
    return Outcomes(**{name: np.array([row]) for name, row in facts.items()})


@pytest.mark.parametrize(
    ("weights", "changes", "values"),
    [
        (Weights(), {}, [1.0, 1.0, 0.5]),
        (Weights(cost=0.4), {}, [1.0, 0.8, 0.1]),
        (Weights(latency=0.5), {}, [1.0, 0.5, 0.25]),
        (Weights(cost=0.4, latency=0.5), {}, [1.0, 0.3, -0.15]),
        (Weights(cost=0.4), {"costs": [2.0, 2.0, 2.0, NAN]}, [1.0, 1.0, 0.5]),
        (Weights(cost=0.4), {"costs": [1.0, NAN, 3.0, NAN]}, [1.0, 0.6, 0.1]),
        (Weights(cost=0.4), {"costs": [2.0, NAN, 2.0, NAN]}, [1.0, 0.6, 0.5]),
        (Weights(cost=0.4), {"costs": [NAN] * 4}, [0.6, 0.6, 0.1]),
        (
            Weights(cost=0.4, latency=0.5),
            {"failed": [False, False, True, False], "scores": [1.0, 1.0, 0.0, 0.0]},
            [1.0, 0.1, -0.9],
        ),
    ],
    ids=[
        "scores alone",
        "cost",
        "latency",
        "both",
        "all cost the same",
        "unknown is the dearest",
        "unknown is dearer than what all others cost",
        "all unknown",
        "failing is neither cheap nor fast",
    ],
)
def test_an_objective(weights, changes, values):
    found = outcomes(**changes).objectives(weights)[0]

    assert list(found[:3]) == pytest.approx(values)
    assert np.isnan(found[3])


@pytest.mark.parametrize("weights", [(-0.1, 0), (0, -1), (NAN, 0), (0, float("inf"))], ids=str)
def test_weights_are_at_least_nothing(weights):
    with pytest.raises(ValueError, match="at least 0"):
        Weights(*weights)


def test_results_are_ranked_by_the_objective_of_the_whole_run(select, tracker):
    """The good one is better by a quarter and dearest, which counts half."""

    def answer(models, given):
        dear = models["node"] == "dear"
        tracker.call(models["node"], cost_usd=(5 if dear else 1) * tracker.cent)
        return given if dear or given % 4 else None

    from decimal import Decimal

    tracker.cent = Decimal("0.01")
    dataset = [(number, number) for number in range(8)]
    for weight, best in ((0.5, "cheap"), (0.2, "dear")):
        results = select(
            answer, {"node": ["dear", "cheap"]}, dataset, method="brute_force", lambda_cost=weight
        ).select_best()

        assert results.get_best_combo() == {"node": best}
        assert [result.combined_objective for result in results] == pytest.approx(
            [1 - weight, 0.75]
        )
