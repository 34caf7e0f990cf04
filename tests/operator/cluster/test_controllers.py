"""A replica's part in the cluster, over real HTTP and in virtual time."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from tests.operator.cluster.staging import (
    POLICIES,
    LoopClock,
    Opened,
    agent_pod,
    custom,
    in_virtual_time,
    until,
)

from remora.errors import Problem
from remora.testing.kubernetes_objects import ResourcePath
from remora_operator.cluster.controllers import Controllers
from remora_operator.delivery.pod_identity import PodIdentity
from remora_operator.inject import PolicyNeeds
from remora_operator.inject.config import SecretKey
from remora_operator.policies import Answers, PolicyShelf

POLICY = f"{POLICIES}/research"
CLUSTER_POLICY = "/apis/remora.dev/v1alpha1/clusterllmpolicies/company"
PROVIDER = "/apis/remora.dev/v1alpha1/llmproviders/house"
AGENT = "/api/v1/namespaces/team-a/pods/agent"
MARK = "remora.dev/policy-version"
HOUSE = {"hosts": ["vllm.example.com"], "ports": [8443], "dialects": ["openai-chat"]}


class Streams:
    """The sidecars of one replica."""

    def __init__(self):  # noqa: D107
        self.told = []
        self.connected = set()

    def changed(self, uids):
        self.told.append(uids)

    def is_connected(self, uid):
        return uid in self.connected


class Replica:
    """One operator's controllers, with what they told others."""

    def __init__(self, cluster, identity):  # noqa: D107
        self.registry = CollectorRegistry()
        self.shelf, self.answers, self.streams = PolicyShelf(), Answers(), Streams()
        self.namespaces = []
        self.controllers = Controllers(
            cluster.api,
            self.shelf,
            self.answers,
            identity=identity,
            namespace="remora-system",
            clock=LoopClock(),
            registry=self.registry,
            on_namespace=self.namespaces.append,
        )

    def version_of(self, uid):
        return self.shelf.policy_of(uid).version

    def connect(self, uid, name="agent"):
        self.streams.connected.add(uid)
        return PodIdentity("team-a", name, uid, "default")

    def applied(self, who, version):
        self.controllers.heard(who, self.answers.applied(who.pod_uid, version))

    def counted(self, name, **labels):
        return self.registry.get_sample_value(f"remora_operator_{name}", labels)


@asynccontextmanager
async def replica(cluster, identity="a", *, ready=True):
    made = Replica(cluster, identity)
    async with made.controllers.running(made.streams):
        if ready:
            await until(lambda: made.controllers.is_ready)
        yield made


def conditions(cluster, path):
    found = cluster.status_of(path).get("conditions") or ()
    return {condition["type"]: condition["status"] for condition in found}


def patches(cluster, end):
    return [p for method, p in cluster.fake.requests if method == "PATCH" and p.endswith(end)]


def test_all_that_stands_in_the_cluster_is_known_once_it_is_ready():
    async def main():
        async with Opened() as cluster:
            cluster.put_namespace("team-a", injection="enabled")
            credential = {"provider": "openai", "secretRef": {"name": "keys", "key": "api-key"}}
            cluster.put_policy("research", {"priority": 3, "credentials": [credential]})
            cluster.put(CLUSTER_POLICY, **custom("ClusterLLMPolicy", {"floors": {}}))
            cluster.put(PROVIDER, **custom("LLMProvider", HOUSE))
            cluster.put_secret("keys", "openai")
            uid = cluster.put_pod("agent")
            cluster.put_pod("database", {"spec": {"containers": [{"name": "db"}]}})
            async with replica(cluster) as running:
                policy = running.shelf.policy_of(uid)
                assert policy.source.name == "research"
                assert policy.withheld == ()
                assert "vllm.example.com" in policy.hosts
                assert [one.key.kind for one in running.shelf.standings()] == [
                    "ClusterLLMPolicy", "LLMPolicy", "LLMProvider",
                ]  # fmt: skip
                assert running.streams.told == [{uid}]
                assert list(running.controllers.agents_started()) == [
                    datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
                ]
                assert running.controllers.agents_in("team-a") == 1

    in_virtual_time(main)


