"""All that this replica does with the cluster: watching, leading, writing back.

The composition of this room. Whoever starts it does so::

    shelf, answers = PolicyShelf(), Answers()
    controllers = Controllers(api, shelf, answers, identity="remora-operator-5d9c-x2x7v_1f0e…",
                              namespace="remora-system", clock=clock, registry=registry,
                              on_namespace=custodian.namespace_changed,
                              while_leading=[custodian.lead])
    service = PolicyService(identities, shelf, answers, version=…, heard=controllers.heard)
    async with controllers.running(service):
        await controllers.until_ready()   # the webhook may answer from now on
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol

from prometheus_client import CollectorRegistry

from remora.clock import Clock
from remora_operator.cluster.api_server import ApiServer
from remora_operator.cluster.books import (
    NamespaceBook,
    OnNetinitFailure,
    PodBook,
    PolicyBook,
    SecretBook,
)
from remora_operator.cluster.election import LeaseTimes
from remora_operator.cluster.leadership import Leadership, WhileLeading
from remora_operator.cluster.metrics import ClusterMetrics
from remora_operator.cluster.pod_marks import PodMarks
from remora_operator.cluster.reflector import Pace, Reflector, Sink
from remora_operator.cluster.resources import NAMESPACES, PODS, POLICY_KINDS, SECRETS, Resource
from remora_operator.cluster.status_writer import StatusWriter
from remora_operator.cluster.statuses import StatusBook
from remora_operator.delivery.pod_identity import PodIdentity
from remora_operator.inject import Namespace, PolicyNeeds
from remora_operator.policies import Answer, Answers, PodFacts, PodPolicy, PolicyShelf


class PolicyStreams(Protocol):
    """The sidecars that this replica serves: `remora_operator.delivery.policy_service`."""

    def changed(self, uids: frozenset[str]) -> None:
        """Have what has changed sent to these pods."""

    def is_connected(self, uid: str) -> bool:
        """Tell whether a pod's stream is held here."""
        ...


class _NoStreams:
    """Nobody is served yet."""

    def changed(self, uids: frozenset[str]) -> None:
        """Have nobody told."""

    def is_connected(self, uid: str) -> bool:
        """Nobody is."""
        return False


