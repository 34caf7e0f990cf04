"""Tasks and receipts as JSON: the same of the local book and of the aggregator. Pure."""

from decimal import Decimal
from typing import Any

from remora.client.task import Task, TaskBudget
from remora.receipt import CandidateReceipt, Receipt
from remora.records import CallRecord, EndReason
from remora_sidecar.tasks.answering import last_move
from remora_sidecar.tasks.sums import is_error

_NS_PER_MS = 1_000_000
_CUT = frozenset({EndReason.CLIENT_GONE, EndReason.PROVIDER_CUT, EndReason.STOPPED})
_NO_RECEIPT = Receipt("", "")


def task_view(task: Task) -> dict[str, Any]:
    """Show a task.

    `total_latency_ms` is from the beginning of its first call to the end of its last.
    """
    totals, move = task.totals, last_move(task)
    took_ns = max(0, totals.last_call_unix_ns - totals.first_call_unix_ns)
    return {
        "task_id": task.task_id,
        "namespace": task.namespace,
        "status": task.state.name.lower(),
        "title": task.title,
        "reason": "" if move is None else move.reason,
        "calls": totals.calls,
        "errors": totals.errors,
        "refused_calls": totals.refused_calls,
        "cached_calls": totals.cached_calls,
        "unpriced_calls": totals.unpriced_calls,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "total_cost_usd": _money(totals.cost_usd),
        "total_latency_ms": round(took_ns / _NS_PER_MS),
        "budget": _budget(task.budget),
        "created_unix_ns": task.created_unix_ns,
        "changed_unix_ns": task.changed_unix_ns,
    }


def _budget(budget: TaskBudget | None) -> dict[str, Any] | None:
    if budget is None:
        return None
    return {"max_cost_usd": _money(budget.cost_usd), "max_tokens": budget.tokens}


def _money(usd: Decimal | None) -> str | None:
    return None if usd is None else f"{usd:f}"


def receipt_view(record: CallRecord) -> dict[str, Any]:
    """Show why a call went where it went, and what came of it.

    A kind of work that rules or programs named has no confidence: nobody measured one.
    """
    receipt = record.receipt or _NO_RECEIPT
    said = record.attribution
    return {
        "receipt_id": record.call_id,
        "call_id": record.call_id,
        "classification": {"category": said.goal, "confidence": None} if said.goal else None,
        "candidates": [_candidate(one) for one in receipt.candidates],
        "decision": {
            "model_id": record.sent_model or record.requested_model,
            "provider": record.provider,
            "strategy": receipt.router or "single",
            "fallback_chain": list(receipt.fallback),
            "prompt_rewritten": False,
        },
        "execution": {
            "actual_cost_usd": _money(record.paid_usd),
            "actual_latency_ms": round(record.latency_s * 1000),
            "status": _status(record),
        },
        "agent_id": said.agent_id,
        "trace_id": said.trace_id,
        "started_unix_ns": record.started_unix_ns,
    }


def _candidate(candidate: CandidateReceipt) -> dict[str, Any]:
    return {
        "model_id": candidate.model,
        "provider": candidate.provider,
        "score": candidate.score,
        "est_cost_usd": _money(candidate.est_cost_usd),
        "reasons": [candidate.note] if candidate.note else [],
        "filtered_out_by": candidate.filtered_out_by or None,
    }


def _status(record: CallRecord) -> str:
    if record.end_reason is EndReason.REFUSED:
        return "refused"
    if record.end_reason in _CUT:
        return "cut"
    if is_error(record):
        return "error"
    return "cached" if record.cached else "success"
