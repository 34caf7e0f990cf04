"""Builds what works on the store beside its services: tasks, signals, what is no longer kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from remora.clock import Clock
from remora.policy.quantities import Duration, Quantity
from remora.task_owner import TaskOwner
from remora_aggregator.service.caller import Callers
from remora_aggregator.service.execution_service import WorkflowService
from remora_aggregator.service.signal_service import SignalService
from remora_aggregator.service.task_service import TaskService
from remora_aggregator.settings import AggregatorSettings
from remora_aggregator.store.execution_store import StoredExecutions
from remora_aggregator.store.kalibr_upkeep import KalibrUpkeep
from remora_aggregator.store.learning_score_store import StoredScores
from remora_aggregator.store.learning_signal_store import StoredSignals
from remora_aggregator.store.learning_upkeep import LearningUpkeep
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.retention import Retention
from remora_aggregator.store.task_store import StoredTasks
from remora_aggregator.store.upkeep import Upkeep
from remora_aggregator.tasks.conclusions import QuietRules
from remora_aggregator.tasks.leases import LeaseSettings

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Keeping:
    """What works on a store.

    Attributes:
        tasks: Serves tasks and leases.
        signals: Serves signals.
        stored_signals: Where they are.
        stored_scores: What is learned of them.
        upkeep: Sheds what is no longer kept.
        workflows: Serves executions of workflows.
    """

    tasks: TaskService
    signals: SignalService
    stored_signals: StoredSignals
    stored_scores: StoredScores
    upkeep: Upkeep
    workflows: WorkflowService


@asynccontextmanager
async def keeping(
    settings: AggregatorSettings, store: RecordStore, callers: Callers, clock: Clock
) -> AsyncIterator[Keeping]:
    """Keep it working as long as it is needed."""
    stored = StoredTasks(store, clock)
    tasks = TaskService(
        stored, stored, callers, clock, leases=_leases(settings), quiet=_quiet(settings)
    )
    stored_signals = StoredSignals(store)
    signals = SignalService(stored_signals, callers, clock)
    keep = retention_of(settings)
    learning, kalibr = LearningUpkeep(store, keep, clock), KalibrUpkeep(store, keep, clock)
    upkeep = Upkeep(store, keep, clock, stored, learning, kalibr)
    workflows = WorkflowService(StoredExecutions(store, clock), store, callers)
    owner = TaskOwner("keeping")
    owner.spawn(tasks.run(), name="tasks")
    owner.spawn(upkeep.run(), name="upkeep")
    try:
        scores = StoredScores(store, clock)
        yield Keeping(tasks, signals, stored_signals, scores, upkeep, workflows)
    finally:
        await owner.aclose()


def retention_of(settings: AggregatorSettings) -> Retention:
    """Read how much is kept, and for how long."""
    return Retention(
        facts_ns=_ns(settings.keep_records),
        bodies_ns=_ns(settings.keep_bodies),
        days_ns=_ns(settings.keep_daily_sums),
        facts_bytes=_bytes(settings.records_size),
        bodies_bytes=_bytes(settings.bodies_size),
        signals_ns=_ns(settings.keep_signals),
        spans_ns=_ns(settings.keep_spans),
    )


def _leases(settings: AggregatorSettings) -> LeaseSettings:
    return LeaseSettings(settings.lease_s, settings.lease_per_mille)


def _quiet(settings: AggregatorSettings) -> QuietRules:
    return QuietRules(_seconds(settings.pause_tasks), _seconds(settings.complete_tasks))


def _ns(duration: Duration | None) -> int | None:
    return None if duration is None else duration.milliseconds * _NS_PER_MS


def _seconds(duration: Duration | None) -> float | None:
    return None if duration is None else duration.milliseconds / 1000


def _bytes(size: Quantity | None) -> int | None:
    return None if size is None else size.bytes
