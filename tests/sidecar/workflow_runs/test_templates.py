"""Golden runs: the workflows of the package with answers that a good model would give.

A file in `golden` has the answers by step, who is sent which of them, and what comes out. All of
them run once, side by side, in one sidecar; each test looks at what came of it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.sdk.workflows.test_library import REFERENCE_PRICES
from tests.sidecar.workflow_runs.conftest import Provider, Serve, Serving
from tests.sidecar.workflow_runs.paced import begin, over

from remora.records import CallRecord
from remora.workflows import TEMPLATES, Catalogue, Market, shipped_workflow
from remora.workflows.estimate import estimate
from remora.workflows.sizes import THOUGHT_TOKENS

GOLDEN = Path(__file__).parent / "golden"
PAGE = Path(__file__).parents[3] / "docs" / "workflows.md"
OUTPUTS = {
    "research": {"summary", "citations"},
    "write": {"draft"},
    "analyze": {"report"},
    "code": {"code", "tests", "explanation"},
    "transform": {"output", "schema"},
    "decide": {"decision"},
    "refactor": {"diff"},
    "classify": {"label"},
    "qa": {"answer"},
    "extract": {"fields"},
}


def _golden(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))


GOLDENS = {name: _golden(name) for name in TEMPLATES}


def compact(value: Any) -> str:
    """Write a value as prompts carry it."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def asker(asked: Mapping[str, Any]) -> tuple[str, str]:
    """Say which workflow and step ask: each step has a system message of its own."""
    first = asked["messages"][0]
    assert first["role"] == "system"
    (found,) = [
        (name, step_id)
        for name in TEMPLATES
        for step_id, step in shipped_workflow(name).steps.items()
        if first["content"].startswith(str(step.step.system))
    ]
    return found


def recorded(asked: Mapping[str, Any]) -> str:
    """Answer as the golden run of whoever asks has it."""
    name, step_id = asker(asked)
    return compact(GOLDENS[name]["answers"][step_id])


@dataclass(frozen=True)
class Ran:
    """A golden run.

    Attributes:
        execution: What it came to.
        asked: The requests, by the step that asked.
        records: Of its calls.
    """

    execution: Any
    asked: Mapping[str, Any]
    records: list[CallRecord]


async def run_all(served: Serving, inputs: Mapping[str, Any]) -> dict[str, Ran]:
    ids = {name: await begin(served, name, inputs[name]) for name in TEMPLATES}
    executions = {name: await over(served, ids[name]) for name in TEMPLATES}
    requests = {asker(asked): asked for asked in served.asked}
    records = await served.records(len(served.asked))
    return {
        name: Ran(
            executions[name],
            {step_id: asked for (of, step_id), asked in requests.items() if of == name},
            [one for one in records if f"exec_{one.attribution.trace_id}" == ids[name]],
        )
        for name in TEMPLATES
    }


_KNOWN: dict[str, Ran] = {}


async def golden_run(serve: Serve, name: str) -> Ran:
    """Give a golden run; the first who asks has all of them run."""
    if not _KNOWN:
        examples = {one: shipped_workflow(one).workflow.examples[0].input for one in TEMPLATES}
        async with serve(Provider(says=recorded)) as served:
            _KNOWN.update(await run_all(served, examples))
    return _KNOWN[name]


def test_every_workflow_of_the_package_has_a_golden_run_and_there_are_no_others() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(TEMPLATES)
    for name, golden in GOLDENS.items():
        assert set(golden["answers"]) == set(shipped_workflow(name).steps)
        assert set(golden["outputs"]) == OUTPUTS[name]


@pytest.mark.parametrize("name", TEMPLATES)
async def test_a_golden_run_completes_with_every_output(serve: Any, name: str) -> None:
    execution = (await golden_run(serve, name)).execution
    assert execution["status"] == "completed", execution["error"]
    assert execution["outputs"] == GOLDENS[name]["outputs"]
    assert execution["warnings"] == []
    order = list(shipped_workflow(name).graph.order)
    assert [step["step_id"] for step in execution["steps"]] == order
    for step in execution["steps"]:
        assert (step["status"], step["note"], step["error"]) == ("completed", None, None)
        assert [call["purpose"] for call in step["calls"]] == ["answer"]


def pieces(answers: Mapping[str, Any]) -> dict[str, str]:
    """Name all that one step may take from another: its text, or the fields of its JSON."""
    parts = {
        f"{step_id}.{key}": part
        for step_id, answer in answers.items()
        for key, part in (answer.items() if isinstance(answer, dict) else [("", answer)])
    }
    return {place.rstrip("."): compact(part) for place, part in parts.items()}


def telling(name: str, found: Mapping[str, str]) -> dict[str, str]:
    """Keep the pieces that stand in no other and not in the input: where one is, it was sent."""
    given = compact(shipped_workflow(name).workflow.examples[0].input)
    return {
        place: text
        for place, text in found.items()
        if text not in given
        and len(text) > 3
        and not any(text in other for at, other in found.items() if at != place)
    }


