"""Stored calls as spans over OTLP, each once; off unless a collector is named.

What a sidecar would export itself, with the same ids: name a collector in one of the two places.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric

from remora import __version__
from remora.clock import Clock
from remora.record_wire import from_message
from remora.records import CallRecord
from remora.telemetry.opening import open_export
from remora.telemetry.record_form import RecordForm
from remora_aggregator.store.committing import Batch, Verdict
from remora_aggregator.store.facts import Stamp
from remora_aggregator.store.record_store import RecordStore
from remora_proto.v1 import records_pb2 as pb

if TYPE_CHECKING:
    from remora.telemetry.export import TelemetryExport

CLOSE_S: Final = 3.0
"""How long what waits may take when the aggregator stops."""


@dataclass(frozen=True, slots=True)
class ReportedCall:
    """A record as it was stored."""

    record: pb.CallRecord
    stamp: Stamp


def _bare(call: ReportedCall) -> ReportedCall:
    if not (call.record.HasField("request_body") or call.record.HasField("response_body")):
        return call
    record = pb.CallRecord()
    record.CopyFrom(call.record)
    record.ClearField("request_body")
    record.ClearField("response_body")
    return replace(call, record=record)


def _read(call: ReportedCall) -> tuple[CallRecord, Mapping[str, str]]:
    return from_message(call.record), resource_of(call)


def resource_of(call: ReportedCall) -> Mapping[str, str]:
    """Say what made a call, as its sidecar would; pod and namespace are those that were proved."""
    origin, stamp = call.record.origin, call.stamp
    in_pod = {"k8s.pod.uid": stamp.pod_uid, "k8s.namespace.name": stamp.namespace}
    return {
        "service.name": "remora-sidecar",
        "service.namespace": stamp.namespace,
        "service.version": origin.sidecar_version,
        "service.instance.id": stamp.pod_uid,
        "k8s.pod.name": origin.pod_name,
        "k8s.node.name": origin.node,
        **(in_pod if origin.pod_name else {}),
    }


STORED_CALLS: Final = RecordForm(bare=_bare, read=_read)
"""Records that were reported to an aggregator."""


def exporting_to(
    export: "TelemetryExport[ReportedCall]",
) -> Callable[[Sequence[Batch], float], None]:
    """Give a `CommitWatcher` that has each call exported when it is first stored."""

    def take(batches: Sequence[Batch], _took_s: float) -> None:
        for batch in batches:
            for record, outcome in zip(batch.records, batch.outcomes, strict=True):
                if outcome.verdict is Verdict.STORED:
                    export.take(ReportedCall(record, batch.stamp))

    return take


@asynccontextmanager
async def exporting(
    store: RecordStore, collect: Callable[[], Iterable[Metric]], clock: Clock
) -> AsyncIterator[Mapping[str, int] | None]:
    """Export what is stored, if that is asked for; gives what was dropped, by reason.

    Args:
        store: Whose commits are watched.
        collect: Gives the aggregator's own metrics, which are sent too.
        clock: Of the aggregator.
    """
    resource = {"service.name": "remora-aggregator", "service.version": __version__}
    # Reading the variables loads the settings of the export where there are some.
    export = await asyncio.to_thread(open_export, STORED_CALLS, resource, collect, clock)
    if export is None:
        yield None
        return
    watcher = exporting_to(export)
    store.commit_watchers.append(watcher)
    export.start()
    try:
        yield export.dropped
    finally:
        store.commit_watchers.remove(watcher)
        await export.aclose(CLOSE_S)
