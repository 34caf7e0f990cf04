"""Leads if the Lease says so, and does what leaders do only as long as it leads."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError

from remora.clock import Clock
from remora.errors import Unavailable
from remora.task_owner import TaskOwner
from remora_operator.cluster.api_server import ApiServer, Json, Refused
from remora_operator.cluster.election import Election, LeaseSpec, LeaseTimes
from remora_operator.cluster.metrics import ClusterMetrics

logger = logging.getLogger(__name__)

LEASE = "remora-operator"

_JITTER = 0.2
_RELEASE_S = 2.0
_MOMENT_S = 0.001
"""So that the end of leadership is reached, and not approached for ever."""

type WhileLeading = Callable[[], Coroutine[Any, Any, None]]
"""Started when this replica begins to lead, cancelled at once when it does not any more."""


class Leadership:
    """One replica's part in the election."""

    def __init__(
        self,
        api: ApiServer,
        *,
        identity: str,
        namespace: str,
        clock: Clock,
        metrics: ClusterMetrics,
        while_leading: Sequence[WhileLeading],
        times: LeaseTimes,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take the Lease's place, and what is done while leading.

        Args:
            api: Entered already.
            identity: Of this replica and no other.
            namespace: Of the Lease.
            clock: Tells how old the Lease is.
            metrics: Say whether it leads.
            while_leading: What leaders do.
            times: How long what lasts.
            jitter: Between 0 and 1.
        """
        self._api = api
        self._clock = clock
        self._metrics = metrics
        self._while_leading = while_leading
        self._times = times
        self._jitter = jitter
        self._identity = identity
        self._election = Election(identity, times)
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace = namespace
        self._lease: Json | None = None
        self._tasks = TaskOwner("leader")
        self._leading: asyncio.Task[None] | None = None

    @property
    def is_leader(self) -> bool:
        """Whether this replica leads right now, by the clock and not by what ran last."""
        return self._election.is_leader(self._clock.monotonic_s())

    async def run(self) -> None:
        """Stand for election until cancelled; raises what a leader's task raises."""
        try:
            while True:
                await self._try()
                await self._follow()
                await self._rest()
        finally:
            await self._tasks.aclose()
            if self.is_leader:
                await self._release()
            self._metrics.leader.set(0)

    async def _try(self) -> None:
        """Renew or take the Lease, as long as there is time for it."""
        until_s = self._election.leads_until_s
        now_s = self._clock.monotonic_s()
        patience_s = self._times.renew_deadline_s if until_s is None else max(0.0, until_s - now_s)
        try:
            async with asyncio.timeout(patience_s):
                await self._attempt()
        except (Unavailable, TimeoutError) as error:
            why = str(error) or "the API server is too slow"
            logger.warning("the Lease %s can't be had: %s", LEASE, why)

    async def _attempt(self) -> None:
        """Write the Lease if it may be written; it is read only where it is not known."""
        for _ in range(2):
            if self._lease is None or not self.is_leader:
                self._lease = await self._api.get(f"{self._collection}/{LEASE}")
                self._election.saw(_spec(self._lease), self._clock.monotonic_s())
            if not self._election.may_take(self._clock.monotonic_s()):
                return
            if await self._write():
                return
            self._lease = None

    async def _write(self) -> bool:
        """Tell whether nobody was quicker."""
        wish, sent_s = self._election.wish(self._now()), self._clock.monotonic_s()
        try:
            self._lease = await self._put(wish)
        except Refused as refused:
            if refused.status in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                return False
            raise
        self._election.wrote(wish, sent_s, self._clock.monotonic_s())
        return True

    async def _put(self, spec: LeaseSpec) -> Json:
        if self._lease is None:
            metadata = {"name": LEASE, "namespace": self._namespace}
            return await self._api.create(
                self._collection,
                {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": metadata,
                    "spec": spec.to_json(),
                },
            )
        body = {**self._lease, "spec": {**(self._lease.get("spec") or {}), **spec.to_json()}}
        return await self._api.replace(f"{self._collection}/{LEASE}", body)

    async def _follow(self) -> None:
        """Begin with what leaders do, or end it, as the Lease says."""
        leads = self.is_leader
        self._metrics.leader.set(1 if leads else 0)
        if leads and self._leading is None:
            logger.info("%s leads", self._identity)
            self._leading = self._tasks.spawn(self._lead(), name="leading")
        elif not leads and self._leading is not None:
            logger.warning("%s does not lead any more", self._identity)
            self._election.stand_down()
            self._leading = None
            await self._tasks.aclose()

    async def _lead(self) -> None:
        async with asyncio.TaskGroup() as group:
            for begin in self._while_leading:
                group.create_task(begin())

    async def _rest(self) -> None:
        """Wait until the next try, but no longer than this replica leads."""
        pause_s = self._times.retry_s * (1 + _JITTER * self._jitter())
        if self._leading is None:
            await asyncio.sleep(pause_s)
            return
        left_s = (self._election.leads_until_s or 0.0) - self._clock.monotonic_s()
        await asyncio.wait({self._leading}, timeout=max(_MOMENT_S, min(pause_s, left_s)))
        if self._leading.done() and not self._leading.cancelled():
            self._leading.result()

    async def _release(self) -> None:
        """Let the next one begin at once; it would have to wait otherwise."""
        spec = self._election.release(self._now())
        try:
            async with asyncio.timeout(_RELEASE_S):
                await self._put(spec)
        except (Unavailable, TimeoutError) as error:
            logger.warning("the Lease %s was not given up: %s", LEASE, error)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_unix_ns() / 1e9, UTC)


def _spec(lease: Json | None) -> LeaseSpec | None:
    if lease is None:
        return None
    try:
        return LeaseSpec.model_validate(lease.get("spec") or {})
    except ValidationError:
        raise Unavailable(f"the Lease {LEASE} can't be read: delete it") from None
