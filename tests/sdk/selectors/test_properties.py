"""What holds of every run, whatever agents do, models cost and methods decide."""

import threading
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.selectors import RunFileError

CENT = Decimal("0.01")
METHODS = [
    ("brute_force", {}),
    ("arm_elimination", {}),
    ("arm_elimination", {"bound": "standard_error"}),
    ("matrix_ucb", {}),
    ("matrix_ucb", {"sample_fraction": 0.4}),
]


@dataclass(frozen=True)
class World:
    """What agents do: for each model and datapoint a score, None for a failure.

    Attributes:
        cents: What a call costs, by model; None where it is unknown.
    """

    scores: tuple[tuple[float | None, ...], ...]
    cents: tuple[int | None, ...]
    method: tuple[str, dict]
    at_once: int
    lambda_cost: float

    @property
    def models(self):
        return {"node": [f"m{number}" for number in range(len(self.scores))]}

    @property
    def dataset(self):
        return [(number, None) for number in range(len(self.scores[0]))]


@st.composite
def worlds(draw, *, unknown=True):
    models, datapoints = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    score = st.sampled_from([0.0, 0.0, 0.5, 1.0, 1.0, None])
    cents = st.integers(0, 5) | st.none() if unknown else st.integers(0, 5)
    method, options = draw(st.sampled_from(METHODS))
    is_betting = method == "arm_elimination" and not options
    return World(
        tuple(tuple(draw(score) for _ in range(datapoints)) for _ in range(models)),
        tuple(draw(cents) for _ in range(models)),
        (method, options),
        draw(st.integers(1, 5)),
        0.0 if is_betting else draw(st.sampled_from([0.0, 0.7])),
    )


@pytest.fixture(scope="session")
def run(select_with, new_tracker):
    """Run a world: gives the results and the tracker."""

    def made(world, tracker=None, **options):
        tracker = tracker or new_tracker()

        def answer(models, given):
            number = int(models["node"][1:])
            cents = world.cents[number]
            tracker.call(models["node"], cost_usd=None if cents is None else cents * CENT)
            score = world.scores[number][given]
            if score is None:
                raise RuntimeError("no answer")
            return score

        method, own = world.method
        selector = select_with(
            tracker,
            answer,
            world.models,
            world.dataset,
            eval_fn=lambda _, actual: actual,
            method=method,
            lambda_cost=world.lambda_cost,
            **own,
            **options,
        )
        return selector.select_best(parallel=True, max_concurrent=world.at_once), tracker

    return made


def evaluated(tracker):
    return [session.data_id for session in tracker.sessions]


def facts(results):
    """All but what a clock said, which decides between equals."""
    best = results.get_best()
    return (best and (best.accuracy, best.combined_objective, best.failures)), [
        (
            result.model_name,
            result.price,
            result.combined_objective,
            result.input_tokens,
            [(d.datapoint_index, d.score, d.error) for d in result.datapoint_results],
        )
        for result in results
    ]


@given(worlds())
def test_every_cell_is_evaluated_once_at_most_and_counted_once(run, world):
    results, tracker = run(world)

    assert len(evaluated(tracker)) == len(set(evaluated(tracker)))
    assert len(evaluated(tracker)) == sum(result.num_samples for result in results)
    for result in results:
        numbers = [one.datapoint_index for one in result.datapoint_results]
        scores = world.scores[int(result.models["node"][1:])]
        assert numbers == sorted(set(numbers))
        assert [one.score for one in result.datapoint_results] == [
            scores[number] or 0.0 for number in numbers
        ]
        assert result.failures == sum(scores[number] is None for number in numbers)


@given(worlds().filter(lambda world: world.method[0] == "brute_force"))
def test_brute_force_evaluates_everything(run, world):
    results, _ = run(world)

    assert [result.num_samples for result in results] == [len(world.dataset)] * len(world.scores)


@given(worlds(unknown=False), st.integers(1, 60))
def test_a_budget_is_exceeded_by_what_was_under_way_at_most(run, world, cents):
    results, _ = run(world, budget_usd=cents * CENT)

    dearest = max(world.cents) * CENT
    assert results.selection_cost < cents * CENT + world.at_once * dearest + CENT / 2
    if results.stopped is None:
        unlimited, _ = run(world)
        assert facts(results) == facts(unlimited)
    else:
        assert results.selection_cost >= cents * CENT


@given(worlds().filter(lambda world: None in world.cents))
def test_a_budget_lets_nothing_begin_once_a_cost_is_unknown(run, world):
    results, tracker = run(world, budget_usd=1000)

    unknown = [call for call in tracker.records if call.cost_usd is None]
    assert len(unknown) <= world.at_once
    assert (results.stopped is not None) or not unknown or results.selection_cost is None


@settings(max_examples=60)
@given(worlds(), st.integers(0, 40))
def test_a_run_that_crashed_anywhere_ends_as_if_it_had_not(
    run, new_tracker, tmp_path_factory, world, crash_after
):
    path = tmp_path_factory.mktemp("run") / "run.db"
    whole, unbroken = run(world)
    broken = new_tracker()
    ask, asked, lock = broken.get_records, [], threading.Lock()

    def get_records(**which):
        with lock:
            asked.append(which)
            if len(asked) > crash_after:
                raise ConnectionError("gone")
        return ask(**which)

    broken.get_records = get_records
    try:
        run(world, broken, results_path=path)
    except ConnectionError:
        assert crash_after < len(evaluated(unbroken))
    resumed, rest = run(world, results_path=path)

    assert facts(resumed) == facts(whole)
    assert resumed.selection_cost == whole.selection_cost
    assert len(evaluated(rest)) == max(0, len(evaluated(unbroken)) - crash_after)


@given(worlds())
def test_who_always_fails_is_never_chosen_over_who_ever_succeeds(run, world):
    results, _ = run(world)

    best = results.get_best()
    if any(result.failures < result.num_samples for result in results):
        assert best is not None
        assert best.failures < best.num_samples
    else:
        assert best is None


@given(worlds())
def test_an_unknown_price_never_wins_by_looking_free(run, world):
    """If it is best, then nobody whose price is known is as good by score and less dear."""
    results, _ = run(world, budget_usd=None)

    best = results.get_best()
    if best is None or best.price is not None:
        return
    for other in results:
        is_rival = other.price is not None and other.num_samples >= best.num_samples
        if world.lambda_cost and is_rival and not other.failures:
            assert other.accuracy <= best.accuracy + 1e-9


@given(worlds())
def test_the_best_is_no_worse_than_others_that_were_evaluated_as_often(run, world):
    results, _ = run(world)

    best = results.get_best()
    if best is not None and not world.lambda_cost:
        rivals = [one for one in results if one.num_samples == best.num_samples]
        assert best.accuracy >= max(one.accuracy for one in rivals) - 1e-9


def test_a_run_file_error_is_one_of_ours():
    from remora.errors import RemoraError

    assert issubclass(RunFileError, RemoraError)