@pytest.mark.parametrize("name", TEMPLATES)
async def test_each_step_is_sent_what_it_needs_of_the_others_and_no_more(
    serve: Any, name: str
) -> None:
    asked, golden = (await golden_run(serve, name)).asked, GOLDENS[name]
    assert set(asked) == set(golden["answers"])
    found = pieces(golden["answers"])
    for step_id, request in asked.items():
        prompt = request["messages"][-1]["content"]
        wanted = set(golden["heard"].get(step_id, ()))
        assert all(found[place] in prompt for place in wanted)
        heard = {place for place, text in telling(name, found).items() if text in prompt}
        assert heard <= wanted


@pytest.mark.parametrize("name", TEMPLATES)
async def test_each_step_is_asked_of_the_tier_and_length_that_it_says(
    serve: Any, name: str
) -> None:
    ran = await golden_run(serve, name)
    for report in ran.execution["steps"]:
        step = shipped_workflow(name).steps[report["step_id"]].step
        (entry,) = Catalogue.builtin().find(report["model_id"], report["provider"])
        request = ran.asked[step.id]
        assert entry.tier == step.tier
        assert request["model"] == report["model_id"]
        thoughts = THOUGHT_TOKENS[entry.tier] if "reasoning" in entry.capabilities else 0
        assert request["max_completion_tokens"] == (step.max_tokens or 0) + thoughts
        assert ("response_format" in request) is (step.output.json_schema is not None)


@pytest.mark.parametrize("name", TEMPLATES)
async def test_a_golden_run_costs_what_its_records_say_and_no_more_than_was_estimated(
    serve: Any, name: str
) -> None:
    ran = await golden_run(serve, name)
    execution, records = ran.execution, ran.records
    assert len(records) == len(execution["steps"])
    costs = [record.cost.total_usd for record in records if record.cost is not None]
    assert len(costs) == len(records)
    assert Decimal(execution["total_cost_usd"]) == sum(costs)
    assert sum(Decimal(step["cost_usd"]) for step in execution["steps"]) == sum(costs)
    receipts = {call for step in execution["steps"] for call in step["receipt_ids"]}
    assert receipts == {record.call_id for record in records}
    least, most = execution["estimate"]["least"], execution["estimate"]["most"]
    assert Decimal(least["cost_usd"]) < sum(costs) < Decimal(most["cost_usd"])
    assert least["tokens"] < execution["total_tokens"] < most["tokens"]
    reckoned = _estimated(name).steps
    for step in execution["steps"]:
        assert step["tokens"] <= reckoned[step["step_id"]].most.tokens


async def test_the_tests_and_the_explanation_of_code_are_asked_for_side_by_side(
    serve: Any,
) -> None:
    last = {("code", "test"), ("code", "explain")}
    provider = Provider(says=recorded, held=lambda asked: asker(asked) in last)
    async with serve(provider) as served:
        run = await begin(served, "code", {"goal": "Merge intervals."})
        await served.double.until(lambda: len(served.double.requests) == 4, timeout_s=60)
        assert {asker(asked) for asked in served.asked[-2:]} == last
        provider.gate.set()
        execution = await over(served, run)
    assert execution["status"] == "completed", execution["error"]


async def test_a_goal_alone_runs_to_its_end(serve: Any) -> None:
    goals = {name: {"goal": f"Say what {name} can say."} for name in TEMPLATES}
    async with serve(Provider(says=recorded)) as served:
        runs = await run_all(served, goals)
    outputs = {name: ran.execution["outputs"] for name, ran in runs.items()}
    assert outputs == {name: golden["outputs"] for name, golden in GOLDENS.items()}


# the page


def _estimated(name: str) -> Any:
    compiled, catalogue = shipped_workflow(name), Catalogue.builtin()
    tiers = {(entry.provider, entry.model): entry.tier for entry in catalogue.models}
    market = Market(catalogue, price_of=lambda p, m: REFERENCE_PRICES[tiers[p, m]])
    return estimate(compiled, market, compiled.workflow.examples[0].input)


def _row(name: str, execution: Any) -> str:
    tokens, cost = 0, Decimal(0)
    for report in execution["steps"]:
        price = REFERENCE_PRICES[shipped_workflow(name).steps[report["step_id"]].step.tier]
        for call in report["calls"]:
            tokens += call["input_tokens"] + call["output_tokens"]
            cost += price.cost_usd(call["input_tokens"], call["output_tokens"])
    least, most = _estimated(name).least, _estimated(name).most
    cells = [(least.tokens, least.cost_usd), (tokens, cost), (most.tokens, most.cost_usd)]
    return f"| `{name}` | {' | '.join(f'{count}, ${usd:.5f}' for count, usd in cells)} |"


def _rows() -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("<!-- golden runs -->")[2].partition("<!-- end -->")[0]
    return [line for line in table.strip().splitlines() if re.match(r"\| `", line)]


async def test_the_pages_table_of_golden_runs_is_what_they_take(serve: Any) -> None:
    rows = [_row(name, (await golden_run(serve, name)).execution) for name in TEMPLATES]
    assert _rows() == rows, "the table should be:\n" + "\n".join(rows)
