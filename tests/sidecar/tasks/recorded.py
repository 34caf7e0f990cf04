"""Records of calls of tasks, made by hand."""

from decimal import Decimal
from typing import Any

from remora.records import Attribution, CallError, CallRecord, Cost, EndReason, Usage


def cost_of(usd: str) -> Cost:
    return Cost(Decimal(usd), Decimal(0), Decimal(0), "test", "2026-01-01")


def call(number: int = 1, task_id: str = "t-1", **more: Any) -> CallRecord:
    """A call that went well and cost ten millionths."""
    usual = {
        "provider": "openai",
        "sent_model": "gpt-4o-mini",
        "status_code": 200,
        "end_reason": EndReason.COMPLETED,
        "usage": Usage(input_tokens=10, output_tokens=5),
        "cost": cost_of("0.00001"),
        "latency_s": 0.5,
        "attribution": Attribution(task_id=task_id),
    }
    return CallRecord(f"{number:032x}", 1_000_000_000 * number, **{**usual, **more})


def refused_call(number: int = 1, **more: Any) -> CallRecord:
    """A call that Remora refused."""
    refused = {
        "status_code": 403,
        "end_reason": EndReason.REFUSED,
        "error": CallError("MODEL_DENIED", "no"),
        "usage": None,
        "cost": None,
    }
    return call(number, **{**refused, **more})
