"""Filters, pages and sums as SQL. Pure: values in, statement and parameters out."""

from collections.abc import Sequence
from dataclasses import dataclass

from remora.errors import BadRequest
from remora_aggregator.store.columns import STORED_COLUMNS, position_of
from remora_proto.v1 import records_pb2 as pb

_EQUAL = (
    "call_id", "session_id", "data_id", "combo_id", "agent_id", "task_id",
    "provider", "dialect", "operation", "pod_uid",
)  # fmt: skip
_NARROW = ("call_id", "session_id", "data_id", "combo_id", "agent_id", "task_id")
"""What leaves few enough records that their times are not worth an index."""
_MODELS = ("requested_model", "sent_model", "response_model")

DIMENSIONS = {
    pb.USAGE_DIMENSION_MODEL: "model",
    pb.USAGE_DIMENSION_PROVIDER: "provider",
    pb.USAGE_DIMENSION_SESSION: "session_id",
    pb.USAGE_DIMENSION_DATA: "data_id",
    pb.USAGE_DIMENSION_COMBO: "combo_id",
    pb.USAGE_DIMENSION_AGENT: "agent_id",
    pb.USAGE_DIMENSION_TASK: "task_id",
    pb.USAGE_DIMENSION_NAMESPACE: "namespace",
    pb.USAGE_DIMENSION_OPERATION: "operation",
}

_SUMS = (
    "count(*)", "sum(is_error)", "sum(is_usage_unread)", "sum(is_unpriced)",
    # `sum` fails where integers overflow; one absurd figure must not end all usage.
    "total(input_tokens)", "total(output_tokens)", "total(cache_read_tokens)",
    "total(cache_write_tokens)", "total(reasoning_tokens)",
    "money_sum(cost_usd)", "sum(latency_s)", "sum(is_cached)",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and its parameters."""

    sql: str
    parameters: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records of one namespace match: conditions that are joined by ``and``."""

    conditions: tuple[str, ...]
    parameters: tuple[str | int, ...]

    @property
    def where(self) -> str:
        """The conditions as SQL."""
        return " and ".join(self.conditions)


def selection(wanted: pb.RecordFilter, namespace: str) -> Selection:
    """Read a filter, asked from within a namespace.

    Raises:
        BadRequest: It asks for what can't be, or for another namespace.
    """
    if wanted.namespace and wanted.namespace != namespace:
        text = f"this connection reads namespace {namespace!r} only, not {wanted.namespace!r}"
        raise BadRequest(text, status=403, code="other_namespace")
    conditions, parameters = ["namespace = ?"], [namespace]
    given = [(column, getattr(wanted, column)) for column in _EQUAL]
    conditions += [f"{column} = ?" for column, value in given if value]
    values: list[str | int] = [*parameters, *(value for _, value in given if value)]
    if wanted.model:
        conditions.append("(" + " or ".join(f"{column} = ?" for column in _MODELS) + ")")
        values += [wanted.model] * len(_MODELS)
    return _with_times_and_outcome(wanted, conditions, values)


def _with_times_and_outcome(
    wanted: pb.RecordFilter, conditions: list[str], values: list[str | int]
) -> Selection:
    since, until = wanted.since_unix_nano, wanted.until_unix_nano
    if since and until and since >= until:
        raise BadRequest("`since` must lie before `until`")
    is_narrow = any(getattr(wanted, column) for column in _NARROW)
    # The plus keeps SQLite from going by time, and sorting, where a shorter way is given.
    started = "+started_unix_ns" if is_narrow else "started_unix_ns"
    for sign, bound in ((">=", since), ("<", until)):
        if bound:
            conditions.append(f"{started} {sign} ?")
            values.append(min(bound, (1 << 63) - 1))
    if wanted.outcome in (pb.RecordFilter.OUTCOME_OK, pb.RecordFilter.OUTCOME_ERROR):
        conditions.append("is_error = ?")
        values.append(int(wanted.outcome == pb.RecordFilter.OUTCOME_ERROR))
    elif wanted.outcome != pb.RecordFilter.OUTCOME_ANY:
        raise BadRequest(f"outcome {wanted.outcome} is none that this aggregator knows")
    return Selection(tuple(conditions), tuple(values))


def page(
    chosen: Selection, *, after: int | None, newest_first: bool, limit: int, bodies: bool
) -> Statement:
    """Ask for the records that follow a position, in either direction."""
    columns = (*STORED_COLUMNS, "bodies") if bodies else STORED_COLUMNS
    conditions, parameters = chosen.where, chosen.parameters
    if after is not None:
        conditions += f" and position {'<' if newest_first else '>'} ?"
        parameters = (*parameters, after)
    sql = (
        f"select {', '.join(columns)} from records where {conditions} "  # noqa: S608 - our own words
        f"order by position {'desc' if newest_first else 'asc'} limit ?"
    )
    return Statement(sql, (*parameters, limit))


def usage(chosen: Selection, dimensions: Sequence[int]) -> Statement:
    """Ask for sums by dimension, those with the most calls first.

    Raises:
        BadRequest: A dimension is unknown.
    """
    unknown = [number for number in dimensions if number not in DIMENSIONS]
    if unknown:
        raise BadRequest(f"usage can't be grouped by dimension {unknown[0]}")
    columns = [DIMENSIONS[pb.UsageDimension.ValueType(number)] for number in dimensions]
    # The plus keeps SQLite from reading the whole namespace in the groups' order, rather than
    # the few records that a filter leaves.
    groups = ", ".join(f"+{column}" for column in columns)
    grouped = f"group by {groups} order by count(*) desc, {groups}"
    sql = (
        f"select {', '.join((*columns, *_SUMS))} from records "  # noqa: S608 - our own words
        f"where {chosen.where} {grouped}"
    )
    return Statement(sql, chosen.parameters)


def cursor_position(cursor: str) -> int | None:
    """Read a cursor; None if none is given.

    Raises:
        BadRequest: It is none of ours.
    """
    if not cursor:
        return None
    try:
        return position_of(cursor)
    except ValueError as error:
        raise BadRequest(f"cursor {cursor[:40]!r}: {error}") from None
