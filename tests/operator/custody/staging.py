"""A cluster and custodians in it, by a clock that moves when told."""

import base64
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry

from remora.testing.clock import ManualClock
from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.kubernetes_objects import Refused, ResourcePath
from remora_operator.cluster.api_server import ApiServer
from remora_operator.custody.custodian import Custodian
from remora_operator.custody.moments import wall_time
from remora_operator.custody.settings import CustodySettings
from remora_operator.inject.config import InjectionConfig

SYSTEM = "/api/v1/namespaces/remora-system"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/remora-injector"
DAY_S = 86_400.0


@dataclass
class Replica:
    """One replica's custodian, and what it is told."""

    custodian: Custodian
    registry: CollectorRegistry
    leads: bool = True
    injection: InjectionConfig = field(default_factory=InjectionConfig)

    @property
    def said(self) -> str:
        """All problems, one a line."""
        return "\n".join(map(str, self.custodian.problems))

    def metric(self, name: str, **labels: str) -> float | None:
        """A figure as it is scraped."""
        return self.registry.get_sample_value(name, labels)


@dataclass
class Cluster:
    """The API server, the time, and the namespaces whose pods are injected (None: not known)."""

    api: KubernetesApi
    server: ApiServer
    clock: ManualClock
    namespaces: set[str] | None = field(default_factory=lambda: {"team-a"})

    def replica(self, *, leads: bool = True, **settings: Any) -> Replica:
        """Make a replica; it reads and writes when told to `keep`, or as a context manager."""
        registry = CollectorRegistry()
        custodian = Custodian(
            self.server,
            self.clock,
            CustodySettings(**settings),
            namespaces=lambda: None if self.namespaces is None else frozenset(self.namespaces),
            is_leader=lambda: made.leads,
            injection=lambda: made.injection,
            registry=registry,
        )
        made = Replica(custodian, registry, leads)
        return made

    @property
    def now(self) -> datetime:
        """What the clock says."""
        return wall_time(self.clock)

    def get(self, path: str) -> Mapping[str, Any] | None:
        """What is stored under a path."""
        try:
            return self.api.objects.get(ResourcePath.parse(path))
        except Refused:
            return None

    def secret(self, name: str) -> dict[str, bytes]:
        """A Secret's data."""
        found = self.get(f"{SYSTEM}/secrets/{name}")
        assert found is not None
        return {key: base64.b64decode(value) for key, value in found["data"].items()}

    def put_secret(self, name: str, data: Mapping[str, bytes], **metadata: Any) -> None:
        """Store a Secret, as a person or another controller does."""
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        body = {"type": "kubernetes.io/tls", "metadata": metadata, "data": encoded}
        self.api.put(f"{SYSTEM}/secrets/{name}", body)

    def trust(self, namespace: str = "team-a") -> Mapping[str, Any] | None:
        """The trust ConfigMap of a namespace."""
        return self.get(f"/api/v1/namespaces/{namespace}/configmaps/remora-trust")

    def put_webhooks(self, *bundles: str) -> None:
        """Store the webhook configuration, as a manifest has it."""
        entries = []
        for at, bundle in enumerate(bundles or ("", "")):
            config: dict[str, Any] = {"service": {"name": "remora-operator"}}
            config |= {"caBundle": bundle} if bundle else {}
            entries.append({"name": f"{at}.injector.remora.dev", "clientConfig": config})
        self.api.put(WEBHOOKS, {"webhooks": entries})

    def bundles(self) -> list[bytes]:
        """The ``caBundle`` of each entry."""
        found = self.get(WEBHOOKS)
        assert found is not None
        entries = [entry["clientConfig"] for entry in found["webhooks"]]
        return [base64.b64decode(entry.get("caBundle", "")) for entry in entries]

    def writes(self) -> list[tuple[str, str]]:
        """Every request that was not a question."""
        return [one for one in self.api.requests if one[0] != "GET"]


@asynccontextmanager
async def running_cluster(clock: ManualClock):
    async with KubernetesApi().serving() as api, ApiServer(api.url) as server:
        made = Cluster(api, server, clock)
        made.put_webhooks()
        yield made