@pytest.mark.parametrize(
    "resource",
    ["llmpolicies", "clusterllmpolicies", "llmproviders", "namespaces", "secrets", "pods"],
)
def test_nobody_has_a_policy_as_long_as_one_list_is_missing(resource):
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research")
            uid = cluster.put_pod("agent")
            cluster.fake.refuses = lambda _, path: 403 if path.endswith(f"/{resource}") else None
            async with replica(cluster, ready=False) as running:
                await asyncio.sleep(30)
                assert not running.controllers.is_ready
                assert running.controllers.missing == (resource,)
                assert not running.controllers.is_leader
                assert running.streams.told == []
                cluster.fake.refuses = lambda _method, _path: None
                await asyncio.wait_for(running.controllers.until_ready(), 30)
                assert running.streams.told == [{uid}]

    in_virtual_time(main)


def test_a_change_of_any_object_reaches_those_whom_it_concerns():
    async def main():
        async with Opened() as cluster:
            uid = cluster.put_pod("agent", app="research")
            other = cluster.put_pod("other", namespace="team-b")
            async with replica(cluster) as running:
                told = running.streams.told
                steps = [
                    (lambda: cluster.put_policy("research"), {uid}),
                    (lambda: cluster.put_policy("research", {"capture": "full"}), {uid}),
                    (lambda: cluster.put(PROVIDER, **custom("LLMProvider", HOUSE)), {uid, other}),
                    (lambda: cluster.fake.delete(POLICY), {uid}),
                    (lambda: cluster.fake.delete(AGENT), {uid}),
                ]
                for change, concerned in steps:
                    told.clear()
                    change()
                    await until(lambda told=told: told)
                    assert told == [concerned]

    in_virtual_time(main)


def test_a_secret_that_gets_its_label_frees_the_key():
    async def main():
        async with Opened() as cluster:
            key = {"provider": "openai", "secretRef": {"name": "keys", "key": "api-key"}}
            cluster.put_policy("research", {"credentials": [key]})
            uid = cluster.put_pod("agent")
            async with replica(cluster) as running:
                assert running.shelf.policy_of(uid).withheld
                cluster.put_secret("keys", "openai")
                await until(lambda: not running.shelf.policy_of(uid).withheld)
                cluster.fake.delete("/api/v1/namespaces/team-a/secrets/keys")
                await until(lambda: running.shelf.policy_of(uid).withheld)

    in_virtual_time(main)


def test_a_policy_made_anew_under_the_same_name_is_the_new_one():
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research", {"priority": 1})
            uid = cluster.put_pod("agent")
            async with replica(cluster) as running:
                cluster.fake.fails_with = 503
                cluster.fake.drop_watches()
                await asyncio.sleep(2)
                cluster.fake.delete(POLICY)
                cluster.put_policy("research", {"capture": "full"})
                cluster.fake.objects.forget_changes()
                cluster.fake.fails_with = None
                await until(lambda: _capture(running, uid) == "full")

    in_virtual_time(main)


def _capture(running, uid):
    return running.shelf.policy_of(uid).effective.rules.capture


def test_namespaces_are_known_with_what_their_pods_need():
    async def main():
        async with Opened() as cluster:
            cluster.put_namespace("team-a", injection="enabled")
            key = {"provider": "openai", "secretRef": {"name": "keys", "key": "api-key"}}
            cluster.put_secret("keys", "openai")
            selector = {"matchLabels": {"app": "research"}}
            cluster.put_policy("research", {"selector": selector, "credentials": [key]})
            async with replica(cluster) as running:
                found = running.controllers.namespace_of("team-a")
                assert found.labels == {"remora.dev/injection": "enabled"}
                assert found.needs({"app": "research"}).secrets == (SecretKey("keys", "api-key"),)
                assert found.needs({}) == PolicyNeeds(ports=(443,))
                assert running.controllers.namespace_of("nowhere") is None
                cluster.put_namespace("team-a", injection="disabled")
                await until(lambda: _label(running, "team-a") == "disabled")
                cluster.fake.delete("/api/v1/namespaces/team-a")
                await until(lambda: running.controllers.namespace_of("team-a") is None)
                assert list(running.controllers.namespaces()) == []

    in_virtual_time(main)


