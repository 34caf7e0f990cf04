"""Fills a store with many simulated records, past gRPC: through the same commits."""

from collections.abc import Iterator
from pathlib import Path

import click

from bench.store.reported import BEGIN_NS, kinds, numbered
from remora_aggregator.store.committing import Batch, commit
from remora_aggregator.store.facts import Stamp
from remora_aggregator.store.sqlite.backend import SqliteBackend
from remora_proto.v1 import records_pb2 as pb

PODS = 200
_BATCH = 2_000
_SPAN_NS = 90 * 24 * 3_600_000_000_000
"""The records lie in 90 days."""


def fill(path: Path, records: int, *, begin: int = 0) -> None:
    """Write records from a number on, spread over 90 days and 200 pods."""
    backend = SqliteBackend(path)
    try:
        with click.progressbar(length=records - begin, label="filling", hidden=None) as shown:
            for batch in _batches(begin, records):
                commit(backend, [batch])
                shown.update(len(batch.records))
    finally:
        backend.close()


def _batches(begin: int, records: int) -> Iterator[Batch]:
    made = {pod: kinds(pod) for pod in range(PODS)}
    step_ns = _SPAN_NS // max(records, 1)
    for first in range(begin, records, _BATCH):
        pod = (first // _BATCH) % PODS
        numbers = range(first, min(first + _BATCH, records))
        taken = [
            pb.CallRecord.FromString(
                numbered(made[pod][number % len(made[pod])], number, BEGIN_NS + number * step_ns)
            )
            for number in numbers
        ]
        received = BEGIN_NS + numbers[-1] * step_ns
        yield Batch(Stamp("local", f"pod-{pod}", received), taken)
