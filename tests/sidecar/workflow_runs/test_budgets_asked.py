"""Budgets over HTTP: what they end, what they make cheaper, what they warn of, who shares them."""

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from tests.sidecar.workflow_runs.conftest import Provider, Serving
from tests.sidecar.workflow_runs.paced import assert_paid, begin, calls, events, once, over

from remora.testing.double_answer import Answer
from remora.testing.double_request import ReceivedRequest
from remora.workflows import Catalogue

SMALL, LARGE = "gpt-4o-mini", "gpt-4o"


def step(step_id: str, **more: Any) -> Any:
    return {"id": step_id, "prompt": "Count.", "max_tokens": 100, **more}


def pinned(step_id: str, **more: Any) -> Any:
    return step(step_id, **{"model": SMALL, "provider": "openai", **more})


def workflow(*steps: Any, **more: Any) -> Any:
    return {"name": "budgets", "steps": list(steps), **more}


FIRST = pinned("first")
SECOND = step("second", prompt="On with {{steps.first.output}}.", tier="high", max_tokens=4000)
THIRD = pinned("third", prompt="And {{steps.second.output}}.")
CHAIN = workflow(FIRST, SECOND, THIRD, outputs={
    "first": "{{steps.first.output}}", "third": "{{steps.third.output}}",
})  # fmt: skip
TOO_SMALL = "0.004"
"""For 4,000 tokens of any large model; more than enough for all else."""


def tier_of(model: str) -> str:
    (entry,) = Catalogue.builtin().find(model, "openai")
    return entry.tier


def only(told: list[Any], kind: str) -> Any:
    (found,) = [one for one in told if one["type"] == kind]
    return found


async def ran(served: Serving, document: Any, **more: Any) -> tuple[Any, list[Any]]:
    """Run a workflow; gives the execution and its events."""
    run = await begin(served, document, **more)
    return await over(served, run), await events(served, run)


# what a run may take


@pytest.mark.parametrize("on_exceed", ["block", "stop", None])
@pytest.mark.parametrize("of", ["order", "workflow"])
async def test_a_budget_that_blocks_ends_the_run_with_what_there_is(
    serve: Any, of: str, on_exceed: str | None
) -> None:
    budget = {"max_cost_usd": TOO_SMALL} | ({"on_exceed": on_exceed} if on_exceed else {})
    order = {"budget": budget} if of == "order" else {}
    document = CHAIN if of == "order" else {**CHAIN, "budget": budget}
    async with serve(Provider(says=lambda asked: "one")) as served:
        execution, told = await ran(served, document, **order)
        assert execution["status"] == "budget_exceeded"
        assert execution["outputs"] == {"first": "one", "third": None}
        statuses = [report["status"] for report in execution["steps"]]
        assert statuses == ["completed", "failed", "not_started"]
        assert execution["error"]["code"] == "budget_exceeded"
        assert f"max_cost_usd {TOO_SMALL}" in execution["error"]["message"]
        assert only(told, "budget_exceeded")["error"]["code"] == "budget_exceeded"
        assert told[-1]["result"] == execution
        assert len(served.double.requests) == 1
        await assert_paid(served, execution)
        assert Decimal(execution["total_cost_usd"]) < Decimal(TOO_SMALL)


async def test_a_budget_that_downgrades_moves_what_is_left_to_cheaper_models_and_says_so(
    serve: Any,
) -> None:
    budget = {"max_cost_usd": TOO_SMALL, "on_exceed": "downgrade"}
    async with serve(Provider(says=lambda asked: "one")) as served:
        execution, told = await ran(served, CHAIN, budget=budget)
        assert execution["status"] == "completed", execution["error"]
        assert execution["downgraded"] == ["run"]
        said = only(told, "budget_downgraded")
        assert said["step_id"] == "second"
        assert said["limit"] == "max_cost_usd"
        assert Decimal(said["would_be"]) > Decimal(said["allowed"]) == Decimal(TOO_SMALL)
        models = {report["step_id"]: report["model_id"] for report in execution["steps"]}
        assert tier_of(models["second"]) != "high"
        assert models["third"] == SMALL
        await assert_paid(served, execution)
        assert Decimal(execution["total_cost_usd"]) < Decimal(TOO_SMALL)


@pytest.mark.parametrize(
    "strategy",
    [
        "speculative",
        "parallel",
        {"kind": "parallel", "n": 3, "quorum": 3},
        {"kind": "parallel", "n": 2, "best": {}},
    ],
    ids=["speculative", "parallel", "quorum", "best"],
)
async def test_a_race_that_is_moved_to_cheaper_models_is_run_between_different_ones(
    serve: Any, strategy: Any
) -> None:
    """Those of the next tier do not fit either: each place looks further down."""
    budget = {"max_cost_usd": "0.012", "on_exceed": "downgrade"}
    dear = step("first", tier="high", max_tokens=4000, strategy=strategy)
    async with serve(Provider(says=lambda asked: '{"best": 1}')) as served:
        execution, told = await ran(served, workflow(dear), budget=budget)
        assert execution["status"] == "completed", execution["error"]
        assert only(told, "budget_downgraded")["step_id"] == "first"
        asked = [call for call in execution["steps"][0]["calls"] if call["purpose"] != "judge"]
        assert {tier_of(call["model_id"]) for call in asked} == {"fast"}
        if strategy != "speculative":
            assert len({call["model_id"] for call in asked}) == len(asked) > 1
        assert Decimal(execution["known_cost_usd"]) < Decimal("0.012")