def _label(running, name):
    return running.controllers.namespace_of(name).labels["remora.dev/injection"]


def test_who_keeps_something_in_each_namespace_is_told_of_what_matters_there():
    async def main():
        async with Opened() as cluster:
            cluster.put_namespace("team-a")
            async with replica(cluster) as running:
                told = running.namespaces
                steps = [
                    lambda: cluster.put_namespace("team-b", injection="enabled"),
                    lambda: cluster.put_namespace("team-b", injection="disabled"),
                    lambda: cluster.put_pod("agent", namespace="team-b"),
                    lambda: cluster.fake.delete("/api/v1/namespaces/team-b/pods/agent"),
                    lambda: cluster.fake.delete("/api/v1/namespaces/team-b"),
                ]
                for change in steps:
                    told.clear()
                    change()
                    await until(lambda told=told: told)
                    assert told == ["team-b"]
                told.clear()
                cluster.put("/api/v1/namespaces/team-a", metadata={"annotations": {"x": "y"}})
                cluster.put_namespace("last")
                await until(lambda: "last" in told)
                assert "team-a" not in told

    in_virtual_time(main)


def test_the_leader_says_on_each_object_what_became_of_it():
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research", {"capture": "full"})
            cluster.put_policy("broken", {"capture": "everything", "priority": -1})
            cluster.put(PROVIDER, **custom("LLMProvider", HOUSE))
            uid = cluster.put_pod("agent")
            async with replica(cluster) as running:
                await until(lambda: conditions(cluster, POLICY).get("Enforced") == "False")
                assert conditions(cluster, f"{POLICIES}/broken")["Accepted"] == "False"
                assert conditions(cluster, PROVIDER)["Accepted"] == "True"
                found = cluster.status_of(POLICY)
                assert found["observedGeneration"] == 1
                assert found["pods"] == {"selected": 1, "current": 0}
                assert set(conditions(cluster, POLICY)) == {
                    "Accepted", "Enforced", "Conflicted", "RestartRequired",
                }  # fmt: skip
                who = running.connect(uid)
                running.applied(who, running.version_of(uid))
                await until(lambda: conditions(cluster, POLICY)["Enforced"] == "True")
                assert cluster.status_of(POLICY)["pods"] == {"selected": 1, "current": 1}

    in_virtual_time(main)


def test_a_refusal_is_shown_and_goes_when_it_is_over():
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research")
            uid = cluster.put_pod("agent")
            async with replica(cluster) as running:
                who, version = running.connect(uid), running.version_of(uid)
                refused = running.answers.refused(uid, version, [Problem("policy.x", "is new")])
                running.controllers.heard(who, refused)
                await until(lambda: cluster.status_of(POLICY).get("lastError"))
                assert cluster.status_of(POLICY)["lastError"] == {
                    "pod": "team-a/agent", "fieldPath": "policy.x", "reason": "is new",
                }  # fmt: skip
                running.applied(who, version)
                await until(lambda: "lastError" not in cluster.status_of(POLICY))

    in_virtual_time(main)


def test_statuses_that_are_right_are_left_alone():
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research")
            async with replica(cluster) as first:
                await until(lambda: conditions(cluster, POLICY))
                await asyncio.sleep(60)
                assert len(patches(cluster, "/status")) == 1
                assert first.counted("status_writes_total", result="written") == 1
            async with replica(cluster, "b") as second:
                await until(lambda: second.controllers.is_leader)
                cluster.put_namespace("any")
                await asyncio.sleep(60)
                assert len(patches(cluster, "/status")) == 1

    in_virtual_time(main)


