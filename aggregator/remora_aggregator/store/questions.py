"""What sums are asked for, and where they are read: in kept totals, or else in records. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from remora.client.condition import Operator
from remora.errors import BadRequest
from remora_aggregator.store.facts import Value
from remora_aggregator.store.selection import Condition, Selection
from remora_aggregator.store.spread import LEAST_S, LOG_GAMMA, MOST_S
from remora_aggregator.store.sql import Flavour, Statement, where, where_facts
from remora_aggregator.store.totals import DAY_NS, HOUR_NS, MEASURES, SPANS, SUMS
from remora_proto.v1 import records_pb2 as pb

_NS = 1_000_000_000

DIMENSIONS: Final = {
    pb.USAGE_DIMENSION_MODEL: "model",
    pb.USAGE_DIMENSION_PROVIDER: "provider",
    pb.USAGE_DIMENSION_SESSION: "session_id",
    pb.USAGE_DIMENSION_DATA: "data_id",
    pb.USAGE_DIMENSION_COMBO: "combo_id",
    pb.USAGE_DIMENSION_AGENT: "agent_id",
    pb.USAGE_DIMENSION_TASK: "task_id",
    pb.USAGE_DIMENSION_NAMESPACE: "namespace",
    pb.USAGE_DIMENSION_OPERATION: "operation",
    pb.USAGE_DIMENSION_DIALECT: "dialect",
    pb.USAGE_DIMENSION_WORKLOAD: "workload",
    pb.USAGE_DIMENSION_POD: "pod_uid",
    pb.USAGE_DIMENSION_REQUESTED_MODEL: "requested_model",
    pb.USAGE_DIMENSION_SENT_MODEL: "sent_model",
    pb.USAGE_DIMENSION_RESPONSE_MODEL: "response_model",
    pb.USAGE_DIMENSION_STATUS: "status_code",
    pb.USAGE_DIMENSION_ERROR: "error_type",
    pb.USAGE_DIMENSION_RULE: "rule",
    pb.USAGE_DIMENSION_CACHE: "cache_result",
}
"""The column of each dimension."""

_PERIOD_COLUMNS: Final = frozenset({"namespace", "provider", "model", "operation", "workload"})
_SPAN_COLUMNS: Final = frozenset({"namespace", "provider", "model"})

_RECORD_SUMS: Final = (
    "count(*)", "count(*) filter (where is_error)", "count(*) filter (where is_usage_unread)",
    "count(*) filter (where is_unpriced)", "count(*) filter (where is_cached)",
    "count(*) filter (where is_estimated)", "count(cost_usd)",
    "sum(input_tokens)", "sum(output_tokens)", "sum(cache_read_tokens)",
    "sum(cache_write_tokens)", "sum(reasoning_tokens)",
    "{money_sum}(cost_usd)", "{money_sum}(saved_usd)", "sum(latency_s)", "sum(saved_s)",
)  # fmt: skip
"""In the order of SUMS. Tokens are bounded on their way in, so that no sum of them overflows."""


class Source(Enum):
    """What a piece of an answer is read from, which says what its rows hold."""

    RECORDS = "records"
    """Keys, start, and the sums."""
    BUCKETS = "buckets"
    """Keys, start, measure, bucket and count."""
    TOTALS = "totals"
    """Keys, start, the sums, and the spreads as they are kept (or null)."""


@dataclass(frozen=True, slots=True)
class UsageQuestion:
    """What sums are asked for.

    Attributes:
        columns: What to group by.
        interval_ns: Sums for each span of so long; 0: for the whole time.
        with_spreads: Whether quantiles are asked for.
        limit: How many groups at most, those with the most calls; 0: all.
    """

    chosen: Selection
    columns: tuple[str, ...]
    interval_ns: int = 0
    with_spreads: bool = False
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer: its rows are added to those of the others."""

    source: Source
    statement: Statement


