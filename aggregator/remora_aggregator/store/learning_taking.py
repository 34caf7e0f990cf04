"""What one transaction does with records, signals and trials: all that is known of their calls."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from remora_aggregator.signals import judging
from remora_aggregator.signals.judging import KnownCall
from remora_aggregator.signals.ports import TakenSignal
from remora_aggregator.signals.record_trials import trials_of
from remora_aggregator.signals.signal import Signal
from remora_aggregator.signals.trial import ArmTrial
from remora_aggregator.store.learning_places import arm_key
from remora_aggregator.store.learning_rows import Rows
from remora_aggregator.store.learning_signals import MOST_WAITING, Joined, Joining, SignalTables
from remora_aggregator.store.learning_trials import CallId, TrialTables, fit
from remora_aggregator.store.port import Writing
from remora_proto.v1 import records_pb2 as pb

FULL = "full"
"""What a record says where policy captures bodies whole."""

_NS_PER_MS = 1_000_000


class ToldCall(NamedTuple):
    """A record that is written.

    Attributes:
        is_revised: Whether another one of the same call is stored.
        trials: What it tells; None: the call has no goal, so nobody asked yet.
    """

    namespace: str
    pod_uid: str
    record: pb.CallRecord
    received_unix_ns: int
    is_revised: bool = False
    trials: Sequence[ArmTrial] | None = None

    @property
    def call(self) -> CallId:
        """Its id."""
        return self.namespace, self.record.call_id

    def added_to(self, known: KnownCall, signals: Sequence[Signal], forgotten_ms: int) -> KnownCall:
        """Add what it tells; nothing, if the call is one whose trials are forgotten."""
        if self.record.started_unix_nano < forgotten_ms * _NS_PER_MS:
            return known
        trials = self.trials
        if trials is None:
            trials = told_trials(self.record, self.received_unix_ns)
        return judging.with_record(known, trials, self.pod_uid, signals)


def told_trials(record: pb.CallRecord, received_unix_ns: int) -> Sequence[ArmTrial]:
    """Tell a record's trials as they are stored."""
    return [fit(trial) for trial in trials_of(record, received_unix_ns)]


