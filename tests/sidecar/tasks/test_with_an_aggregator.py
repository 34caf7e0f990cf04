"""Tasks over the control listener of sidecars that have an aggregator, which answers for them."""

import asyncio
import json
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from tests.sidecar.tasks.conftest import LIMIT_S, until

from remora.client.target import AggregatorTarget
from remora.client.tasks import TaskClient
from remora_aggregator.testing import temporary_aggregator
from remora_sidecar.tasks.forwarding import ForwardedTasks
from remora_sidecar.tasks.under_way import UnderWay


@asynccontextmanager
async def with_aggregator(opened, **settings):
    async with (
        temporary_aggregator() as aggregator,
        opened(aggregator=aggregator.address, **settings) as beside,
    ):
        await until(lambda: beside.sidecar.health().figures["tasks_watched"])
        yield beside, aggregator


async def counted(beside, task_id, calls):
    """Wait until the aggregator has so many calls of a task; give the answer."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            status, answer = await beside.ask("GET", f"/tasks/{task_id}?include_receipts=true")
            if status == 200 and answer["task"]["calls"] >= calls:
                return answer
            await asyncio.sleep(0.02)


def steered(aggregator, what, task_id, **how):
    """Steer a task as a person does, from a program outside."""
    with TaskClient(AggregatorTarget(aggregator.address)) as client:
        return getattr(client, what)(task_id, **how)


async def test_tasks_and_receipts_are_the_aggregators(opened):
    async with with_aggregator(opened) as (beside, _):
        for _ in range(3):
            assert (await beside.chat())[0] == 200
        answer = await counted(beside, "t-1", 3)
        page = await beside.task("t-1", include_receipts="true", limit=2)
        rest = await beside.task(
            "t-1", include_receipts="true", limit=2, cursor=page["next_cursor"]
        )
        _, listed = await beside.ask("GET", "/tasks?state=running")

    task, receipts = answer["task"], answer["receipts"]
    assert (task["status"], task["calls"], task["namespace"]) == ("running", 3, "local")
    costs = [Decimal(one["execution"]["actual_cost_usd"]) for one in receipts]
    assert Decimal(task["total_cost_usd"]) == sum(costs) > 0
    assert {one["decision"]["model_id"] for one in receipts} == {"gpt-4o-mini"}
    assert page["receipts"] + rest["receipts"] == receipts
    assert [one["task_id"] for one in listed["tasks"]] == ["t-1"]
    assert len({one["call_id"] for one in receipts}) == 3


async def test_the_answer_has_the_same_fields_with_an_aggregator_and_without(opened):
    async with opened("alone") as alone, with_aggregator(opened) as (beside, _):
        for one in (alone, beside):
            await one.ask("POST", "/tasks", {"task_id": "t-1", "budget": {"max_cost_usd": "1"}})
            await one.chat()
            await counted(one, "t-1", 1)
        shapes = [await one.task("t-1", include_receipts="true") for one in (alone, beside)]

    first, second = ({**shape["task"], **shape["receipts"][0]} for shape in shapes)
    assert first.keys() == second.keys()
    changing = {"changed_unix_ns", "created_unix_ns", "started_unix_ns", "total_latency_ms",
                "call_id", "receipt_id", "trace_id", "execution"}  # fmt: skip
    assert {name: first[name] for name in first.keys() - changing} == {
        name: second[name] for name in second.keys() - changing
    }


async def test_what_is_asked_beside_the_sidecar_is_known_to_the_aggregator(opened):
    async with with_aggregator(opened) as (beside, aggregator):
        _, made = await beside.ask(
            "POST",
            "/tasks",
            {"task_id": "t-1", "title": "Survey", "budget": {"max_tokens": 10_000}},
        )
        await beside.steer("t-1", "pause", reason="wait")
        known = await asyncio.to_thread(steered, aggregator, "get", "t-1")

    assert made["task"]["status"] == "pending"
    assert (known.state.name, known.title, known.budget.tokens) == ("PAUSED", "Survey", 10_000)
    assert known.history[-1].reason == "wait"


async def test_it_holds_here_at_once_without_waiting_for_the_watch(opened):
    async with with_aggregator(opened) as (beside, _):
        gate = beside.sidecar.parts.task_gate
        for what, code in (
            ("pause", "TASK_PAUSED"),
            ("resume", None),
            ("cancel", "TASK_CANCELLED"),
        ):
            await beside.steer("t-1", what, reason="somebody's word")
            hold = gate.hold_of("t-1")
            assert (None if hold is None else hold.refusal.code) == code
            assert hold is None or hold.reason == "somebody's word"
            status, answer = await beside.chat()
            assert (status == 200) is (code is None)
            if code:
                assert answer["remora"]["code"] == code


async def test_what_a_person_says_outside_reaches_calls_and_answers_here(opened):
    async with with_aggregator(opened) as (beside, aggregator):
        await asyncio.to_thread(steered, aggregator, "pause", "t-1", create=True, reason="audit")
        await until(lambda: beside.sidecar.parts.task_gate.hold_of("t-1"))
        task = (await beside.task("t-1"))["task"]
        status, _ = await beside.chat()

    assert (task["status"], task["reason"], status) == ("paused", "audit", 403)


async def test_a_cancel_here_reaches_another_sidecar(opened):
    async with (
        with_aggregator(opened) as (beside, aggregator),
        opened("two", aggregator=aggregator.address) as other,
    ):
        await until(lambda: other.sidecar.health().figures["tasks_watched"])
        await beside.steer("t-1", "cancel")
        await until(lambda: other.sidecar.parts.task_gate.hold_of("t-1"))
        assert (await other.chat())[0] == 403


async def test_what_the_aggregator_refuses_is_refused_with_its_reason(opened):
    async with with_aggregator(opened) as (beside, _):
        await beside.steer("t-1", "cancel", reason="enough")
        answers = [
            await beside.ask("GET", "/tasks/nobodys"),
            await beside.ask("POST", "/tasks/nobodys/resume", {}),
            await beside.ask("POST", "/tasks/t-1/resume", {}),
            await beside.ask("GET", "/tasks?cursor=x"),
        ]

    told = [(status, answer["error"]["code"]) for status, answer in answers]
    assert told == [
        (404, "UNKNOWN_TASK"),
        (404, "UNKNOWN_TASK"),
        (409, "TASK_STATE"),
        (400, "BAD_REQUEST"),
    ]
    assert "enough" in answers[2][1]["error"]["message"]


async def test_a_sidecar_that_may_not_resume_says_so(opened, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("the-sidecars-token team-a reporter pod-1\n")
    tokens.chmod(0o600)
    async with (
        temporary_aggregator(token_file=tokens) as aggregator,
        opened(aggregator=aggregator.address, aggregator_token_file=tokens) as beside,
    ):
        assert (await beside.steer("t-1", "pause"))["namespace"] == "team-a"
        status, answer = await beside.ask("POST", "/tasks/t-1/resume", {})
        assert beside.sidecar.parts.task_gate.hold_of("t-1").control == "paused"

    assert (status, answer["error"]["code"]) == (403, "FORBIDDEN")
    assert "resume tasks" in answer["error"]["message"]


async def test_a_token_that_the_aggregator_does_not_know_is_no_fault_of_the_program(
    opened, tmp_path
):
    known, unknown = tmp_path / "known", tmp_path / "unknown"
    for file, word in ((known, "right"), (unknown, "wrong")):
        file.write_text(f"{word}-token-of-the-sidecar team-a reporter pod-1\n")
        file.chmod(0o600)
    async with (
        temporary_aggregator(token_file=known) as aggregator,
        opened(aggregator=aggregator.address, aggregator_token_file=unknown) as beside,
    ):
        status, answer = await beside.ask("GET", "/tasks/t-1")

    assert (status, answer["error"]["code"]) == (503, "AGGREGATOR_UNAVAILABLE")
    assert "wrong-token" not in json.dumps(answer)


@pytest.mark.parametrize("what", ["pause", "cancel", "resume"])
async def test_while_the_aggregator_is_away_nothing_is_changed_and_calls_go_on(
    opened, tmp_path, what
):
    async with opened(aggregator=f"unix:{tmp_path}/nobody.sock") as beside:
        assert (await beside.chat())[0] == 200
        status, answer = await beside.ask("POST", f"/tasks/t-1/{what}", {})
        assert (await beside.chat())[0] == 200
        assert await beside.ask("GET", "/tasks/t-1") == (status, answer)

    assert (status, answer["error"]["code"]) == (503, "AGGREGATOR_UNAVAILABLE")
    assert "no aggregator answers" in answer["error"]["message"]


async def test_a_call_that_ended_just_now_is_in_the_answer(opened):
    async with with_aggregator(opened) as (beside, _):
        await until(lambda: beside.sidecar.reporter.connected)
        for calls in range(1, 6):
            assert (await beside.chat())[0] == 200
            answer = await beside.task("t-1", include_receipts="true")
            assert (answer["task"]["calls"], len(answer["receipts"])) == (calls, calls)
            _, listed = await beside.ask("GET", "/tasks")
            assert listed["tasks"][0]["calls"] == calls


async def test_runs_of_workflows_tell_the_aggregator_by_their_reports_alone(opened):
    async with with_aggregator(opened) as (beside, aggregator):
        target, parts = AggregatorTarget(aggregator.address), beside.sidecar.parts
        under_way = UnderWay(beside.sidecar.reporter, parts.clock)
        tasks = ForwardedTasks(target, parts.task_gate, under_way)
        tasks.began("t-1", "research")
        tasks.ended("t-1", "cancelled")

        assert (await beside.ask("GET", "/tasks/t-1"))[0] == 404
        assert (await beside.chat())[0] == 200
