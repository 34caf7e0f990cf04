"""From `kubectl apply` to the sidecar: API server, watch, shelf, gRPC and the sidecar's client."""

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest
from prometheus_client import CollectorRegistry
from tests.operator.cluster.staging import POLICIES, Opened

from remora.client.target import AggregatorTarget
from remora.clock import SystemClock
from remora.errors import ConfigError, Problem
from remora.policy import effective_from_canonical
from remora.task_owner import TaskOwner
from remora_operator.cluster.controllers import Controllers
from remora_operator.cluster.election import LeaseTimes
from remora_operator.delivery.policy_service import PolicyService
from remora_operator.delivery.token_review import AUDIENCE, TokenReviews
from remora_operator.policies import Answers, PolicyShelf
from remora_proto.v1 import policy_pb2_grpc as pb_grpc
from remora_sidecar.policy_service import PodHints, PolicyWatch

DEADLINE_S = 30.0
TOKENS = {"agent-1": "token-of-agent-1", "agent-2": "token-of-agent-2"}


class Sidecar:
    """What a sidecar makes of the documents that it is sent."""

    def __init__(self):  # noqa: D107
        self.captures = []
        self.refuses = ""
        self.version = ""
        self.came = asyncio.Event()

    async def take_document(self, document, version):
        effective = effective_from_canonical(document, version)
        if effective.rules.capture == self.refuses:
            raise ConfigError([Problem("policy.spec.capture", "is not for me")])
        self.captures.append(effective.rules.capture)
        self.version = version
        self.came.set()

    def confirmed(self):
        self.came.set()

    async def until(self, capture):
        async with asyncio.timeout(DEADLINE_S):
            while self.captures[-1:] != [capture]:
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def operator(cluster, identity, address):
    """A replica: all that it does with the cluster, and PolicyService over gRPC."""
    shelf, answers, clock = PolicyShelf(), Answers(), SystemClock()
    controllers = Controllers(
        cluster.api,
        shelf,
        answers,
        identity=identity,
        namespace="remora-system",
        clock=clock,
        registry=CollectorRegistry(),
        lease_times=LeaseTimes(3, 2.0, 0.2),
    )
    reviews = TokenReviews(cluster.api, clock)
    service = PolicyService(
        reviews, shelf, answers, version="1", heard=controllers.heard, patience_s=DEADLINE_S
    )
    server = grpc.aio.server()
    pb_grpc.add_PolicyServiceServicer_to_server(service, server)
    server.add_insecure_port(address)
    await server.start()
    try:
        async with controllers.running(service):
            yield controllers
    finally:
        service.stop()
        await server.stop(5)
        await reviews.aclose()


@pytest.fixture
def connected(tmp_path):
    @asynccontextmanager
    async def running(sidecar, name, address):
        file = tmp_path / name
        file.write_text(TOKENS[name])
        watch = PolicyWatch(
            AggregatorTarget(address, token_file=file),
            PodHints("x", "y", "z", "9"),
            sleep=lambda _: asyncio.sleep(0.01),
            jitter=lambda: 0,
        )
        tasks = TaskOwner("test")
        tasks.spawn(watch.run(sidecar), name=name)
        try:
            yield watch
        finally:
            await tasks.aclose()

    return running


@asynccontextmanager
async def a_cluster():
    """One policy, and two agents of one namespace."""
    async with Opened() as cluster:
        cluster.put_policy("research", {"capture": "metadata"})
        for name, token in TOKENS.items():
            uid = cluster.put_pod(name)
            body = cluster.object(f"/api/v1/namespaces/team-a/pods/{name}")
            assert cluster.fake.add_pod(
                "team-a", name, token=token, audience=AUDIENCE, **body
            ) == uid  # fmt: skip
        yield cluster


async def until(cluster, condition):
    """Wait for the cluster's objects to be as they should: each change of one is looked at."""
    moved = asyncio.Event()
    tell = cluster.fake.objects.on_change

    def told():
        tell()
        moved.set()

    cluster.fake.objects.on_change = told
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                moved.clear()
                await moved.wait()
    finally:
        cluster.fake.objects.on_change = tell


def _pods(cluster):
    return cluster.status_of(f"{POLICIES}/research").get("pods")


async def test_every_version_that_is_applied_reaches_the_sidecar_and_comes_back(
    tmp_path, connected
):
    address = f"unix:{tmp_path}/o.sock"
    sidecar, other, took_s = Sidecar(), Sidecar(), []
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(a_cluster())
        await stack.enter_async_context(operator(cluster, "a", address))
        await stack.enter_async_context(connected(sidecar, "agent-1", address))
        await stack.enter_async_context(connected(other, "agent-2", address))
        await sidecar.until("metadata")
        await other.until("metadata")
        for capture in ("redacted", "full") * 5:
            began_s = time.monotonic()
            cluster.put_policy("research", {"capture": capture})
            await sidecar.until(capture)
            took_s.append(time.monotonic() - began_s)
            await other.until(capture)
        await until(cluster, lambda: _pods(cluster) == {"selected": 2, "current": 2})
        mark = "remora.dev/policy-version"
        path = "/api/v1/namespaces/team-a/pods/agent-1"
        await until(
            cluster,
            lambda: cluster.object(path)["metadata"]["annotations"].get(mark) == sidecar.version,
        )
    print(
        f"from apply to sidecar: {sorted(took_s)[5] * 1e3:.1f} ms of 10, worst {max(took_s):.3f} s"
    )


async def test_the_leader_counts_sidecars_of_the_other_replica_and_shows_what_they_refuse(
    tmp_path, connected
):
    first, second = f"unix:{tmp_path}/a.sock", f"unix:{tmp_path}/b.sock"
    sidecar, other = Sidecar(), Sidecar()
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(a_cluster())
        leader = await stack.enter_async_context(operator(cluster, "a", first))
        await until(cluster, lambda: leader.is_leader and _pods(cluster))
        follower = await stack.enter_async_context(operator(cluster, "b", second))
        await stack.enter_async_context(connected(sidecar, "agent-1", first))
        await stack.enter_async_context(connected(other, "agent-2", second))
        await until(cluster, lambda: _pods(cluster) == {"selected": 2, "current": 2})
        assert not follower.is_leader
        other.refuses = "full"
        cluster.put_policy("research", {"capture": "full"})
        await until(cluster, lambda: cluster.status_of(f"{POLICIES}/research").get("lastError"))
        assert cluster.status_of(f"{POLICIES}/research")["lastError"] == {
            "pod": "team-a/agent-2",
            "fieldPath": "policy.spec.capture",
            "reason": "is not for me",
        }
        await until(cluster, lambda: _pods(cluster) == {"selected": 2, "current": 1})
        other.refuses = ""
        cluster.put_policy("research", {"capture": "redacted"})
        await until(cluster, lambda: _pods(cluster) == {"selected": 2, "current": 2})
        assert "lastError" not in cluster.status_of(f"{POLICIES}/research")


async def test_a_sidecar_that_moves_to_the_other_replica_goes_on_without_a_gap(tmp_path, connected):
    first, second = f"unix:{tmp_path}/a.sock", f"unix:{tmp_path}/b.sock"
    sidecar = Sidecar()
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(a_cluster())
        await stack.enter_async_context(operator(cluster, "b", second))
        async with operator(cluster, "a", first), connected(sidecar, "agent-1", first):
            await sidecar.until("metadata")
        async with connected(sidecar, "agent-1", second):
            cluster.put_policy("research", {"capture": "full"})
            await sidecar.until("full")
            await until(cluster, lambda: (_pods(cluster) or {}).get("current") == 1)
