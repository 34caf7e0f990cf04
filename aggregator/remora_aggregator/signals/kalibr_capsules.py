"""Capsules: what a chain of agents hands on about its trace, and the chain made again. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from remora_aggregator.signals.kalibr_spans import (
    Span,
    iso_of,
    moment_of,
    money_of,
    name_in,
    span_of,
)

MOST_HOPS: Final = 32
"""Clients hand on five."""


@dataclass(frozen=True, slots=True)
class Capsule:
    """What one runtime of a chain handed on.

    Attributes:
        token: Of the runtime; empty: it named none.
        total_cost_usd: Of the chain so far; of more hops than are handed on.
        hops: The last ones, the oldest first.
    """

    trace_id: str
    token: str
    total_cost_usd: Decimal
    total_latency_ms: float
    hops: tuple[Span, ...]


def capsule_of(body: Mapping[str, Any], received_unix_ns: int) -> Capsule | None:
    """Read a capsule; None where it names no trace."""
    trace_id = name_in(body, "trace_id")
    if not trace_id:
        return None
    hops = body.get("last_n_hops") or body.get("hops") or ()
    listed = list(hops)[-MOST_HOPS:] if isinstance(hops, list) else []
    at = moment_of(body.get("timestamp"))
    when = received_unix_ns if at is None or at > received_unix_ns else at
    spans = [_hop(trace_id, number, hop, when) for number, hop in enumerate(listed)]
    return Capsule(
        trace_id=trace_id,
        token=name_in(body, "context_token"),
        total_cost_usd=_money(body.get("aggregate_cost_usd")),
        total_latency_ms=_milliseconds(body.get("aggregate_latency_ms")),
        hops=tuple(span for span in spans if span is not None),
    )


def _hop(trace_id: str, number: int, hop: object, at_unix_ns: int) -> Span | None:
    if not isinstance(hop, Mapping):
        return None
    index = hop.get("hop_index")
    place = index if isinstance(index, int) and not isinstance(index, bool) else number
    told = {"span_id": f"hop-{place}", **hop, "trace_id": trace_id}
    told.setdefault("service", hop.get("agent_name"))
    return span_of(told, at_unix_ns)


def _money(value: object) -> Decimal:
    amount = money_of(value) if isinstance(value, int | float | str) else None
    return amount or Decimal(0)


def _milliseconds(value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 10**12 else 0.0  # type: ignore[arg-type,operator]  # a number


def reconstructed(
    trace_id: str, capsules: Sequence[Capsule], spans: Iterable[Span], now_unix_ns: int
) -> dict[str, Any]:
    """Give a chain as the protocol shows it.

    Totals are those of the capsule that went furthest, which counts hops that it hands on no
    more; without one, or where more is known from spans, those of the spans.
    """
    events = sorted(spans, key=lambda span: (span.started_unix_ns, span.span_id))
    furthest = max(capsules, key=lambda one: (one.total_latency_ms, len(one.hops)), default=None)
    if not events and furthest is not None:
        events = list(furthest.hops)
    cost = sum((span.cost_usd or Decimal(0) for span in events), Decimal(0))
    latency_ms = sum(span.duration_ms or 0.0 for span in events)
    if furthest is not None:
        cost = max(cost, furthest.total_cost_usd)
        latency_ms = max(latency_ms, furthest.total_latency_ms)
    return {
        "capsule_id": trace_id,
        "trace_id": trace_id,
        "total_cost_usd": float(cost),
        "total_latency_ms": latency_ms,
        "hop_count": len(events),
        "providers": sorted({span.provider for span in events if span.provider}),
        "reconstructed_at": iso_of(now_unix_ns),
        "events": [span.as_json() for span in events],
    }
