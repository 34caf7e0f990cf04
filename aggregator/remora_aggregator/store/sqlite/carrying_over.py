"""Records that 0001 laid down, in the form of today."""

import sqlite3
from collections.abc import Iterator, Sequence

from remora_aggregator.store.committing import new_record, put
from remora_aggregator.store.facts import Stamp
from remora_aggregator.store.port import NewRecord
from remora_aggregator.store.sqlite.writing import SqliteWriting
from remora_aggregator.store.totals import Changes
from remora_proto.v1 import records_pb2 as pb

_AT_ONCE = 500
_HAS_OLD = "select 1 from sqlite_master where name = 'records_0001'"
_OLD = (
    "select position, namespace, pod_uid, received_unix_ns, message, bodies "
    "from records_0001 where position > ? order by position limit ?"
)

type _Old = tuple[int, str, str, int, bytes, bytes | None]


def carry_over(connection: sqlite3.Connection) -> None:
    """Write old records anew, with their positions and totals, in one transaction.

    Raises:
        sqlite3.Error: Nothing was carried over; the old table is still there.
    """
    if connection.execute(_HAS_OLD).fetchone() is None:
        return
    with connection:
        _carry_all(connection)
        connection.execute("drop table records_0001")


def _carry_all(connection: sqlite3.Connection) -> None:
    writing = SqliteWriting(connection)
    last = -1
    while rows := connection.execute(_OLD, (last, _AT_ONCE)).fetchall():
        changes = Changes()
        for position, record in _read(rows):
            changes.count(record.facts)
            writing.insert_at(position, record)
        put(writing, changes)
        last = rows[-1][0]


def _read(rows: Sequence[_Old]) -> Iterator[tuple[int, NewRecord]]:
    for position, namespace, pod_uid, received_unix_ns, message, bodies in rows:
        record = pb.CallRecord.FromString(message + (bodies or b""))
        yield position, new_record(record, Stamp(namespace, pod_uid, received_unix_ns))
