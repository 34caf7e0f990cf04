"""What learned routing goes by beyond one process, made of a sidecar's settings and policy."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from remora.client.target import AggregatorTarget
from remora.task_owner import TaskOwner
from remora_sidecar.data_directory import DataDirectory
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.policy.learned import Learned
from remora_sidecar.policy.score_book import ScoreBook
from remora_sidecar.score_file import ScoreFile
from remora_sidecar.score_watch import ScoreWatch
from remora_sidecar.settings import SidecarSettings


class ScoreKeeping:
    """Remembers scores over restarts, and follows them where there is an aggregator."""

    def __init__(self, book: ScoreBook, file: ScoreFile, watch: ScoreWatch | None) -> None:
        """Take the file of the scores, and who follows them."""
        self._book = book
        self._file = file
        self._watch = watch

    @classmethod
    def open(
        cls,
        settings: SidecarSettings,
        data: DataDirectory,
        parts: EngineParts,
        target: AggregatorTarget | None,
    ) -> "ScoreKeeping":
        """Take over what an earlier sidecar wrote, and what the first policy goes by."""
        learned, policy = parts.steering.routers.learned, parts.policy
        book = learned.book
        file = ScoreFile(data.path, book)
        file.load()
        book.apply(
            policy.rulebook.rules.routes, across_namespaces=policy.rulebook.across_namespaces
        )
        watch = None
        if target is not None:
            watch = ScoreWatch(target, book, workload=settings.workload)
        watch_scores(parts.metrics.registry, learned)
        return cls(book, file, watch)

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should know."""
        watching = self._watch.problem if self._watch is not None else ""
        return tuple(filter(None, (self._file.problem, watching)))

    @property
    def figures(self) -> Mapping[str, bool | int]:
        """Whether scores come, and of how many goals some are known."""
        is_watched = self._watch is not None and self._watch.is_watched
        return {"scores_watched": is_watched, "goals_known": len(self._book)}

    def start(self, tasks: TaskOwner) -> None:
        """Follow and write from now on."""
        tasks.spawn(self._file.run(), name="score file")
        if self._watch is not None:
            tasks.spawn(self._watch.run(), name="score watch")

    async def aclose(self) -> None:
        """Write down what is known."""
        await self._file.write()


class _ScoreCollector(Collector):
    def __init__(self, learned: Learned) -> None:
        self._learned = learned

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        yield GaugeMetricFamily(
            "remora_goals_known", "Goals that scores are known of.", len(self._learned.book)
        )
        text = "Calls that learned routing decided."
        decisions = CounterMetricFamily("remora_learned_decisions", text, labels=["reason"])
        for reason, count in self._learned.decisions.items():
            decisions.add_metric([reason], count)
        yield decisions


def watch_scores(registry: CollectorRegistry, learned: Learned) -> None:
    """Add the figures of learned routing to a registry."""
    registry.register(_ScoreCollector(learned))
