"""`remora workflow executions`: as a person sees them, as JSON, and followed."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from pathlib import Path

import grpc
import pytest
from tests.aggregator.store.executions import report, step
from tests.sdk.cli.asking import asking

from remora.cli.execution_json import execution_json
from remora.cli.execution_lines import ExecutionLines, cost, execution_page, step_lines
from remora.client.executions import StoredExecution
from remora.execution_report import (
    ExecutionBudget,
    ExecutionReport,
    ExecutionStatus,
    StepCounts,
    StepReported,
    StepStatus,
)
from remora_proto.v1 import workflows_pb2 as pb
from remora_proto.v1 import workflows_pb2_grpc as pb_grpc

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
NOW_NS = 1_790_000_000 * 10**9
SECOND_NS = 10**9
SOON_S = 60
COMPLETED, FAILED = pb.EXECUTION_STATUS_COMPLETED, pb.EXECUTION_STATUS_FAILED

STEPS = (
    StepReported(
        "gather", StepStatus.COMPLETED, strategy="single", tier="fast", provider="openai",
        model="gpt-4o-mini", latency_ms=1_900, known_cost_usd=Decimal("0.0021"), tokens=420,
        receipt_ids=("a" * 32, "b" * 32, "c" * 32), more_receipts=3,
    ),
    StepReported(
        "cite", StepStatus.FAILED, depends_on=("gather",), known_cost_usd=Decimal("0.001"),
        unpriced_calls=1, open_calls=2, error_code="NO_MODEL", note="mended\x1b[2J once",
    ),
    StepReported("tell", StepStatus.NOT_STARTED, depends_on=("cite", "gather")),
)  # fmt: skip
STORED = StoredExecution(
    report=ExecutionReport(
        execution_id="e-1", task_id="t-1", owns_task=True, workflow="research",
        workflow_digest="d", revision=7, status=ExecutionStatus.FAILED,
        began_unix_ns=NOW_NS - 90 * SECOND_NS, ended_unix_ns=NOW_NS - 85 * SECOND_NS,
        budget=ExecutionBudget(Decimal("0.25"), 5_000, 60_000, "downgrade"),
        known_cost_usd=Decimal("0.0031"), unpriced_calls=1, tokens=420, latency_ms=4_100,
        estimate_most_usd=Decimal("0.115"), steps=STEPS, error_code="NO_MODEL",
        failed_step="cite", downgraded=("workflow",), session_id="s", agent_id="a", trace_id="f",
    ),
    step_counts=StepCounts(3, 3, 1, 0), namespace="team-a", pod_uid="p", pod_name="agents-1",
    workload="agents", received_unix_ns=NOW_NS,
)  # fmt: skip

GOLDEN_PAGE = """\
execution   e-1  (team-a)
workflow    research
state       failed: NO_MODEL at cite
steps       3 of 3 over, 1 failed
began       2026-09-21 14:11:50, 1m ago; took 4.10s
cost        $0.0031 + unknown of $0.115 at most, as was estimated
tokens      420
budget      $0.25 or 5,000 tokens or 60.0s, then downgrade
cheaper     models were, for the budget of workflow
task        t-1
pod         agents-1"""

GOLDEN_STEPS = f"""\
step          state        model                                   cost     took
gather        completed    openai/gpt-4o-mini                   $0.0021    1.90s
    calls {"a" * 32} {"b" * 32}
          {"c" * 32}
          and 3 more
