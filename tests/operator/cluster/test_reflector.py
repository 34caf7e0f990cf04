"""What a reflector's sink knows, over real HTTP and whatever happens to the server."""

import asyncio
import random
from contextlib import asynccontextmanager, suppress

import pytest
from tests.operator.cluster.staging import LoopClock, Opened, in_virtual_time, until

from remora.testing.kubernetes_objects import Refused, ResourcePath
from remora_operator.cluster.metrics import ClusterMetrics
from remora_operator.cluster.reflector import Pace, Reflector
from remora_operator.cluster.resources import PODS, SECRETS, Resource

THINGS = Resource("things", "/apis/example.com/v1/things")
ONE = "/apis/example.com/v1/namespaces/team/things"


class Sink:
    """Keeps objects by name, with what it was told in order."""

    def __init__(self):  # noqa: D107
        self.kept = {}
        self.told = []
        self.raises_for = ""
        self.ignores = ""

    def put(self, value):
        name = value["metadata"]["name"]
        if name == self.raises_for:
            raise ValueError("nobody foresaw this one")
        if name == self.ignores:
            return False
        self.told.append(("put", name, value["metadata"]["uid"]))
        self.kept[name] = value
        return True

    def remove(self, one):
        self.told.append(("remove", one.name, one.uid))
        if self.kept[one.name]["metadata"]["uid"] == one.uid:
            del self.kept[one.name]

    @property
    def versions(self):
        return {name: value.get("spec") for name, value in self.kept.items()}


@asynccontextmanager
async def reflected(cluster, resource=THINGS, **pace):
    sink = Sink()
    reflector = Reflector(
        cluster.api,
        resource,
        sink,
        clock=LoopClock(),
        metrics=ClusterMetrics(cluster.registry),
        pace=Pace(**pace),
        jitter=lambda: 0.5,
    )
    task = asyncio.ensure_future(reflector.run())
    try:
        yield sink, reflector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def watching(cluster):
    await until(lambda: cluster.fake.watches == 1)


def counted(cluster, name, **labels):
    return cluster.registry.get_sample_value(name, {"resource": "things", **labels})


def test_what_is_there_is_told_and_then_what_changes():
    async def main():
        async with Opened() as cluster:
            cluster.put(f"{ONE}/a", spec=1)
            async with reflected(cluster) as (sink, reflector):
                await reflector.complete.wait()
                assert sink.versions == {"a": 1}
                await watching(cluster)
                cluster.put(f"{ONE}/a", spec=2)
                cluster.put(f"{ONE}/b", spec=1)
                await until(lambda: sink.versions == {"a": 2, "b": 1})
                cluster.fake.delete(f"{ONE}/a")
                await until(lambda: sink.versions == {"b": 1})
                assert counted(cluster, "remora_operator_watched_objects") == 1

    in_virtual_time(main)


def test_an_empty_collection_is_complete_as_well():
    async def main():
        async with Opened() as cluster, reflected(cluster) as (sink, reflector):
            await reflector.complete.wait()
            assert sink.told == []

    in_virtual_time(main)


def test_a_secrets_values_never_travel_and_others_do_not_come_at_all():
    async def main():
        async with Opened() as cluster:
            cluster.put_secret("keys", "openai")
            cluster.put_secret("database", "")
            async with reflected(cluster, SECRETS) as (sink, reflector):
                await reflector.complete.wait()
                await watching(cluster)
                cluster.put_secret("more", "anthropic")
                cluster.put_secret("password", "")
                cluster.put_secret("keys", "groq")
                await until(lambda: "more" in sink.kept)
                await until(lambda: _label(sink.kept["keys"]) == "groq")
                assert set(sink.kept) == {"keys", "more"}
                assert all("data" not in value for value in sink.kept.values())
                cluster.put_secret("keys", "")
                await until(lambda: set(sink.kept) == {"more"})

    in_virtual_time(main)


