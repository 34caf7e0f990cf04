"""The audit log read again: the newest entries, as far as somebody may see them."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from remora_aggregator.service.audit import AuditEntry

MOST_ENTRIES: Final = 1_000


@dataclass(frozen=True, slots=True)
class AuditQuestion:
    """Which entries are asked for, the newest first.

    Attributes:
        namespaces: Whose callers, or what in them; None: all.
        limit: At most so many.
        since_unix_ns: Inclusive.
        until_unix_ns: Exclusive; 0: until now.
    """

    namespaces: frozenset[str] | None
    limit: int
    since_unix_ns: int = 0
    until_unix_ns: int = 0

    def takes(self, entry: AuditEntry) -> bool:
        """Tell whether an entry is asked for, and may be seen."""
        if entry.at_unix_ns < self.since_unix_ns:
            return False
        if self.until_unix_ns and entry.at_unix_ns >= self.until_unix_ns:
            return False
        seen = self.namespaces
        return seen is None or bool({entry.namespace, entry.asked.get("namespace")} & seen)


class AuditReading(Protocol):
    """Reads what an `AuditSink` kept."""

    async def newest(self, question: AuditQuestion) -> tuple[list[AuditEntry], bool]:
        """Return the newest entries, the newest first, and whether there are older ones."""
        ...


class AuditReader:
    """Reads the file that `AuditFile` writes, and its older pieces."""

    def __init__(self, path: Path) -> None:
        """Take the file."""
        self._path = path

    async def newest(self, question: AuditQuestion) -> tuple[list[AuditEntry], bool]:
        """Return the newest entries, the newest first, and whether there are older ones."""
        return await asyncio.to_thread(_found, self._path, question)


def _found(path: Path, question: AuditQuestion) -> tuple[list[AuditEntry], bool]:
    found: list[AuditEntry] = []
    for entry in _entries(path, question.since_unix_ns):
        if question.takes(entry):
            if len(found) == question.limit:
                return found, True
            found.append(entry)
    return found, False


def _entries(path: Path, since_unix_ns: int) -> Iterator[AuditEntry]:
    """Give all entries, the newest first, without the pieces that are older than a time."""
    for piece in _pieces(path):
        is_newer = False
        for line in reversed(piece.splitlines()):
            if (entry := entry_in(line)) is not None:
                is_newer = is_newer or entry.at_unix_ns >= since_unix_ns
                yield entry
        if piece and not is_newer:
            return


def _pieces(path: Path) -> Iterator[bytes]:
    number = 0
    while True:
        piece = path.with_name(f"{path.name}.{number}") if number else path
        try:
            yield piece.read_bytes()
        except FileNotFoundError:
            # The newest may just have been put away.
            if number:
                return
        number += 1


def entry_in(line: bytes | str) -> AuditEntry | None:
    """Read a line; None where it is none, such as one that was cut when the disk was full."""
    try:
        said: dict[str, Any] = json.loads(line)
        return AuditEntry(
            at_unix_ns=int(said["at_unix_ns"]),
            name=said["who"],
            role=said["role"],
            namespace=said["namespace"],
            peer=said["peer"],
            what=said["what"],
            asked=dict(said["asked"]),
            outcome=said["outcome"],
            count=said["count"],
        )
    except (ValueError, KeyError, TypeError):
        return None
