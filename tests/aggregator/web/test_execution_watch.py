"""Executions of workflows as they change, as server-sent events."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from tests.aggregator.store.executions import FOREIGNER, SENDER, report, step

from remora_aggregator.store.execution_tables import Sender
from remora_aggregator.web.front import Bounds

READER = {"Authorization": "Bearer reader-token-0123456789"}
LOCAL = Sender("local", "p")


@asynccontextmanager
async def watching(api, query="", **headers):
    url = f"http://{api.http.address}/v1/executions/watch?{query}"
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


async def executions(content, count):
    found = []
    while len(found) < count:
        told = await event(content)
        if told.get("event") == "execution":
            found.append(told)
    return found


async def tell(api, *reports, sender=LOCAL):
    await api.http.front.executions.take(reports, sender)


async def test_a_watch_begins_now_and_tells_what_changes(api):
    await tell(api, report(1))
    async with watching(api) as content:
        ready = await event(content)
        assert (ready["event"], ready["data"]) == ("ready", {"cursor": ready["id"]})
        await tell(api, report(2, steps=[step()]))
        (told,) = await executions(content, 1)
        assert (told["data"]["execution_id"], told["data"]["step_counts"]["running"]) == ("e-2", 1)
        assert "steps" not in told["data"]
        await tell(api, report(1, 2))
        (told,) = await executions(content, 1)
    assert (told["data"]["execution_id"], told["data"]["revision"]) == ("e-1", 2)


async def test_a_watch_of_one_tells_its_steps(api):
    async with watching(api, "execution_id=e-2&namespace=local") as content:
        await event(content)
        await tell(api, report(1), report(2, steps=[step("a")]))
        (told,) = await executions(content, 1)
    assert [one["step_id"] for one in told["data"]["steps"]] == ["a"]


async def test_a_watch_goes_on_after_the_last_id_without_a_gap(api):
    async with watching(api) as content:
        last = (await event(content))["id"]
    await tell(api, *map(report, range(1, 4)))
    async with watching(api, "cursor=x0", **{"Last-Event-ID": last}) as content:
        found = await executions(content, 2)
    async with watching(api, f"cursor={found[-1]['id']}") as content:
        found += await executions(content, 1)
    assert [one["data"]["execution_id"] for one in found] == ["e-1", "e-2", "e-3"]


async def test_a_quiet_watch_hears_signs_of_life(open_api):
    async with open_api(bounds=Bounds(heartbeat_s=0.05)) as api, watching(api) as content:
        await event(content)
        assert await event(content) == {":": ""}


async def test_a_watcher_hears_of_its_namespaces_only(open_api, token_file):
    async with open_api(token_file=token_file) as api:
        async with watching(api, **READER) as content:
            await event(content)
            await tell(api, report(1), sender=FOREIGNER)
            await tell(api, report(2), sender=SENDER)
            (told,) = await executions(content, 1)
        assert told["data"]["execution_id"] == "e-2"
        other = await api.get("/v1/executions/watch?namespace=team-b", headers=READER)
        assert (other.status, other.json["where"]) == (403, "namespace")


@pytest.mark.parametrize(
    ("query", "headers", "where"),
    [("cursor=c1", {}, "cursor"), ("", {"Last-Event-ID": "r1"}, "Last-Event-ID")],
)
async def test_a_cursor_that_is_none_of_ours_is_refused(api, query, headers, where):
    answer = await api.get(f"/v1/executions/watch?{query}", headers=headers)
    assert (answer.status, answer.json["where"]) == (400, where)


async def test_a_watch_ends_when_the_aggregator_stops(api):
    async with watching(api) as content:
        await event(content)
        api.http.stop_soon()
        assert await event(content) == {}
        assert content.at_eof()
