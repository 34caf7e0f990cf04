"""Tasks and receipts as JSON."""

import json
from decimal import Decimal

import pytest
from tests.sidecar.tasks.recorded import call, refused_call

from remora.client.task import (
    ActorKind,
    Task,
    TaskBudget,
    TaskChange,
    TaskControl,
    TaskState,
    TaskTotals,
)
from remora.receipt import CandidateReceipt, Receipt
from remora.records import Attribution, CallError, EndReason
from remora_sidecar.tasks.views import receipt_view, task_view

RECEIPT = Receipt(
    "research",
    "v1",
    router="cheapest",
    candidates=(
        CandidateReceipt("openai", "gpt-4o-mini", 0.5, Decimal("1E-7")),
        CandidateReceipt("groq", "llama", filtered_out_by="breaker", note="unknown"),
    ),
    fallback=("groq/llama",),
)


def test_a_receipt_has_the_brokers_fields():
    attribution = Attribution(task_id="t", agent_id="a", trace_id="f" * 32, goal="code")
    view = receipt_view(call(7, receipt=RECEIPT, attribution=attribution, latency_s=0.6924))

    assert json.loads(json.dumps(view)) == {
        "receipt_id": f"{7:032x}",
        "call_id": f"{7:032x}",
        "classification": {"category": "code", "confidence": None},
        "candidates": [
            {"model_id": "gpt-4o-mini", "provider": "openai", "score": 0.5,
             "est_cost_usd": "0.0000001", "reasons": [], "filtered_out_by": None},
            {"model_id": "llama", "provider": "groq", "score": None, "est_cost_usd": None,
             "reasons": ["unknown"], "filtered_out_by": "breaker"},
        ],
        "decision": {"model_id": "gpt-4o-mini", "provider": "openai", "strategy": "cheapest",
                     "fallback_chain": ["groq/llama"], "prompt_rewritten": False},
        "execution": {"actual_cost_usd": "0.00001", "actual_latency_ms": 692,
                      "status": "success"},
        "agent_id": "a",
        "trace_id": "f" * 32,
        "started_unix_ns": 7_000_000_000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (call(), "success"),
        (call(cached=True), "cached"),
        (refused_call(), "refused"),
        (call(end_reason=EndReason.CLIENT_GONE), "cut"),
        (call(end_reason=EndReason.PROVIDER_CUT), "cut"),
        (call(end_reason=EndReason.STOPPED, error=CallError("TASK_CANCELLED", "")), "cut"),
        (call(end_reason=EndReason.NO_ANSWER, status_code=0), "error"),
        (call(status_code=500), "error"),
        (call(error=CallError("usage", "unread")), "error"),
    ],
)
def test_how_a_call_ended_is_one_word(record, status):
    assert receipt_view(record)["execution"]["status"] == status


def test_a_call_that_nobody_asked_policy_about_has_a_receipt_too():
    view = receipt_view(call(receipt=None, cost=None))

    assert (view["classification"], view["candidates"]) == (None, [])
    assert view["decision"]["strategy"] == "single"
    assert view["execution"]["actual_cost_usd"] is None


def a_task(**more):
    return Task("ns", "t", TaskState.PAUSED, TaskControl.PAUSED, False, 9, 1, 2, **more)


def test_a_tasks_money_is_text_and_what_is_unknown_is_null():
    totals = TaskTotals(cost_usd=Decimal("1E-12"), first_call_unix_ns=10**9,
                        last_call_unix_ns=3_500_000_000)  # fmt: skip
    known = task_view(a_task(totals=totals, budget=TaskBudget(cost_usd=Decimal("0.250"))))
    unknown = task_view(a_task())

    assert known["total_cost_usd"] == "0.000000000001"
    assert known["total_latency_ms"] == 2_500
    assert known["budget"] == {"max_cost_usd": "0.250", "max_tokens": None}
    assert (unknown["total_cost_usd"], unknown["budget"]) == (None, None)
    assert (unknown["total_latency_ms"], unknown["reason"]) == (0, "")


def test_the_reason_is_that_of_the_last_move_not_of_a_later_note():
    history = tuple(
        TaskChange(at, before, after, ActorKind.CALLER, "ann", reason)
        for at, before, after, reason in (
            (1, TaskState.UNKNOWN, TaskState.RUNNING, "its first call"),
            (2, TaskState.RUNNING, TaskState.PAUSED, "audit"),
            (3, TaskState.PAUSED, TaskState.PAUSED, "its title was changed"),
        )
    )

    assert task_view(a_task(history=history))["reason"] == "audit"
