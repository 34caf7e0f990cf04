"""Signals and trials as the services see them: `signals.ports.SignalStore`."""

import base64
import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from remora.errors import BadRequest
from remora_aggregator.signals.ports import KeptSignal, SignalPage, SignalSelection, TakenSignal
from remora_aggregator.signals.reporters import KEY_BYTES
from remora_aggregator.signals.signal import Signal
from remora_aggregator.signals.trial import ArmTrial, JudgedTrial
from remora_aggregator.store import learning_forgetting
from remora_aggregator.store.facts import Value
from remora_aggregator.store.learning_rows import Rows
from remora_aggregator.store.learning_schema import KEPT_SIGNAL
from remora_aggregator.store.learning_signals import MOST_WAITING, SIGNAL_COLUMNS, signal_of
from remora_aggregator.store.learning_taking import Learning
from remora_aggregator.store.learning_trials import TRIAL_COLUMNS, TRIAL_TABLES, known_trial
from remora_aggregator.store.port import Row, Writing
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.sql import Statement

_SIGNS: Final = len(KEPT_SIGNAL) - 2
_ORDER: Final = ("received_unix_ns", "namespace", "signal_id")
_KEY_NAME: Final = "reporters"


class StoredSignals:
    """Keeps signals and trials beside records.

    Attributes:
        shed: How many signals were shed here, since too many waited for their records.
    """

    def __init__(self, store: RecordStore, *, most_waiting: int = MOST_WAITING) -> None:
        """Take the store, and how many signals of a namespace may wait for records."""
        self.shed = 0
        self._store = store
        self._most_waiting = most_waiting
        self._mark = store.backend.flavour.mark
        self._key = b""

    async def _changed[T](self, work: Callable[[Writing], T]) -> T:
        def run() -> T:
            with self._store.backend.transaction() as writing:
                return work(writing)

        try:
            return await self._store.write_with(run)
        finally:
            self._store.wake_followers()

    async def reporter_key(self) -> bytes:
        """Give the secret that reporters are hashed with, the same in all replicas."""

        def work(writing: Writing) -> bytes:
            rows = Rows(writing, self._mark)
            rows.run(
                "insert into learning_keys values (?, ?) on conflict (name) do nothing",
                _KEY_NAME, secrets.token_bytes(KEY_BYTES),
            )  # fmt: skip
            ((secret,),) = rows.run("select secret from learning_keys where name = ?", _KEY_NAME)
            return bytes(secret)  # type: ignore[arg-type]  # a blob

        if not self._key:
            self._key = await self._changed(work)
        return self._key

    async def take(self, signals: Sequence[Signal]) -> Sequence[TakenSignal]:
        """Store signals, in the order given."""
        if not signals:
            return ()

        def work(writing: Writing) -> tuple[Sequence[TakenSignal], int]:
            learning = Learning(writing, self._mark)
            return learning.take_signals(signals, most_waiting=self._most_waiting)

        taken, shed = await self._changed(work)
        self.shed += shed
        return taken

    async def take_trials(self, namespace: str, trials: Sequence[ArmTrial]) -> None:
        """Store trials that no record tells of."""
        if trials:
            await self._changed(
                lambda writing: Learning(writing, self._mark).take_trials(namespace, trials)
            )

    async def signals(self, selection: SignalSelection, *, after: str, limit: int) -> SignalPage:
        """Read a page of signals; raises BadRequest where the cursor is none of ours."""
        where, parameters = _conditions(selection)
        if after:
            where.append(f"({_signals(_ORDER)}) < (?, ?, ?)")
            parameters += _place_of(after)
        sql = (
            f"select {SIGNAL_COLUMNS}, signals.is_waiting, signals.arm, "  # noqa: S608 - our own words
            "coalesce(trials.signal_id, '') from signals left join trials on "
            "trials.namespace = signals.namespace and trials.call_id = signals.call_id "
            "and trials.arm = signals.arm "
            f"where {' and '.join(where) or '1 = 1'} "
            f"order by {', '.join(f'signals.{column} desc' for column in _ORDER)} limit ?"
        )
        found = await self._read(sql, (*parameters, limit), _kept_signals)
        last = found[-1].signal if len(found) == limit and found else None
        return SignalPage(found, "" if last is None else _cursor(last))

    async def trials(self, namespace: str, call_id: str) -> Sequence[JudgedTrial]:
        """Read the trials of a call."""
        sql = (
            f"select {TRIAL_COLUMNS} from {TRIAL_TABLES} "  # noqa: S608 - as above
            "where trials.namespace = ? and trials.call_id = ? order by trials.arm"
        )
        return await self._read(sql, (namespace, call_id), judged_trials)

    async def _read[T](
        self, sql: str, parameters: Sequence[Value], read: Callable[[Iterable[Row]], T]
    ) -> T:
        return await self._store.ask(
            Statement(sql.replace("?", self._mark), tuple(parameters)), read
        )

    async def forget(self, before_unix_ns: int, *, limit: int) -> int:
        """Forget signals and trials of calls before a time, so many at most; sums stay."""
        return await self._changed(
            lambda writing: learning_forgetting.forget(
                Rows(writing, self._mark), before_unix_ns, limit
            )
        )