def test_a_condition_keeps_its_date_while_it_stays_what_it_was():
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research")
            async with replica(cluster):
                await until(lambda: conditions(cluster, POLICY))
                before = _dates(cluster)
                await asyncio.sleep(10)
                cluster.put_policy("research", {"capture": "full"})
                await until(lambda: cluster.status_of(POLICY)["observedGeneration"] == 2)
                assert _dates(cluster) == before
                cluster.put_policy("research", {"capture": "what"})
                await until(lambda: conditions(cluster, POLICY)["Accepted"] == "False")
                after = _dates(cluster)
                assert after["Accepted"] > before["Accepted"]
                assert after["Conflicted"] == before["Conflicted"]

    in_virtual_time(main)


def _dates(cluster):
    found = cluster.status_of(POLICY)["conditions"]
    return {condition["type"]: condition["lastTransitionTime"] for condition in found}


def test_many_changes_are_written_as_one():
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research")
            uids = [cluster.put_pod(f"agent-{index}") for index in range(30)]
            async with replica(cluster) as running:
                await until(lambda: conditions(cluster, POLICY))
                await asyncio.sleep(5)
                before = len(patches(cluster, "/status"))
                for index, uid in enumerate(uids):
                    who = running.connect(uid, f"agent-{index}")
                    running.applied(who, running.version_of(uid))
                began = asyncio.get_running_loop().time()
                await until(lambda: conditions(cluster, POLICY)["Enforced"] == "True")
                assert asyncio.get_running_loop().time() - began <= 1
                assert len(patches(cluster, "/status")) == before + 1

    in_virtual_time(main)


def test_what_somebody_else_wrote_meanwhile_is_not_overwritten():
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research")
            late = []

            def refuses(method, path):
                """Have somebody change the object just before the status is written."""
                if method == "PATCH" and path.endswith("/status") and not late:
                    late.append(path)
                    cluster.put_policy("research", {"capture": "full"})

            cluster.fake.refuses = refuses
            async with replica(cluster) as running:
                await until(lambda: conditions(cluster, POLICY))
                assert late
                assert running.counted("status_writes_total", result="conflict") == 1
                assert cluster.status_of(POLICY)["observedGeneration"] == 2
                assert cluster.object(POLICY)["spec"] == {"capture": "full"}

    in_virtual_time(main)


def test_of_two_replicas_only_the_leader_writes_and_the_other_goes_on_after_it():
    async def main():
        async with Opened() as cluster, AsyncExitStack() as stack:
            cluster.put_policy("research")
            uid = cluster.put_pod("agent")
            async with replica(cluster, "a") as a:
                await until(lambda: conditions(cluster, POLICY))
                b = await stack.enter_async_context(replica(cluster, "b"))
                cluster.put_policy("second")
                await until(lambda: conditions(cluster, f"{POLICIES}/second"))
                await asyncio.sleep(30)
                assert (a.controllers.is_leader, b.controllers.is_leader) == (True, False)
                assert b.counted("status_writes_total", result="written") is None
                # The pod's stream is the other replica's: the leader reads it off the pod.
                b.applied(b.connect(uid), b.version_of(uid))
                await until(lambda: conditions(cluster, POLICY)["Enforced"] == "True")
                assert a.answers.of(uid).applied == ""
            cluster.put_policy("third")
            await until(lambda: conditions(cluster, f"{POLICIES}/third"), within_s=6)
            assert b.controllers.is_leader

    in_virtual_time(main)


def test_what_a_sidecar_said_here_before_it_went_elsewhere_counts_no_more():
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research")
            uid = cluster.put_pod("agent")
            async with replica(cluster) as running:
                running.applied(running.connect(uid), running.version_of(uid))
                await until(lambda: cluster.status_of(POLICY).get("pods", {}).get("current") == 1)
                await until(lambda: _mark(cluster))
                running.streams.connected.clear()
                cluster.put_policy("research", {"capture": "full"})
                await until(lambda: cluster.status_of(POLICY)["pods"]["current"] == 0)
                mark = {"metadata": {"annotations": {MARK: running.version_of(uid)}}}
                cluster.fake.objects.patch(ResourcePath.parse(AGENT), mark)
                await until(lambda: cluster.status_of(POLICY)["pods"]["current"] == 1)
                cluster.fake.objects.patch(
                    ResourcePath.parse(AGENT), {"metadata": {"annotations": {MARK: None}}}
                )
                cluster.put_policy("research", {})
                await asyncio.sleep(5)
                assert cluster.status_of(POLICY)["pods"]["current"] == 0

    in_virtual_time(main)


