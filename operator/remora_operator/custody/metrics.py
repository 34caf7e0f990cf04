"""What Prometheus scrapes of the custodian."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from remora_operator.custody.authorities import Authorities
from remora_operator.custody.problem_board import ProblemBoard
from remora_operator.custody.served_tls import ServedTls
from remora_operator.custody.serving_keeper import ServingKeeper
from remora_operator.custody.trust_maps import TrustMaps

_UNIX = "in seconds since 1970."


@dataclass(frozen=True, slots=True)
class CustodyParts:
    """What a custodian is made of, as far as it has figures."""

    authorities: Authorities
    servers: ServingKeeper
    tls: ServedTls
    maps: TrustMaps
    board: ProblemBoard


class CustodyMetrics(Collector):
    """All figures of one custodian."""

    def __init__(self, parts: CustodyParts) -> None:
        """Take whose figures."""
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        """Give them as they are now."""
        yield from self._authorities()
        yield from self._certificates()
        kept = "Namespaces whose trust files are as they should be; counted by the leader."
        yield GaugeMetricFamily("remora_operator_trust_maps", kept, value=self._parts.maps.kept)
        yield _labelled(
            CounterMetricFamily(
                "remora_operator_trust_map_writes",
                "Trust ConfigMaps written, by what was done.",
                labels=["what"],
            ),
            self._parts.maps.written,
        )
        yield _labelled(
            GaugeMetricFamily(
                "remora_operator_custody_problems",
                "What is wrong with keys and trust, by where it was found.",
                labels=["part"],
            ),
            self._parts.board.counts,
        )

    def _authorities(self) -> Iterator[Metric]:
        rotations = self._parts.authorities.rotations
        yield _labelled(
            GaugeMetricFamily(
                "remora_operator_ca_not_after_seconds",
                f"When the CA that signs now ends, {_UNIX}",
                labels=["ca"],
            ),
            {name: one.signer.end.timestamp() for name, one in rotations.items()},
        )
        yield _labelled(
            GaugeMetricFamily(
                "remora_operator_ca_roots",
                "Roots that are trusted: 2 while one takes the other's place.",
                labels=["ca"],
            ),
            {name: len(one.roots) for name, one in rotations.items()},
        )

    def _certificates(self) -> Iterator[Metric]:
        yield _labelled(
            GaugeMetricFamily(
                "remora_operator_serving_cert_not_after_seconds",
                f"When a server's certificate ends, {_UNIX} Of the leader.",
                labels=["secret"],
            ),
            {name: end.timestamp() for name, end in self._parts.servers.ends.items()},
        )
        leaf = self._parts.tls.leaf
        webhook = GaugeMetricFamily(
            "webhook_cert_not_after_seconds",
            f"When the certificate ends that this replica's webhook serves, {_UNIX}",
        )
        if leaf is not None:
            webhook.add_metric((), leaf.not_valid_after_utc.timestamp())
        yield webhook


def _labelled[M: (GaugeMetricFamily, CounterMetricFamily)](
    family: M, values: Mapping[str, float]
) -> M:
    for label, value in sorted(values.items()):
        family.add_metric((label,), value)
    return family
