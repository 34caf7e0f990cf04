"""The audit log: who changed what, and how it ended. Pure, but for the log it is written to."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Protocol

from remora_aggregator.service.caller import Caller

logger = logging.getLogger(__name__)

KEPT_BYTES: Final = 160 * 1024 * 1024
"""How much is kept, about; the oldest goes."""

_MAX_TEXT_CHARS = 500
_MAX_FIELDS = 40


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that somebody did, or was refused.

    Attributes:
        at_unix_ns: When it ended.
        name: Who it was.
        role: As what.
        namespace: Its own; empty: none.
        peer: Where it called from.
        what: What was done, such as ``TaskService/Cancel``.
        asked: What was asked for, as names and values.
        outcome: ``OK``, or the status it ended with.
        count: How many things it concerned; None: nobody counted.
    """

    at_unix_ns: int
    name: str
    role: str
    namespace: str
    peer: str
    what: str
    asked: Mapping[str, object] = MappingProxyType({})
    outcome: str = "OK"
    count: int | None = None


def entry_of(
    caller: Caller,
    peer: str,
    what: str,
    asked: Mapping[str, object],
    outcome: str,
    at_unix_ns: int,
    count: int | None = None,
) -> AuditEntry:
    """Make the entry of something that a caller did, with what was asked for bounded."""
    bounded = {name: _bounded(value) for name, value in list(asked.items())[:_MAX_FIELDS]}
    return AuditEntry(
        at_unix_ns,
        caller.name,
        caller.role.value,
        caller.namespace,
        peer,
        what,
        bounded,
        outcome,
        count,
    )


def _bounded(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _MAX_TEXT_CHARS else text[:_MAX_TEXT_CHARS] + "…"


def line_of(entry: AuditEntry) -> str:
    """Write an entry as one line of JSON, without its end."""
    at = datetime.fromtimestamp(entry.at_unix_ns // 1_000_000_000, UTC)
    fields = {
        "at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "at_unix_ns": entry.at_unix_ns,
        "who": entry.name,
        "role": entry.role,
        "namespace": entry.namespace,
        "peer": entry.peer,
        "what": entry.what,
        "asked": dict(entry.asked),
        "outcome": entry.outcome,
        "count": entry.count,
    }
    return json.dumps(fields, ensure_ascii=True)


class AuditSink(Protocol):
    """Keeps entries."""

    async def keep(self, entry: AuditEntry) -> None:
        """Keep an entry; returns when it is durable, as far as the sink can be."""
        ...


class AuditLog:
    """Writes entries to the program's log."""

    async def keep(self, entry: AuditEntry) -> None:
        """Log the entry's line."""
        logger.info("audit %s", line_of(entry))