def judged_trials(rows: Iterable[Sequence[Any]]) -> list[JudgedTrial]:
    """Read `TRIAL_COLUMNS` of many trials."""
    found = []
    for row in rows:
        namespace, known = known_trial(row)
        found.append(JudgedTrial(namespace, known.trial, known.evidence, known.failure_category))
    return found


def _kept_signals(rows: Iterable[Sequence[Any]]) -> list[KeptSignal]:
    return [_kept(*row[_SIGNS:], row=row[:_SIGNS]) for row in rows]


def _kept(is_waiting: int, arm: str, counted: str, *, row: Sequence[Any]) -> KeptSignal:
    # Nobody said that the text of one that waits is kept.
    signal = signal_of((*row[:-1], "") if is_waiting else row)
    is_counted = bool(arm) and counted == signal.signal_id
    state = "waiting" if is_waiting else "counted" if is_counted else "overruled"
    return KeptSignal(signal, state, arm)


def _conditions(chosen: SignalSelection) -> tuple[list[str], list[Value]]:
    where: list[str] = []
    parameters: list[Value] = []
    for column in ("call_id", "session_id", "kind"):
        if value := getattr(chosen, column):
            where.append(f"signals.{column} = ?")
            parameters.append(value)
    if chosen.goal:
        where.append("coalesce(trials.goal, signals.goal) = ?")
        parameters.append(chosen.goal)
    if chosen.namespaces is not None:
        marks = ", ".join("?" * len(chosen.namespaces))
        where.append(f"signals.namespace in ({marks})" if marks else "1 = 0")
        parameters += sorted(chosen.namespaces)
    if chosen.since_unix_ns:
        where.append("signals.received_unix_ns >= ?")
        parameters.append(chosen.since_unix_ns)
    if chosen.until_unix_ns:
        where.append("signals.received_unix_ns < ?")
        parameters.append(chosen.until_unix_ns)
    return where, parameters


def _signals(columns: Iterable[str]) -> str:
    return ", ".join(f"signals.{column}" for column in columns)


class _Place(NamedTuple):
    received_unix_ns: int
    namespace: str
    signal_id: str


def _cursor(last: Signal) -> str:
    place = _Place(last.received_unix_ns, last.namespace, last.signal_id)
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _place_of(cursor: str) -> _Place:
    try:
        received, namespace, signal_id = json.loads(base64.urlsafe_b64decode(cursor))
        if not 0 <= int(received) < 1 << 63:
            raise ValueError(received)
        return _Place(int(received), str(namespace), str(signal_id))
    except (ValueError, TypeError):
        text = f"cursor {cursor[:40]!r} is none of this aggregator's"
        raise BadRequest(text) from None
