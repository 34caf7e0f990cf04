"""What one transaction does with reported records: insert, merge, pass over, refuse."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import zstandard

from remora_aggregator.signals.record_trials import has_goal
from remora_aggregator.signals.trial import ArmTrial
from remora_aggregator.store.admission import unfit
from remora_aggregator.store.facts import Stamp, facts_of, is_error, parted
from remora_aggregator.store.learning_taking import Learning, ToldCall, told_trials
from remora_aggregator.store.port import Backend, CallKey, Known, NewRecord, Writing
from remora_aggregator.store.sql import Statement
from remora_aggregator.store.task_tables import CountedCall, TaskTables
from remora_aggregator.store.totals import Changes
from remora_aggregator.tasks.task import TaskKey, unfit_id
from remora_aggregator.tasks.totals import TaskCall, task_call
from remora_proto.v1 import records_pb2 as pb

_COMPRESSION_LEVEL = 3
_TRIAL = (
    # Written back as it was: SQLite leaves out a write that changes nothing.
    Statement("update stock set bytes = bytes + 1 where name = 'bodies'"),
    Statement("update stock set bytes = bytes - 1 where name = 'bodies'"),
)
_local = threading.local()
_unfit_id = lru_cache(maxsize=2_048)(unfit_id)


class Verdict(Enum):
    """What became of a record."""

    STORED = "stored"
    MERGED = "merged"
    KNOWN = "known"
    UNFIT = "unfit"
    CLASH = "clash"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record, and for a refused one why."""

    verdict: Verdict
    reason: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether it will never be stored."""
        return self.verdict in (Verdict.UNFIT, Verdict.CLASH)


_STORED = Outcome(Verdict.STORED)
_MERGED = Outcome(Verdict.MERGED)
_KNOWN = Outcome(Verdict.KNOWN)


@dataclass(slots=True)
class Batch:
    """Records of one origin that are committed together.

    Attributes:
        outcomes: What became of each, once they are.
        bodies: How many have bodies, those that were known before included.
        given: What is written of them, once that is worked out.
    """

    stamp: Stamp
    records: list[pb.CallRecord]
    outcomes: list[Outcome] = field(default_factory=list)
    bodies: int = 0
    given: "Sequence[tuple[CallKey, _Given]] | None" = None

    def prepare(self) -> None:
        """Work out what takes no database, so that nobody's transaction has to wait for it."""
        if self.given is None:
            self.given = list(_given(self))


def commit(backend: Backend, batches: Iterable[Batch]) -> None:
    """Write batches in one transaction and fill in their outcomes.

    Without batches it is a trial: something is written all the same, since a transaction that
    changes nothing can be committed to a full disk, too.

    Raises:
        Exception: One of the back end's errors; nothing of the batches was written.
    """
    given = []
    for batch in batches:
        batch.prepare()
        given.append((batch, batch.given or ()))
    with backend.transaction() as writing:
        keys = [key for _, keyed in given for key, _ in keyed]
        plan = _Plan(writing, keys, backend.flavour.mark)
        outcomes = [[plan.take(key, each) for key, each in keyed] for _, keyed in given]
        plan.write(writing)
        if not given:
            for statement in _TRIAL:
                writing.run(statement)
    for (batch, keyed), found in zip(given, outcomes, strict=True):
        batch.outcomes = found
        batch.bodies = sum(each.new is not None and bool(each.new.bodies) for _, each in keyed)


class _Given(NamedTuple):
    """A record as it came, and as it would be written.

    Attributes:
        new: None if it is unfit, with the reason.
        call: What its task counts; None if no task does.
        trials: What it tells of arms; None: nothing that is asked for without a signal.
    """

    record: pb.CallRecord
    stamp: Stamp
    new: NewRecord | None
    reason: str = ""
    call: TaskCall | None = None
    trials: Sequence[ArmTrial] | None = None


def _given(batch: Batch) -> Iterable[tuple[CallKey, _Given]]:
    stamp = batch.stamp
    for record in batch.records:
        reason = unfit(record)
        key = CallKey(stamp.namespace, record.call_id, stamp.pod_uid)
        if reason:
            yield key, _Given(record, stamp, None, reason)
            continue
        task_id = record.attribution.task_id
        call = _task_call(record, stamp) if task_id and not _unfit_id(task_id) else None
        trials = told_trials(record, stamp.received_unix_ns) if has_goal(record) else None
        yield key, _Given(record, stamp, new_record(record, stamp), call=call, trials=trials)


