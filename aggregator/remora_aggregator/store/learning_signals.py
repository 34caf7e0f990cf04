"""Signals in the store's tables, read and written within its transactions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remora.learning.evidence import Evidence, Source
from remora_aggregator.signals.signal import Signal
from remora_aggregator.store.facts import Value
from remora_aggregator.store.learning_rows import ADDED, Rows
from remora_aggregator.store.learning_schema import KEPT_SIGNAL
from remora_aggregator.store.learning_trials import CallId

MOST_WAITING: Final = 100_000
"""So many signals of a namespace may wait for records; the oldest go first."""

_KEY: Final = KEPT_SIGNAL[:2]
_REST: Final = KEPT_SIGNAL[2:]

SIGNAL_COLUMNS: Final = ", ".join(f"signals.{column}" for column in KEPT_SIGNAL[:15])


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of a signal.

    Attributes:
        arm: Key of the arm that it is about; empty where it waits, or is about none.
    """

    signal: Signal
    is_waiting: bool = False
    arm: str = ""


@dataclass(frozen=True, slots=True)
class Joining:
    """What the signals of a call are about, now that its record is known.

    Attributes:
        keeps_text: Whether policy captures the call's bodies in full.
    """

    call: CallId
    arm: str
    keeps_text: bool

    @property
    def values(self) -> tuple[Value, ...]:
        """As a row."""
        return (*self.call, self.arm, int(self.keeps_text))


_WAITING: Final = (
    "select namespace from signals where (namespace, call_id) in {} and is_waiting = 1"
)
_JOIN: Final = (
    "with told(n, c, a, k) as {} update signals set is_waiting = 0, arm = told.a, "
    "text = case when told.k = 1 then text else '' end "
    "from told where namespace = told.n and call_id = told.c"
)


class SignalTables:
    """Reads and writes signals in one transaction."""

    def __init__(self, rows: Rows) -> None:
        """Take the transaction."""
        self._rows = rows

    def known(self, ids: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bool]:
        """Say which signals are stored, by namespace and id, and whether they wait."""
        sql = (
            "select namespace, signal_id, is_waiting from signals "
            "where (namespace, signal_id) in {}"
        )
        found = self._rows.among(sql, ids)
        return {(str(namespace), str(name)): bool(waits) for namespace, name, waits in found}

    def of_calls(self, calls: Iterable[CallId]) -> dict[CallId, list[Signal]]:
        """Read the signals of calls."""
        sql = f"select {SIGNAL_COLUMNS} from signals where (namespace, call_id) in {{}}"  # noqa: S608 - our own words
        found: dict[CallId, list[Signal]] = {}
        for row in self._rows.among(sql, calls):
            signal = signal_of(row)
            found.setdefault((signal.namespace, signal.call_id), []).append(signal)
        return found

    def insert(self, joined: Iterable[Joined]) -> None:
        """Write new signals."""
        written = list(joined)
        self._rows.put("signals", _KEY, _REST, map(_row, written))
        self._count(each.signal.namespace for each in written if each.is_waiting)

    def _count(self, namespaces: Iterable[str], sign: int = 1) -> None:
        counts: dict[str, int] = {}
        for namespace in namespaces:
            counts[namespace] = counts.get(namespace, 0) + sign
        rows = sorted(counts.items())
        self._rows.put("waiting_signals", ("namespace",), ("signals",), rows, ADDED)

    def join(self, joining: Iterable[Joining]) -> None:
        """Have the signals of calls wait no longer."""
        told = list(joining)
        waiting = self._rows.among(_WAITING, [each.call for each in told])
        self._count((str(namespace) for (namespace,) in waiting), -1)
        for _ in self._rows.among(_JOIN, [each.values for each in told]):
            pass

    def shed_waiting(self, namespaces: Iterable[str], most: int) -> int:
        """Take away the oldest of too many that wait; returns how many."""
        shed = 0
        for namespace in sorted(set(namespaces)):
            sql = "select signals from waiting_signals where namespace = ?"
            number = sum(int(n or 0) for (n,) in self._rows.run(sql, namespace))
            if number > most:
                shed += self._shed(namespace, number - most)
        return shed

    def _shed(self, namespace: str, number: int) -> int:
        gone = self._rows.run(
            "delete from signals where (namespace, signal_id) in (select namespace, signal_id "
            "from signals where namespace = ? and is_waiting = 1 "
            "order by received_unix_ns limit ?) returning namespace",
            namespace, number,
        )  # fmt: skip
        self._count((str(namespace) for (namespace,) in gone), -1)
        return len(gone)

    def forget_waiting(self, before_unix_ns: int, limit: int) -> int:
        """Take away those that wait for too long; returns how many."""
        gone = self._rows.run(
            "delete from signals where (namespace, signal_id) in (select namespace, signal_id "
            "from signals where is_waiting = 1 and received_unix_ns < ? limit ?) "
            "returning namespace",
            before_unix_ns, limit,
        )  # fmt: skip
        self._count((str(namespace) for (namespace,) in gone), -1)
        return len(gone)

    def delete_calls(self, calls: Iterable[CallId]) -> None:
        """Take away the signals of calls."""
        sql = "delete from signals where (namespace, call_id) in {} returning namespace, is_waiting"
        gone = list(self._rows.among(sql, calls))
        self._count((str(namespace) for namespace, waits in gone if waits), -1)

    def delete(self, where: str, parameters: Sequence[Value], limit: int) -> int:
        """Take away signals that fit, so many at most; returns how many."""
        gone = self._rows.run(
            "delete from signals where (namespace, signal_id) in "  # noqa: S608 - our own words
            f"(select namespace, signal_id from signals where {where} limit ?) "
            "returning namespace, is_waiting",
            *parameters, limit,
        )  # fmt: skip
        self._count((str(namespace) for namespace, waits in gone if waits), -1)
        return len(gone)


def signal_of(row: Sequence[Any]) -> Signal:
    """Read `SIGNAL_COLUMNS`."""
    (
        namespace, signal_id, call_id, source, strength, confidence, at_ms, kind, reporter,
        received_unix_ns, dimension, category, goal, session_id, text,
    ) = row  # fmt: skip
    evidence = Evidence(Source(source), strength, confidence, at_ms, signal_id, kind, reporter)
    return Signal(
        namespace, signal_id, call_id, evidence, received_unix_ns, dimension, category, goal,
        session_id, text,
    )  # fmt: skip


def _row(joined: Joined) -> tuple[Value, ...]:
    signal, evidence = joined.signal, joined.signal.evidence
    return (
        signal.namespace, signal.signal_id, signal.call_id, int(evidence.source),
        float(evidence.strength), float(evidence.confidence), evidence.at_ms, evidence.kind,
        evidence.reporter, signal.received_unix_ns, signal.dimension, signal.failure_category,
        signal.goal, signal.session_id, signal.text,
        int(joined.is_waiting), joined.arm,
    )  # fmt: skip
