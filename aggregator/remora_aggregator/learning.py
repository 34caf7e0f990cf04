"""Builds what makes scores, tells them and keeps their versions, and runs it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import time

from remora.clock import Clock
from remora.task_owner import TaskOwner
from remora_aggregator.service.caller import Callers
from remora_aggregator.service.score_feed import ScoreFeed
from remora_aggregator.service.score_insights import InsightWatch
from remora_aggregator.service.score_making import REFRESH_S, ScoreMaking
from remora_aggregator.service.score_refit import DailyRefit
from remora_aggregator.service.score_reports import ScoreReports
from remora_aggregator.service.score_service import BEAT_S, ScoreService
from remora_aggregator.service.score_versions import ScoreVersions
from remora_aggregator.signals.ports import ScoreStore
from remora_aggregator.store.record_store import RecordStore


@dataclass(frozen=True, slots=True)
class Learning:
    """What learned routing has of an aggregator.

    Attributes:
        service: Serves scores over gRPC.
        reports: Tell how goals do, to whoever serves it otherwise.
        versions: Make router versions.
        making: Makes scores.
        refit: Makes versions anew every day.
        insights: Watches what is to be known of goals.
    """

    service: ScoreService
    reports: ScoreReports
    versions: ScoreVersions
    making: ScoreMaking
    refit: DailyRefit
    insights: InsightWatch

    def figures(self) -> tuple[int, int, Mapping[str, int], Mapping[str, int]]:
        """Give how many watch, how often goals were scored, and insights now and so far."""
        watches, made = self.making.feed.watch_count, self.making.made
        return watches, made, self.insights.standing(), self.insights.appeared


@asynccontextmanager
async def learning(
    scores: ScoreStore,
    records: RecordStore,
    callers: Callers,
    clock: Clock,
    *,
    refit_at: time | None = None,
    beat_s: float = BEAT_S,
    refresh_s: float = REFRESH_S,
) -> AsyncIterator[Learning]:
    """Run it as long as it is needed.

    Args:
        scores: Sums, settings and versions.
        records: Calls, for benchmarks.
        callers: Say who calls.
        clock: The time by which scores are made.
        refit_at: When versions are made anew, in UTC; None: never.
        beat_s: Watches are sent something at least so often.
        refresh_s: After so long scores are made again whatever changed.
    """
    making = ScoreMaking(scores, ScoreFeed(scores), clock, refresh_s=refresh_s)
    versions = ScoreVersions(scores, making)
    reports = ScoreReports(scores, records, making, versions)
    service = ScoreService(scores, making, versions, reports, callers, beat_s=beat_s)
    refit = DailyRefit(scores, versions, clock, refit_at)
    insights = InsightWatch(scores, reports)
    owner = TaskOwner("learning")
    owner.spawn(making.feed.run(), name="score feed")
    owner.spawn(refit.run(), name="daily refit")
    owner.spawn(insights.run(), name="insights")
    try:
        yield Learning(service, reports, versions, making, refit, insights)
    finally:
        await owner.aclose()
