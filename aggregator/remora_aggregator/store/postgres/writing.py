"""A transaction that writes records and totals to PostgreSQL."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from remora_aggregator.store.facts import AT, FACTS, Facts, Value
from remora_aggregator.store.port import CallKey, Known, NewRecord, Row
from remora_aggregator.store.postgres.connections import Connection, marked, without_nul
from remora_aggregator.store.postgres.lexemes import tsvector
from remora_aggregator.store.postgres.partitions import Partitions
from remora_aggregator.store.sql import Statement
from remora_aggregator.store.totals import SUMS, PeriodKey, SpanKey, Totals

_BOOLEANS: Final = ("is_error", "is_usage_unread", "is_unpriced", "is_cached", "is_estimated")
_FLOATS: Final = ("clock_skew_s", "saved_s", "latency_s", "ttft_s", "overhead_s", "latency_sum_s")
_NUMERICS: Final = ("cost_usd", "saved_usd")
_INTEGERS: Final = (
    "revision", "received_unix_ns", "started_unix_ns", "status_code", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "level_ns", "start_unix_ns", "first_unix_ns", "last_unix_ns", "position",
    "calls", "errors", "unread_usage_calls", "unpriced_calls", "cached_calls", "estimated_calls",
    "priced_calls",
)  # fmt: skip
# A tsvector is written in its binary form too, which is bytes to whoever passes it on.
_BYTES: Final = ("message", "packed", "lexemes", "spreads")
_TYPES: Final = {
    **dict.fromkeys(_BOOLEANS, "bool"),
    **dict.fromkeys(_FLOATS, "float8"),
    **dict.fromkeys(_NUMERICS, "numeric"),
    **dict.fromkeys(_INTEGERS, "int8"),
    **dict.fromkeys(_BYTES, "bytea"),
}
"""What is no text."""

_RECORD: Final = ("position", *FACTS, "message")
_CALL: Final = (*CallKey._fields, "position", "revision", "started_unix_ns")
_BODIES: Final = ("position", "packed")
_WORDS: Final = ("position", "lexemes")
_KEPT: Final = (*SUMS, "first_unix_ns", "last_unix_ns")
_PERIOD: Final = (*PeriodKey._fields, *_KEPT, "spreads")
_SPAN: Final = (*SpanKey._fields, *_KEPT)

_CALL_KEYS: Final = "unnest(%s::text[], %s::text[], %s::text[]) with ordinality as k(n, c, p, at)"
_KNOWN: Final = (
    f"select at, position, revision, started_unix_ns from {_CALL_KEYS} "  # noqa: S608 - our own words
    "join calls on namespace = n and call_id = c and pod_uid = p"
)
_ELSEWHERE: Final = (
    f"select at from {_CALL_KEYS} where exists (select from calls "  # noqa: S608 - as above
    "where namespace = n and call_id = c and pod_uid <> p)"
)
_PLACES: Final = (
    "select calls.namespace, calls.call_id, calls.pod_uid, calls.position "
    "from unnest(%s::text[], %s::text[]) as k(n, c) join calls on namespace = n and call_id = c"
)
_POSITIONS: Final = (
    "select setval('positions', greatest((select last_value from positions) + %(count)s::bigint, "
    "(extract(epoch from clock_timestamp()) * 1000000)::bigint + %(count)s::bigint - 1))"
)
_NOW: Final = "select (extract(epoch from clock_timestamp()) * 1000000000)::bigint"
_FACTS_AT: Final = f"select {', '.join(FACTS)} from records where position = any(%s::bigint[])"  # noqa: S608 - as above
_DELETE_BODIES: Final = """
    with gone as (
        delete from bodies where position = any(%(at)s::bigint[]) returning position, packed
    ), forgotten as (
        delete from words where position = any(%(at)s::bigint[])
    ), indexed as (
        update indexing set bodies = greatest(0, indexing.bodies - waited)
        from (select count(*) as waited from gone
            where gone.position > (select position from indexing)) as w
        where waited > 0
    )
    select coalesce(sum(length(packed)), 0)::bigint from gone
"""
_DELETE: Final = """
    with gone as (
        delete from records where position = any(%s::bigint[])
        returning namespace, call_id, pod_uid, position, message
    ), forgotten as (
        delete from calls using gone
        where calls.namespace = gone.namespace and calls.call_id = gone.call_id
            and calls.pod_uid = gone.pod_uid and calls.position = gone.position
    )
    select count(*), coalesce(sum(length(message)), 0)::bigint from gone
