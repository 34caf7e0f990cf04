"""What the calls of a task sum up to."""

from dataclasses import dataclass
from typing import Final

from remora_aggregator.tasks.amounts import MAX_PICOUSD, Amount, picousd_of
from remora_proto.v1 import records_pb2 as pb

MAX_PODS: Final = 64
_MOST: Final = (1 << 63) - 1
_BUDGET_CODE = "BUDGET_EXCEEDED"


@dataclass(frozen=True, slots=True)
class TaskCall:
    """What of a recorded call its task is interested in.

    Attributes:
        started_unix_ns: When it began, by the aggregator's clock as well as that is known.
        ended_unix_ns: When it was over.
        is_refused: Remora itself refused it.
        exceeded: The budget per task that refused it; empty if none did.
        cost_picousd: None where nothing priced it.
        is_unpriced: It used something, and nobody knows the price.
    """

    pod_uid: str
    started_unix_ns: int
    ended_unix_ns: int
    is_error: bool = False
    is_refused: bool = False
    is_cached: bool = False
    is_unpriced: bool = False
    exceeded: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_picousd: int | None = None


def task_call(
    record: pb.CallRecord,
    pod_uid: str,
    received_unix_ns: int,
    *,
    is_error: bool,
    ahead_s: float = 0,
) -> TaskCall:
    """Read a call off its record, which was found fit to be stored.

    Args:
        record: The call.
        pod_uid: As the server stamped it.
        received_unix_ns: When it came: no call ended later.
        is_error: As the store judges it.
        ahead_s: How far the sender's clock is ahead, as far as that is known.
    """
    started = record.started_unix_nano - round(ahead_s * 1e9)
    started = max(0, min(started, received_unix_ns))
    latency_ns = round(max(0.0, min(record.latency_s, 1e9)) * 1e9)
    cached, costs = record.cached, _costs(record)
    return TaskCall(
        pod_uid=pod_uid,
        started_unix_ns=started,
        ended_unix_ns=min(started + latency_ns, received_unix_ns),
        is_error=is_error,
        is_refused=record.end_reason == pb.END_REASON_REFUSED,
        is_cached=cached,
        is_unpriced=record.HasField("usage") and not record.cost.total_usd,
        exceeded=_exceeded(record.receipt),
        input_tokens=0 if cached else _tokens(record.usage.input_tokens),
        output_tokens=0 if cached else _tokens(record.usage.output_tokens),
        cost_picousd=sum(map(_picousd, costs)) if costs else None,
    )


def _costs(record: pb.CallRecord) -> list[str]:
    """Give what is known of the costs of a call and of its tries that failed: all were paid."""
    stated = (record.cost, *(attempt.cost for attempt in record.attempts))
    return [cost.total_usd for cost in stated if cost.total_usd]


def _exceeded(receipt: pb.Receipt) -> str:
    if receipt.refused_by != _BUDGET_CODE:
        return ""
    names = (one.name for one in receipt.budgets if one.per == "task" and one.result == "block")
    return next(names, "")


def _picousd(text: str) -> int:
    """Read what a call cost; a price list may give money back, which no budget counts."""
    try:
        return picousd_of(text)
    except ValueError:
        return 0


def _tokens(count: int) -> int:
    return max(0, min(count, 1 << 53))


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """Sums over the calls of a task.

    Attributes:
        priced_calls: Those whose cost is in `cost_picousd`.
        first_call_unix_ns: When the first one began; 0: none yet.
        last_call_unix_ns: When the one that ended last did so.
        pod_uids: Who called, sorted; no more than `MAX_PODS`.
        more_pods: There are more.
    """

    calls: int = 0
    errors: int = 0
    refused_calls: int = 0
    cached_calls: int = 0
    unpriced_calls: int = 0
    priced_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_picousd: int = 0
    first_call_unix_ns: int = 0
    last_call_unix_ns: int = 0
    pod_uids: tuple[str, ...] = ()
    more_pods: bool = False

    @property
    def spent(self) -> Amount:
        """What a budget of the task counts."""
        return Amount(self.cost_picousd, min(self.input_tokens + self.output_tokens, _MOST))

    def plus(self, call: TaskCall) -> "TaskTotals":
        """Count a call."""
        first = self.first_call_unix_ns or call.started_unix_ns
        pods, more = self._pods_with(call.pod_uid)
        first, last = min(first, call.started_unix_ns), self.last_call_unix_ns
        return self._counted(call, 1, first, max(last, call.ended_unix_ns), pods, more)

    def revised(self, before: TaskCall, after: TaskCall) -> "TaskTotals":
        """Count a call as it is known now, in the place of what was known before."""
        first, last = self.first_call_unix_ns, self.last_call_unix_ns
        return self._counted(before, -1, first, last, self.pod_uids, self.more_pods).plus(after)

    def _counted(
        self, call: TaskCall, sign: int, first: int, last: int, pods: tuple[str, ...], more: bool
    ) -> "TaskTotals":
        # Made anew rather than by `replace`, which takes four times as long: once a call.
        return TaskTotals(
            _sum(self.calls, sign),
            _sum(self.errors, sign) if call.is_error else self.errors,
            _sum(self.refused_calls, sign) if call.is_refused else self.refused_calls,
            _sum(self.cached_calls, sign) if call.is_cached else self.cached_calls,
            _sum(self.unpriced_calls, sign) if call.is_unpriced else self.unpriced_calls,
            _sum(self.priced_calls, sign * (call.cost_picousd is not None)),
            _sum(self.input_tokens, sign * call.input_tokens),
            _sum(self.output_tokens, sign * call.output_tokens),
            max(0, min(self.cost_picousd + sign * (call.cost_picousd or 0), MAX_PICOUSD)),
            first,
            last,
            pods,
            more,
        )

    def _pods_with(self, pod_uid: str) -> tuple[tuple[str, ...], bool]:
        pods = self.pod_uids
        if pod_uid in pods:
            return pods, self.more_pods
        if len(pods) >= MAX_PODS:
            return pods, True
        return tuple(sorted((*pods, pod_uid))), self.more_pods


NO_CALLS: Final = TaskTotals()


def _sum(one: int, other: int) -> int:
    return max(0, min(one + other, _MOST))
