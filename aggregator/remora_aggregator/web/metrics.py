"""What Prometheus scrapes of an aggregator. No label has more values than are listed here."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, get_args

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from remora.learning.insights import Kind
from remora_aggregator.store.committing import Batch, Verdict

OTHER_ROUTE: Final = "other"

_PREFIX: Final = "remora_aggregator_"
_COMMIT_BOUNDS_S: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip
_RECORD_BOUNDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)


class StoreFigures(Protocol):
    """What the store knows of itself."""

    outcomes: Counter[str]
    problem: str
    failed_commits: int

    @property
    def waiting_batches(self) -> int:
        """How many batches wait to be committed."""
        ...

    @property
    def follower_count(self) -> int:
        """How many follow what is committed."""
        ...


class SidecarFigures(NamedTuple):
    """What is known of sidecars.

    Attributes:
        reporting: How many were heard of within the last minutes.
        silent: How many were within a day, and not since.
        waiting_records: In the spools of those that report and say so.
        waiting_bytes: The room that they take.
    """

    reporting: int
    silent: int
    waiting_records: int
    waiting_bytes: int


class LearningFigures(NamedTuple):
    """What is known of learned routing.

    Attributes:
        watches: How many follow scores.
        made: How many times a goal was scored.
        insights: How many stand, by kind.
        appeared: How many appeared, by kind.
    """

    watches: int
    made: int
    insights: Mapping[str, int]
    appeared: Mapping[str, int]


class ConnectionFigures(Protocol):
    """What the HTTP listener knows of its connections."""

    made_way: int
    turned_away: int

    def __len__(self) -> int:
        """How many stand."""
        ...


class AggregatorMetrics:
    """All figures of one aggregator.

    Attributes:
        registry: What is scraped.
    """

    def __init__(self, version: str) -> None:
        """Begin with nothing.

        Args:
            version: Of the aggregator.
        """
        self.registry = CollectorRegistry()
        self._commit_s = Histogram(
            f"{_PREFIX}commit_seconds", "Time that transactions with records took.",
            buckets=_COMMIT_BOUNDS_S, registry=self.registry,
        )  # fmt: skip
        self._commit_records = Histogram(
            f"{_PREFIX}commit_records", "Records in a transaction.",
            buckets=_RECORD_BOUNDS, registry=self.registry,
        )  # fmt: skip
        self._body_bytes = PrometheusCounter(
            f"{_PREFIX}body_bytes", "Bytes of captured bodies stored.", registry=self.registry
        )
        self._requests = PrometheusCounter(
            f"{_PREFIX}http_requests", "HTTP requests answered.",
            ("route", "status"), registry=self.registry,
        )  # fmt: skip
        self._build = _Families(lambda: iter([_build(version)]))
        self.registry.register(self._build)

    def count_commit(self, batches: Sequence[Batch], took_s: float) -> None:
        """Count a transaction; a `CommitWatcher`."""
        self._commit_s.observe(took_s)
        self._commit_records.observe(sum(len(batch.records) for batch in batches))
        self._body_bytes.inc(sum(_body_bytes(batch) for batch in batches))

    def count_request(self, route: str, status: int) -> None:
        """Count an answer.

        Args:
            route: The path as it was declared, variable parts in braces.
            status: Of the answer.
        """
        self._requests.labels(route or OTHER_ROUTE, str(status)).inc()

    def watch_store(self, store: StoreFigures) -> None:
        """Add what a store knows of itself."""
        self.registry.register(_Families(lambda: _of_store(store)))

    def watch_connections(self, connections: ConnectionFigures) -> None:
        """Add what the HTTP listener knows of its connections."""
        self.registry.register(_Families(lambda: _of_connections(connections)))

    def watch_sidecars(self, tell: Callable[[], "SidecarFigures"]) -> None:
        """Add what is known of the sidecars that report."""
        self.registry.register(_Families(lambda: _of_sidecars(tell())))

    def watch_learning(self, tell: Callable[[], "LearningFigures"]) -> None:
        """Add what is known of scores and insights."""
        self.registry.register(_Families(lambda: _of_learning(tell())))

    def watch_export(self, dropped: Mapping[str, int]) -> None:
        """Add what an export over OTLP dropped, by reason."""
        self.registry.register(_Families(lambda: _of_export(dropped)))

    def watch_position(self, position: "LastPosition") -> None:
        """Add where the newest record stands."""
        self.registry.register(_Families(lambda: _of_position(position)))


class LastPosition(Protocol):
    """Knows where the newest record stands."""

    last_position: int | None


class _Families(Collector):
    """Figures that are read at each scrape."""

    def __init__(self, read: "_Read") -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        return self._read()


class _Read(Protocol):
    def __call__(self) -> Iterator[Metric]: ...


def _build(version: str) -> Metric:
    family = GaugeMetricFamily(
        f"{_PREFIX}build_info", "1, of this aggregator.", labels=("version",)
    )
    family.add_metric((version,), 1)
    return family


def _of_store(store: StoreFigures) -> Iterator[Metric]:
    records = CounterMetricFamily(
        f"{_PREFIX}records", "Records reported, by what became of them.", labels=("verdict",)
    )
    for verdict in Verdict:
        records.add_metric((verdict.value,), store.outcomes[verdict.value])
    yield records
    yield CounterMetricFamily(
        f"{_PREFIX}commits_failed", "Transactions that failed.", store.failed_commits
    )
    yield GaugeMetricFamily(
        f"{_PREFIX}waiting_batches", "Batches that wait to be committed.", store.waiting_batches
    )
    yield GaugeMetricFamily(
        f"{_PREFIX}followers", "Who follows the records as they are committed.",
        store.follower_count,
    )  # fmt: skip
    yield GaugeMetricFamily(
        f"{_PREFIX}store_problem", "1 while the store can't be written.", int(bool(store.problem))
    )


def _of_connections(connections: ConnectionFigures) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        f"{_PREFIX}http_connections", "HTTP connections that stand.", len(connections)
    )
    lost = CounterMetricFamily(
        f"{_PREFIX}http_connections_refused", "HTTP connections that were too many.",
        labels=("how",),
    )  # fmt: skip
    lost.add_metric(("made_way",), connections.made_way)
    lost.add_metric(("turned_away",), connections.turned_away)
    yield lost


def _of_sidecars(found: SidecarFigures) -> Iterator[Metric]:
    sidecars = GaugeMetricFamily(
        f"{_PREFIX}sidecars", "Sidecars heard of within a day, by whether they still are.",
        labels=("heard",),
    )  # fmt: skip
    sidecars.add_metric(("lately",), found.reporting)
    sidecars.add_metric(("earlier",), found.silent)
    yield sidecars
    yield GaugeMetricFamily(
        f"{_PREFIX}sidecars_waiting_records", "Records that wait in the spools of sidecars.",
        found.waiting_records,
    )  # fmt: skip
    yield GaugeMetricFamily(
        f"{_PREFIX}sidecars_waiting_bytes", "Room that they take there.", found.waiting_bytes
    )


def _of_learning(found: LearningFigures) -> Iterator[Metric]:
    yield GaugeMetricFamily(f"{_PREFIX}score_watches", "Who follows scores.", found.watches)
    yield CounterMetricFamily(f"{_PREFIX}scores_made", "Times that a goal was scored.", found.made)
    standing = GaugeMetricFamily(
        f"{_PREFIX}insights", "Insights about goals that stand, by kind.", labels=("kind",)
    )
    appeared = CounterMetricFamily(
        f"{_PREFIX}insights_appeared", "Insights about goals that appeared, by kind.",
        labels=("kind",),
    )  # fmt: skip
    for kind in get_args(Kind):
        standing.add_metric((kind,), found.insights.get(kind, 0))
        appeared.add_metric((kind,), found.appeared.get(kind, 0))
    yield standing
    yield appeared


def _of_export(dropped: Mapping[str, int]) -> Iterator[Metric]:
    family = CounterMetricFamily(
        f"{_PREFIX}spans_dropped", "Calls whose spans did not reach the collector.",
        labels=("reason",),
    )  # fmt: skip
    for reason, count in list(dropped.items()):
        family.add_metric((reason,), count)
    yield family


def _of_position(position: LastPosition) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        f"{_PREFIX}last_position", "Where the newest record stands, in the order of commits."
    )
    if position.last_position is not None:
        family.add_metric((), position.last_position)
    yield family


def _body_bytes(batch: Batch) -> int:
    if not batch.bodies:
        return 0
    outcomes = zip(batch.records, batch.outcomes, strict=True)
    written = (Verdict.STORED, Verdict.MERGED)
    return sum(
        len(record.request_body.content) + len(record.response_body.content)
        for record, outcome in outcomes
        if outcome.verdict in written
    )
