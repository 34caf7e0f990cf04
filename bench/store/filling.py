"""Fills a store with many simulated records, past gRPC: through the same statements and totals."""

from collections.abc import Iterator
from pathlib import Path

import click

from bench.store.reported import BEGIN_NS, kinds, numbered
from remora_aggregator.store.committing import new_record, put
from remora_aggregator.store.facts import AT, Stamp
from remora_aggregator.store.port import NewRecord
from remora_aggregator.store.sqlite.backend import SqliteBackend
from remora_aggregator.store.totals import Changes
from remora_proto.v1 import records_pb2 as pb

PODS = 200
_KINDS_A_POD = 50
_BATCH = 2_000
_SPAN_NS = 90 * 24 * 3_600_000_000_000
"""The records lie in 90 days."""

_HASTE = (
    # Nobody was told that these records are safe.
    "pragma synchronous=off",
    "pragma cache_size=-262144",
    "pragma wal_autocheckpoint=20000",
)
_CALL_ID, _STARTED, _RECEIVED = AT["call_id"], AT["started_unix_ns"], AT["received_unix_ns"]

type Kinds = list[tuple[bytes, NewRecord]]


def fill(path: Path, records: int, *, begin: int = 0) -> None:
    """Write records from a number on, spread over 90 days and 200 pods; no tasks count them."""
    backend = SqliteBackend(path)
    for pragma in _HASTE:
        backend.writer.execute(pragma)
    try:
        with click.progressbar(length=records - begin, label="filling") as shown:
            for batch in _batches(begin, records):
                _write(backend, batch)
                shown.update(len(batch))
    finally:
        backend.close()


def _write(backend: SqliteBackend, batch: list[NewRecord]) -> None:
    changes = Changes()
    for record in batch:
        changes.count(record.facts)
    with backend.transaction() as writing:
        writing.insert(batch)
        put(writing, changes)


def _batches(begin: int, records: int) -> Iterator[list[NewRecord]]:
    made = [_kinds(pod) for pod in range(PODS)]
    step_ns = _SPAN_NS // max(records, 1)
    for first in range(begin, records, _BATCH):
        of_pod = made[(first // _BATCH) % PODS]
        numbers = range(first, min(first + _BATCH, records))
        received_ns = BEGIN_NS + numbers[-1] * step_ns
        yield [
            _numbered(
                of_pod[number % len(of_pod)], number, BEGIN_NS + number * step_ns, received_ns
            )
            for number in numbers
        ]


def _kinds(pod: int) -> Kinds:
    stamp = Stamp("local", f"pod-{pod}", 0)
    written = kinds(pod, count=_KINDS_A_POD)
    return [(kind, new_record(pb.CallRecord.FromString(kind), stamp)) for kind in written]


def _numbered(
    kind: tuple[bytes, NewRecord], number: int, started_ns: int, received_ns: int
) -> NewRecord:
    written, record = kind
    facts = list(record.facts)
    facts[_CALL_ID], facts[_STARTED], facts[_RECEIVED] = f"{number:032x}", started_ns, received_ns
    return NewRecord(tuple(facts), numbered(written, number, started_ns))