def usage_question(request: pb.UsageRequest, chosen: Selection) -> UsageQuestion:
    """Read what is asked for.

    Raises:
        BadRequest: It can't be answered.
    """
    dimensions = list(request.group_by) or [pb.USAGE_DIMENSION_MODEL]
    unknown = [number for number in dimensions if number not in DIMENSIONS]
    if unknown:
        raise BadRequest(f"usage can't be grouped by dimension {unknown[0]}")
    if not all(0 < part < 1 for part in request.quantiles):
        raise BadRequest("quantiles lie between 0 and 1")
    if request.limit and request.interval_s:
        raise BadRequest("limit and interval_s don't go together")
    return UsageQuestion(
        chosen,
        tuple(DIMENSIONS[number] for number in dimensions),
        interval_ns=request.interval_s * _NS,
        with_spreads=bool(request.quantiles),
        limit=request.limit,
    )


def pieces(question: UsageQuestion, flavour: Flavour) -> list[Piece]:
    """Say what has to be read; a question with residual conditions has no pieces."""
    if kind := _span_kind(question):
        return [_span_piece(question, kind, flavour)]
    if _is_of_periods(question):
        return list(_by_periods(question, flavour))
    return list(_of_records(question, flavour))


def _asked_columns(question: UsageQuestion) -> set[str]:
    chosen = question.chosen
    return {condition.field.column for condition in chosen.conditions} | set(question.columns)


def _is_of_records_only(question: UsageQuestion) -> bool:
    chosen = question.chosen
    return bool(chosen.model or chosen.words or chosen.residual)


def _span_kind(question: UsageQuestion) -> str:
    """Name the one kind of span that is asked about; empty if their totals don't answer."""
    chosen = question.chosen
    timed = chosen.since_unix_ns or chosen.until_unix_ns or question.interval_ns
    if _is_of_records_only(question) or timed or question.with_spreads:
        return ""
    others = _asked_columns(question) - _SPAN_COLUMNS
    kind = next(iter(others)) if len(others) == 1 else ""
    # Calls without such a span are in no span's totals.
    is_chosen = any(_needs_a_span(one, kind) for one in chosen.conditions)
    return kind if kind in SPANS and is_chosen else ""


def _needs_a_span(condition: Condition, kind: str) -> bool:
    needs = condition.operator in (Operator.EQUAL, Operator.GLOB, Operator.PRESENT)
    return needs and condition.field.column == kind and "" not in condition.values


def _span_piece(question: UsageQuestion, kind: str, flavour: Flavour) -> Piece:
    written = where_facts(question.chosen, flavour, {kind: "span_id"})
    written.add("kind = ?", kind)
    keys = ["span_id" if column == kind else column for column in question.columns]
    if question.limit and keys == ["span_id"]:
        # Counting calls finds the largest; what is dear to add up is added up for these alone.
        largest = (
            f"select span_id from spans where {written.sql} "  # noqa: S608 - our own words
            f"group by span_id{_most_calls(question, flavour)}"
        )
        written.add(f"span_id in ({largest})", *written.parameters, question.limit)
    sums = _summed(flavour)
    sql = (
        f"select {', '.join([*keys, '0', *sums, 'null'])} from spans "  # noqa: S608 - our own words
        f"where {written.sql} group by {', '.join(keys)}{_most_calls(question, flavour)}"
    )
    return Piece(Source.TOTALS, Statement(sql, (*written.parameters, *_limit(question))))


def _summed(flavour: Flavour) -> list[str]:
    money = {"cost_usd", "saved_usd"}
    return [f"{flavour.money_sum if name in money else 'sum'}({name})" for name in SUMS]


def _most_calls(question: UsageQuestion, flavour: Flavour) -> str:
    return f" order by sum(calls) desc limit {flavour.mark}" if question.limit else ""


def _limit(question: UsageQuestion) -> tuple[Value, ...]:
    return (question.limit,) if question.limit else ()


def _is_of_periods(question: UsageQuestion) -> bool:
    is_whole = question.interval_ns % HOUR_NS == 0
    return is_whole and not _is_of_records_only(question) and (
        _asked_columns(question) <= _PERIOD_COLUMNS
    )  # fmt: skip


