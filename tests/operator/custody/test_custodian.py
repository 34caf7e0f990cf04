"""A custodian's passes as a whole: what they make, that they then leave it alone, how soon."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.operator.custody.staging import WEBHOOKS, Cluster, running_cluster

from remora.testing.clock import ManualClock
from remora.testing.virtual_loop import VirtualTimeLoop


async def test_a_leader_makes_all_that_a_cluster_needs(cluster):
    replica = cluster.replica()
    await replica.custodian.keep()

    assert replica.said == ""
    assert replica.custodian.is_ready
    for name in ("remora-ca", "remora-serving-ca", "remora-operator-tls", "remora-aggregator-tls"):
        assert b"PRIVATE KEY" in cluster.secret(name)["tls.key"]
    serving_root = cluster.secret("remora-serving-ca")["tls.crt"]
    assert cluster.bundles() == [serving_root, serving_root]
    trust = cluster.trust()
    assert trust["data"]["serving-ca.pem"].encode() == serving_root
    assert trust["data"]["ca.pem"].encode() == cluster.secret("remora-ca")["tls.crt"]
    assert trust["data"]["ca.pem"] in trust["data"]["bundle.pem"]
    assert set(trust["binaryData"]) == {"truststore.p12"}
    assert "PRIVATE KEY" not in str(trust)


async def test_a_second_pass_writes_nothing(cluster):
    replica = cluster.replica()
    await replica.custodian.keep()
    written = len(cluster.writes())
    await replica.custodian.keep()
    assert len(cluster.writes()) == written


def _virtually[T](scenario: Callable[[Cluster], Awaitable[T]]) -> T:
    """Run a scenario in a loop whose time passes only while nothing else happens."""

    async def staged() -> T:
        async with running_cluster(ManualClock()) as cluster:
            return await scenario(cluster)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(staged())


async def _until(holds: Callable[[], bool]) -> float:
    """Wait until something holds; returns how long it took, in the loop's own seconds."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.timeout(600):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in the API server
            await asyncio.sleep(0.1)
    return loop.time() - start


def test_a_leader_is_ready_at_once_and_a_follower_with_its_next_look():
    async def scenario(cluster):
        loop = asyncio.get_running_loop()
        leader, follower = cluster.replica(), cluster.replica(leads=False)
        async with follower.custodian:
            await _until(lambda: follower.said != "")
            async with leader.custodian:
                await leader.custodian.ready()
                at = loop.time()
                await follower.custodian.ready()
                return at, loop.time()

    at, then = _virtually(scenario)
    assert at < 1
    assert 25 < then < 35


def test_a_ca_bundle_that_was_set_back_is_right_within_seconds():
    async def scenario(cluster):
        replica = cluster.replica()
        async with replica.custodian:
            await replica.custodian.ready()
            took = []
            for bundles in (("", ""), ("AAAA", "AAAA"), ("", "", "")):
                await asyncio.sleep(7)
                cluster.put_webhooks(*bundles)
                right = cluster.secret("remora-serving-ca")["ca.crt"]
                took.append(await _until(lambda right=right: {right} == set(cluster.bundles())))
            return took

    assert max(_virtually(scenario)) <= 6


def test_what_is_told_is_done_at_once_and_what_is_not_within_half_a_minute():
    async def scenario(cluster):
        replica = cluster.replica()
        async with replica.custodian:
            await replica.custodian.ready()
            await _until(lambda: cluster.trust() is not None)
            cluster.namespaces.add("team-b")
            replica.custodian.changed()
            told = await _until(lambda: cluster.trust("team-b") is not None)
            cluster.namespaces.add("team-c")
            return told, await _until(lambda: cluster.trust("team-c") is not None)

    told, found = _virtually(scenario)
    assert told < 2
    assert 20 < found < 35


def test_an_api_server_that_is_away_is_said_and_everything_goes_on_when_it_is_back():
    async def scenario(cluster):
        replica = cluster.replica()
        async with replica.custodian:
            await replica.custodian.ready()
            root = replica.custodian.rotation().roots
            cluster.api.delay_s = 60  # longer than a request may take
            await _until(lambda: "can't be asked" in replica.said)
            assert replica.custodian.is_ready
            assert replica.custodian.rotation().roots == root
            cluster.put_webhooks()
            cluster.api.delay_s = 0
            back = await _until(lambda: b"" not in cluster.bundles() and replica.said == "")
            return back

    assert _virtually(scenario) < 30


def test_who_wins_the_lease_takes_over_and_who_loses_it_writes_no_more():
    async def scenario(cluster):
        first, second = cluster.replica(), cluster.replica(leads=False)
        async with first.custodian, second.custodian:
            await first.custodian.ready()
            await second.custodian.ready()
            first.leads, second.leads = False, True
            second.custodian.changed()
            await _until(lambda: second.metric("remora_operator_trust_maps") == 1)
            await _until(lambda: first.metric("remora_operator_trust_maps") == 0)
            cluster.namespaces.add("team-b")
            second.custodian.changed()
            await _until(lambda: cluster.trust("team-b") is not None)
            return [
                one.metric("remora_operator_trust_map_writes_total", what="created")
                for one in (first, second)
            ]

    assert _virtually(scenario) == [1, 1]


def test_a_problem_is_logged_when_it_comes_and_when_it_goes(caplog):
    caplog.set_level("INFO")

    async def scenario(cluster):
        cluster.api.delete(WEBHOOKS)
        replica = cluster.replica()
        async with replica.custodian:
            await asyncio.sleep(100)
            cluster.put_webhooks()
            await _until(lambda: replica.said == "")

    _virtually(scenario)
    said = [record.message for record in caplog.records if "no pod is injected" in record.message]
    assert len(said) == 2
    assert said[1].startswith("no longer so: MutatingWebhookConfiguration")


def test_a_custodian_that_has_ended_is_not_ready():
    async def scenario(cluster):
        replica = cluster.replica()
        async with replica.custodian:
            await replica.custodian.ready()
        return replica.custodian.is_ready

    assert _virtually(scenario) is False