async def test_a_budget_that_warns_says_so_once_and_changes_nothing(serve: Any) -> None:
    budget = {"max_cost_usd": TOO_SMALL, "on_exceed": "warn"}
    twice = workflow(
        FIRST, SECOND, step("third", tier="high", max_tokens=4000, depends_on=["second"])
    )
    async with serve(Provider(says=lambda asked: "one")) as served:
        execution, told = await ran(served, twice, budget=budget)
        assert execution["status"] == "completed", execution["error"]
        assert execution["downgraded"] == []
        assert only(told, "budget_warning")["step_id"] == "second"
        assert tier_of(execution["steps"][1]["model_id"]) == "high"
        await assert_paid(served, execution)


async def test_tokens_are_a_limit_as_money_is(serve: Any) -> None:
    async with serve(Provider(says=lambda asked: "one")) as served:
        execution, _ = await ran(served, CHAIN, budget={"max_tokens": 1000})
        assert execution["status"] == "budget_exceeded"
        assert "max_tokens 1000" in execution["error"]["message"]
        assert execution["outputs"]["first"] == "one"
        await assert_paid(served, execution)


async def test_when_the_time_of_a_run_is_over_its_calls_are_cut(serve: Any) -> None:
    provider = Provider(says=lambda asked: "one", held=lambda asked: len(asked["messages"]) > 1)
    later = pinned("second", system="Wait.", prompt="On with {{steps.first.output}}.")
    async with serve(provider) as served:
        execution, _ = await ran(served, workflow(FIRST, later), budget={"max_latency_ms": 3000})
        assert execution["status"] == "budget_exceeded"
        assert "max_latency_ms 3000" in execution["error"]["message"]
        assert calls(execution, "second") == {SMALL: "abandoned"}
        await served.double.until(lambda: len(served.double.aborted) == 1)


@pytest.mark.parametrize("of", ["budget", "task_budget"])
@pytest.mark.parametrize(("limit", "value"), [("max_cost_usd", "0.0000000001"), ("max_tokens", 2)])
async def test_a_budget_below_the_least_that_a_run_takes_is_refused_with_its_place(
    serve: Any, of: str, limit: str, value: Any
) -> None:
    async with serve() as served:
        order = {"workflow": CHAIN, of: {limit: value}, "task_id": "job"}
        reply = await served.ask("POST", "/v1/workflows/execute", order)
        assert reply.status == 400
        assert reply.json["error"]["code"] == "INVALID_WORKFLOW"
        (problem,) = reply.json["remora"]["problems"]
        assert problem["where"] == f"{of}.{limit}"
        assert problem["what"].startswith("less than the least that it")
        assert served.double.requests == []


async def test_a_budget_that_only_warns_may_be_as_small_as_anybody_likes(serve: Any) -> None:
    tiny = {"max_cost_usd": "0.0000000001", "max_tokens": 1, "on_exceed": "warn"}
    async with serve(Provider(says=lambda asked: "one")) as served:
        execution, told = await ran(served, workflow(FIRST), budget=tiny)
        assert execution["status"] == "completed", execution["error"]
        assert {one["limit"] for one in told if one["type"] == "budget_warning"} == {
            "max_cost_usd",
            "max_tokens",
        }


async def test_a_budget_below_the_least_of_its_tier_is_kept_by_a_cheaper_one(serve: Any) -> None:
    """The price that counts is that of the models to which the run is moved."""
    prompt = "Count what is left. " * 800
    dear = step("first", prompt=prompt, tier="high", max_tokens=10)
    budget = {"max_cost_usd": "0.0022", "on_exceed": "downgrade"}
    async with serve(Provider(says=lambda asked: "one")) as served:
        execution, _ = await ran(served, workflow(dear), budget=budget)
        assert execution["status"] == "completed", execution["error"]
        assert execution["downgraded"] == ["run"]
        assert Decimal(execution["estimate"]["least"]["cost_usd"]) > Decimal("0.0022")
        await assert_paid(served, execution)


async def test_every_budget_below_its_least_is_named_at_once(serve: Any) -> None:
    tiny = {"max_tokens": 1}
    long = pinned("first", prompt="Count from one to a hundred, in words.", budget=tiny)
    document = workflow(long, SECOND, budget=tiny)
    async with serve() as served:
        order = {"workflow": document}
        reply = await served.ask("POST", "/v1/workflows/execute", order)
        places = {problem["where"] for problem in reply.json["remora"]["problems"]}
        assert places == {"budget.max_tokens", "steps[0].budget.max_tokens"}


