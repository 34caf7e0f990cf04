"""A transaction that writes records and totals to SQLite."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from remora_aggregator.store.captured_text import VERSION
from remora_aggregator.store.facts import AT, FACTS, Facts, Value
from remora_aggregator.store.indexing import STATE, text_in
from remora_aggregator.store.port import CallKey, Known, NewRecord, Row
from remora_aggregator.store.sql import Statement
from remora_aggregator.store.totals import SUMS, PeriodKey, SpanKey, Totals

MOST_PERIODS: Final = 300
"""Their spreads make them some tens of kilobytes each."""
MOST_SPANS: Final = 2_000

_MONEY_FACTS: Final = (AT["cost_usd"], AT["saved_usd"])
_MONEY_SUMS: Final = tuple(SUMS.index(name) for name in ("cost_usd", "saved_usd"))


def _marks(count: int) -> str:
    return ", ".join("?" * count)


_INSERT: Final = (
    f"insert into records ({', '.join(FACTS)}, message) values ({_marks(len(FACTS) + 1)})"  # noqa: S608 - our own words
)
_INSERT_AT: Final = (
    f"insert into records (position, {', '.join(FACTS)}, message) "  # noqa: S608 - as above
    f"values ({_marks(len(FACTS) + 2)})"
)
_KNOWN: Final = (
    "with asked(n, c, p) as (values {}) "
    "select namespace, call_id, pod_uid, position, revision, started_unix_ns "
    # In this order: each is looked up by the index of keys.
    "from asked cross join records on namespace = n and call_id = c and pod_uid = p"
)
_PLACES: Final = (
    "with asked(n, c) as (values {}) select namespace, call_id, pod_uid, position "
    "from asked cross join records on namespace = n and call_id = c"
)
_KEYS_AT_ONCE: Final = 100
_ELSEWHERE: Final = (
    "select 1 from records where namespace = ? and call_id = ? and pod_uid <> ? limit 1"
)
_FACTS_AT: Final = f"select {', '.join(FACTS)} from records where position = ?"  # noqa: S608 - as above
_BODIES: Final = "insert into bodies (position, packed, text_version) values (?, ?, ?)"
_DELETE_BODY: Final = "delete from bodies where position = ? returning packed, text_version"
_STOCKED: Final = "update stock set bytes = bytes + ? where name = 'bodies'"
_WAITING: Final = "update indexing set bodies = max(0, bodies + ?)"
_WORDS: Final = "insert into words (rowid, text) values (?, ?)"
_OF_VERSION: Final = "update bodies set text_version = ? where position = ? and text_version <> ?"
_FORGET_WORDS: Final = "insert into words (words, rowid, text) values ('delete', ?, ?)"

_KEPT: Final = f"{', '.join(SUMS)}, first_unix_ns, last_unix_ns"


def _matches(names: Sequence[str]) -> str:
    return " and ".join(f"{name} = ?" for name in names)


_PERIOD: Final = f"select {_KEPT}, spreads from period_totals where {_matches(PeriodKey._fields)}"  # noqa: S608 - as above
_PUT_PERIOD: Final = (
    f"insert or replace into period_totals ({', '.join(PeriodKey._fields)}, {_KEPT}, spreads) "  # noqa: S608 - as above
    f"values ({_marks(len(PeriodKey._fields) + len(SUMS) + 3)})"
)
_DROP_PERIOD: Final = f"delete from period_totals where {_matches(PeriodKey._fields)}"  # noqa: S608 - as above
_SPAN: Final = f"select {_KEPT} from span_totals where {_matches(SpanKey._fields)}"  # noqa: S608 - as above
_PUT_SPAN: Final = (
    f"insert or replace into span_totals ({', '.join(SpanKey._fields)}, {_KEPT}) "  # noqa: S608 - as above
    f"values ({_marks(len(SpanKey._fields) + len(SUMS) + 2)})"
)
_DROP_SPAN: Final = f"delete from span_totals where {_matches(SpanKey._fields)}"  # noqa: S608 - as above


_PARTS: Final = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Few sizes, so that few statements differ: each is compiled once."""


