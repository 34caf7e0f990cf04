"""The state of spool, cache, policy, certificate and export as metrics, read at each scrape."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from remora_sidecar.cache.level import CacheStats


class SpoolFigures(Protocol):
    """What the spool counts."""

    unwritten_total: int
    lost_total: int

    @property
    def depth(self) -> int:
        """Records waiting."""
        ...

    @property
    def refused_total(self) -> int:
        """Records the aggregator will never take."""
        ...

    @property
    def shed_bodies_total(self) -> int:
        """Records whose bodies were shed."""
        ...

    @property
    def shed_records_total(self) -> int:
        """Records shed whole."""
        ...


class _SpoolCollector(Collector):
    def __init__(self, spool: SpoolFigures) -> None:
        self._spool = spool

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        spool = self._spool
        yield GaugeMetricFamily(
            "remora_spool_depth", "Records waiting for the aggregator.", spool.depth
        )
        counters = {
            "unwritten": (
                "Records that the spool's file did not take at once.",
                spool.unwritten_total,
            ),
            "lost": ("Records that could not be kept in any form.", spool.lost_total),
            "refused": ("Records that the aggregator refused.", spool.refused_total),
            "shed_bodies": ("Records whose bodies were shed for room.", spool.shed_bodies_total),
            "shed_records": ("Records shed whole for room.", spool.shed_records_total),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"remora_spool_{name}", text, value)


class JournalFigures(Protocol):
    """What the journal counts."""

    missed_total: int
    shed_bodies_total: int
    shed_records_total: int


class _JournalCollector(Collector):
    def __init__(self, journal: JournalFigures) -> None:
        self._journal = journal

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        journal = self._journal
        counters = {
            "missed": ("Calls that trackers can't ask about.", journal.missed_total),
            "shed_bodies": ("Calls whose bodies were given up.", journal.shed_bodies_total),
            "shed_records": ("Calls given up whole for newer ones.", journal.shed_records_total),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"remora_journal_{name}", text, value)


class CacheFigures(Protocol):
    """What the cache counts."""

    def stats(self) -> Mapping[str, CacheStats]:
        """Figures of each level, by name."""
        ...


class _CacheCollector(Collector):
    def __init__(self, cache: CacheFigures) -> None:
        self._cache = cache

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        stats = self._cache.stats()
        gauges = {"entries": "Answers kept.", "held_bytes": "What the answers kept take."}
        counters = {
            "hits": "Answers found on a level.",
            "misses": "Answers looked for in vain on a level.",
            "evictions": "Answers given up for room.",
            "expirations": "Answers removed after their time.",
            "errors": "Values and operations that failed.",
            "refused": "Answers too large, or too many at once.",
        }
        for name, text in gauges.items():
            gauge = GaugeMetricFamily(f"remora_cache_{name}", text, labels=("level",))
            for level, figures in stats.items():
                if (value := getattr(figures, name)) is not None:
                    gauge.add_metric((level,), value)
            yield gauge
        for name, text in counters.items():
            counter = CounterMetricFamily(f"remora_cache_{name}", text, labels=("level",))
            for level, figures in stats.items():
                counter.add_metric((level,), getattr(figures, name))
            yield counter


class PolicyFigures(Protocol):
    """What is known of the policy in force."""

    origin: str
    changes_total: int

    @property
    def name(self) -> str:
        """Of the policy in force; empty where there is none yet."""
        ...

    @property
    def version(self) -> str:
        """Of the policy in force; empty where there is none yet."""
        ...

    @property
    def refused_total(self) -> int:
        """Policies that were refused."""
        ...


class _PolicyCollector(Collector):
    def __init__(self, policy: PolicyFigures) -> None:
        self._policy = policy

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        policy = self._policy
        info = GaugeMetricFamily(
            "remora_policy_info",
            "1, of the policy in force.",
            labels=("name", "version", "origin"),
        )
        if policy.version:
            info.add_metric((policy.name, policy.version, policy.origin), 1)
        yield info
        yield CounterMetricFamily(
            "remora_policy_changes", "Policies put in force.", policy.changes_total
        )
        yield CounterMetricFamily(
            "remora_policy_refused",
            "Policies refused, the last good one stayed.",
            policy.refused_total,
        )


class CertificateFigures(Protocol):
    """What is known of the certificates that the operator signs."""

    renewals_total: int
    failures_total: int

    @property
    def not_after_unix_s(self) -> float | None:
        """When those in use end; None before the first."""
        ...


class _CertificateCollector(Collector):
    def __init__(self, certificate: CertificateFigures) -> None:
        self._certificate = certificate

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        certificate = self._certificate
        end = GaugeMetricFamily(
            "remora_certificate_not_after_seconds",
            "When the certificate of this pod ends, in seconds since 1970.",
        )
        if certificate.not_after_unix_s is not None:
            end.add_metric((), certificate.not_after_unix_s)
        yield end
        yield CounterMetricFamily(
            "remora_certificate_renewals",
            "Certificates that the operator signed for this pod.",
            certificate.renewals_total,
        )
        yield CounterMetricFamily(
            "remora_certificate_failures",
            "Times that the operator was asked for one in vain.",
            certificate.failures_total,
        )


class _ExportCollector(Collector):
    def __init__(self, dropped: Mapping[str, int]) -> None:
        self._dropped = dropped

    def collect(self) -> Iterable[Metric]:
        """Give the figures as they are now."""
        family = CounterMetricFamily(
            "remora_telemetry_spans_dropped",
            "Calls whose spans did not reach the collector.",
            labels=("reason",),
        )
        for reason, count in list(self._dropped.items()):
            family.add_metric((reason,), count)
        yield family


def watch_cache(registry: CollectorRegistry, cache: CacheFigures) -> None:
    """Add the cache's figures to a registry."""
    registry.register(_CacheCollector(cache))


def watch_certificate(registry: CollectorRegistry, certificate: CertificateFigures) -> None:
    """Add what is known of the operator's certificates to a registry."""
    registry.register(_CertificateCollector(certificate))


def watch_export(registry: CollectorRegistry, dropped: Mapping[str, int]) -> None:
    """Add what an export over OTLP dropped, by reason, to a registry."""
    registry.register(_ExportCollector(dropped))


def watch_journal(registry: CollectorRegistry, journal: JournalFigures) -> None:
    """Add the journal's figures to a registry."""
    registry.register(_JournalCollector(journal))


def watch_policy(registry: CollectorRegistry, policy: PolicyFigures) -> None:
    """Add what is known of the policy in force to a registry."""
    registry.register(_PolicyCollector(policy))


def watch_spool(registry: CollectorRegistry, spool: SpoolFigures) -> None:
    """Add the spool's figures to a registry."""
    registry.register(_SpoolCollector(spool))