"""
_WAITING: Final = "update indexing set bodies = bodies + %s"
_STOCKED: Final = "update stock set bytes = bytes + %s where name = %s"

_RECORD_BYTES: Final = 1_000
"""What a record takes besides its message, with indexes and totals: measured, and rounded."""


class _Kept:
    """The statements for totals of one kind."""

    def __init__(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> None:
        kinds = [f"%s::{'bigint' if _TYPES.get(key) == 'int8' else 'text'}[]" for key in keys]
        names = [f"k{number}" for number in range(len(keys))]
        asked = f"unnest({', '.join(kinds)}) with ordinality as k({', '.join(names)}, at)"
        same = " and ".join(f"{key} = {name}" for key, name in zip(keys, names, strict=True))
        rest = [column for column in columns if column not in keys]
        self.columns = columns
        self.staged = f"new_{table}"
        self.stage = (
            f"create temporary table {self.staged} (like {table}) on commit delete rows"
        )  # fmt: skip
        self.read = f"select at, {', '.join(rest)} from {asked} join {table} on {same}"  # noqa: S608 - our own words
        self.drop = f"delete from {table} using {asked} where {same}"  # noqa: S608 - as above
        changed = ", ".join(f"{column} = excluded.{column}" for column in rest)
        self.put = (
            f"with new as (delete from {self.staged} returning {', '.join(columns)}) "  # noqa: S608 - as above
            f"insert into {table} ({', '.join(columns)}) select {', '.join(columns)} from new "
            f"on conflict ({', '.join(keys)}) do update set {changed}"
        )


_PERIODS: Final = _Kept("period_totals", PeriodKey._fields, _PERIOD)
_SPANS: Final = _Kept("span_totals", SpanKey._fields, _SPAN)


def prepare(connection: Connection) -> None:
    """Make what a session needs before it writes totals."""
    for kept in (_PERIODS, _SPANS):
        connection.execute(kept.stage)


class PostgresWriting:
    """Writes within a transaction that somebody else begins and ends."""

    def __init__(self, connection: Connection, partitions: Partitions) -> None:
        """Take the connection that writes, and what makes room for records."""
        self._connection = connection
        self._partitions = partitions
        self._cursor = connection.cursor(binary=True)

    def _run(self, statement: str | bytes, parameters: Any) -> Sequence[Sequence[Any]]:
        found = self._cursor.execute(statement, parameters)
        rows: Sequence[Sequence[Any]] = found.fetchall() if found.description else ()
        return rows

    def _copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        statement = f"copy {table} ({', '.join(columns)}) from stdin (format binary)"
        with self._cursor.copy(statement) as copy:
            copy.set_types([_TYPES.get(column, "text") for column in columns])
            for row in rows:
                copy.write_row(row)

    def now_unix_ns(self) -> int | None:
        """Tell the time by the server's clock, which all aggregators have in common."""
        ((now,),) = self._run(_NOW, ())
        return int(now)

    def known(self, keys: Sequence[CallKey]) -> Mapping[CallKey, Known]:
        """Find what is stored under keys."""
        if not keys:
            return {}
        return {keys[at - 1]: Known(*rest) for at, *rest in self._run(_KNOWN, _arrays(keys))}

    def other_pods(self, keys: Sequence[CallKey]) -> set[CallKey]:
        """Say of which keys the call is stored as another pod's."""
        if not keys:
            return set()
        return {keys[at - 1] for (at,) in self._run(_ELSEWHERE, _arrays(keys))}

    def places(self, calls: Sequence[tuple[str, str]]) -> Sequence[tuple[CallKey, int]]:
        """Find where calls are stored, whichever pods they are of."""
        if not calls:
            return ()
        rows = self._run(_PLACES, _arrays(calls))
        return [(CallKey(*key), position) for *key, position in rows]

    def facts_at(self, positions: Sequence[int]) -> Sequence[Facts]:
        """Read the columns of records."""
        return [tuple(row) for row in self._run(_FACTS_AT, (list(positions),))]

    def delete(self, positions: Sequence[int]) -> None:
        """Take records away, with their bodies and words."""
        self.delete_bodies(positions)
        ((records, message_bytes),) = self._run(_DELETE, (list(positions),))
        self._stock("facts", -message_bytes - records * _RECORD_BYTES)

    def delete_bodies(self, positions: Sequence[int]) -> None:
        """Take bodies away, and the words that they are found by."""
        ((freed_bytes,),) = self._run(_DELETE_BODIES, {"at": list(positions)})
        self._stock("bodies", -freed_bytes)

    def _stock(self, name: str, more_bytes: int) -> None:
        if more_bytes:
            self._run(_STOCKED, (more_bytes, name))

    def run(self, statement: Statement) -> Sequence[Row]:
        """Run any statement, and give its rows."""
        parameters = [without_nul(value) for value in statement.parameters]
        rows: Sequence[Row] = self._run(marked(statement.sql), parameters)  # type: ignore[assignment]  # as the columns say
        return rows

    def tuples(
        self, rows: Sequence[tuple[Value, ...]], kinds: Sequence[str]
    ) -> Iterable[Statement]:
        """Write rows as a table that a statement can select from."""
        if rows:
            arrays = ", ".join(f"?::{kind}[]" for kind in kinds)
            # An array of each column; `run` passes them on.
            columns: Any = tuple(_arrays(rows))
            yield Statement(f"(select * from unnest({arrays}))", columns)  # noqa: S608 - as above

    def insert(self, records: Sequence[NewRecord]) -> None:
        """Write records, at positions that grow in their order."""
        if not records:
            return
        ((last,),) = self._run(_POSITIONS, {"count": len(records)})
        first = last - len(records) + 1
        self._partitions.ensure(self._connection, first, last)
        placed = list(enumerate(records, first))
        self._copy("records", _RECORD, (_row(position, each) for position, each in placed))
        self._copy("calls", _CALL, (_call(position, each.facts) for position, each in placed))
        message_bytes = sum(len(each.message) for each in records)
        self._stock("facts", message_bytes + len(records) * _RECORD_BYTES)
        with_bodies = [(position, each) for position, each in placed if each.bodies is not None]
        if with_bodies:
            self._copy("bodies", _BODIES, ((at, each.bodies) for at, each in with_bodies))
            self._stock("bodies", sum(len(each.bodies or b"") for each in records))
            self._run(_WAITING, (len(with_bodies),))

    def put_words(self, texts: Mapping[int, str]) -> None:
        """Have records found by the words of their texts, which are given by position."""
        if texts:
            self._partitions.ensure(self._connection, min(texts), max(texts))
            self._copy("words", _WORDS, ((at, tsvector(text)) for at, text in texts.items()))

    def periods(self, keys: Iterable[PeriodKey]) -> Mapping[PeriodKey, Totals]:
        """Read totals of periods."""
        return {key: _totals(row, row[-1]) for key, row in self._read(_PERIODS, keys)}

    def put_periods(self, totals: Mapping[PeriodKey, Totals]) -> None:
        """Write totals of periods; those that came to nothing are taken away."""
        rows = [
            (*map(without_nul, key), *_kept(kept), kept.kept_spreads())
            for key, kept in totals.items()
            if not kept.is_empty
        ]
        self._put(_PERIODS, rows, [key for key, kept in totals.items() if kept.is_empty])

    def spans(self, keys: Iterable[SpanKey]) -> Mapping[SpanKey, Totals]:
        """Read totals of spans."""
        return {key: _totals(row) for key, row in self._read(_SPANS, keys)}

    def put_spans(self, totals: Mapping[SpanKey, Totals]) -> None:
        """Write totals of spans; those that came to nothing are taken away."""
        rows = [
            (*map(without_nul, key), *_kept(kept))
            for key, kept in totals.items()
            if not kept.is_empty
        ]
        self._put(_SPANS, rows, [key for key, kept in totals.items() if kept.is_empty])

    def _read[K: tuple[Any, ...]](
        self, kept: _Kept, keys: Iterable[K]
    ) -> Iterable[tuple[K, Sequence[Any]]]:
        asked = list(keys)
        if asked:
            for at, *row in self._run(kept.read, _arrays(asked)):
                yield asked[at - 1], row

    def _put(
        self, kept: _Kept, rows: Sequence[Sequence[Any]], gone: Sequence[tuple[Any, ...]]
    ) -> None:
        if gone:
            self._run(kept.drop, _arrays(gone))
        if rows:
            self._copy(kept.staged, kept.columns, rows)
            self._run(kept.put, ())


def _arrays(keys: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(map(without_nul, column)) for column in zip(*keys, strict=True)]


def _row(position: int, record: NewRecord) -> tuple[Value, ...]:
    # All but who reported it was made fit for columns when it became one.
    namespace, pod_uid, *rest = record.facts
    return (position, without_nul(namespace), without_nul(pod_uid), *rest, record.message)


def _call(position: int, facts: Facts) -> tuple[Value, ...]:
    key = (facts[AT[name]] for name in CallKey._fields)
    return (*map(without_nul, key), position, facts[AT["revision"]], facts[AT["started_unix_ns"]])


def _totals(row: Sequence[Any], spreads: bytes | None = None) -> Totals:
    totals = Totals(() if spreads is None else None)
    totals.sums = list(row[: len(SUMS)])
    totals.first_unix_ns, totals.last_unix_ns = row[len(SUMS) : len(SUMS) + 2]
    if spreads is not None:
        totals.add_spreads(spreads)
    return totals


def _kept(totals: Totals) -> tuple[Value, ...]:
    return (*totals.sums, totals.first_unix_ns, totals.last_unix_ns)
