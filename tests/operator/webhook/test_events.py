"""Events in a cluster: written by one task, whatever the API server does meanwhile."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from tests.operator.pods import CONFIG, ENABLED, pod
from tests.operator.webhook.conftest import PATIENCE_S
from tests.operator.webhook.reviews import review

from remora.task_owner import TaskOwner
from remora.testing.clock import ManualClock
from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.kubernetes_objects import ResourcePath
from remora_operator.cluster.api_server import ApiServer
from remora_operator.webhook.events import EventWriter
from remora_operator.webhook.review import answer

EVENTS = ResourcePath.parse("/apis/events.k8s.io/v1/namespaces/team/events")


def _answer(owner="web", **request):
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner}
    metadata = {"name": None, "ownerReferences": [{**reference, "controller": True}]}
    body = json.dumps(review(pod(metadata=metadata), **request)).encode()
    return answer(body, lambda _: ENABLED, CONFIG, chosen=True)


class Rounds:
    """Lets a writer go on when the test says so."""

    def __init__(self):
        """Start with no pause."""
        self.paused = asyncio.Event()
        self.pauses_s = []
        self._go_on = asyncio.Event()

    async def sleep(self, seconds):
        self.pauses_s.append(seconds)
        self.paused.set()
        await self._go_on.wait()
        self._go_on.clear()

    async def end_of_round(self):
        await asyncio.wait_for(self.paused.wait(), PATIENCE_S)
        self.paused.clear()

    def go_on(self):
        self._go_on.set()


class Cluster:
    """An API server, and a writer that is not started."""

    def __init__(self, server, api):
        """Take the server, and who speaks to it."""
        self.server = server
        self.registry = CollectorRegistry()
        self.clock = ManualClock()
        self.rounds = Rounds()
        self.writer = EventWriter(
            api, self.clock, registry=self.registry, instance="operator-1",
            sleep=self.rounds.sleep,
        )  # fmt: skip

    def events(self):
        return self.server.objects.list(EVENTS)

    def dropped(self, reason):
        labels = {"reason": reason}
        return self.registry.get_sample_value("remora_operator_events_dropped_total", labels)

    @asynccontextmanager
    async def writing(self):
        owner = TaskOwner("test")
        owner.spawn(self.writer.run(), name="events")
        try:
            yield self.rounds
        finally:
            await owner.aclose()


@pytest.fixture
async def cluster():
    async with KubernetesApi().serving() as server, ApiServer(server.url) as api:
        yield Cluster(server, api)


async def test_an_answer_is_an_event(cluster):
    async with cluster.writing() as rounds:
        cluster.writer.tell(_answer())
        await rounds.end_of_round()

    [event] = cluster.events()
    assert (event["reason"], event["type"], event["action"]) == ("Injected", "Normal", "Inject")
    assert event["regarding"]["name"] == "web"
    assert event["reportingInstance"] == "operator-1"
    assert event["eventTime"] == "2026-01-01T00:00:00.000000Z"
    assert "series" not in event


async def test_more_of_the_same_counts_up_one_event_in_one_write(cluster):
    async with cluster.writing() as rounds:
        cluster.writer.tell(_answer())
        await rounds.end_of_round()
        for _ in range(50):
            cluster.clock.advance(1)
            cluster.writer.tell(_answer())
        rounds.go_on()
        await rounds.end_of_round()

    [event] = cluster.events()
    assert event["series"] == {"count": 51, "lastObservedTime": "2026-01-01T00:00:50.000000Z"}
    assert event["eventTime"] == "2026-01-01T00:00:00.000000Z"
    assert [method for method, _ in cluster.server.requests] == ["POST", "PATCH"]


async def test_a_dry_run_writes_nothing(cluster):
    async with cluster.writing() as rounds:
        cluster.writer.tell(_answer(dryRun=True))
        cluster.writer.tell(_answer("db"))
        await rounds.end_of_round()

    assert [event["regarding"]["name"] for event in cluster.events()] == ["db"]


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_while_the_api_server_is_away_events_wait(cluster, status):
    cluster.server.fails_with = status
    async with cluster.writing() as rounds:
        for _ in range(3):
            cluster.writer.tell(_answer())
            await rounds.end_of_round()
            rounds.go_on()
        await rounds.end_of_round()
        cluster.server.fails_with = None
        rounds.go_on()
        await rounds.end_of_round()

    [event] = cluster.events()
    assert event["series"]["count"] == 3
    assert rounds.pauses_s == [2, 4, 8, 16, 1]
    assert cluster.dropped("refused") == 0


async def test_the_pauses_have_an_end(cluster):
    cluster.server.fails_with = 503
    async with cluster.writing() as rounds:
        cluster.writer.tell(_answer())
        for _ in range(8):
            await rounds.end_of_round()
            rounds.go_on()
        await rounds.end_of_round()
    assert rounds.pauses_s[-1] == 60


@pytest.mark.parametrize("status", [403, 404, 422])
async def test_what_the_api_server_does_not_take_is_dropped_and_counted(cluster, caplog, status):
    cluster.server.fails_with = status
    async with cluster.writing() as rounds:
        cluster.writer.tell(_answer())
        cluster.writer.tell(_answer("db"))
        await rounds.end_of_round()
        cluster.server.fails_with = None
        cluster.writer.tell(_answer())
        rounds.go_on()
        await rounds.end_of_round()

    assert cluster.dropped("refused") == 2
    assert len(cluster.events()) == 1
    assert len([record for record in caplog.records if "not written" in record.message]) == 1


async def test_an_event_that_expired_is_written_anew(cluster):
    async with cluster.writing() as rounds:
        cluster.writer.tell(_answer())
        await rounds.end_of_round()
        [event] = cluster.events()
        cluster.server.delete(
            f"/apis/events.k8s.io/v1/namespaces/team/events/{event['metadata']['name']}"
        )
        cluster.clock.advance(5)
        cluster.writer.tell(_answer())
        rounds.go_on()
        await rounds.end_of_round()

    [anew] = cluster.events()
    assert anew["metadata"]["name"] != event["metadata"]["name"]
    assert anew["series"]["count"] == 2


async def test_a_creation_whose_answer_was_lost_is_no_second_event(cluster):
    cluster.server.delay_s = 3600
    async with cluster.writing() as rounds:
        cluster.writer.tell(_answer())
        cluster.writer.tell(_answer())
        [series] = cluster.writer._book.due()
        cluster.server.put(series.path, dict(series.event("operator-1")))
        cluster.server.delay_s = 0
        await rounds.end_of_round()
        rounds.go_on()
        await rounds.end_of_round()

    [event] = cluster.events()
    assert event["series"]["count"] == 2
    assert [method for method, _ in cluster.server.requests] == ["POST", "PATCH"]


async def test_the_end_writes_what_is_left(cluster):
    async with cluster.writing() as rounds:
        cluster.writer.tell(_answer())
        await rounds.end_of_round()
        cluster.writer.tell(_answer("db"))

    assert len(cluster.events()) == 2
    assert cluster.dropped("stopped") == 0


async def test_what_can_not_be_written_at_the_end_is_counted(cluster):
    async with cluster.writing() as rounds:
        cluster.writer.tell(_answer())
        await rounds.end_of_round()
        cluster.server.fails_with = 503
        cluster.writer.tell(_answer("db"))
        cluster.writer.tell(_answer("db"))

    assert cluster.dropped("stopped") == 2


async def test_an_api_server_that_hangs_delays_no_admission(cluster, listening):
    hook = await listening(told=cluster.writer.tell)
    cluster.server.delay_s = 3600
    async with cluster.writing():
        for _ in range(20):
            status, _ = await hook.post(json.dumps(review()).encode())
            assert status == 200
        assert cluster.events() == []