def _by_periods(question: UsageQuestion, flavour: Flavour) -> Iterator[Piece]:
    """Read whole days and hours from totals, and the ragged ends from records."""
    since, until = question.chosen.since_unix_ns, question.chosen.until_unix_ns
    first_hour, last_hour = _up(since, HOUR_NS), _down(until, HOUR_NS)
    if until and first_hour >= last_hour:
        yield from _of_records(question, flavour)
        return
    for begin, end in ((since, first_hour), (last_hour, until)):
        if begin < end and end:
            yield from _of_records(_within(question, begin, end), flavour)
    first_day, last_day = _up(first_hour, DAY_NS), _down(last_hour, DAY_NS)
    has_days = question.interval_ns % DAY_NS == 0 and (not until or first_day < last_day)
    if not has_days:
        yield _period_piece(_within(question, first_hour, last_hour), HOUR_NS, flavour)
        return
    if first_hour < first_day:
        yield _period_piece(_within(question, first_hour, first_day), HOUR_NS, flavour)
    yield _period_piece(_within(question, first_day, last_day), DAY_NS, flavour)
    if last_day < last_hour:
        yield _period_piece(_within(question, last_day, last_hour), HOUR_NS, flavour)


def _up(moment: int, unit: int) -> int:
    return -(-moment // unit) * unit


def _down(moment: int, unit: int) -> int:
    return moment // unit * unit


def _within(question: UsageQuestion, since: int, until: int) -> UsageQuestion:
    chosen = replace(question.chosen, since_unix_ns=since, until_unix_ns=until)
    return replace(question, chosen=chosen)


def _period_piece(question: UsageQuestion, level_ns: int, flavour: Flavour) -> Piece:
    """Read totals as they are kept, row by row if their spreads are asked for."""
    written = where_facts(question.chosen, flavour)
    written.add("level_ns = ?", level_ns)
    since, until = question.chosen.since_unix_ns, question.chosen.until_unix_ns
    if since:
        written.add("start_unix_ns >= ?", since)
    if until:
        written.add("start_unix_ns < ?", until)
    start = _start("start_unix_ns", question.interval_ns)
    keys = [*question.columns, start]
    if question.with_spreads:
        shown = [*keys, *SUMS, "spreads"]
        grouped = ""
    else:
        shown = [*keys, *_summed(flavour), "null"]
        grouped = f" group by {', '.join(_groups(question, start))}"
    sql = f"select {', '.join(shown)} from periods where {written.sql}{grouped}"  # noqa: S608 - our own words
    return Piece(Source.TOTALS, Statement(sql, tuple(written.parameters)))


def _groups(question: UsageQuestion, start: str) -> list[str]:
    return [*question.columns, start] if question.interval_ns else list(question.columns)


def _start(column: str, interval_ns: int) -> str:
    return f"{column} - {column} % {interval_ns}" if interval_ns else "0"


def _of_records(question: UsageQuestion, flavour: Flavour) -> Iterator[Piece]:
    sums = [each.format(money_sum=flavour.money_sum) for each in _RECORD_SUMS]
    yield Piece(Source.RECORDS, _records(question, flavour, sums, [], ""))
    if not question.with_spreads:
        return
    for number, measure in enumerate(MEASURES):
        bucket = _bucket(measure)
        shown = [str(number), bucket, "count(*)"]
        statement = _records(question, flavour, shown, [bucket], f"{measure} is not null")
        yield Piece(Source.BUCKETS, statement)


def _bucket(measure: str) -> str:
    bounded = (
        f"case when {measure} > {MOST_S} then {MOST_S} "
        f"when {measure} >= {LEAST_S} then {measure} else {LEAST_S} end"
    )
    return f"cast(ceil(ln({bounded}) / {LOG_GAMMA!r}) as integer)"


def _records(
    question: UsageQuestion, flavour: Flavour, shown: Sequence[str], more_groups: Sequence[str],
    also: str,
) -> Statement:  # fmt: skip
    written = where(question.chosen, flavour)
    if also:
        written.add(also)
    start = _start("started_unix_ns", question.interval_ns)
    # Kept from the index of what it groups by: few records that a filter leaves are read by
    # that filter's index.
    groups = [flavour.unindexed.format(column) for column in _groups(question, start)]
    selected = ", ".join((*question.columns, start, *shown))
    sql = (
        f"select {selected} from records where {written.sql} "  # noqa: S608 - our own words
        f"group by {', '.join((*groups, *more_groups))}"
    )
    return Statement(sql, tuple(written.parameters))
