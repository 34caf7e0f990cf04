"""Which tasks are asked for, and cursors into lists of them."""

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from remora.errors import BadRequest
from remora_aggregator.tasks.states import State
from remora_aggregator.tasks.task import MAX_ID_CHARS, Task, TaskEntry, checked_text

PAGE_TASKS: Final = 500
"""The most that one page of tasks has."""

_SIGN = "t"


class Place(NamedTuple):
    """Where a task stands in lists, which are ordered by it, downwards; it never changes."""

    created_unix_ns: int
    namespace: str
    task_id: str

    @classmethod
    def of(cls, task: Task) -> "Place":
        """Give a task's place."""
        return cls(task.created_unix_ns, *task.key)


@dataclass(frozen=True, slots=True)
class TaskSelection:
    """Which tasks match; what is empty does not filter.

    Attributes:
        namespaces: Any of these; None: all.
        states: Any of these.
        id_glob: `*` stands for any characters, `?` for one; nothing else is special.
        since_unix_ns: Created, changed or called at this time or later.
    """

    namespaces: frozenset[str] | None
    states: frozenset[State] = frozenset()
    id_glob: str = ""
    since_unix_ns: int = 0

    def takes(self, entry: TaskEntry) -> bool:
        """Tell whether a task matches; what stores answer by indexes is measured by this."""
        key, state = entry.task.key, entry.task.state
        return (
            (self.namespaces is None or key.namespace in self.namespaces)
            and (not self.states or state in self.states)
            and (not self.id_glob or matches(self.id_glob, key.task_id))
            and entry.stirred_unix_ns >= self.since_unix_ns
        )


def checked_glob(glob: str, name: str = "task_id_glob") -> str:
    """Return a glob that may be asked for; raises BadRequest where it may not."""
    if len(glob) > MAX_ID_CHARS:
        raise BadRequest(f"{name} has more than {MAX_ID_CHARS} characters")
    return re.sub(r"\*+", "*", checked_text(glob, name))


def matches(glob: str, text: str) -> bool:
    """Tell whether a text is as a glob says."""
    return _pattern(glob).fullmatch(text) is not None


@lru_cache(maxsize=64)
def _pattern(glob: str) -> re.Pattern[str]:
    words = {"*": ".*", "?": "."}
    return re.compile("".join(words.get(char) or re.escape(char) for char in glob), re.DOTALL)


def cursor_of(place: Place) -> str:
    """Write a place as a cursor."""
    text = f"{place.created_unix_ns:x} {place.namespace}\n{place.task_id}"
    return _SIGN + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(cursor: str) -> Place | None:
    """Read a cursor; None if none is given.

    Raises:
        BadRequest: It is none of ours.
    """
    if not cursor:
        return None
    try:
        if not cursor.startswith(_SIGN):
            raise ValueError(cursor)
        padded = cursor[1:] + "=" * (-len(cursor[1:]) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        created, _, rest = text.partition(" ")
        namespace, _, task_id = rest.partition("\n")
        place = Place(int(created, 16), namespace, task_id)
    except (ValueError, binascii.Error):
        raise BadRequest(f"cursor {cursor[:40]!r} is none of this aggregator's") from None
    if cursor_of(place) != cursor or not 0 <= place.created_unix_ns < 1 << 63:
        raise BadRequest(f"cursor {cursor[:40]!r} is none of this aggregator's")
    return place
