"""Says when insights appear and go: a line in the log for each, and figures of those that stand."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterable

from remora.errors import Unavailable
from remora.learning.insights import Insight
from remora_aggregator.service.score_reports import ScoreReports
from remora_aggregator.signals.ports import GoalKey, ScoreStore

logger = logging.getLogger(__name__)

LOOK_S = 30.0
ALL_S = 3_600.0
"""After so long all goals are looked at: time changes some insights, too."""

type _Standing = dict[tuple[str, str], Insight]
"""By kind and arm."""


class InsightWatch:
    """Watches the insights of one store.

    Attributes:
        appeared: How many appeared since the start, by kind.
    """

    def __init__(self, store: ScoreStore, reports: ScoreReports) -> None:
        """Take the store, and who finds insights."""
        self.appeared: Counter[str] = Counter()
        self._store = store
        self._reports = reports
        self._standing: dict[GoalKey, _Standing] = {}
        self._last = 0
        self._all_s: float | None = None
        self._has_looked = False

    def standing(self) -> Counter[str]:
        """Count the insights that stand, by kind."""
        return Counter(kind for found in self._standing.values() for kind, _ in found)

    async def run(self) -> None:
        """Look now and then until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                logger.warning("insights could not be looked for: %s", error)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look at the goals that changed; raises Unavailable.

        What stands at the first look is told by figures alone: it was logged when it appeared.
        """
        now_s = asyncio.get_running_loop().time()
        if self._all_s is None or now_s - self._all_s >= ALL_S:
            self._last, self._all_s = 0, now_s
        changes = await self._store.changes(self._last)
        for key in sorted(changes.goals):
            if key.goal:
                await self._look_at(key)
        self._last, self._has_looked = changes.last, True

    async def _look_at(self, key: GoalKey) -> None:
        found = await self._reports.insights(key.namespace, key.goal)
        standing: _Standing = {(insight.kind, insight.arm): insight for insight in found}
        before = self._standing.get(key, {})
        self._standing[key] = standing
        if not self._has_looked:
            return
        for insight in _beyond(standing, before):
            self.appeared[insight.kind] += 1
            _log("appeared", key, insight)
        for insight in _beyond(before, standing):
            _log("went", key, insight)


def _beyond(some: _Standing, others: _Standing) -> Iterable[Insight]:
    return [insight for place, insight in some.items() if place not in others]


def _log(what: str, key: GoalKey, insight: Insight) -> None:
    fields = {
        "event": what,
        "kind": insight.kind,
        "namespace": key.namespace,
        "goal": insight.goal,
        "arm": insight.arm,
        "evidence": dict(insight.evidence),
        "advice": insight.advice,
    }
    logger.info("insight %s", json.dumps(fields, ensure_ascii=True))
