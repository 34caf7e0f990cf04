"""The audit log as a file of JSON lines in the data directory, in a bounded number of pieces."""

import asyncio
import logging
import os
import threading
from pathlib import Path

from remora_aggregator.service.audit import KEPT_BYTES, AuditEntry, AuditLog, line_of

logger = logging.getLogger(__name__)

AUDIT_FILE = "audit.jsonl"

_OLD_PIECES = 9
_PIECE_BYTES = KEPT_BYTES // (_OLD_PIECES + 1)


class AuditFile:
    """Keeps entries in a file, and in the program's log as well."""

    def __init__(self, path: Path, *, piece_bytes: int = _PIECE_BYTES) -> None:
        """Take the file; it is made with the first entry.

        Args:
            path: Its name; older pieces are called so with ``.1``, ``.2`` and so on.
            piece_bytes: A piece that has grown to this size is put away.
        """
        self._path = path
        self._piece_bytes = piece_bytes
        self._lock = threading.Lock()
        self._log = AuditLog()

    async def keep(self, entry: AuditEntry) -> None:
        """Append the entry durably; where that fails, the program's log has it and says so."""
        await self._log.keep(entry)
        try:
            await asyncio.to_thread(self._append, line_of(entry).encode() + b"\n")
        except OSError as error:
            logger.error("the audit log %s can't be written: %s", self._path, error.strerror)

    def _append(self, line: bytes) -> None:
        with self._lock:
            self._put_away()
            descriptor = os.open(
                self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            with open(descriptor, "ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())

    def _put_away(self) -> None:
        try:
            if self._path.stat().st_size < self._piece_bytes:
                return
        except FileNotFoundError:
            return
        for number in range(_OLD_PIECES, 0, -1):
            newer = self._piece(number - 1) if number > 1 else self._path
            if newer.exists():
                newer.replace(self._piece(number))

    def _piece(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
