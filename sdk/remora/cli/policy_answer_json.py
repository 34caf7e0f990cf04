"""What a policy would make of a request, as JSON for programs: the keys of receipts. Pure.

docs/cli.md names the keys; a test holds the two together.
"""

from typing import Any

from remora.cli.policy_question import CacheForecast, PolicyAnswer, Stop
from remora.cli.receipt_json import NO_RECEIPT, decision_json, receipt_parts


def policy_answer_json(answer: PolicyAnswer) -> dict[str, Any]:
    """Show an answer."""
    receipt = answer.receipt or NO_RECEIPT
    first = answer.stops[0] if answer.stops else None
    decision = decision_json(
        receipt,
        provider=first.provider if first else "",
        model=first.model if first else "",
        requested_model=answer.model,
    )
    return {
        "method": answer.method,
        "url": answer.url,
        "intercepted": answer.receipt is not None,
        "provider": answer.provider or None,
        "dialect": answer.dialect or None,
        "operation": answer.operation or None,
        **receipt_parts(receipt, decision, first.name if first else ""),
        "refusal": _fields(answer.refusal),
        "stops": [_stop(stop) for stop in answer.stops],
        "patience": _fields(answer.patience) if answer.stops else None,
        "cache": _cache(answer.cache),
        "capture": answer.capture or None,
        "notes": list(answer.notes),
    }


def _fields(part: Any) -> dict[str, Any] | None:
    return None if part is None else {name: getattr(part, name) for name in part.__slots__}


def _stop(stop: Stop) -> dict[str, Any]:
    return {
        "provider": stop.provider,
        "model_id": stop.model or None,
        "url": stop.url or None,
        "credential": stop.key,
        "problem": stop.problem or None,
    }


def _cache(cache: CacheForecast | None) -> dict[str, Any] | None:
    if cache is None:
        return None
    return {"reads": cache.reads, "writes": cache.writes, "reason": cache.reason or None}