class Controllers:
    """Watches the cluster for the shelf, elects a leader, writes statuses and pods' marks."""

    def __init__(
        self,
        api: ApiServer,
        shelf: PolicyShelf,
        answers: Answers,
        *,
        identity: str,
        namespace: str,
        clock: Clock,
        registry: CollectorRegistry,
        on_namespace: Callable[[str], None] = lambda _: None,
        on_netinit_failure: OnNetinitFailure = lambda _, __: None,
        while_leading: Sequence[WhileLeading] = (),
        pace: Pace | None = None,
        lease_times: LeaseTimes | None = None,
    ) -> None:
        """Take the API server, entered already, and what is kept up to date.

        Args:
            api: Asked, watched and written to.
            shelf: Filled from here alone.
            answers: What PolicyService hears.
            identity: Of this replica and no other, such as the pod's name and uid.
            namespace: Where the Lease stands: the operator's own.
            clock: Tells how old a Lease is, and dates conditions.
            registry: Takes the metrics ``remora_operator_*``.
            on_namespace: Is given the name of a namespace that came, went, has other labels, or
                has its first pod with a sidecar or none any more; what is true of it now is
                asked of `namespace_of`, `namespaces` and `agents_in`. Must not raise or block.
            on_netinit_failure: Of the leader: is told of pods on whose nodes nothing can be
                redirected. Must not raise or block.
            while_leading: What else the leader does, all its life as such: begun when this
                replica begins to lead, cancelled at once when it does not any more. One that
                raises ends `run`.
            pace: How patient watches are.
            lease_times: The same for all replicas.
        """
        self._api, self._clock = api, clock
        self._metrics = ClusterMetrics(registry)
        self._shelf, self._answers = shelf, answers
        self._streams: PolicyStreams = _NoStreams()
        self._ready = asyncio.Event()
        self._book = StatusBook()
        self._namespaces = NamespaceBook(on_namespace)
        self._on_netinit_failure = on_netinit_failure
        self._pods = PodBook(shelf, self._shelf_changed, on_namespace, self._netinit_failed)
        self._reflectors = self._watching(pace or Pace())
        self._marks = self._marking()
        self._statuses = self._writing()
        self._leadership = Leadership(
            api,
            identity=identity,
            namespace=namespace,
            clock=clock,
            metrics=self._metrics,
            while_leading=(self._statuses.lead, *while_leading),
            times=lease_times or LeaseTimes(),
        )

    def _watching(self, pace: Pace) -> list[Reflector]:
        changed = self._shelf_changed
        sinks: list[tuple[Resource, Sink]] = [
            (resource, PolicyBook(kind, self._shelf, self._book, changed))
            for kind, resource in POLICY_KINDS.items()
        ]
        sinks += [
            (NAMESPACES, self._namespaces),
            (SECRETS, SecretBook(self._shelf, changed)),
            (PODS, self._pods),
        ]
        return [
            Reflector(
                self._api, resource, sink, clock=self._clock, metrics=self._metrics, pace=pace
            )
            for resource, sink in sinks
        ]

    def _marking(self) -> PodMarks:
        return PodMarks(
            self._api,
            facts_of=self._pods.facts_of,
            is_connected=lambda uid: self._streams.is_connected(uid),
            metrics=self._metrics,
        )

    def _writing(self) -> StatusWriter:
        return StatusWriter(
            self._api,
            self._shelf,
            self._answer_of,
            self._book,
            clock=self._clock,
            metrics=self._metrics,
            is_leader=lambda: self.is_leader,
        )

    @property
    def is_ready(self) -> bool:
        """Whether everything that the cluster had at the start is known; it stays so."""
        return self._ready.is_set()

    @property
    def is_leader(self) -> bool:
        """Whether this replica may write what only one may; ask right before each write."""
        return self._leadership.is_leader

    async def until_ready(self) -> None:
        """Wait for `is_ready`."""
        await self._ready.wait()

    @property
    def missing(self) -> tuple[str, ...]:
        """What of the cluster is not known yet, such as ``llmpolicies``: why it is not ready."""
        return tuple(r.resource.name for r in self._reflectors if not r.complete.is_set())

    def namespace_of(self, name: str) -> Namespace | None:
        """Give the webhook a namespace as it is known, with what its pods' policies need."""
        labels = self._namespaces.labels_of(name)
        if labels is None:
            return None
        return Namespace(name, labels, needs=lambda of_pod: self._needs(name, of_pod))

    def namespaces(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Go through the names and labels of all namespaces."""
        return iter(self._namespaces)

    def agents_in(self, namespace: str) -> int:
        """Count the pods with a sidecar in a namespace that are not over."""
        return self._pods.count_in(namespace)

    def agents_started(self) -> Iterator[datetime]:
        """Go through when each pod with a sidecar was started that is not over, UTC."""
        return self._pods.started()

    def heard(self, who: PodIdentity, answer: Answer) -> None:
        """Take what a sidecar said: give this to PolicyService as ``heard``."""
        self._marks.heard(who, answer)
        self._statuses.changed()

    @asynccontextmanager
    async def running(self, streams: PolicyStreams) -> AsyncIterator[None]:
        """Do all of it as long as the context lasts; leadership is given up at its end.

        Raises:
            ExceptionGroup: A part of it failed, and what the context held was cancelled; or
                with what was raised within the context.
        """
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.run(streams), name="controllers")
            try:
                yield
            finally:
                task.cancel()

    async def run(self, streams: PolicyStreams) -> None:
        """Do all of it until cancelled.

        Args:
            streams: Those that are told whose policy has changed.

        Raises:
            ExceptionGroup: A part of it failed, which only a mistake in it can do.
        """
        self._streams = streams
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(reflector.run(), name=f"watch {reflector.resource.name}")
            for reflector in self._reflectors:
                await reflector.complete.wait()
            self._shelf_changed(self._shelf.complete())
            self._ready.set()
            group.create_task(self._marks.run(), name="pod marks")
            group.create_task(self._leadership.run(), name="leadership")

    def _netinit_failed(self, pod: PodFacts, said: str) -> None:
        if self.is_leader:
            self._on_netinit_failure(pod, said)

    def _shelf_changed(self, uids: frozenset[str]) -> None:
        self._statuses.changed()
        if uids:
            self._streams.changed(uids)
        for uid in uids:
            if self._pods.facts_of(uid) is None:
                self._marks.forget(uid)

    def _answer_of(self, uid: str) -> Answer:
        """Return what a sidecar said here; one that has gone elsewhere has its say on the pod."""
        return self._answers.of(uid) if self._streams.is_connected(uid) else Answer()

    def _needs(self, namespace: str, labels: Mapping[str, str]) -> PolicyNeeds:
        policy = self._shelf.policy_for(namespace, labels)
        return policy.needs if isinstance(policy, PodPolicy) else PolicyNeeds()
