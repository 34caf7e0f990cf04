"""Executions over the wire: what is written is read again."""

from dataclasses import replace
from decimal import Decimal, InvalidOperation

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.execution_report import (
    ExecutionBudget,
    ExecutionReport,
    ExecutionStatus,
    StepReported,
    StepStatus,
)
from remora.execution_wire import MOST_RECEIPTS, execution_from_message, execution_message
from remora_proto.v1 import workflows_pb2 as pb

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
MONEY = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=12)
COUNTS = st.integers(0, 2**31)
FIGURES = st.integers(0, 2**63 - 1)
NAMES = st.lists(TEXTS, max_size=3).map(tuple)
STEPS = st.builds(
    StepReported,
    step_id=TEXTS, status=st.sampled_from(StepStatus), depends_on=NAMES, strategy=TEXTS,
    tier=TEXTS, provider=TEXTS, model=TEXTS, latency_ms=FIGURES, known_cost_usd=MONEY,
    unpriced_calls=COUNTS, tokens=FIGURES, receipt_ids=NAMES, more_receipts=COUNTS,
    open_calls=COUNTS, error_code=TEXTS, note=TEXTS,
)  # fmt: skip
BUDGETS = st.builds(
    ExecutionBudget, st.none() | MONEY, st.none() | FIGURES, st.none() | FIGURES, TEXTS
)
REPORTS = st.builds(
    ExecutionReport,
    execution_id=TEXTS, task_id=TEXTS, owns_task=st.booleans(), workflow=TEXTS,
    workflow_digest=TEXTS, revision=FIGURES, status=st.sampled_from(ExecutionStatus),
    began_unix_ns=FIGURES, ended_unix_ns=FIGURES, budget=st.none() | BUDGETS,
    known_cost_usd=MONEY, unpriced_calls=COUNTS, tokens=FIGURES, latency_ms=FIGURES,
    estimate_most_usd=st.none() | MONEY, steps=st.lists(STEPS, max_size=3).map(tuple),
    error_code=TEXTS, failed_step=TEXTS, downgraded=NAMES, session_id=TEXTS, agent_id=TEXTS,
    trace_id=TEXTS,
)  # fmt: skip
PLAIN = ExecutionReport(
    execution_id="e", task_id="t", owns_task=True, workflow="w", workflow_digest="d", revision=1,
    status=ExecutionStatus.RUNNING, began_unix_ns=1,
)  # fmt: skip


@given(REPORTS)
def test_what_is_written_is_read_again(report):
    sent = execution_message(report).SerializeToString()
    assert execution_from_message(pb.ExecutionReport.FromString(sent)) == report


def test_of_very_many_receipts_the_first_travel_and_how_many_there_are():
    ids = tuple(f"{number:032x}" for number in range(MOST_RECEIPTS + 7))
    step = StepReported("a", StepStatus.COMPLETED, receipt_ids=ids)
    (read,) = execution_from_message(execution_message(replace(PLAIN, steps=(step,)))).steps
    assert read.receipt_ids == ids[:MOST_RECEIPTS]
    assert read.more_receipts == 7


def test_what_a_newer_sidecar_says_is_unknown_and_not_refused():
    message = execution_message(replace(PLAIN, steps=(StepReported("a", StepStatus.FAILED),)))
    message.status, message.steps[0].status = 99, 99
    read = execution_from_message(message)
    assert (read.status, read.steps[0].status) == (ExecutionStatus.UNKNOWN, StepStatus.UNKNOWN)


@pytest.mark.parametrize("money", ["NaN", "-Infinity", "1 dollar"])
def test_money_that_is_none_is_refused(money):
    message = execution_message(PLAIN)
    message.known_cost_usd = money
    with pytest.raises(InvalidOperation):
        execution_from_message(message)


def test_an_unknown_price_makes_the_cost_unknown_and_never_zero():
    step = StepReported("a", StepStatus.RUNNING, known_cost_usd=Decimal("0.1"), unpriced_calls=1)
    assert step.cost_usd is None
    assert replace(step, unpriced_calls=0).cost_usd == Decimal("0.1")
    assert replace(PLAIN, unpriced_calls=1).cost_usd is None
    assert PLAIN.cost_usd == 0


@pytest.mark.parametrize(
    ("status", "is_over"),
    [(status, status.value not in ("running", "paused")) for status in ExecutionStatus],
    ids=[status.value for status in ExecutionStatus],
)
def test_what_runs_or_pauses_is_not_over(status, is_over):
    assert status.is_over is is_over
