"""Sums as they go over the wire. Pure."""

from collections.abc import Iterable, Sequence

from remora_aggregator.store import spread
from remora_aggregator.store.facts import Value
from remora_aggregator.store.totals import SUMS, Totals
from remora_proto.v1 import records_pb2 as pb

_MAX_COUNT = (1 << 63) - 1
_MEASURES = (pb.MEASURE_LATENCY, pb.MEASURE_TTFT, pb.MEASURE_OVERHEAD)
"""In the order of `Totals.spreads`."""


def usage_answer(
    request: pb.UsageRequest, groups: Iterable[tuple[Sequence[Value], Totals]]
) -> pb.UsageResponse:
    """Write the sums of groups; of each, the start of its interval is the last key."""
    return pb.UsageResponse(
        rows=[usage_row(keys, totals, request.quantiles) for keys, totals in groups],
        group_by=list(request.group_by) or [pb.USAGE_DIMENSION_MODEL],
        quantile_error=spread.ERROR if request.quantiles else 0.0,
    )


def usage_row(keys: Sequence[Value], totals: Totals, parts: Iterable[float]) -> pb.UsageRow:
    """Write the sums of one group."""
    sums = dict(zip(SUMS, totals.sums, strict=True))
    cost_usd, saved_usd = sums.pop("cost_usd"), sums.pop("saved_usd")
    latency_sum_s, saved_s = sums.pop("latency_sum_s"), sums.pop("saved_s")
    return pb.UsageRow(
        keys=["" if key is None else str(key) for key in keys[:-1]],
        start_unix_nano=int(keys[-1] or 0),
        cost_usd=format(cost_usd, "f") if sums["priced_calls"] else "",
        saved_usd=format(saved_usd, "f") if saved_usd else "",
        latency_sum_s=float(latency_sum_s),
        saved_s=float(saved_s),
        quantiles=list(_quantiles(totals, list(parts))),
        **{name: _count(value) for name, value in sums.items()},
    )


def _count(value: object) -> int:
    return max(-_MAX_COUNT, min(int(value), _MAX_COUNT))  # type: ignore[call-overload, no-any-return]  # a number


def _quantiles(totals: Totals, parts: Sequence[float]) -> Iterable[pb.Quantile]:
    for measure, counts in zip(_MEASURES, totals.spreads, strict=True):
        for part in parts:
            value_s = spread.quantile(counts, part)
            if value_s is not None:
                yield pb.Quantile(measure=measure, quantile=part, value_s=value_s)