def in_parts[T](rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Give rows in parts of a few sizes."""
    begin = 0
    for size in _PARTS:
        while len(rows) - begin >= size:
            yield rows[begin : begin + size]
            begin += size


class TotalsCache[K: tuple[object, ...]]:
    """Totals as they stand in the file, of which nobody else writes.

    What a transaction changes is changed here as well, so one that fails has to empty it.
    """

    def __init__(self, most: int) -> None:
        """Begin empty.

        Args:
            most: How many totals are held.
        """
        self._most = most
        self._totals: dict[K, Totals] = {}

    def get(self, key: K) -> Totals | None:
        """Give what is held under a key."""
        return self._totals.get(key)

    def put(self, totals: Mapping[K, Totals]) -> None:
        """Hold what was just written, and forget what was not for longest."""
        for key, kept in totals.items():
            self._totals.pop(key, None)
            if not kept.is_empty:
                self._totals[key] = kept
        while len(self._totals) > self._most:
            del self._totals[next(iter(self._totals))]

    def clear(self) -> None:
        """Forget everything."""
        self._totals.clear()


class Caches:
    """What one writer knows of totals."""

    def __init__(self, periods: int = MOST_PERIODS, spans: int = MOST_SPANS) -> None:
        """Begin with nothing; take how many of each are held."""
        self.periods: TotalsCache[PeriodKey] = TotalsCache(periods)
        self.spans: TotalsCache[SpanKey] = TotalsCache(spans)

    def clear(self) -> None:
        """Forget everything."""
        self.periods.clear()
        self.spans.clear()


class SqliteWriting:
    """Writes within a transaction that somebody else begins and ends."""

    def __init__(self, connection: sqlite3.Connection, caches: Caches | None = None) -> None:
        """Take the connection that writes, and what is known of totals."""
        self._connection = connection
        self._caches = caches or Caches(0, 0)

    def now_unix_ns(self) -> int | None:
        """Nobody shares the file, so the machine's clock is as good as any."""
        return None

    def known(self, keys: Sequence[CallKey]) -> Mapping[CallKey, Known]:
        """Find what is stored under keys."""
        found: dict[CallKey, Known] = {}
        for begin in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[begin : begin + _KEYS_AT_ONCE]
            sql = _KNOWN.format(", ".join(["(?, ?, ?)"] * len(some)))
            for *key, position, revision, started in self._connection.execute(sql, _flat(some)):
                found[CallKey(*key)] = Known(position, revision, started)
        return found

    def other_pods(self, keys: Sequence[CallKey]) -> set[CallKey]:
        """Say of which keys the call is stored as another pod's."""
        return {key for key in keys if self._connection.execute(_ELSEWHERE, key).fetchone()}

    def places(self, calls: Sequence[tuple[str, str]]) -> Sequence[tuple[CallKey, int]]:
        """Find where calls are stored, whichever pods they are of."""
        found: list[tuple[CallKey, int]] = []
        for begin in range(0, len(calls), _KEYS_AT_ONCE):
            some = calls[begin : begin + _KEYS_AT_ONCE]
            sql = _PLACES.format(", ".join(["(?, ?)"] * len(some)))
            for *key, position in self._connection.execute(sql, _flat(some)):
                found.append((CallKey(*key), position))
        return found

    def facts_at(self, positions: Sequence[int]) -> Sequence[Facts]:
        """Read the columns of records."""
        rows = (self._connection.execute(_FACTS_AT, (at,)).fetchone() for at in positions)
        return [_with_money(row) for row in rows if row is not None]

    def delete(self, positions: Sequence[int]) -> None:
        """Take records away, with their bodies and words."""
        self.delete_bodies(positions)
        at = [(position,) for position in positions]
        self._connection.executemany("delete from records where position = ?", at)

    def delete_bodies(self, positions: Sequence[int]) -> None:
        """Take bodies away, and the words that they are found by."""
        ((indexed, _),) = self.run(STATE)
        freed, waited = 0, 0
        for position in positions:
            row = self._connection.execute(_DELETE_BODY, (position,)).fetchone()
            if row is not None:
                packed, text_version = row
                freed += len(packed)
                if position > int(indexed or 0):
                    waited += 1
                elif text_version == VERSION:
                    self._forget_words(position, packed)
        if freed:
            self._connection.execute(_STOCKED, (-freed,))
        if waited:
            self._connection.execute(_WAITING, (-waited,))

    def _forget_words(self, position: int, packed: bytes) -> None:
        if text := text_in(position, packed):
            self._connection.execute(_FORGET_WORDS, (position, text))

    def run(self, statement: Statement) -> Sequence[Row]:
        """Run any statement, and give its rows."""
        if "_totals" in statement.sql:
            self._caches.clear()
        return self._connection.execute(statement.sql, statement.parameters).fetchall()

    def tuples(
        self, rows: Sequence[tuple[Value, ...]], kinds: Sequence[str]
    ) -> Iterable[Statement]:
        """Write rows as tables that a statement can select from."""
        one = f"({_marks(len(kinds))})"
        for some in in_parts(rows):
            values = ", ".join([one] * len(some))
            yield Statement(f"(values {values})", tuple(value for row in some for value in row))

    def insert(self, records: Sequence[NewRecord]) -> None:
        """Write records, at positions that grow in their order."""
        plain = [record for record in records if record.bodies is None]
        self._connection.executemany(_INSERT, map(_row, plain))
        bodies = []
        for record in records:
            if record.bodies is not None:
                position = self._connection.execute(_INSERT, _row(record)).lastrowid
                bodies.append((position, record.bodies, VERSION))
        self._insert_bodies(bodies)

    def insert_at(self, position: int, record: NewRecord) -> None:
        """Write one record at a position that is known."""
        self._connection.execute(_INSERT_AT, (position, *_row(record)))
        if record.bodies is not None:
            self._insert_bodies([(position, record.bodies, VERSION)])

    def _insert_bodies(self, rows: Sequence[tuple[int | None, bytes, int]]) -> None:
        if rows:
            self._connection.executemany(_BODIES, rows)
            stocked = sum(len(packed) for _, packed, _ in rows)
            self._connection.execute(_STOCKED, (stocked,))
            self._connection.execute(_WAITING, (len(rows),))

    def put_words(self, texts: Mapping[int, str]) -> None:
        """Have records found by the words of their texts, which are given by position."""
        self._connection.executemany(_WORDS, texts.items())
        # What an older version laid down and this one reads is of this one.
        self._connection.executemany(_OF_VERSION, ((VERSION, at, VERSION) for at in texts))

    def periods(self, keys: Iterable[PeriodKey]) -> Mapping[PeriodKey, Totals]:
        """Read totals of periods."""
        found = {}
        for key in keys:
            kept = self._caches.periods.get(key) or self._period(key)
            if kept is not None:
                found[key] = kept
        return found

    def _period(self, key: PeriodKey) -> Totals | None:
        row = self._connection.execute(_PERIOD, key).fetchone()
        if row is None:
            return None
        return totals_of(row, spreads=row[-1])

    def put_periods(self, totals: Mapping[PeriodKey, Totals]) -> None:
        """Write totals of periods; those that came to nothing are taken away."""
        gone = [key for key, kept in totals.items() if kept.is_empty]
        self._connection.executemany(_DROP_PERIOD, gone)
        rows = (
            (*key, *_kept(kept), kept.kept_spreads())
            for key, kept in totals.items()
            if not kept.is_empty
        )
        self._connection.executemany(_PUT_PERIOD, rows)
        self._caches.periods.put(totals)

    def spans(self, keys: Iterable[SpanKey]) -> Mapping[SpanKey, Totals]:
        """Read totals of spans."""
        found = {}
        for key in keys:
            kept = self._caches.spans.get(key)
            if kept is not None:
                found[key] = kept
            elif (row := self._connection.execute(_SPAN, key).fetchone()) is not None:
                found[key] = totals_of(row)
        return found

    def put_spans(self, totals: Mapping[SpanKey, Totals]) -> None:
        """Write totals of spans; those that came to nothing are taken away."""
        gone = [key for key, kept in totals.items() if kept.is_empty]
        self._connection.executemany(_DROP_SPAN, gone)
        rows = ((*key, *_kept(kept)) for key, kept in totals.items() if not kept.is_empty)
        self._connection.executemany(_PUT_SPAN, rows)
        self._caches.spans.put(totals)


def _flat(keys: Sequence[tuple[str, ...]]) -> list[str]:
    return [part for key in keys for part in key]


def totals_of(row: Sequence[Value], spreads: bytes | None = None) -> Totals:
    """Read sums, and the first and last moment behind them; of a period, its spreads too."""
    totals = Totals(() if spreads is None else None)
    sums: list[int | float | Decimal] = list(row[: len(SUMS)])  # type: ignore[arg-type]  # as the columns say
    for at in _MONEY_SUMS:
        sums[at] = Decimal(str(sums[at]))
    totals.sums = sums
    totals.first_unix_ns, totals.last_unix_ns = row[len(SUMS) : len(SUMS) + 2]  # type: ignore[assignment]  # as above
    if spreads is not None:
        totals.add_spreads(spreads)
    return totals


def _kept(totals: Totals) -> tuple[Value, ...]:
    sums: list[Value] = [*totals.kept_sums]
    for at in _MONEY_SUMS:
        sums[at] = format(sums[at], "f")
    return (*sums, totals.first_unix_ns, totals.last_unix_ns)


def _row(record: NewRecord) -> tuple[Value, ...]:
    facts = record.facts
    cost, saved = facts[_MONEY_FACTS[0]], facts[_MONEY_FACTS[1]]
    if cost is None and saved is None:
        return (*facts, record.message)
    row: list[Value] = [*facts, record.message]
    for at in _MONEY_FACTS:
        if facts[at] is not None:
            row[at] = format(facts[at], "f")
    return tuple(row)


def _with_money(row: Sequence[Value]) -> Facts:
    facts = list(row)
    for at in _MONEY_FACTS:
        if facts[at] is not None:
            facts[at] = Decimal(str(facts[at]))
    return tuple(facts)
