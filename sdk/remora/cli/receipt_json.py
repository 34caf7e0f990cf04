"""A receipt as JSON for programs, in the words that receipts of the field have. Pure.

docs/cli.md names the keys; a test holds the two together.
"""

import json
from decimal import Decimal
from typing import Any

from remora.cli.moments import iso_utc
from remora.receipt import BudgetReceipt, CandidateReceipt, Receipt
from remora.records import Attempt, CallRecord, EndReason

NO_RECEIPT = Receipt(policy="", policy_version="", credential="")
"""Stands for that of a record without one: policy was not asked."""


def receipt_json(record: CallRecord) -> dict[str, Any]:
    """Show why a call went where it went, and what came of it."""
    receipt = record.receipt or NO_RECEIPT
    return {
        "receipt_id": record.call_id,
        **receipt_parts(receipt, _decision(record, receipt), asked_first(record)),
        "cache": None if record.cache is None else record.cache.result,
        "attempts": [_attempt(attempt) for attempt in record.attempts],
        "execution": {
            "actual_cost_usd": _money(record.cost.total_usd if record.cost else None),
            "actual_latency_ms": round(record.latency_s * 1000, 3),
            "status": status_word(record),
        },
    }


def receipt_parts(receipt: Receipt, decision: dict[str, Any], chosen: str) -> dict[str, Any]:
    """Show what a receipt says, of a call or of a request that was not sent.

    Args:
        receipt: The decision.
        decision: What `decision_json` shows of it.
        chosen: Who is asked first, as `arm_name` has it; empty if nobody.
    """
    return {
        "policy": receipt.policy or None,
        "policy_version": receipt.policy_version or None,
        "rule": receipt.rule or None,
        "classification": None,
        "candidates": [_candidate(one, receipt, chosen) for one in receipt.candidates],
        "decision": decision,
        "budgets": [_budget(budget) for budget in receipt.budgets],
    }


def arm_name(provider: str, model: str, parameters: str = "") -> str:
    """Name what a call may go to: ``provider/model``, with what policy sets in the request."""
    return f"{provider}/{model} {parameters}" if parameters else f"{provider}/{model}"


def asked_first(record: CallRecord) -> str:
    """Name whom a call went to at first; who answered it, where nobody was asked anew."""
    if record.attempts:
        first = record.attempts[0]
        return arm_name(first.provider, first.model, first.parameters)
    if record.end_reason is EndReason.REFUSED:
        return ""
    return _answered_by(record)


def _answered_by(record: CallRecord) -> str:
    """Name who made an answer that was kept; with parameters if it can have been but one."""
    candidates = () if record.receipt is None else record.receipt.candidates
    parameters = [
        candidate.parameters
        for candidate in candidates
        if (candidate.provider, candidate.model) == (record.provider, record.sent_model)
        and not candidate.filtered_out_by
    ]
    only = parameters[0] if len(parameters) == 1 else ""
    return arm_name(record.provider, record.sent_model, only)


def parameters_json(text: str) -> dict[str, Any] | None:
    """Read what policy set in a request; None: nothing, or nothing that can be read."""
    try:
        shown = json.loads(text, parse_constant=_refuse) if text else None
    except (ValueError, RecursionError):
        return None
    return shown if isinstance(shown, dict) else None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def status_word(record: CallRecord) -> str:
    """Say in one word how a call ended."""
    if record.end_reason is EndReason.UNSPECIFIED:
        return "unknown"
    if record.end_reason is not EndReason.COMPLETED:
        return record.end_reason.name.lower()
    return "success" if record.error is None else "error"


def decision_json(
    receipt: Receipt, *, provider: str, model: str, requested_model: str
) -> dict[str, Any]:
    """Show where a call went, or would go; nowhere if the model is empty."""
    return {
        "model_id": model or None,
        "provider": provider or None,
        "requested_model_id": requested_model or None,
        "strategy": "single",
        "router": receipt.router or None,
        "propensity": receipt.propensity,
        "risk": receipt.risk or None,
        "reason": receipt.reason or None,
        "scores": receipt.scores or None,
        "fallback_chain": list(receipt.fallback),
        "prompt_rewritten": False,
        "credential": None if receipt.refused_by else receipt.credential or None,
        "refused_by": receipt.refused_by or None,
    }


def _decision(record: CallRecord, receipt: Receipt) -> dict[str, Any]:
    is_sent = record.end_reason is not EndReason.REFUSED or bool(record.attempts)
    return decision_json(
        receipt,
        provider=record.provider if is_sent else "",
        model=record.sent_model if is_sent else "",
        requested_model=record.requested_model,
    )


def _candidate(candidate: CandidateReceipt, receipt: Receipt, chosen: str) -> dict[str, Any]:
    name = arm_name(candidate.provider, candidate.model, candidate.parameters)
    plain = arm_name(candidate.provider, candidate.model)
    is_fallback = name in receipt.fallback or plain in receipt.fallback
    roles = {"chosen": name == chosen, "fallback": is_fallback}
    is_left_out = bool(candidate.filtered_out_by)
    return {
        "model_id": candidate.model,
        "provider": candidate.provider,
        "score": candidate.score,
        "est_cost_usd": _money(candidate.est_cost_usd),
        "reasons": [] if is_left_out else [role for role, is_so in roles.items() if is_so],
        "filtered_out_by": candidate.filtered_out_by or None,
        "parameters": parameters_json(candidate.parameters),
        "propensity": candidate.propensity,
        "note": candidate.note or None,
    }


def _budget(budget: BudgetReceipt) -> dict[str, Any]:
    resets = budget.resets_unix_ns
    return {
        "name": budget.name,
        "per": budget.per,
        "result": budget.result,
        "spent_usd": _money(budget.spent_usd),
        "limit_usd": _money(budget.limit_usd),
        "spent_tokens": budget.spent_tokens,
        "limit_tokens": budget.limit_tokens,
        "resets_at": None if resets is None else iso_utc(resets),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "provider": attempt.provider or None,
        "model_id": attempt.model or None,
        "parameters": parameters_json(attempt.parameters),
        "status_code": attempt.status_code or None,
        "failure": attempt.failure or None,
        "error": attempt.error.message if attempt.error is not None else None,
        "duration_ms": round(attempt.duration_s * 1000, 3),
        "cost_usd": _money(attempt.cost.total_usd if attempt.cost is not None else None),
    }


def _money(usd: Decimal | None) -> str | None:
    return None if usd is None else format(usd, "f")