def _label(value):
    return value["metadata"]["labels"]["remora.dev/provider"]


def test_a_pod_that_is_over_is_gone():
    async def main():
        async with Opened() as cluster:
            cluster.put_pod("done", phase="Succeeded")
            uid = cluster.put_pod("busy")
            async with reflected(cluster, PODS) as (sink, reflector):
                await reflector.complete.wait()
                await watching(cluster)
                assert set(sink.kept) == {"busy"}
                cluster.put_pod("busy", phase="Failed")
                await until(lambda: sink.told[-1] == ("remove", "busy", uid))

    in_virtual_time(main)


def test_a_watch_that_ends_is_taken_up_where_it_ended():
    async def main():
        async with Opened() as cluster:
            cluster.put(f"{ONE}/a", spec=1)
            async with reflected(cluster, watch_s=100, short_s=1) as (sink, _):
                await watching(cluster)
                await asyncio.sleep(400)
                version = cluster.put(f"{ONE}/a", spec=2)["metadata"]["resourceVersion"]
                await until(lambda: sink.versions == {"a": 2})
                await asyncio.sleep(200)
            assert len(cluster.asked("things", watch=False)) == 1
            assert len(cluster.asked("things", watch=True)) >= 6
            assert f"resourceVersion={version}&" in cluster.asked("things", watch=True)[-1]

    in_virtual_time(main)


def test_what_happened_while_the_watch_was_cut_is_told_after_it():
    async def main():
        async with Opened() as cluster:
            cluster.put(f"{ONE}/a", spec=1)
            async with reflected(cluster) as (sink, _):
                await watching(cluster)
                cluster.fake.fails_with = 503
                cluster.fake.drop_watches()
                cluster.put(f"{ONE}/b", spec=1)
                cluster.fake.delete(f"{ONE}/a")
                await asyncio.sleep(1)
                cluster.fake.fails_with = None
                await until(lambda: sink.versions == {"b": 1})

    in_virtual_time(main)


def test_after_410_what_went_meanwhile_is_found_by_its_absence():
    async def main():
        async with Opened() as cluster:
            cluster.put(f"{ONE}/stays", spec=1)
            cluster.put(f"{ONE}/goes", spec=1)
            async with reflected(cluster) as (sink, _):
                await watching(cluster)
                cluster.fake.fails_with = 503
                cluster.fake.drop_watches()
                await until(lambda: cluster.fake.watches == 0)
                cluster.fake.delete(f"{ONE}/goes")
                cluster.put(f"{ONE}/comes", spec=1)
                cluster.fake.objects.forget_changes()
                cluster.fake.fails_with = None
                await until(lambda: sink.versions == {"stays": 1, "comes": 1})
                restarts = {"reason": "expired"}
                assert counted(cluster, "remora_operator_watch_restarts_total", **restarts) == 1

    in_virtual_time(main)


def test_a_410_in_the_middle_of_a_watch_is_the_same():
    async def main():
        async with Opened() as cluster, reflected(cluster) as (sink, _):
            await watching(cluster)
            cluster.fake.objects.forget_changes()
            cluster.put(f"{ONE}/a", spec=1)
            await until(lambda: sink.versions == {"a": 1})
            assert len(cluster.asked("things", watch=False)) == 2

    in_virtual_time(main)


@pytest.mark.parametrize("is_seen", [True, False], ids=["watched", "in a list"])
def test_another_object_of_the_same_name_takes_its_place(is_seen):
    async def main():
        async with Opened() as cluster:
            old = cluster.put(f"{ONE}/a", spec=1)["metadata"]["uid"]
            async with reflected(cluster) as (sink, _):
                await watching(cluster)
                if not is_seen:
                    cluster.fake.fails_with = 503
                    cluster.fake.drop_watches()
                    await until(lambda: cluster.fake.watches == 0)
                cluster.fake.delete(f"{ONE}/a")
                new = cluster.put(f"{ONE}/a", spec=2)["metadata"]["uid"]
                if not is_seen:
                    cluster.fake.objects.forget_changes()
                    cluster.fake.fails_with = None
                await until(lambda: {("remove", "a", old), ("put", "a", new)} <= set(sink.told))
                assert sink.versions == {"a": 2}

    in_virtual_time(main)


