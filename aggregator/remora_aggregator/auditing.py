"""Builds what keeps and reads the audit log: a file beside the records, or a table among them."""

from dataclasses import dataclass

from remora_aggregator.service.audit import KEPT_BYTES, AuditSink
from remora_aggregator.service.audit_file import AUDIT_FILE, AuditFile
from remora_aggregator.service.audit_reading import AuditReader, AuditReading
from remora_aggregator.service.audit_table import StoredAudit
from remora_aggregator.settings import AggregatorSettings
from remora_aggregator.store.postgres.audit_table import AuditTable
from remora_aggregator.store.record_store import RecordStore


@dataclass(frozen=True, slots=True)
class Auditing:
    """Both sides of one audit log."""

    sink: AuditSink
    reading: AuditReading


def auditing(settings: AggregatorSettings, store: RecordStore) -> Auditing:
    """Keep it where the records are.

    A file outlives what may become of SQLite's; replicas that share a database have no folder in
    common.
    """
    if settings.database is not None:
        stored = StoredAudit(AuditTable(store, kept_bytes=KEPT_BYTES))
        return Auditing(stored, stored)
    path = settings.data_dir / AUDIT_FILE
    return Auditing(AuditFile(path), AuditReader(path))
