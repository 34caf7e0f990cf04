"""Failures count against a combination; they are shown and never dropped."""

import asyncio
import math

import pytest

from remora.selectors import ModelSelector

NUMBERS = [(number, number) for number in range(8)]
METHODS = ["brute_force", "arm_elimination", "matrix_ucb"]


def failing(share_of_four):
    """Right where it answers; the model `weak` fails for a share of inputs."""

    def answer(models, given):
        if models["node"] == "weak" and given % 4 < share_of_four:
            raise RuntimeError(f"no answer to {given}")
        return given if models["node"] == "weak" or given % 4 < 3 else None

    return answer


def test_failures_count_as_wrong(select):
    """Right where it answers, one of four: that is worse than three of four."""
    results = select(
        failing(3), {"node": ["weak", "steady"]}, NUMBERS, method="brute_force"
    ).select_best(parallel=True)
    weak, steady = results

    assert (weak.accuracy, weak.failures, weak.num_samples) == (0.25, 6, 8)
    assert (steady.accuracy, steady.failures, steady.num_samples) == (0.75, 0, 8)
    assert results.get_best() is steady
    assert weak.datapoint_results[0].error == "the agent raised RuntimeError: no answer to 0"
    low, high = weak.confidence_interval
    assert low < 0.25 < high


@pytest.mark.parametrize("method", METHODS)
def test_who_always_fails_is_not_asked_for_ever(select, tracker, method):
    results = select(failing(4), {"node": ["weak", "steady"]}, NUMBERS, method=method).select_best()

    assert results.get_best_combo() == {"node": "steady"}
    assert len(tracker.sessions) <= 16


@pytest.mark.parametrize("method", METHODS)
def test_who_always_fails_is_never_best_whatever_else_counts(select, method):
    """Failing is fast and cheap; and scores of others may be below 0."""

    def answer(models, given):
        if models["node"] == "weak":
            raise RuntimeError("out of order")
        return given

    results = select(
        answer,
        {"node": ["weak", "steady"]},
        NUMBERS,
        eval_fn=lambda *_: -1.0,
        method=method,
        lambda_latency=5.0,
        lambda_cost=5.0,
        model_prices={},
    ).select_best()

    assert results.get_best_combo() == {"node": "steady"}


def test_no_combination_is_best_if_all_always_fail(select):
    results = select(failing(4), {"node": ["weak"]}, NUMBERS).select_best()

    assert results.get_best() is None
    assert results.get_best_combo() is None
    assert "none was evaluated with success" in str(results)
    with pytest.raises(ValueError, match="no best combination"):
        results.export_config()


def test_one_that_failed_less_wins_among_equal_scores(select):
    def answer(models, given):
        if models["node"] == "broken" and given % 2:
            raise RuntimeError("no")
        return given if not given % 2 else None

    results = select(
        answer, {"node": ["broken", "wrong"]}, NUMBERS, method="brute_force"
    ).select_best()

    assert [result.accuracy for result in results] == [0.5, 0.5]
    assert results.get_best_combo() == {"node": "wrong"}


@pytest.mark.parametrize(
    ("eval_fn", "error"),
    [
        (lambda *_: 1 / 0, "eval_fn raised ZeroDivisionError: division by zero"),
        (lambda *_: math.nan, "eval_fn gave nan, which is no score"),
        (lambda *_: math.inf, "eval_fn gave inf, which is no score"),
        (lambda *_: None, "eval_fn raised TypeError"),
    ],
    ids=["raises", "nan", "infinite", "nothing"],
)
def test_what_can_not_be_scored_has_failed(select, eval_fn, error):
    results = select(lambda _, given: given, {"n": ["a"]}, NUMBERS, eval_fn=eval_fn).select_best()

    [result] = results
    assert result.failures == result.num_samples > 0
    assert result.datapoint_results[0].error.startswith(error)


def test_an_error_may_say_anything(select, tmp_path):
    def answer(models, given):
        raise RuntimeError("\udcff" + "x" * 10_000)

    [result] = select(answer, {"n": ["a"]}, NUMBERS, results_path=tmp_path / "run.db").select_best()

    assert result.datapoint_results[0].error.startswith("the agent raised RuntimeError: ?xxx")
    assert len(result.datapoint_results[0].error) <= 2000


def test_an_agent_that_can_not_be_made_fails(tracker):
    class Unmade:
        def __init__(self, models):
            raise LookupError("no key")

        def run(self, given):
            return given

    selector = ModelSelector(
        Unmade, {"n": ["a"]}, lambda *_: 1, NUMBERS, tracker=tracker, progress=False
    )

    [result] = selector.select_best()
    assert result.datapoint_results[0].error == "the agent raised LookupError: no key"


@pytest.mark.parametrize("leave", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_an_agent_that_wants_the_program_to_end_fails(select, leave):
    def answer(models, given):
        raise leave

    [result] = select(answer, {"n": ["a"]}, NUMBERS).select_best()

    assert type(leave).__name__ in result.datapoint_results[0].error


@pytest.mark.parametrize(
    "leave", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr
)
def test_so_does_an_async_one(tracker, leave):
    class Leaving:
        def __init__(self, models):
            pass

        async def run(self, given):
            raise leave

    selector = ModelSelector(
        Leaving, {"n": ["a"]}, lambda *_: 1, NUMBERS, tracker=tracker, progress=False
    )

    [result] = selector.select_best(parallel=True)
    assert result.failures == result.num_samples
    assert "Exited" in result.datapoint_results[0].error


def test_failures_are_shown(select):
    text = str(select(failing(4), {"node": ["weak", "steady"]}, NUMBERS).select_best())

    assert "node=weak" in text
    assert "failed; the first: the agent raised RuntimeError: no answer to" in text