def test_long_lists_come_in_pages():
    async def main():
        async with Opened() as cluster:
            for index in range(7):
                cluster.put(f"{ONE}/thing-{index}", spec=index)
            async with reflected(cluster, page=3) as (sink, reflector):
                await reflector.complete.wait()
                assert len(sink.kept) == 7
            assert len(cluster.asked("things", watch=False)) == 3

    in_virtual_time(main)


def test_a_page_that_comes_too_late_begins_the_list_anew_and_at_once():
    async def main():
        async with Opened() as cluster:
            for index in range(7):
                cluster.put(f"{ONE}/thing-{index}", spec=index)
            pages = []

            def refuses(method, path):
                pages.append(path)
                if len(pages) == 2:
                    cluster.fake.objects.forget_changes()
                    cluster.fake.delete(f"{ONE}/thing-0")

            cluster.fake.refuses = refuses
            async with reflected(cluster, page=3) as (sink, reflector):
                await reflector.complete.wait()
                assert set(sink.kept) >= {f"thing-{index}" for index in range(1, 7)}
                await until(lambda: "thing-0" not in sink.kept)
            assert "limit" not in cluster.asked("things", watch=False)[-1]

    in_virtual_time(main)


def test_a_minute_without_a_server_costs_few_requests_and_nothing_that_is_known():
    async def main():
        async with Opened() as cluster:
            cluster.put(f"{ONE}/a", spec=1)
            async with reflected(cluster) as (sink, _):
                await watching(cluster)
                cluster.fake.fails_with = 500
                cluster.fake.drop_watches()
                before = len(cluster.fake.requests)
                await asyncio.sleep(60)
                assert 5 <= len(cluster.fake.requests) - before <= 20
                assert sink.versions == {"a": 1}
                assert counted(cluster, "remora_operator_watch_broken") == 1
                cluster.put(f"{ONE}/a", spec=2)
                cluster.fake.fails_with = None
                await until(lambda: sink.versions == {"a": 2}, within_s=20)
                assert counted(cluster, "remora_operator_watch_broken") == 0

    in_virtual_time(main)


def test_a_server_that_is_away_at_the_start_is_waited_for():
    async def main():
        async with Opened() as cluster:
            cluster.fake.fails_with = 404  # as long as the definitions are not installed
            cluster.put(f"{ONE}/a", spec=1)
            async with reflected(cluster) as (sink, reflector):
                await asyncio.sleep(30)
                assert not reflector.complete.is_set()
                cluster.fake.fails_with = None
                await until(reflector.complete.is_set, within_s=20)
                assert sink.versions == {"a": 1}

    in_virtual_time(main)


def test_a_slow_server_is_waited_for():
    async def main():
        async with Opened() as cluster:
            cluster.fake.delay_s = 20
            cluster.put(f"{ONE}/a", spec=1)
            async with reflected(cluster) as (sink, _):
                await until(lambda: cluster.fake.watches == 1, within_s=100)
                cluster.put(f"{ONE}/a", spec=2)
                await until(lambda: sink.versions == {"a": 2})
            assert len(cluster.asked("things", watch=False)) == 1

    in_virtual_time(main)


def test_a_watch_that_is_silent_for_too_long_is_taken_for_broken():
    async def main():
        async with Opened() as cluster, reflected(cluster, idle_s=130, watch_s=10_000):
            await watching(cluster)
            await asyncio.sleep(125)
            assert len(cluster.asked("things", watch=True)) == 1
            await asyncio.sleep(10)
            assert len(cluster.asked("things", watch=True)) == 2

    in_virtual_time(main)