# a step's own


async def test_the_budget_of_a_step_fails_that_step_and_its_default_stands_in(
    serve: Any,
) -> None:
    checks = [{"kind": "length", "min_characters": 100}]
    first = pinned(
        "first", checks=checks, retry={"attempts": 5, "initial": "1ms"},
        budget={"max_tokens": 170}, on_failure="default", default="nothing",
    )  # fmt: skip
    then = pinned("then", prompt="On with {{steps.first.output}}.")
    said = "word " * 12
    async with serve(Provider(says=lambda asked: said)) as served:
        execution, _ = await ran(served, workflow(first, then))
        assert execution["status"] == "completed", execution["error"]
        assert execution["outputs"] == {"then": said}
        report = execution["steps"][0]
        assert report["status"] == "defaulted"
        assert report["error"]["code"] == "budget_exceeded"
        assert 1 < len(report["calls"]) < 5
        assert report["tokens"] <= 170
        await assert_paid(served, execution)


async def test_calls_side_by_side_wait_for_room_and_keep_their_budget(serve: Any) -> None:
    """Each may take more than half of what there is, and takes far less."""
    steps = [pinned(f"s{n}", max_tokens=1000) for n in range(4)]
    async with serve(Provider(says=lambda asked: "one")) as served:
        execution, told = await ran(served, workflow(*steps), budget={"max_tokens": 1500})
        assert execution["status"] == "completed", execution["error"]
        assert not [one for one in told if one["type"].startswith("budget")]
        assert execution["total_tokens"] < 1500
        await assert_paid(served, execution)


# a task's, shared by runs


@dataclass
class Watched(Provider):
    """Notes of each call whether the gate was open when it came."""

    came: list[bool] = field(default_factory=list)

    def __call__(self, request: ReceivedRequest) -> Answer:
        self.came.append(self.gate.is_set())
        return super().__call__(request)


ALONE = workflow(pinned("ask", max_tokens=1000))


async def reserved(served: Serving) -> int:
    """Say how many tokens a run of `ALONE` has set aside."""
    execution = await served.execute(ALONE)
    return int(execution["estimate"]["most"]["tokens"])


async def test_two_runs_at_once_share_the_budget_of_their_task(serve: Any) -> None:
    provider = Watched(says=lambda asked: "one", held=lambda asked: True)
    async with serve(provider) as served:
        provider.gate.set()
        budget = {"max_tokens": await reserved(served) + 200}
        provider.gate.clear()
        provider.came.clear()
        shared = {"task_id": "job", "task_budget": budget}
        runs = [await begin(served, ALONE, **shared) for _ in range(2)]
        await served.double.until(lambda: len(provider.came) == 1, 60)
        for run in runs:
            await once(served, run, lambda value: value["steps"][0]["status"] == "running")
        provider.gate.set()
        for run in runs:
            execution = await over(served, run)
            assert execution["status"] == "completed", execution["error"]
            assert execution["task_id"] == "job"
        assert provider.came == [False, True]


async def test_what_one_run_took_of_a_tasks_budget_the_next_one_lacks(serve: Any) -> None:
    async with serve(Provider(says=lambda asked: "one")) as served:
        budget = {"max_tokens": await reserved(served) + 5}
        shared = {"task_id": "job", "task_budget": budget}
        first = await served.execute(ALONE, **shared)
        assert first["status"] == "completed"
        assert first["total_tokens"] > 5
        second = await served.execute(ALONE, **shared)
        assert second["status"] == "budget_exceeded"
        assert "of the task" in second["error"]["message"]
        assert second["total_cost_usd"] == "0"
        other = await served.execute(ALONE, task_id="other", task_budget=budget)
        assert other["status"] == "completed"
        raised = {"max_tokens": budget["max_tokens"] + first["total_tokens"]}
        third = await served.execute(ALONE, task_id="job", task_budget=raised)
        assert third["status"] == "completed"


async def test_another_call_of_the_task_counts_as_well(serve: Any) -> None:
    async with serve(Provider(says=lambda asked: "word " * 400)) as served:
        budget = {"max_tokens": await reserved(served) + 400}
        begun = await served.execute(ALONE, task_id="job", task_budget=budget)
        assert begun["status"] == "completed"
        chat = {"model": SMALL, "messages": [{"role": "user", "content": "Hi"}], "task_id": "job"}
        said = await served.ask("POST", "/v1/chat/completions", chat)
        assert said.status == 200, said.text
        assert json.loads(said.text)["usage"]["completion_tokens"] >= 400
        after = await served.execute(ALONE, task_id="job", task_budget=budget)
        assert after["status"] == "budget_exceeded"
