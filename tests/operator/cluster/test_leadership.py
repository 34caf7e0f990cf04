"""Two replicas and a Lease on a real HTTP server, in virtual time."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from tests.operator.cluster.staging import LoopClock, Opened, in_virtual_time, until

from remora.testing.kubernetes_objects import Refused, ResourcePath
from remora_operator.cluster.api_server import ApiServer
from remora_operator.cluster.election import LeaseTimes
from remora_operator.cluster.leadership import Leadership
from remora_operator.cluster.metrics import ClusterMetrics

LEASE = "/apis/coordination.k8s.io/v1/namespaces/remora-system/leases/remora-operator"


class Replica:
    """One of them, with what it did as the leader."""

    def __init__(self, api, identity):  # noqa: D107
        self.registry = CollectorRegistry()
        self.is_working = False
        self.fails = None
        self.leadership = Leadership(
            api,
            identity=identity,
            namespace="remora-system",
            clock=LoopClock(),
            metrics=ClusterMetrics(self.registry),
            while_leading=[self._work],
            times=LeaseTimes(),
            jitter=lambda: 0.5,
        )
        self.task = asyncio.ensure_future(self.leadership.run())

    async def _work(self):
        self.is_working = True
        try:
            while self.fails is None:  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(0.5)
            raise self.fails
        finally:
            self.is_working = False

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    @property
    def shown(self):
        return self.registry.get_sample_value("remora_operator_leader")


@asynccontextmanager
async def replicas(cluster, *identities):
    running = [Replica(cluster.api, identity) for identity in identities]
    try:
        yield running
    finally:
        for replica in running:
            await replica.stop()


def lease(cluster):
    try:
        return cluster.fake.objects.get(ResourcePath.parse(LEASE))["spec"]
    except Refused:
        return {}


def test_one_of_two_leads_and_goes_on():
    async def main():
        async with Opened() as cluster, replicas(cluster, "a", "b") as (a, b):
            await until(lambda: a.is_working or b.is_working)
            first = "a" if a.is_working else "b"
            for _ in range(60):
                await asyncio.sleep(1)
                assert [a.is_working, b.is_working] == [first == "a", first == "b"]
                assert [a.shown, b.shown] == [first == "a", first == "b"]
            assert lease(cluster)["holderIdentity"] == first
            assert lease(cluster)["leaseDurationSeconds"] == 15
            assert lease(cluster)["leaseTransitions"] == 0

    in_virtual_time(main)


def test_a_leader_that_stops_gives_up_and_the_other_follows_soon():
    async def main():
        async with Opened() as cluster, replicas(cluster, "a") as (a,):
            await until(lambda: a.is_working)
            async with replicas(cluster, "b") as (b,):
                await asyncio.sleep(5)
                await a.stop()
                assert lease(cluster)["holderIdentity"] == ""
                await until(lambda: b.is_working, within_s=5)
                assert lease(cluster)["leaseTransitions"] == 1

    in_virtual_time(main)


def test_a_leader_that_vanishes_is_followed_after_its_lease_and_not_before():
    async def main():
        async with Opened() as cluster, replicas(cluster, "b") as (b,):
            cluster.put(
                LEASE,
                spec={
                    "holderIdentity": "gone",
                    "leaseDurationSeconds": 15,
                    "renewTime": "2031-01-01T00:00:00.000000Z",
                },
            )
            began = asyncio.get_running_loop().time()
            await until(lambda: b.is_working)
            assert 15 <= asyncio.get_running_loop().time() - began <= 20

    in_virtual_time(main)


@pytest.mark.parametrize(("fails_with", "delay_s"), [(503, 0.0), (403, 0.0), (None, 60.0)], ids=str)
def test_a_leader_that_reaches_no_server_stops_before_another_may_begin(fails_with, delay_s):
    async def main():
        async with Opened() as cluster, replicas(cluster, "a") as (a,):
            await until(lambda: a.is_working)
            await asyncio.sleep(20)
            cluster.fake.fails_with, cluster.fake.delay_s = fails_with, delay_s
            began = asyncio.get_running_loop().time()
            await until(lambda: not a.is_working)
            assert not a.leadership.is_leader
            assert 7 <= asyncio.get_running_loop().time() - began <= 10.5
            cluster.fake.fails_with, cluster.fake.delay_s = None, 0.0
            await until(lambda: a.is_working, within_s=80)

    in_virtual_time(main)


def test_whoever_lost_the_lease_stops_with_the_next_try():
    async def main():
        async with Opened() as cluster, replicas(cluster, "a") as (a,):
            await until(lambda: a.is_working)
            cluster.put(LEASE, spec={"holderIdentity": "b", "leaseDurationSeconds": 15})
            await until(lambda: not a.is_working, within_s=3)

    in_virtual_time(main)


def test_a_renewal_whose_answer_was_lost_does_not_end_leadership():
    async def main():
        async with Opened() as cluster, replicas(cluster, "a") as (a,):
            await until(lambda: a.is_working)
            # The same holder, another resource version: as if a write had come through unheard.
            cluster.put(LEASE, spec={**lease(cluster), "renewTime": "2026-01-01T00:00:09.000000Z"})
            await asyncio.sleep(10)
            assert a.is_working
            assert lease(cluster)["leaseTransitions"] == 0

    in_virtual_time(main)


def test_a_lease_that_somebody_deleted_is_made_anew():
    async def main():
        async with Opened() as cluster, replicas(cluster, "a") as (a,):
            await until(lambda: a.is_working)
            cluster.fake.delete(LEASE)
            await until(lambda: lease(cluster).get("holderIdentity") == "a")
            assert a.is_working

    in_virtual_time(main)


def test_what_others_wrote_on_the_lease_stays():
    async def main():
        async with Opened() as cluster:
            cluster.put(LEASE, metadata={"labels": {"team": "x"}}, spec={"strategy": "Oldest"})
            async with replicas(cluster, "a") as (a,):
                await until(lambda: a.is_working)
                found = cluster.fake.objects.get(ResourcePath.parse(LEASE))
                assert found["metadata"]["labels"] == {"team": "x"}
                assert found["spec"]["strategy"] == "Oldest"

    in_virtual_time(main)


def test_a_leaders_task_that_fails_ends_it_and_the_lease_is_given_up():
    async def main():
        async with Opened() as cluster, replicas(cluster, "a") as (a,):
            await until(lambda: a.is_working)
            a.fails = ValueError("a mistake")
            with pytest.raises(ExceptionGroup, match="unhandled errors"):
                await a.task
            assert lease(cluster)["holderIdentity"] == ""

    in_virtual_time(main)


def test_candidates_do_not_write_what_is_anothers():
    async def main():
        async with Opened() as cluster, replicas(cluster, "a") as (a,):
            await until(lambda: a.is_working)
            async with ApiServer(cluster.fake.url) as api:
                b = Replica(api, "b")
                before = len([r for r in cluster.fake.requests if r[0] in ("PUT", "POST")])
                await asyncio.sleep(40)
                writes = [r for r in cluster.fake.requests if r[0] in ("PUT", "POST")]
                assert len(writes) - before <= 21  # a's renewals alone
                await b.stop()

    in_virtual_time(main)