def test_a_leader_that_hears_nothing_from_the_server_writes_no_more():
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research")
            async with replica(cluster) as running:
                await until(lambda: conditions(cluster, POLICY))
                cluster.fake.refuses = lambda _, path: 503 if "/leases/" in path else None
                await until(lambda: not running.controllers.is_leader)
                before = len(patches(cluster, "/status"))
                cluster.put_policy("research", {"capture": "full"})
                await asyncio.sleep(30)
                assert len(patches(cluster, "/status")) == before
                cluster.fake.refuses = lambda _method, _path: None
                await until(lambda: cluster.status_of(POLICY)["observedGeneration"] == 2)

    in_virtual_time(main)


def test_one_status_that_is_refused_holds_up_no_other(caplog):
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("bad")
            cluster.fake.refuses = lambda _, path: 422 if path.endswith("/bad/status") else None
            async with replica(cluster) as running:
                for index in range(5):
                    cluster.put_policy(f"good-{index}")
                    await asyncio.sleep(5)
                    assert conditions(cluster, f"{POLICIES}/good-{index}")
                assert running.counted("status_writes_total", result="refused") >= 5
                cluster.fake.refuses = lambda _method, _path: None
                await until(lambda: conditions(cluster, f"{POLICIES}/bad"), within_s=65)

    in_virtual_time(main)
    said = [record for record in caplog.records if "can't be written" in record.message]
    assert len(said) == 1


def test_what_changed_while_the_server_was_away_for_a_minute_is_made_good():
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research")
            uid = cluster.put_pod("agent")
            async with replica(cluster) as running:
                await until(lambda: conditions(cluster, POLICY))
                who = running.connect(uid)
                cluster.fake.fails_with = 503
                cluster.fake.drop_watches()
                running.applied(who, running.version_of(uid))
                cluster.put_policy("second")
                await asyncio.sleep(60)
                assert running.controllers.is_ready
                assert not running.controllers.is_leader
                cluster.fake.fails_with = None
                await until(lambda: conditions(cluster, POLICY)["Enforced"] == "True")
                await until(lambda: conditions(cluster, f"{POLICIES}/second"))
                await until(lambda: MARK in cluster.object(AGENT)["metadata"]["annotations"])

    in_virtual_time(main)


def test_a_slow_server_slows_writing_and_breaks_nothing():
    async def main():
        async with Opened(timeout_s=5.0) as cluster:
            cluster.put_policy("research")
            uid = cluster.put_pod("agent")
            cluster.fake.delay_s = 2.0
            async with replica(cluster) as running:
                running.applied(running.connect(uid), running.version_of(uid))
                await until(lambda: conditions(cluster, POLICY).get("Enforced") == "True")
                assert running.controllers.is_leader
                await asyncio.sleep(60)
                assert running.controllers.is_leader

    in_virtual_time(main)


def test_the_version_in_force_is_written_on_the_pod_once():
    async def main():
        async with Opened() as cluster:
            cluster.put_policy("research")
            uid = cluster.put_pod("agent")
            before = cluster.object(AGENT)["metadata"]["annotations"]
            async with replica(cluster) as running:
                who, version = running.connect(uid), running.version_of(uid)
                for said in ("", "0123", version):
                    running.applied(who, said)
                await until(lambda: MARK in cluster.object(AGENT)["metadata"]["annotations"])
                assert cluster.object(AGENT)["metadata"]["annotations"] == {**before, MARK: version}
                running.applied(who, version)
                await asyncio.sleep(30)
                assert len(patches(cluster, "/pods/agent")) == 1

    in_virtual_time(main)