def test_bookmarks_keep_a_quiet_watch_alive_and_young():
    async def main():
        async with Opened() as cluster, reflected(cluster, idle_s=130, watch_s=10_000) as (sink, _):
            await watching(cluster)
            for _ in range(5):
                await asyncio.sleep(60)
                cluster.put("/apis/example.com/v1/others/x", spec=asyncio.get_running_loop().time())
                cluster.fake.send_bookmarks()
            assert len(cluster.asked("things", watch=True)) == 1
            version = cluster.fake.objects.version
            cluster.fake.drop_watches()
            await until(lambda: len(cluster.asked("things", watch=True)) == 2)
            assert f"resourceVersion={version}&" in cluster.asked("things", watch=True)[-1]
            assert sink.told == []

    in_virtual_time(main)


def test_watches_that_end_at_once_are_no_reason_to_hurry():
    async def main():
        async with Opened() as cluster, reflected(cluster, watch_s=1, short_s=5):
            await asyncio.sleep(60)
            assert len(cluster.fake.requests) < 20

    in_virtual_time(main)


def test_one_object_that_nobody_foresaw_does_not_end_the_watch_of_the_others(caplog):
    async def main():
        async with Opened() as cluster:
            cluster.put(f"{ONE}/bad", spec=1)
            cluster.put(f"{ONE}/good", spec=1)
            async with reflected(cluster) as (sink, _):
                sink.raises_for = "bad"
                await watching(cluster)
                cluster.put(f"{ONE}/bad", spec=2)
                cluster.put(f"{ONE}/good", spec=2)
                await until(lambda: sink.versions == {"good": 2})
                assert counted(cluster, "remora_operator_unreadable_objects_total") == 2

    in_virtual_time(main)
    assert "things team/bad can't be taken" in caplog.text


def test_what_the_sink_does_not_keep_is_not_remembered():
    async def main():
        async with Opened() as cluster:
            cluster.put(f"{ONE}/mine", spec=1)
            cluster.put(f"{ONE}/other", spec=1)
            async with reflected(cluster) as (sink, _):
                sink.ignores = "other"
                await watching(cluster)
                cluster.fake.delete(f"{ONE}/other")
                cluster.fake.delete(f"{ONE}/mine")
                await until(lambda: sink.versions == {})
                assert [name for what, name, _ in sink.told if what == "remove"] == ["mine"]

    in_virtual_time(main)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_the_sink_has_in_the_end_what_the_server_has(seed):
    async def main():
        chance = random.Random(seed)  # noqa: S311 - the same each time
        async with Opened() as cluster, reflected(cluster, page=3) as (sink, _):
            fake = cluster.fake
            for turn in range(150):
                name = f"{ONE}/thing-{chance.randrange(12)}"
                match chance.randrange(12):
                    case 0:
                        fake.drop_watches()
                    case 1:
                        fake.objects.forget_changes()
                    case 2:
                        fake.fails_with = chance.choice([None, None, 500, 503, 429, 403])
                    case 3:
                        await asyncio.sleep(chance.random() * 3)
                    case 4:
                        fake.delay_s = chance.choice([0.0, 0.0, 0.5])
                    case 5 | 6 | 7:
                        with suppress(Refused):
                            fake.delete(name)
                    case _:
                        cluster.put(name, spec=turn)
                if chance.random() < 0.3:
                    await asyncio.sleep(0.01)
            fake.fails_with, fake.delay_s = None, 0.0
            stored = {
                one["metadata"]["name"]: one["metadata"]["uid"]
                for one in fake.objects.list(ResourcePath.parse("/apis/example.com/v1/things"))
            }
            versions = {
                one["metadata"]["name"]: one["spec"]
                for one in fake.objects.list(ResourcePath.parse("/apis/example.com/v1/things"))
            }
            await until(lambda: sink.versions == versions)
            assert {name: value["metadata"]["uid"] for name, value in sink.kept.items()} == stored

    in_virtual_time(main)
