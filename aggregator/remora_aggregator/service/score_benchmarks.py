"""What models were measured to do: sums of their calls, and what became of their answers. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from remora.learning.beta import wilson
from remora.learning.counts import NOTHING, Counts
from remora.score_wire import counts_message
from remora_aggregator.store import spread
from remora_aggregator.store.facts import Value
from remora_aggregator.store.questions import UsageQuestion, usage_question
from remora_aggregator.store.selection import selection
from remora_aggregator.store.totals import SUMS, Totals
from remora_proto.v1 import records_pb2
from remora_proto.v1 import scores_pb2 as pb

_NS_PER_MS = 1_000_000
_LEAST_USD = Decimal("1e-12")

_UNCACHED = records_pb2.Condition(
    field="cached", operator=records_pb2.Condition.OPERATOR_EQUAL, values=["false"]
)
_BY_MODEL = (records_pb2.USAGE_DIMENSION_PROVIDER, records_pb2.USAGE_DIMENSION_SENT_MODEL)


def benchmark_question(
    namespaces: frozenset[str] | None, span_ms: tuple[int, int], goal: str, only_pod_uid: str
) -> UsageQuestion:
    """Say what has to be summed up; answers out of a cache are no model's.

    Args:
        namespaces: Whose calls; None: everybody's.
        span_ms: When calls began: from, and before, in milliseconds since 1970.
        goal: What they were for; empty: anything.
        only_pod_uid: Whose pod's; empty: any.
    """
    chosen = records_pb2.RecordFilter(
        since_unix_nano=span_ms[0] * _NS_PER_MS,
        until_unix_nano=span_ms[1] * _NS_PER_MS,
        conditions=[_UNCACHED],
    )
    if goal:
        equal = records_pb2.Condition.OPERATOR_EQUAL
        chosen.conditions.add(field="attribution.goal", operator=equal, values=[goal])
    seen = None if namespaces is None else tuple(sorted(namespaces))
    asked = records_pb2.UsageRequest(group_by=_BY_MODEL, quantiles=[0.5])
    return usage_question(asked, selection(chosen, seen, only_pod_uid=only_pod_uid))


def benchmarks_answer(
    groups: Iterable[tuple[Sequence[Value], Totals]],
    evidence: Mapping[tuple[str, str], Counts],
) -> pb.BenchmarksResponse:
    """Write what models did.

    Args:
        groups: Sums by provider and model.
        evidence: About answers, by the same.
    """
    answer = pb.BenchmarksResponse()
    for keys, totals in groups:
        model = str(keys[0] or ""), str(keys[1] or "")
        if all(model):
            answer.benchmarks.append(benchmark(model, totals, evidence.get(model, NOTHING)))
    return answer


def benchmark(model: tuple[str, str], totals: Totals, evidence: Counts = NOTHING) -> pb.Benchmark:
    """Write what a model was measured to do.

    Args:
        model: Its provider and name.
        totals: Of its calls, with spreads.
        evidence: About its answers.
    """
    sums = dict(zip(SUMS, totals.sums, strict=True))
    latency, ttft, _ = totals.spreads
    took_s, priced = float(sums["latency_sum_s"]), int(sums["priced_calls"])
    tokens = int(sums["output_tokens"])
    low, high = wilson(evidence)
    return pb.Benchmark(
        provider=model[0],
        model=model[1],
        calls=int(sums["calls"]),
        errors=int(sums["errors"]),
        latency_p50_s=spread.quantile(latency, 0.5),
        latency_p95_s=spread.quantile(latency, 0.95),
        ttft_p50_s=spread.quantile(ttft, 0.5),
        output_tokens_per_s=tokens / took_s if took_s > 0 and tokens > 0 else None,
        mean_cost_usd=_mean_usd(sums["cost_usd"], priced),
        evidence=counts_message(evidence.good, evidence.bad),
        acceptance=evidence.rate,
        low=low,
        high=high,
    )


def _mean_usd(cost_usd: object, priced: int) -> str:
    if not priced or not isinstance(cost_usd, Decimal):
        return ""
    mean = (cost_usd / priced).quantize(_LEAST_USD)
    return format(mean.normalize() if mean else Decimal(0), "f")