def test_a_sidecar_that_begins_anew_without_a_policy_has_no_mark():
    async def main():
        async with Opened() as cluster:
            uid = cluster.put_pod("agent")
            async with replica(cluster) as running:
                who = running.connect(uid)
                running.applied(who, running.version_of(uid))
                await until(lambda: MARK in cluster.object(AGENT)["metadata"]["annotations"])
                await asyncio.sleep(1)
                running.controllers.heard(who, running.answers.greeted(uid, ""))
                await until(lambda: MARK not in cluster.object(AGENT)["metadata"]["annotations"])

    in_virtual_time(main)


def test_marks_wait_while_the_server_is_away_and_only_the_last_is_written():
    async def main():
        async with Opened() as cluster:
            uid = cluster.put_pod("agent")
            async with replica(cluster) as running:
                who = running.connect(uid)
                cluster.fake.refuses = lambda method, _: 500 if method == "PATCH" else None
                running.applied(who, "0123")
                await asyncio.sleep(30)
                assert running.counted("pod_marks_waiting") == 1
                running.applied(who, "4567")
                await asyncio.sleep(30)
                assert len(patches(cluster, "/pods/agent")) < 15
                cluster.fake.refuses = lambda _method, _path: None
                await until(lambda: MARK in cluster.object(AGENT)["metadata"]["annotations"])
                assert cluster.object(AGENT)["metadata"]["annotations"][MARK] == "4567"
                await until(lambda: running.counted("pod_marks_waiting") == 0)
                assert running.counted("pod_marks_total", result="written") == 1

    in_virtual_time(main)


def test_a_pod_whose_sidecar_has_gone_to_another_replica_is_not_marked_here():
    async def main():
        async with Opened() as cluster:
            uid = cluster.put_pod("agent")
            async with replica(cluster) as running:
                who = running.connect(uid)
                running.applied(who, "0123")
                running.streams.connected.clear()
                await asyncio.sleep(10)
                assert patches(cluster, "/pods/agent") == []

    in_virtual_time(main)


def test_a_version_that_comes_back_is_written_though_the_watch_is_behind():
    async def main():
        async with Opened() as cluster:
            uid = cluster.put_pod("agent")
            async with replica(cluster) as running:
                who = running.connect(uid)
                running.applied(who, "0123")
                await until(lambda: running.controllers._pods.facts_of(uid).reported_version)
                cluster.fake.refuses = lambda method, _: 503 if method == "GET" else None
                cluster.fake.drop_watches()
                await asyncio.sleep(1)
                for version in ("4567", "0123"):
                    running.applied(who, version)
                    await until(lambda v=version: _mark(cluster) == v)

    in_virtual_time(main)


def _mark(cluster):
    return cluster.object(AGENT)["metadata"]["annotations"].get(MARK)


def test_another_pod_of_the_same_name_is_not_marked():
    async def main():
        async with Opened() as cluster:
            old = cluster.put_pod("agent")
            async with replica(cluster) as running:
                who = running.connect(old)
                made_anew = []

                def refuses(method, path):
                    """Have the pod made anew just before it is marked."""
                    if method == "PATCH" and path == AGENT and not made_anew:
                        cluster.fake.delete(AGENT)
                        made_anew.append(cluster.put_pod("agent"))

                cluster.fake.refuses = refuses
                running.applied(who, "0123")
                await until(lambda: running.counted("pod_marks_total", result="gone") == 1)
                assert MARK not in cluster.object(AGENT)["metadata"]["annotations"]
                await until(lambda: running.shelf.policy_of(made_anew[0]) is not None)
                assert running.shelf.policy_of(old) is None

    in_virtual_time(main)


def test_many_marks_are_written_at_a_rate_that_the_server_does_not_mind():
    async def main():
        async with Opened() as cluster:
            uids = {f"agent-{index}": None for index in range(120)}
            for name in uids:
                uids[name] = cluster.put_pod(name, agent_pod())
            async with replica(cluster) as running:
                for name, uid in uids.items():
                    running.applied(running.connect(uid, name), "0123")
                began = asyncio.get_running_loop().time()
                await until(lambda: running.counted("pod_marks_total", result="written") == 120)
                assert asyncio.get_running_loop().time() - began >= 120 / 50 - 0.3

    in_virtual_time(main)
