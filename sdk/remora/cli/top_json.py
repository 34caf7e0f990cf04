"""A snapshot of `remora top` as JSON for programs. Pure; docs/cli.md names the keys."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from remora.cli.moments import iso_utc
from remora.cli.record_json import usage_json
from remora.cli.task_json import task_json
from remora.cli.top_feed import Snapshot
from remora.cli.top_window import QUANTILE_ERROR, QUANTILES, Figures, Series

_NAMES = tuple(f"p{quantile * 100:g}" for quantile in QUANTILES)
_MICRODOLLAR = Decimal("0.000001")


def top_json(snapshot: Snapshot) -> dict[str, Any]:
    """Show a snapshot."""
    return {
        "at": iso_utc(snapshot.at_unix_ns),
        "trouble": snapshot.trouble or None,
        "quantile_error": QUANTILE_ERROR,
        "now": _figures(snapshot.figures),
        "series": _series(snapshot.series),
        "window_s": snapshot.span_s,
        "busiest": {
            f"{dimension.name.lower()}s": [usage_json(row, [dimension]) for row in rows]
            for dimension, rows in snapshot.busiest.items()
        },
        "running_tasks": [task_json(task) for task in snapshot.running],
    }


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "span_s": figures.span_s,
        "calls": figures.calls,
        "errors": figures.errors,
        "unpriced_calls": figures.unpriced_calls,
        "calls_per_s": figures.calls_per_s,
        "tokens_per_s": figures.tokens_per_s,
        "cost_usd_per_h": _money(figures.usd_per_h),
        "latency_s": _named(figures.quantiles_s),
        "ttft_s": _named(figures.ttft_quantiles_s),
    }


def _series(series: Series) -> dict[str, Any]:
    return {
        "starts_at": iso_utc(series.starts_unix_ns),
        "slot_s": series.slot_s,
        "calls_per_s": list(series.calls_per_s),
        "errors": list(series.errors),
        "tokens_per_s": list(series.tokens_per_s),
        "cost_usd_per_h": [_money(usd) for usd in series.usd_per_h],
        "latency_s": _named([list(values) for values in series.latency_s]),
        "ttft_s": _named([list(values) for values in series.ttft_s]),
    }


def _money(usd: Decimal | None) -> str | None:
    return None if usd is None else format(usd.quantize(_MICRODOLLAR), "f")


def _named(values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(_NAMES, values, strict=True))