class _Plan:
    """Decides about each record, by what is stored and what came before it."""

    def __init__(self, writing: Writing, keys: Sequence[CallKey], mark: str) -> None:
        self._writing = writing
        self._mark = mark
        self._known = dict(writing.known(keys))
        self._taken: dict[CallKey, _Given] = {}
        self._replaced: dict[CallKey, int] = {}

    def take(self, key: CallKey, given: _Given) -> Outcome:
        record = given.record
        if given.new is None:
            return Outcome(Verdict.UNFIT, given.reason)
        if (known := self._known.get(key)) is None:
            return self._first_seen(key, given)
        if known.started_unix_ns != record.started_unix_nano:
            return Outcome(Verdict.CLASH, "another call was recorded under this id")
        if record.revision <= known.revision:
            return _KNOWN
        # At a new position, so that whoever follows the records sees the later fact too.
        if self._taken.pop(key, None) is None:
            self._replaced[key] = known.position
        self._keep(key, given)
        return _MERGED

    def _first_seen(self, key: CallKey, given: _Given) -> Outcome:
        if given.record.revision and self._is_of_another_pod(key):
            return Outcome(Verdict.CLASH, "the call was recorded by another sidecar")
        self._keep(key, given)
        return _STORED

    def _is_of_another_pod(self, key: CallKey) -> bool:
        new = (other for other in self._taken if other[:2] == key[:2])
        return next(new, None) is not None or bool(self._writing.other_pods([key]))

    def _keep(self, key: CallKey, given: _Given) -> None:
        self._taken[key] = given
        record = given.record
        self._known[key] = Known(0, record.revision, record.started_unix_nano)

    def write(self, writing: Writing) -> None:
        changes = Changes()
        calls = list(self._counted())
        if self._replaced:
            replaced = list(self._replaced.values())
            for facts in writing.facts_at(replaced):
                changes.count(facts, -1)
            writing.delete(replaced)
        new = [taken.new for taken in self._taken.values() if taken.new is not None]
        for record in new:
            changes.count(record.facts)
        writing.insert(new)
        put(writing, changes)
        if calls:
            TaskTables(writing, self._mark).count(calls)
        if new:
            Learning(writing, self._mark).take_records(self._told())

    def _told(self) -> Iterable[ToldCall]:
        """What the records tell of arms that are to be written."""
        for key, taken in self._taken.items():
            yield ToldCall(
                key.namespace,
                key.pod_uid,
                taken.record,
                taken.stamp.received_unix_ns,
                key in self._replaced,
                taken.trials,
            )

    def _counted(self) -> Iterable[CountedCall]:
        """What tasks count of the records that are to be written."""
        for key, taken in self._taken.items():
            if taken.call is not None:
                task_id = taken.record.attribution.task_id
                before = self._replaced_record(key)
                is_same = before is not None and before.attribution.task_id == task_id
                yield CountedCall(
                    TaskKey(key.namespace, task_id),
                    taken.call,
                    taken.stamp.received_unix_ns,
                    _task_call(before, taken.stamp) if before is not None and is_same else None,
                )

    def _replaced_record(self, key: CallKey) -> pb.CallRecord | None:
        position = self._replaced.get(key)
        if position is None:
            return None
        sql = f"select message from records where position = {self._mark}"  # noqa: S608 - our own words
        rows = self._writing.run(Statement(sql, (position,)))
        return pb.CallRecord.FromString(bytes(rows[0][0])) if rows else None  # type: ignore[arg-type]  # a blob


def _task_call(record: pb.CallRecord, stamp: Stamp) -> TaskCall:
    return task_call(
        record,
        stamp.pod_uid,
        stamp.received_unix_ns,
        is_error=is_error(record),
        ahead_s=stamp.clock_skew_s or 0.0,
    )


def new_record(record: pb.CallRecord, stamp: Stamp) -> NewRecord:
    """Make what is written of a record."""
    message, bodies = parted(record)
    if bodies is None:
        return NewRecord(facts_of(record, stamp), message)
    packed = _compressor().compress(bodies)
    return NewRecord(facts_of(record, stamp), message, packed)


def _compressor() -> zstandard.ZstdCompressor:
    """Give the thread's own: making one costs more than a small body does."""
    found: zstandard.ZstdCompressor | None = getattr(_local, "compressor", None)
    if found is None:
        found = _local.compressor = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL)
    return found


def put(writing: Writing, changes: Changes) -> None:
    """Add changes to the totals that are kept."""
    periods = changes.periods()
    for key, kept in writing.periods(periods).items():
        kept.merge(periods[key])
        periods[key] = kept
    writing.put_periods(periods)
    spans = changes.spans()
    for span, known in writing.spans(spans).items():
        known.merge(spans[span])
        spans[span] = known
    writing.put_spans(spans)
