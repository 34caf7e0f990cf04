"""`remora tasks`: as a person sees them, as JSON, and steered, against a real aggregator."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from pathlib import Path

import pytest
from tests.sdk.cli.asking import asking, record

from remora.cli.call_lines import CallLines, decision
from remora.cli.task_json import task_json
from remora.cli.task_lines import TaskLines, ago, budget_bar, budget_part, state_line, task_page
from remora.client.target import AggregatorTarget
from remora.client.task import (
    ActorKind,
    Task,
    TaskBudget,
    TaskChange,
    TaskControl,
    TaskState,
    TaskTotals,
)
from remora.client.tasks import TaskClient
from remora.receipt import BudgetReceipt, Receipt
from remora.records import Attempt, CallRecord
from remora_proto.v1 import records_pb2 as pb

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
NOW_NS = 1_790_000_000 * 10**9
SECOND_NS = 10**9

TASK = Task(
    namespace="team-a",
    task_id="nightly-7",
    state=TaskState.RUNNING,
    control=TaskControl.OPEN,
    cut_streams=False,
    revision=3,
    created_unix_ns=NOW_NS - 3_600 * SECOND_NS,
    changed_unix_ns=NOW_NS - 3_500 * SECOND_NS,
    budget=TaskBudget(Decimal(2)),
    totals=TaskTotals(
        calls=1200,
        errors=3,
        refused_calls=1,
        cached_calls=20,
        input_tokens=1_000_000,
        output_tokens=2_000,
        cost_usd=Decimal("0.5"),
        first_call_unix_ns=NOW_NS - 3_590 * SECOND_NS,
        last_call_unix_ns=NOW_NS - 90 * SECOND_NS,
        pod_uids=tuple(f"pod-{number}" for number in range(7)),
    ),
    title="Nightly run",
    history=(
        TaskChange(NOW_NS - 3_600 * SECOND_NS, TaskState.UNKNOWN, TaskState.PENDING,
                   ActorKind.CALLER, "ann"),
        TaskChange(NOW_NS - 3_590 * SECOND_NS, TaskState.PENDING, TaskState.RUNNING,
                   ActorKind.CALL, "", "its first call"),
        TaskChange(NOW_NS - 3_500 * SECOND_NS, TaskState.RUNNING, TaskState.RUNNING,
                   ActorKind.CALLER, "ann", "more\x1b[2J money"),
    ),
    older_changes=2,
)  # fmt: skip

GOLDEN_PAGE = """\
task        nightly-7  (team-a)
title       Nightly run
state       running
calls       1,200, 3 failed, 1 of them refused, 20 from the cache
called      from 2026-09-21 13:13:30 on, for 58m20s; last 1m ago
tokens      1.00M in, 2,000 out
cost        $0.5
budget      ██▌░░░░░░░ 25% of $2.00
pods        pod-0, pod-1, pod-2, pod-3, pod-4 and 2 more
history     … 2 older changes
            2026-09-21 13:13:20  created pending, by ann
            2026-09-21 13:13:30  pending → running, by a call: its first call
            2026-09-21 13:15:00  still running, by ann: more\\x1b[2J money"""


def test_the_table_of_tasks():
    lines = [line.plain for line in TaskLines(130, with_namespace=True).lines(TASK, NOW_NS)]
    head, row = lines
    assert " ".join(head.split()) == "task state calls errors cost budget last call"
    assert row.startswith("team-a/nightly-7  Nightly run  ")
    assert " ".join(row.split()[3:]) == "running 1,200 3 $0.5 ██▌░░░░░░░ 25% of $2.00 1m ago"


@pytest.mark.parametrize("width", [80, 89, 90, 99, 100, 119, 120, 200])
def test_no_line_is_wider_than_the_screen(width):
    lines = TaskLines(width)
    long = replace(TASK, task_id="x" * 256, title="y" * 500)
    assert max(len(line.plain) for line in lines.lines(long, NOW_NS)) <= width


def test_one_task_told_in_full():
    assert "\n".join(task_page(TASK, NOW_NS, UTC)) == GOLDEN_PAGE


@pytest.mark.parametrize(
    ("budget", "totals", "part", "drawn"),
    [
        (None, TaskTotals(), None, ""),
        (TaskBudget(), TaskTotals(), None, ""),
        (TaskBudget(Decimal(2)), TaskTotals(), 0.0, "░░░░░░░░░░ 0% of $2.00"),
        (TaskBudget(Decimal(2)), TaskTotals(cost_usd=Decimal(3)), 1.5, "██████████ 150% of $2.00"),
        (TaskBudget(Decimal(0)), TaskTotals(), 1.0, "██████████ 100% of $0"),
        (TaskBudget(None, 100), TaskTotals(input_tokens=20, output_tokens=5), 0.25,
         "██▌░░░░░░░ 25% of 100 tokens"),
        (TaskBudget(Decimal(1), 100), TaskTotals(input_tokens=50, cost_usd=Decimal("0.1")), 0.5,
         "█████░░░░░ 50% of $1.00 or 100 tokens"),
    ],
    ids=["none", "no limit", "unused", "overspent", "nothing", "tokens", "both: the fuller one"],
)  # fmt: skip
def test_a_budget_is_a_bar(budget, totals, part, drawn):
    task = replace(TASK, budget=budget, totals=totals)
    assert (budget_part(task), budget_bar(task)) == (part, drawn)


@pytest.mark.parametrize(
    ("state", "control", "cut", "said"),
    [
        (TaskState.RUNNING, TaskControl.OPEN, False, "running"),
        (TaskState.PAUSED, TaskControl.OPEN, False, "paused: its next call resumes it"),
        (TaskState.PAUSED, TaskControl.PAUSED, False,
         "paused: its calls are refused until it is resumed"),
        (TaskState.CANCELLED, TaskControl.CANCELLED, False,
         "cancelled: its calls are refused for good"),
        (TaskState.CANCELLED, TaskControl.CANCELLED, True,
         "cancelled: its calls are refused for good, those in flight were cut"),
        (TaskState.BUDGET_EXCEEDED, TaskControl.BUDGET_EXCEEDED, False,
         "budget exceeded: its calls are refused until its budget is raised"),
        (TaskState.BUDGET_EXCEEDED, TaskControl.OPEN, False, "budget exceeded"),
        (TaskState.UNKNOWN, TaskControl.UNKNOWN, False, "unknown"),
    ],
    ids=lambda value: getattr(value, "name", None),
)  # fmt: skip
def test_a_state_says_what_becomes_of_calls(state, control, cut, said):
    task = replace(TASK, state=state, control=control, cut_streams=cut)
    assert state_line(task) == f"nightly-7 (team-a): {said}"


@pytest.mark.parametrize(
    ("back_s", "text"),
    [(-5, "0s ago"), (0, "0s ago"), (59, "59s ago"), (60, "1m ago"), (7_199, "1h ago"),
     (200_000, "2d ago")],
)  # fmt: skip
def test_a_moment_is_so_long_ago(back_s, text):
    assert ago(NOW_NS - back_s * SECOND_NS, NOW_NS) == text
    assert ago(0, NOW_NS) == "-"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({}, ""),
        ({"receipt": Receipt("p", "v")}, ""),
        ({"receipt": Receipt("p", "v", rule="chat", router="weighted"),
          "attempts": (Attempt("openai", "gpt-4o", 503, 0.1), Attempt("groq", "llama", 200, 0.1))},
         "rule chat, weighted chose openai/gpt-4o, attempt 2 went to groq/llama"),
        ({"receipt": Receipt("p", "v", rule="chat", refused_by="TASK_PAUSED")},
         "rule chat, refused: TASK_PAUSED"),
        ({"receipt": Receipt("p", "v", budgets=(BudgetReceipt("daily", "task", "warn"),
                                                BudgetReceipt("other", "task", "ok")))},
         "budget daily: warn"),
    ],
    ids=["not asked", "no rule", "fallback", "refused", "budget"],
)  # fmt: skip
def test_a_call_says_what_was_decided(record, text):
    call = CallRecord(call_id=f"{1:032x}", started_unix_ns=NOW_NS, **record)
    assert decision(call) == text
    last = list(CallLines(120, zone=UTC).lines(call))[-1].plain
    assert last == f"{'':9}{1:032x}  {text}".rstrip()


def test_the_page_names_every_key_of_a_task():
    shown = task_json(TASK, with_history=True)
    keys = {*shown, *shown["totals"], *shown["budget"], *shown["history"][0]}
    page = PAGE.read_text()
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
    assert shown["history"][0]["before"] is None
    assert shown["totals"]["cost_usd"] == "0.5"


RECEIPT = pb.Receipt(policy="research", policy_version="a" * 64, rule="chat", router="weighted")
WHO = {name: pb.Attribution(session_id="s", task_id=name) for name in ("t1", "t2")}
CALLS = [
    record(1, attribution=WHO["t1"], receipt=RECEIPT),
    record(2, attribution=WHO["t1"], latency_s=1.0),
    record(3, attribution=WHO["t2"]),
]


@pytest.fixture
async def remora():
    async with asking(*CALLS) as asked:
        yield asked


async def test_tasks_are_listed(remora):
    shown = (await remora("tasks")).out
    assert [line.split()[0] for line in shown.splitlines()] == ["task", "local/t2", "local/t1"]
    lines = (await remora("tasks", "--json", "--id", "?1")).out.splitlines()
    (task,) = map(json.loads, lines)
    assert (task["task_id"], task["totals"]["calls"], task["totals"]["cost_usd"]) == (
        "t1", 2, "0.006",
    )  # fmt: skip


async def test_no_task_that_matches_is_said(remora):
    ended = await remora("tasks", "--state", "failed")
    assert (ended.code, ended.out) == (0, "")
    assert "has no task that matches" in ended.err


async def test_a_task_is_shown_with_its_calls_and_receipts(remora):
    shown = (await remora("tasks", "show", "t1")).out
    assert "calls       2" in shown
    assert f"{1:032x}  rule chat" in shown
    assert f"{2:032x}" in shown
    (line,) = (await remora("tasks", "show", "t1", "--json", "-n", "1")).out.splitlines()
    told = json.loads(line)
    assert told["task"]["history"][0]["after"] == "running"
    (only,) = told["records"]
    assert only["receipt"]["rule"] == "chat"


async def test_of_many_calls_the_first_are_shown_and_the_others_counted(remora):
    ended = await remora("tasks", "show", "t1", "-n", "1")
    assert f"{2:032x}" not in ended.out
    assert "1 more with -n 0" in ended.err


@pytest.mark.parametrize("what", ["show", "pause", "resume", "cancel"])
async def test_a_task_that_is_not_there_is_1(remora, what):
    ended = await remora("tasks", what, "nobody")
    assert ended.code == 1
    assert "has no task 'nobody'" in ended.err


async def test_a_task_is_paused_resumed_and_cancelled(remora):
    paused = await remora("tasks", "pause", "t1", "--reason", "look first")
    assert (paused.code, paused.err) == (
        0, "t1 (local): paused: its calls are refused until it is resumed\n",
    )  # fmt: skip
    assert "look first" in (await remora("tasks", "show", "t1")).out
    resumed = json.loads((await remora("tasks", "resume", "t1", "--json")).out)
    assert (resumed["state"], resumed["history"][-1]["by"]["kind"]) == ("running", "caller")
    cut = json.loads((await remora("tasks", "cancel", "t1", "--cut", "--json")).out)
    assert (cut["state"], cut["cut_streams"]) == ("cancelled", True)
    refused = await remora("tasks", "resume", "t1")
    assert refused.code == 2
    assert "cancelled" in refused.err


async def test_another_namespace_is_2(remora):
    ended = await remora("tasks", "pause", "t1", "--namespace", "elsewhere")
    assert (ended.code, "'elsewhere'" in ended.err) == (2, True)


async def test_following_shows_tasks_as_they_change(remora):
    command = [sys.executable, "-P", "-m", "remora", "tasks", "-f", "--json", "--id", "t*"]
    follower = await asyncio.create_subprocess_exec(
        *command, "--state", "running", "--state", "paused", "--aggregator", remora.address,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip

    def steer():
        with TaskClient(AggregatorTarget(remora.address)) as client:
            client.create("other")
            client.cancel("t2")
            client.pause("t1")

    try:
        first = [json.loads(await follower.stdout.readline()) for _ in range(2)]
        await asyncio.to_thread(steer)
        then = json.loads(await follower.stdout.readline())
    finally:
        follower.terminate()
        await follower.wait()
    assert [task["task_id"] for task in first] == ["t1", "t2"]
    assert (then["task_id"], then["state"]) == ("t1", "paused")
