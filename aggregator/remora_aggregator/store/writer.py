"""What one transaction does with reported records: insert, merge, pass over, refuse."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from remora_aggregator.store.admission import unfit
from remora_aggregator.store.columns import COLUMNS, Stamp, row_of
from remora_proto.v1 import records_pb2 as pb

_INSERT = (
    f"insert into records ({', '.join(COLUMNS)}) "  # noqa: S608 - our own words
    f"values ({', '.join('?' * len(COLUMNS))})"
)
_KNOWN = (
    "select position, revision, started_unix_ns from records "
    "where namespace = ? and call_id = ? and pod_uid = ?"
)
_ELSEWHERE = "select 1 from records where namespace = ? and call_id = ? and pod_uid <> ? limit 1"


class Verdict(Enum):
    """What became of a record."""

    STORED = "stored"
    MERGED = "merged"
    KNOWN = "known"
    UNFIT = "unfit"
    CLASH = "clash"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record, and for a refused one why."""

    verdict: Verdict
    reason: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether it will never be stored."""
        return self.verdict in (Verdict.UNFIT, Verdict.CLASH)


@dataclass(slots=True)
class Batch:
    """Records of one origin that are committed together."""

    stamp: Stamp
    records: list[pb.CallRecord]
    outcomes: list[Outcome] = field(default_factory=list)


def commit(connection: sqlite3.Connection, batches: Iterable[Batch]) -> None:
    """Write batches in one transaction and fill in their outcomes.

    Raises:
        sqlite3.Error: Nothing of them was written.
    """
    connection.execute("begin immediate")
    try:
        for batch in batches:
            batch.outcomes = [_write(connection, record, batch.stamp) for record in batch.records]
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _write(connection: sqlite3.Connection, record: pb.CallRecord, stamp: Stamp) -> Outcome:
    if reason := unfit(record):
        return Outcome(Verdict.UNFIT, reason)
    key = (stamp.namespace, record.call_id, stamp.pod_uid)
    known = connection.execute(_KNOWN, key).fetchone()
    if known is None:
        return _first_seen(connection, record, stamp, key)
    position, revision, started_unix_ns = known
    if started_unix_ns != record.started_unix_nano:
        return Outcome(Verdict.CLASH, "another call was recorded under this id")
    if record.revision <= revision:
        return Outcome(Verdict.KNOWN)
    # At a new position, so that whoever follows the records sees the later fact too.
    connection.execute("delete from records where position = ?", (position,))
    connection.execute(_INSERT, row_of(record, stamp))
    return Outcome(Verdict.MERGED)


def _first_seen(
    connection: sqlite3.Connection, record: pb.CallRecord, stamp: Stamp, key: tuple[str, str, str]
) -> Outcome:
    if record.revision and connection.execute(_ELSEWHERE, key).fetchone():
        return Outcome(Verdict.CLASH, "the call was recorded by another sidecar")
    connection.execute(_INSERT, row_of(record, stamp))
    return Outcome(Verdict.STORED)