class Learning:
    """Signals and trials within one transaction."""

    def __init__(self, writing: Writing, mark: str) -> None:
        """Take the transaction, and what stands for a parameter in its SQL."""
        self._writing = writing
        self._rows = Rows(writing, mark)
        self._trials = TrialTables(self._rows)
        self._signals = SignalTables(self._rows)

    @cached_property
    def _state(self) -> tuple[int, bool]:
        """Before when calls began whose trials are forgotten, and whether any signal waits."""
        sql = (
            "select forgotten_ms, exists (select 1 from waiting_signals where signals > 0) "
            "from learning_state"
        )
        ((forgotten_ms, waits),) = self._rows.run(sql)
        return int(forgotten_ms or 0), bool(waits)

    def take_records(self, told: Iterable[ToldCall]) -> None:
        """Take what records tell that are written in the same transaction."""
        _, something_waits = self._state
        calls = [
            call
            for call in told
            if something_waits or call.is_revised or call.trials is not None
        ]  # fmt: skip
        if calls:
            self._take_calls(calls)

    def _take_calls(self, told: Sequence[ToldCall]) -> None:
        forgotten_ms, something_waits = self._state
        ids = dict.fromkeys(call.call for call in told)
        before = self._trials.of_calls(ids)
        revised = {call.call for call in told if call.is_revised}
        signals = self._signals.of_calls(
            ids if something_waits else [key for key in ids if key in before or key in revised]
        )
        after: dict[CallId, KnownCall] = {}
        joining: dict[CallId, Joining] = {}
        for call in told:
            key = call.call
            mine, said = after.get(key, before.get(key, {})), signals.get(key, ())
            if mine or said or call.trials is not None:
                after[key] = call.added_to(mine, said, forgotten_ms)
                if said:
                    joining[key] = _joining(key, after[key], call.record)
        if after:
            self._trials.replace(before, after)
            self._signals.join(joining.values())

    def take_signals(
        self, signals: Sequence[Signal], *, most_waiting: int = MOST_WAITING
    ) -> tuple[Sequence[TakenSignal], int]:
        """Take signals; tells what became of each, and how many that waited were shed."""
        ids = [(signal.namespace, signal.signal_id) for signal in signals]
        known = self._signals.known(set(ids))
        new = {key: signal for key, signal in zip(ids, signals, strict=True) if key not in known}
        waiting = self._take_new(list(new.values())) if new else set()
        shed = self._signals.shed_waiting({namespace for namespace, _ in waiting}, most_waiting)
        taken, seen = [], set(known)
        for key in ids:
            taken.append(TakenSignal(key in seen, known.get(key, key in waiting)))
            seen.add(key)
        return taken, shed

    def _take_new(self, signals: Sequence[Signal]) -> set[tuple[str, str]]:
        """Write signals that nobody knows; gives those that wait."""
        by_call: dict[CallId, list[Signal]] = {}
        for signal in signals:
            by_call.setdefault((signal.namespace, signal.call_id), []).append(signal)
        before = self._trials.of_calls(by_call)
        records = self._records_of(
            key for key, said in by_call.items()
            if key not in before or any(signal.text for signal in said)
        )  # fmt: skip
        after: dict[CallId, KnownCall] = {}
        joined: list[Joined] = []
        for key, said in by_call.items():
            record = records.get(key)
            mine = before.get(key)
            if mine is None:
                mine = {} if record is None else record.added_to({}, (), self._state[0])
            after[key] = judging.with_signals(mine, said)
            is_waiting = record is None and not mine
            joined += _joined(after[key], said, record, is_waiting=is_waiting)
        self._trials.replace(before, after)
        self._signals.insert(joined)
        return {
            (each.signal.namespace, each.signal.signal_id) for each in joined if each.is_waiting
        }

    def _records_of(self, calls: Iterable[CallId]) -> Mapping[CallId, ToldCall]:
        """Find the records of calls; of several pods' the first."""
        found = self._writing.places(list(calls))
        first: dict[CallId, tuple[int, str]] = {}
        for key, position in sorted(found, key=lambda one: one[1]):
            first.setdefault((key.namespace, key.call_id), (position, key.pod_uid))
        records = dict(self._messages([position for position, _ in first.values()]))
        return {
            (namespace, call_id): ToldCall(namespace, pod_uid, *records[position])
            for (namespace, call_id), (position, pod_uid) in first.items()
            if position in records
        }

    def _messages(
        self, positions: Sequence[int]
    ) -> Iterable[tuple[int, tuple[pb.CallRecord, int]]]:
        for begin in range(0, len(positions), 100):
            some = positions[begin : begin + 100]
            marks = ", ".join("?" * len(some))
            sql = (
                "select position, message, received_unix_ns from records "  # noqa: S608 - our own words
                f"where position in ({marks})"
            )
            for position, message, received in self._rows.run(sql, *some):
                record = pb.CallRecord.FromString(bytes(message))  # type: ignore[arg-type]  # a blob
                yield int(position), (record, int(received))  # type: ignore[arg-type]  # numbers

    def take_trials(self, namespace: str, trials: Sequence[ArmTrial]) -> None:
        """Take trials that a program tells of."""
        forgotten_ms, _ = self._state
        by_call: dict[CallId, list[ArmTrial]] = {}
        for trial in map(fit, trials):
            if trial.at_ms >= forgotten_ms:
                by_call.setdefault((namespace, trial.call_id), []).append(trial)
        before = self._trials.of_calls(by_call)
        signals = self._signals.of_calls(by_call)
        after = {
            key: judging.with_trials(before.get(key, {}), told, signals.get(key, ()))
            for key, told in by_call.items()
        }
        self._trials.replace(before, after)
        self._signals.join(_joining(key, after[key], None) for key in signals)


def _joining(call: CallId, known: KnownCall, record: pb.CallRecord | None) -> Joining:
    return Joining(call, _answer_arm(known), record is not None and record.capture == FULL)


def _answer_arm(known: KnownCall) -> str:
    """Give the key of the answer's arm as a column holds it."""
    key = judging.answer_of(known)
    return "" if key is None else arm_key(known[key].trial.arm)


def _joined(
    known: KnownCall, signals: Iterable[Signal], record: ToldCall | None, *, is_waiting: bool
) -> Iterable[Joined]:
    arm = _answer_arm(known)
    # Whoever waits may yet learn that its text is kept.
    keeps_text = is_waiting or (record is not None and record.record.capture == FULL)
    for signal in signals:
        kept = signal if keeps_text else replace(signal, text="")
        yield Joined(kept, is_waiting, arm)
