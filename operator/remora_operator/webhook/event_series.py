"""Which Events there are to write: what is said again counts up what stands already. Pure.

Written as ``events.k8s.io/v1``: its ``series`` is the API server's own word for what happened
again, and the same Event can be read as a core one. That API demands an unset ``count``, a note
of at most 1024 bytes, and that nothing but ``series`` ever changes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

from remora_operator.webhook.notices import Notice, Regarding

CONTROLLER: Final = "remora.dev/injector"
ACTION: Final = "Inject"

WINDOW_S: Final = 600.0
"""What is said again within this time counts up."""

_MOST_SERIES: Final = 1000
_MOST_NOTES: Final = 8
"""Of one reason about one object, within the window: whoever makes pods must not flood others."""

_NAME_CHARACTERS: Final = 253
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Drop(Enum):
    """Why no Event tells of an occurrence; the values are labels of a metric."""

    FULL = "full"
    FLOOD = "flood"
    REFUSED = "refused"
    STOPPED = "stopped"


@dataclass(slots=True)
class Series:
    """One Event, and what it has to count up to.

    Attributes:
        notice: What it says.
        name: Of the Event.
        first_ns: Unix time of the first occurrence, in nanoseconds.
        last_ns: Of the last one.
        last_s: The same by a clock that never goes back.
        count: How often it has been said.
        written: How often by what stands in the cluster; 0: it does not stand there.
    """

    notice: Notice
    name: str
    first_ns: int
    last_ns: int
    last_s: float
    count: int = 1
    written: int = 0

    @property
    def collection(self) -> str:
        """The path of the collection that it belongs to."""
        return f"/apis/events.k8s.io/v1/namespaces/{self.notice.regarding.namespace}/events"

    @property
    def path(self) -> str:
        """Its own path."""
        return f"{self.collection}/{self.name}"

    def event(self, instance: str) -> Mapping[str, Any]:
        """Write it as an Event.

        Args:
            instance: Names the replica that writes it.
        """
        notice = self.notice
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": self.name, "namespace": notice.regarding.namespace},
            "eventTime": _micro_time(self.first_ns),
            "type": notice.type,
            "reason": notice.reason,
            "action": ACTION,
            "note": notice.note,
            "regarding": notice.regarding.to_json(),
            "reportingController": CONTROLLER,
            "reportingInstance": instance[:128] or "operator",
            **(self.progress() if self.count > 1 else {}),
        }

    def progress(self) -> Mapping[str, Any]:
        """Write what has changed since it was created, as a patch."""
        last = _micro_time(self.last_ns)
        return {"series": {"count": self.count, "lastObservedTime": last}}


class SeriesBook:
    """The Events of the last minutes, those that are still to be written among them."""

    def __init__(self, instance: str, most: int = _MOST_SERIES) -> None:
        """Start with none.

        Args:
            instance: Names the replica: two of them write Events of different names.
            most: How many are known at once.
        """
        self._instance = instance
        self._most = most
        self._series: dict[Notice, Series] = {}

    def __len__(self) -> int:
        """How many are known."""
        return len(self._series)

    def note(self, notice: Notice, now_ns: int, now_s: float) -> Drop | None:
        """Take an occurrence.

        Args:
            notice: What to say.
            now_ns: Unix time, in nanoseconds.
            now_s: By a clock that never goes back.

        Returns:
            Why it is not told of; None: it is.
        """
        known = self._series.get(notice)
        if known is not None and not _is_over(known, now_s):
            known.count += 1
            known.last_ns, known.last_s = now_ns, now_s
            return None
        self._forget_what_is_over(now_s)
        if self._notes_about(notice.regarding, notice.reason) >= _MOST_NOTES:
            return Drop.FLOOD
        if len(self._series) >= self._most and not self._make_room():
            return Drop.FULL
        name = _event_name(notice, self._instance, now_ns)
        self._series[notice] = Series(notice, name, now_ns, now_ns, now_s)
        return None

    def due(self) -> tuple[Series, ...]:
        """Return what is to be written, the oldest first."""
        return tuple(one for one in self._series.values() if one.count > one.written)

    def rename(self, series: Series, now_ns: int) -> None:
        """Let one be created anew that does not stand in the cluster any more."""
        series.name = _event_name(series.notice, self._instance, now_ns)
        series.written = 0

    def drop(self, series: Series) -> int:
        """Give one up; returns how many occurrences nobody is told of."""
        self._series.pop(series.notice, None)
        return series.count - series.written

    def _notes_about(self, regarding: Regarding, reason: str) -> int:
        return sum(n.regarding == regarding and n.reason == reason for n in self._series)

    def _forget_what_is_over(self, now_s: float) -> None:
        for notice in [n for n, one in self._series.items() if _is_over(one, now_s)]:
            del self._series[notice]

    def _make_room(self) -> bool:
        """Forget the oldest that is written: if it happens again, that is a new Event."""
        for notice, one in self._series.items():
            if one.count == one.written:
                del self._series[notice]
                return True
        return False


def _is_over(series: Series, now_s: float) -> bool:
    return series.count == series.written and now_s - series.last_s > WINDOW_S


def _event_name(notice: Notice, instance: str, now_ns: int) -> str:
    """Name an Event so that the same one can be created twice by mistake, and no other is hit."""
    said = "\0".join((notice.reason, notice.note, instance, str(now_ns)))
    ending = hashlib.sha256(said.encode()).hexdigest()[:16]
    owner = notice.regarding.name[: _NAME_CHARACTERS - 1 - len(ending)].rstrip(".-")
    return f"{owner}.{ending}"


def _micro_time(unix_ns: int) -> str:
    """Write a time as Kubernetes' MicroTime."""
    moment = _EPOCH + timedelta(microseconds=unix_ns // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
