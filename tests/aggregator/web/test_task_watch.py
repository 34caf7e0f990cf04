"""Tasks as they change, as server-sent events."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from remora_aggregator.web.front import Bounds
from remora_proto.v1 import records_pb2 as pb

READER = {"Authorization": "Bearer reader-token-0123456789"}


@asynccontextmanager
async def watching(api, query="", **headers):
    url = f"http://{api.http.address}/v1/tasks/watch?{query}"
    async with asyncio.timeout(30), api.client.get(url, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        yield answer.content


async def event(content):
    """Read one block: its fields."""
    found = {}
    while line := (await content.readline()).decode().rstrip("\n"):
        name, _, value = line.partition(": ")
        found[name] = json.loads(value) if name == "data" else value
    return found


async def tasks(content, count):
    found = []
    while len(found) < count:
        told = await event(content)
        if told.get("event") == "task":
            found.append(told)
    return found


def of_task(call, number, task_id):
    return call(number, attribution=pb.Attribution(task_id=task_id))


async def test_a_watch_begins_now_and_tells_what_changes(api, call):
    await api.put(of_task(call, 1, "old"))
    async with watching(api) as content:
        ready = await event(content)
        assert (ready["event"], ready["data"]) == ("ready", {"cursor": ready["id"]})
        await api.put(of_task(call, 2, "new"))
        (begun,) = await tasks(content, 1)
        assert (begun["data"]["task_id"], begun["data"]["state"]) == ("new", "running")
        await api.ask("POST", "/v1/tasks/local/old/pause", json={"reason": "r"})
        (paused,) = await tasks(content, 1)
    assert (paused["data"]["task_id"], paused["data"]["control"]) == ("old", "paused")
    assert paused["data"]["reason"] == "r"


async def test_a_watch_goes_on_after_the_last_id_without_a_gap(api, call):
    async with watching(api) as content:
        last = (await event(content))["id"]
    for number in range(1, 4):
        await api.put(of_task(call, number, f"t{number}"))
    async with watching(api, "cursor=c0", **{"Last-Event-ID": last}) as content:
        found = await tasks(content, 2)
    async with watching(api, f"cursor={found[-1]['id']}") as content:
        found += await tasks(content, 1)
    assert [one["data"]["task_id"] for one in found] == ["t1", "t2", "t3"]


async def test_a_quiet_watch_hears_signs_of_life(open_api):
    async with open_api(bounds=Bounds(heartbeat_s=0.05)) as api, watching(api) as content:
        await event(content)
        assert await event(content) == {":": ""}


async def test_a_watcher_hears_of_its_namespaces_only(open_api, token_file, call):
    async with open_api(token_file=token_file) as api:
        async with watching(api, **READER) as content:
            await event(content)
            await api.put(of_task(call, 1, "theirs"), namespace="team-b")
            await api.put(of_task(call, 2, "ours"), namespace="team-a")
            (told,) = await tasks(content, 1)
        assert told["data"]["task_id"] == "ours"
        other = await api.get("/v1/tasks/watch?namespace=team-b", headers=READER)
        assert (other.status, other.json["where"]) == (403, "namespace")


@pytest.mark.parametrize(
    ("query", "headers", "where"),
    [("cursor=x", {}, "cursor"), ("", {"Last-Event-ID": "r1"}, "Last-Event-ID")],
)
async def test_a_cursor_that_is_none_of_ours_is_refused(api, query, headers, where):
    answer = await api.get(f"/v1/tasks/watch?{query}", headers=headers)
    assert (answer.status, answer.json["where"]) == (400, where)


async def test_a_watch_ends_when_the_aggregator_stops(api):
    async with watching(api) as content:
        await event(content)
        api.http.stop_soon()
        assert await event(content) == {}
        assert content.at_eof()
