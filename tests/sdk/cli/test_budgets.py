"""`remora tasks budgets`: as a person sees them, and as JSON, against a real aggregator."""

import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import grpc
import pytest
from tests.sdk.cli.asking import asking

from remora.cli.budget_lines import BudgetLines, budget_json
from remora.client.budget import BudgetPer, SharedBudget
from remora.client.task import TaskBudget
from remora_proto.v1 import tasks_pb2 as pb
from remora_proto.v1 import tasks_pb2_grpc as pb_grpc

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
NOW_NS = 1_790_000_000 * 10**9
HOUR_NS = 3_600 * 10**9
BUDGET = SharedBudget(
    "team-a", "daily", BudgetPer.NAMESPACE, "", NOW_NS - 20 * HOUR_NS, 24 * HOUR_NS,
    TaskBudget(Decimal(50)), TaskBudget(Decimal("20.5")), TaskBudget(Decimal(1)), NOW_NS,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told", "style"),
    [
        ({}, "team-a/daily namespace ████░░░░░░ 41% of $50.00 $1.00 in 4h", ""),
        ({"key": "nightly\n7", "per": BudgetPer.TASK, "window_ns": 0},
         "team-a/daily task nightly\\n7 ████░░░░░░ 41% of $50.00 $1.00 never", ""),
        ({"limit": None}, "team-a/daily namespace $20.50 of unknown $1.00 in 4h", ""),
        ({"spent": TaskBudget(Decimal(45))},
         "team-a/daily namespace █████████░ 90% of $50.00 $1.00 in 4h", "yellow"),
        ({"limit": TaskBudget(None, 100), "spent": TaskBudget(None, 100),
          "leased": TaskBudget(None, 0), "window_ns": 1},
         "team-a/daily namespace ██████████ 100% of 100 tokens 0 tokens over", "red"),
        ({"limit": TaskBudget(Decimal(0))},
         "team-a/daily namespace ██████████ 100% of $0 $1.00 in 4h", "red"),
    ],
    ids=["money", "a task's", "no limit", "nearly", "tokens", "nothing allowed"],
)  # fmt: skip
def test_a_line_of_the_table(changes, told, style):
    head, row = BudgetLines(130, with_namespace=True).lines(replace(BUDGET, **changes), NOW_NS)
    assert " ".join(head.plain.split()) == "budget spent leased resets"
    assert (" ".join(row.plain.split()), str(row.style)) == (told, style)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_line_is_wider_than_the_screen(width):
    long = replace(BUDGET, budget="x" * 200, key="y" * 256)
    lines = BudgetLines(width).lines(long, NOW_NS)
    assert max(len(line.plain) for line in lines) <= width


async def lease(address, budget, per=pb.BUDGET_PER_TASK, key="t"):
    ask = pb.LeaseRequest.Ask(lease_id="a" * 32, budget=budget, per=per, key=key)
    ask.limit.cost_usd, ask.spent.cost_usd = "2", "0.5"
    ask.wanted.cost_usd = ask.needed.cost_usd = "0.25"
    async with grpc.aio.insecure_channel(address) as channel:
        await pb_grpc.TaskServiceStub(channel).Lease(pb.LeaseRequest(asks=[ask]))


async def test_budgets_of_an_aggregator_are_listed_and_chosen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "130")
    async with asking() as asked:
        nothing = await asked("tasks", "budgets")
        for number in range(3):
            await lease(asked.address, f"per-task-{number}")
        await lease(asked.address, "daily", pb.BUDGET_PER_NAMESPACE)
        table = await asked("tasks", "budgets")
        chosen = await asked(
            "tasks", "budgets", "--name", "per-*", "--key", "t", "-n", "2", "--json"
        )
        per = await asked("tasks", "budgets", "--per", "namespace", "--past", "--json")
        other = await asked("tasks", "budgets", "--namespace", "elsewhere")
    assert (nothing.code, nothing.out) == (0, "")
    assert "has no budget that matches" in nothing.err
    assert len(table.out.splitlines()) == 5
    assert "local/daily  namespace" in table.out
    rows = [json.loads(line) for line in chosen.out.splitlines()]
    assert [row["budget"] for row in rows] == ["per-task-0", "per-task-1"]
    assert rows[0]["limit"] == {"cost_usd": "2", "tokens": None}
    assert rows[0]["spent"] == {"cost_usd": "0.5", "tokens": None}
    assert rows[0]["leased"] == {"cost_usd": "0.25", "tokens": None}
    assert [json.loads(line)["per"] for line in per.out.splitlines()] == ["namespace"]
    assert other.code != 0


def test_the_page_names_the_keys_of_the_json():
    (told,) = re.findall(r"^A shared budget: (.*?)\n\n", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    keys = re.findall(r"`(\w+)`", told)
    for key, value in budget_json(BUDGET).items():
        assert key in keys
        assert not isinstance(value, dict) or set(value) <= set(keys)
