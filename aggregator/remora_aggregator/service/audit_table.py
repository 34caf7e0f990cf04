"""The audit log in a database that several aggregators share: each writes, and reads all of it."""

import logging

from remora.errors import Unavailable
from remora_aggregator.service.audit import AuditEntry, AuditLog, line_of
from remora_aggregator.service.audit_reading import AuditQuestion, entry_in
from remora_aggregator.store.postgres.audit_table import AuditRow, AuditTable

logger = logging.getLogger(__name__)


class StoredAudit:
    """Keeps entries in the table, and in the program's log as well."""

    def __init__(self, table: AuditTable) -> None:
        """Take the table."""
        self._table = table
        self._log = AuditLog()

    async def keep(self, entry: AuditEntry) -> None:
        """Write the entry durably; where that fails, the program's log has it and says so."""
        await self._log.keep(entry)
        asked = entry.asked.get("namespace")
        row = AuditRow(
            entry.at_unix_ns,
            entry.namespace,
            asked if isinstance(asked, str) else "",
            line_of(entry),
        )
        try:
            await self._table.append(row)
        except Unavailable as error:
            logger.error("the audit log of the database can't be written: %s", error)

    async def newest(self, question: AuditQuestion) -> tuple[list[AuditEntry], bool]:
        """Return the newest entries, the newest first, and whether there are older ones.

        Raises:
            Unavailable: The database can't be read.
        """
        lines = await self._table.newest(
            question.namespaces,
            question.limit + 1,
            question.since_unix_ns,
            question.until_unix_ns,
        )
        found = [entry for line in lines if (entry := entry_in(line)) is not None]
        return found[: question.limit], len(lines) > question.limit
