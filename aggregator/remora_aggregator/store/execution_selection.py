"""Which executions are asked for, and cursors into lists of them and into their changes. Pure."""

from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from remora.errors import BadRequest
from remora.execution_report import ExecutionStatus
from remora_aggregator.store.facts import Value, column_text

PAGE_EXECUTIONS: Final = 500
"""The most that one page has."""

_PLACE_SIGN: Final = "e"
_CHANGE_SIGN: Final = "x"
_MOST: Final = 1 << 63


class ExecutionPlace(NamedTuple):
    """Where an execution stands in lists, which are ordered by it, downwards."""

    began_unix_ns: int
    namespace: str
    execution_id: str


@dataclass(frozen=True, slots=True)
class ExecutionSelection:
    """Which executions match; what is empty does not filter.

    Attributes:
        namespaces: Any of these; None: all.
        statuses: Any of these.
        since_unix_ns: Began at this time or later.
    """

    namespaces: frozenset[str] | None
    statuses: frozenset[ExecutionStatus] = frozenset()
    workflow: str = ""
    task_id: str = ""
    session_id: str = ""
    agent_id: str = ""
    since_unix_ns: int = 0

    def conditions(self, after: ExecutionPlace | None) -> tuple[str, list[Value]]:
        """Write them, each parameter as ``?``, and the parameters.

        Args:
            after: Only what comes below this place.
        """
        conditions, values = ["began_unix_ns >= ?"], [self.since_unix_ns]
        written: list[Value] = [*values]
        if self.namespaces is not None:
            conditions.append(one_of("namespace", len(self.namespaces)))
            written += sorted(self.namespaces)
        if self.statuses:
            conditions.append(one_of("status", len(self.statuses)))
            written += sorted(status.value for status in self.statuses)
        for column in ("workflow", "task_id", "session_id", "agent_id"):
            if wanted := getattr(self, column):
                conditions.append(f"{column} = ?")
                written.append(column_text(wanted))
        if after is not None:
            conditions.append("(began_unix_ns, namespace, execution_id) < (?, ?, ?)")
            written += after
        return " and ".join(conditions), written


def one_of(column: str, count: int) -> str:
    """Write that a column holds one of so many parameters."""
    if not count:
        return "1 = 0"
    return f"{column} = ?" if count == 1 else f"{column} in ({', '.join('?' * count)})"


def cursor_of(place: ExecutionPlace) -> str:
    """Write a place as a cursor."""
    namespace, execution_id = (quote(text, safe="") for text in place[1:])
    return f"{_PLACE_SIGN}{place.began_unix_ns:x}/{namespace}/{execution_id}"


def place_of(cursor: str) -> ExecutionPlace | None:
    """Read a cursor; None if none is given. Raises BadRequest where it is none of ours."""
    if not cursor:
        return None
    try:
        began, namespace, execution_id = cursor.removeprefix(_PLACE_SIGN).split("/")
        place = ExecutionPlace(int(began, 16), unquote(namespace), unquote(execution_id))
    except ValueError:
        raise _foreign(cursor) from None
    if not 0 <= place.began_unix_ns < _MOST or cursor_of(place) != cursor:
        raise _foreign(cursor)
    return place


def change_cursor(position: int) -> str:
    """Write the cursor after a change."""
    return f"{_CHANGE_SIGN}{position:x}"


def change_position(cursor: str) -> int:
    """Read the position of a cursor; raises BadRequest where it is none of ours."""
    try:
        position = int(cursor.removeprefix(_CHANGE_SIGN), 16)
    except ValueError:
        position = -1
    if not 0 <= position < _MOST or change_cursor(position) != cursor:
        raise _foreign(cursor)
    return position


def _foreign(cursor: str) -> BadRequest:
    return BadRequest(f"cursor {cursor[:40]!r} is none of this aggregator's")
