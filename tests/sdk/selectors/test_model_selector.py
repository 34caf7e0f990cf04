"""What users see: an agent, candidates, a data set, and the best combination."""

import asyncio
import threading
from decimal import Decimal

import pytest

from remora.selectors import (
    ArmEliminationModelSelector,
    BruteForceModelSelector,
    MatrixUCBModelSelector,
    ModelSelector,
)

NUMBERS = [(number, number * 2) for number in range(12)]
MODELS = {"planner": ["good", "bad"], "solver": ["good", "bad"]}


def doubling(models, given):
    """Right where both nodes have the good model, else right for some."""
    goods = sum(model == "good" for model in models.values())
    return given * 2 if given % 3 < goods + 1 else None


METHODS = ["auto", "brute_force", "arm_elimination", "matrix_ucb"]


@pytest.mark.parametrize("parallel", [False, True], ids=["one by one", "parallel"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_best(select, tracker, method, parallel):
    def answer(models, given):
        tracker.call(models["planner"])
        tracker.call(models["solver"])
        return doubling(models, given)

    results = select(answer, MODELS, NUMBERS, method=method).select_best(parallel=parallel)

    assert results.get_best_combo() == {"planner": "good", "solver": "good"}
    assert results.get_best().accuracy == 1.0
    assert results.get_best().price == Decimal("0.02")


def test_brute_force_evaluates_everything_once(select, tracker):
    results = select(doubling, MODELS, NUMBERS, method="brute_force").select_best(parallel=True)

    assert sorted(session.data_id for session in tracker.sessions) == sorted(
        f"planner={planner} + solver={solver}::dp_{number}"
        for planner in ("good", "bad")
        for solver in ("good", "bad")
        for number in range(1, 13)
    )
    assert [result.model_name for result in results] == [
        "planner=good + solver=good",
        "planner=good + solver=bad",
        "planner=bad + solver=good",
        "planner=bad + solver=bad",
    ]
    assert {result.num_samples for result in results} == {12}


def test_calls_belong_to_the_evaluation_that_made_them(select, tracker):
    def answer(models, given):
        tracker.call(models["node"], prompt_tokens=given, completion_tokens=1)
        return given * 2

    results = select(answer, {"node": ["a", "b"]}, NUMBERS, method="brute_force").select_best(
        parallel=True, max_concurrent=8
    )

    for result in results:
        [model] = result.models.values()
        assert [one.input_tokens for one in result.datapoint_results] == [
            {model: given} for given, _ in NUMBERS
        ]
        assert result.input_tokens == {model: sum(given for given, _ in NUMBERS)}
        assert result.output_tokens == {model: 12}


def test_calls_that_the_tracker_knew_before_are_not_counted_again(select, tracker):
    def answer(models, given):
        tracker.call(models["node"])
        return given * 2

    first = select(answer, {"node": ["a"]}, NUMBERS, method="brute_force").select_best()
    again = select(answer, {"node": ["a"]}, NUMBERS, method="brute_force").select_best()

    assert first.selection_cost == again.selection_cost == Decimal("0.12")
    assert len(tracker.records) == 24


class AsyncAgent:
    """Runs on a loop, and makes its client there."""

    tracker = None
    most = running = 0

    def __init__(self, models):  # noqa: D107
        self.loop = asyncio.get_running_loop()
        self.models = models

    async def run(self, given):
        assert asyncio.get_running_loop() is self.loop
        cls = type(self)
        cls.running += 1
        cls.most = max(cls.most, cls.running)
        await asyncio.sleep(0.001)
        cls.running -= 1
        cls.tracker.call(self.models["node"])
        return given * 2


async def judged(expected, actual):
    await asyncio.sleep(0)
    return float(expected == actual)


@pytest.mark.parametrize("is_parallel", [False, True], ids=["one by one", "parallel"])
def test_agents_and_evaluations_may_be_async(tracker, is_parallel):
    agent = type("Agent", (AsyncAgent,), {"tracker": tracker})
    selector = ModelSelector(
        agent,
        {"node": ["a", "b"]},
        judged,
        NUMBERS,
        "brute_force",
        tracker=tracker,
        progress=False,
    )

    results = selector.select_best(parallel=is_parallel, max_concurrent=4)

    assert [result.accuracy for result in results] == [1.0, 1.0]
    assert results.selection_cost == Decimal("0.24")
    assert agent.most == (4 if is_parallel else 1)


async def test_a_selector_runs_where_a_loop_runs_already(select):
    assert select(doubling, MODELS, NUMBERS).select_best().get_best().accuracy == 1.0


def test_a_sync_run_may_give_something_to_await(select):
    async def later(given):
        return given * 2

    results = select(lambda _, given: later(given), {"node": ["a"]}, NUMBERS).select_best()

    assert results.get_best().accuracy == 1.0


def test_sync_agents_run_in_several_threads(select):
    """Each evaluation waits for another one: alone it would never end."""
    together = threading.Barrier(4, timeout=60)

    def answer(models, given):
        together.wait()
        return given * 2

    results = select(answer, {"node": ["a", "b"]}, NUMBERS, method="brute_force").select_best(
        parallel=True, max_concurrent=4
    )

    assert [result.failures for result in results] == [0, 0]


def test_each_evaluation_has_an_agent_of_its_own(tracker):
    made = []

    class Counting:
        def __init__(self, models):
            made.append(self)
            self.runs = 0

        def run(self, given):
            self.runs += 1
            return self.runs

    selector = ModelSelector(
        Counting,
        {"node": ["a"]},
        lambda expected, actual: actual == 1,
        NUMBERS,
        "brute_force",
        tracker=tracker,
        progress=False,
    )

    assert selector.select_best().get_best().accuracy == 1.0
    assert len(made) == 12


def test_what_a_judge_calls_is_not_the_agents(select, tracker):
    def judge(expected, actual):
        tracker.call("judge")
        return expected == actual

    def answer(models, given):
        tracker.call(models["node"])
        return given * 2

    results = select(answer, {"node": ["a"]}, NUMBERS, eval_fn=judge).select_best()

    assert set(results.get_best().input_tokens) == {"a"}


def test_the_tracker_is_started_and_stopped_even_if_the_run_fails(select, tracker):
    select(doubling, MODELS, NUMBERS).select_best()
    assert (tracker.started, tracker.stopped) == (1, 1)

    def broken(**_):
        raise ConnectionError("no sidecar")

    tracker.get_records = broken
    with pytest.raises(ConnectionError, match="no sidecar"):
        select(doubling, MODELS, NUMBERS).select_best(parallel=True)
    assert (tracker.started, tracker.stopped) == (2, 2)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (BruteForceModelSelector, "brute_force"),
        (ArmEliminationModelSelector, "arm_elimination"),
        (MatrixUCBModelSelector, "matrix_ucb"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_classes_name_methods(tracker, kind, method):
    class Agent:
        def __init__(self, models):
            pass

        def run(self, given):
            return given

    selector = kind(Agent, {"n": ["a"]}, lambda *_: 1, NUMBERS, tracker=tracker, progress=False)

    assert selector.method == method
    assert selector.select_best().get_best().accuracy == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": {}}, "models is empty"),
        ({"models": {"node": []}}, "at least one candidate"),
        ({"models": {"node": "gpt-4o"}}, "should be a list"),
        ({"models": {"node": ["a", "a"]}}, "two candidates of the same name"),
        ({"models": {"node": [3]}}, "has no name"),
        ({"dataset": []}, "dataset is empty"),
        ({"dataset": [(1, 2), 3]}, r"dataset\[1\] is no pair"),
        ({"method": "guess"}, "no method 'guess': there are arm_elimination, auto"),
        ({"method": "matrix_ucb", "sample_fraction": 0}, "sample_fraction is more than 0"),
        ({"n_initial": 0}, "n_initial"),
        ({"bound": "hope"}, "bound is"),
        ({"delta": 1.0}, "delta"),
        ({"score_range": (1, 5)}, "score_range"),
        ({"lambda_cost": -1}, "lambda_cost"),
        ({"lambda_cost": 1, "bound": "betting"}, "bound='standard_error'"),
        ({"budget_usd": 0}, "budget_usd"),
        ({"budget_usd": "much"}, "budget_usd"),
        ({"model_prices": {"a": {"input_price": 1}}}, "model_prices"),
        ({"results_path": "a", "resume": "b"}, "not both"),
    ],
    ids=str,
)
def test_what_can_not_be_used_is_said_at_once(select, changes, message):
    given = {"models": {"node": ["a"]}, "dataset": NUMBERS} | changes

    with pytest.raises(ValueError, match=message):
        select(doubling, given.pop("models"), given.pop("dataset"), **given)


def test_an_option_that_the_method_does_not_take_is_said_at_once(select):
    with pytest.raises(TypeError, match=r"method 'brute_force'.*'a'"):
        select(doubling, MODELS, NUMBERS, method="brute_force", a=1.0)


def test_a_run_needs_at_least_one_slot(select):
    with pytest.raises(ValueError, match="max_concurrent"):
        select(doubling, MODELS, NUMBERS).select_best(parallel=True, max_concurrent=0)


def test_the_same_seed_takes_the_same_way(select, new_tracker):
    ways = []
    for seed in (1, 1, 2):
        tracker = new_tracker()
        select(
            doubling,
            MODELS,
            NUMBERS,
            method="matrix_ucb",
            sample_fraction=0.5,
            seed=seed,
            tracker=tracker,
        ).select_best()
        ways.append([session.data_id for session in tracker.sessions])

    assert ways[0] == ways[1] != ways[2]
    assert len(ways[0]) == 24


class Candidate:
    def __init__(self, name):  # noqa: D107
        self.model_name = name


@pytest.mark.parametrize(
    "candidates",
    [["x", "y"], [{"model": "x"}, {"id": "y"}], [Candidate("x"), Candidate("y")]],
    ids=["names", "mappings", "objects"],
)
def test_candidates_come_to_the_agent_as_they_are(select, candidates):
    seen = set()

    def answer(models, given):
        seen.add(id(models["node"]))
        return given * 2

    results = select(answer, {"node": candidates}, NUMBERS, method="brute_force").select_best()

    assert [result.model_name for result in results] == ["node=x", "node=y"]
    assert seen == {id(candidate) for candidate in candidates}