cite          failed       -                           $0.001 + unknown        -
    waits for gather
    NO_MODEL
    mended\\x1b[2J once
    2 abandoned calls not over, their cost is to come
tell          not started  -                                          -        -
    waits for cite, gather"""


def test_one_execution_told_in_full():
    assert "\n".join(execution_page(STORED, NOW_NS, UTC)) == GOLDEN_PAGE


def test_its_steps_told_in_full():
    told = "\n".join(one.plain for one in step_lines(STEPS, 80))
    assert told == GOLDEN_STEPS


def test_the_table_of_executions():
    head, row = ExecutionLines(120, with_namespace=True).lines(STORED, NOW_NS)
    assert " ".join(head.plain.split()) == "execution state steps cost took began"
    assert " ".join(row.plain.split()) == (
        "team-a/e-1 research failed 3/3 $0.0031 + unknown 4.10s 1m ago"
    )


@pytest.mark.parametrize("width", [80, 89, 90, 100, 120, 200])
def test_no_line_is_wider_than_the_screen(width):
    long = replace(
        STORED, report=replace(STORED.report, execution_id="x" * 128, workflow="y" * 200)
    )
    lines = list(ExecutionLines(width).lines(long, NOW_NS))
    odd = replace(STEPS[0], step_id="z" * 200, model="m" * 100, note="n" * 500)
    lines += step_lines((odd, *STEPS), width)
    assert max(len(line.plain) for line in lines) <= width


@pytest.mark.parametrize(
    ("known", "unpriced", "text"),
    [("0", 0, "$0"), ("0.1", 0, "$0.1"), ("0.1", 1, "$0.1 + unknown"), ("0", 2, "unknown")],
)
def test_what_is_not_known_is_no_zero(known, unpriced, text):
    assert cost(Decimal(known), unpriced) == text


def test_the_page_names_every_key_of_an_execution():
    shown = execution_json(STORED, steps=True)
    keys = {
        *shown, *shown["budget"], *shown["error"], *shown["step_counts"], *shown["steps"][0],
    }  # fmt: skip
    page = PAGE.read_text()
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []


async def _tell(address, *reports):
    async with grpc.aio.insecure_channel(address) as channel:
        request = pb.ReportExecutionsRequest(pod_uid="pod-1", reports=reports)
        await pb_grpc.WorkflowServiceStub(channel).Report(request)


@pytest.fixture
async def remora():
    async with asking() as asked:
        done = step("gather", pb.STEP_STATUS_COMPLETED, model="gpt-4o-mini", receipt_ids=["r"])
        await _tell(
            asked.address,
            report(1, steps=[done]),
            report(2, status=FAILED, workflow="write", error_code="NO_MODEL", agent_id="planner"),
            report(3, status=COMPLETED, session_id="s"),
        )
        yield asked


async def test_executions_are_listed(remora):
    shown = (await remora("workflow", "executions")).out
    first = [line.split()[0] for line in shown.splitlines()]
    assert first == ["execution", "local/e-3", "local/e-2", "local/e-1"]
    lines = (await remora("workflow", "executions", "--json", "-n", "1")).out.splitlines()
    (told,) = map(json.loads, lines)
    assert (told["execution_id"], told["status"], "steps" in told) == ("e-3", "completed", False)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--status", "failed", "--status", "completed"), ["e-3", "e-2"]),
        (("--workflow", "write"), ["e-2"]),
        (("--task", "t-1"), ["e-1"]),
        (("--session", "s"), ["e-3"]),
        (("--agent", "planner"), ["e-2"]),
        (("--namespace", "local", "-n", "0"), ["e-3", "e-2", "e-1"]),
    ],
    ids=["status", "workflow", "task", "session", "agent", "namespace"],
)
async def test_executions_are_chosen(remora, options, found):
    ended = await remora("workflow", "executions", "--json", *options)
    assert [json.loads(line)["execution_id"] for line in ended.out.splitlines()] == found


async def test_none_that_matches_is_said(remora):
    ended = await remora("workflow", "executions", "--since", "1h")
    assert (ended.code, ended.out) == (0, "")
    assert "has no execution that matches" in ended.err


async def test_one_is_shown_with_its_steps(remora):
    shown = (await remora("workflow", "executions", "e-1")).out
    assert "workflow    research" in shown
    assert "gpt-4o-mini" in shown
    assert "calls r" in shown
    (line,) = (await remora("workflow", "executions", "e-1", "--json")).out.splitlines()
    assert [one["step_id"] for one in json.loads(line)["steps"]] == ["gather"]


async def test_one_that_is_not_there_is_1(remora):
    ended = await remora("workflow", "executions", "e-9")
    assert ended.code == 1
    assert "has no execution 'e-9'" in ended.err
    assert (await remora("workflow", "executions", "e-9", "--watch")).code == 1


async def test_one_that_is_over_is_shown_once(remora):
    ended = await remora("workflow", "executions", "e-3", "--watch", "--json")
    assert (ended.code, len(ended.out.splitlines())) == (0, 1)


async def _followed(remora, *options):
    command = [sys.executable, "-P", "-m", "remora", "workflow", "executions", *options]
    return await asyncio.create_subprocess_exec(
        *command, "--watch", "--json", "--aggregator", remora.address,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_one_is_followed_until_it_is_over(remora):
    follower = await _followed(remora, "e-1")
    async with asyncio.timeout(SOON_S):
        first = json.loads(await follower.stdout.readline())
        await _tell(remora.address, report(1, 2, status=COMPLETED, steps=[step("b")]))
        then = json.loads(await follower.stdout.readline())
        assert await follower.wait() == 0
    assert (first["revision"], then["revision"], then["status"]) == (1, 2, "completed")
    assert [one["step_id"] for one in then["steps"]] == ["b"]


async def test_following_shows_those_that_change_and_are_asked_for(remora):
    follower = await _followed(remora, "--workflow", "research", "--status", "running")
    try:
        async with asyncio.timeout(SOON_S):
            first = json.loads(await follower.stdout.readline())
            await _tell(remora.address, report(2, 2, workflow="write"))
            await _tell(remora.address, report(3, 2, status=FAILED))
            await _tell(remora.address, report(4))
            then = json.loads(await follower.stdout.readline())
    finally:
        follower.terminate()
        await follower.wait()
    assert (first["execution_id"], then["execution_id"]) == ("e-1", "e-4")
