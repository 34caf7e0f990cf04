"""Partitions: what was committed in one week lies together, so that it can be dropped together.

A position is a moment, in microseconds since 1970, so the partitions of each table are ranges of
positions and one look at a position says where it lies.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString

from psycopg import sql

from remora_aggregator.store.postgres.connections import Connection

PARTITIONED: Final = ("records", "bodies", "words")
WEEK_US: Final = 7 * 24 * 3600 * 1_000_000
AHEAD_US: Final = 2 * WEEK_US
"""How long before its first record a partition is there."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY_US: Final = 4 * 24 * 3600 * 1_000_000

_MISSING: Final = "select name from unnest(%s::text[]) as name where to_regclass(name) is null"
_CREATE: Final[LiteralString] = (
    "create table {name} (like {table} including defaults including constraints including storage)"
)
# Unlike a table that is created as a partition, one that is attached lets readers go on.
_ATTACH: Final[LiteralString] = (
    "alter table {table} attach partition {name} for values from ({begin}) to ({end})"
)
_LAST: Final = "select last_value from positions"
_THERE: Final = (
    "select inhrelid::regclass::text from pg_inherits where inhparent = to_regclass(%s) order by 1"
)
# Whoever reads a table has to wait behind whoever waits for it.
_WAIT_LITTLE: Final = "set local lock_timeout = '100ms'"


def week_of(position: int) -> int:
    """Give the first position of a position's week; weeks begin on Mondays, UTC."""
    return (position - _MONDAY_US) // WEEK_US * WEEK_US + _MONDAY_US


def name_of(table: str, week: int) -> str:
    """Name the partition of a week."""
    return f"{table}_{_EPOCH + timedelta(microseconds=week):%Y%m%d}"


def _weeks(first: int, last: int) -> Iterator[int]:
    week = week_of(first)
    while week <= last:
        yield week
        week += WEEK_US


class Partitions:
    """Makes partitions before they are needed; only within a transaction that writes."""

    def __init__(self) -> None:
        """Know of none."""
        self._made_until = 0

    def ensure(self, connection: Connection, first: int, last: int) -> None:
        """See to it that there are partitions for positions, and for the weeks after them."""
        if last + AHEAD_US < self._made_until:
            return
        weeks = list(_weeks(first, last + AHEAD_US))
        wanted = {name_of(table, week): (table, week) for table in PARTITIONED for week in weeks}
        for (name,) in connection.execute(_MISSING, (list(wanted),)).fetchall():
            _make(connection, str(name), *wanted[str(name)])
        self._made_until = weeks[-1] + WEEK_US

    def forget(self) -> None:
        """Look again: those that a transaction made went with it."""
        self._made_until = 0


def _make(connection: Connection, name: str, table: str, week: int) -> None:
    words = {
        "name": sql.Identifier(name),
        "table": sql.Identifier(table),
        "begin": sql.Literal(week),
        "end": sql.Literal(week + WEEK_US),
    }
    connection.execute(sql.SQL(_CREATE).format(**words), prepare=False)
    connection.execute(sql.SQL(_ATTACH).format(**words), prepare=False)


def drop_an_empty(connection: Connection) -> bool:
    """Drop a partition that is past and empty; tells whether there was one.

    Only within a transaction that writes.

    Raises:
        psycopg.errors.LockNotAvailable: Somebody reads there.
    """
    connection.execute(_WAIT_LITTLE)
    ((last,),) = connection.execute(_LAST).fetchall()
    for table in PARTITIONED:
        current = name_of(table, week_of(int(str(last))))
        there = [str(name) for (name,) in connection.execute(_THERE, (table,)).fetchall()]
        for name in there:
            if name < current and _is_empty(connection, name):
                connection.execute(sql.SQL("drop table {}").format(sql.Identifier(name)))
                return True
    return False


def _is_empty(connection: Connection, name: str) -> bool:
    asked = sql.SQL("select not exists (select from {})").format(sql.Identifier(name))
    return connection.execute(asked).fetchone() == (True,)
