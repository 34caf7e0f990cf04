"""Records as they are committed, as server-sent events."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from remora_aggregator.web.front import Bounds
from remora_proto.v1 import records_pb2 as pb

QUICK = Bounds(heartbeat_s=0.05)


@dataclass
class Event:
    """One block of the stream."""

    id: str = ""
    kind: str = ""
    data: object = None
    retry: str = ""
    comment: str = ""

    @property
    def number(self):
        return int(self.data["call_id"], 16)


class Watch:
    """Reads events as the HTML standard has them."""

    def __init__(self, answer):
        """Take what is being answered."""
        self.answer = answer

    async def next(self):
        event = Event()
        while line := (await self.answer.content.readline()).decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            if name == ":":
                event.comment = "quiet"
            elif name == "data":
                event.data = json.loads(value)
            else:
                setattr(event, {"event": "kind"}.get(name, name), value)
        return event if event != Event() or not self.answer.content.at_eof() else None

    async def records(self, count):
        found = []
        while len(found) < count:
            event = await self.next()
            assert event is not None
            if event.kind == "record":
                found.append(event)
        return found


@asynccontextmanager
async def watching(api, query="", **headers):
    url = f"http://{api.http.address}/v1/records/watch?{query}"
    async with asyncio.timeout(30), api.client.get(url, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == "text/event-stream"
        yield Watch(answer)


async def test_a_watch_begins_now_and_gets_what_is_committed(api, call):
    await api.put(call(1))
    async with watching(api) as watch:
        ready = await watch.next()
        assert (ready.kind, ready.data, ready.id) == ("ready", {"cursor": "r1"}, "r1")
        assert ready.retry == "2000"
        await api.put(call(2), call(3))
        events = await watch.records(2)
    assert [event.number for event in events] == [2, 3]
    assert [event.id for event in events] == [event.data["cursor"] for event in events]


async def test_a_watch_goes_on_after_a_cursor_without_gap_or_repetition(api, call):
    await api.put(*(call(number) for number in range(1, 6)))
    async with watching(api, "cursor=r2") as watch:
        assert [event.number for event in await watch.records(3)] == [3, 4, 5]
        await api.put(call(6))
        assert [event.number for event in await watch.records(1)] == [6]


async def test_the_last_event_id_wins_over_the_cursor_of_the_address(api, call):
    await api.put(*(call(number) for number in range(1, 6)))
    async with watching(api, "cursor=r1", **{"Last-Event-ID": "r4"}) as watch:
        assert [event.number for event in await watch.records(1)] == [5]


async def test_nothing_is_missed_or_repeated_while_others_write(api, call):
    """Watchers that break off and come again see every commit once, in order."""
    last, found = "r0", []

    async def write():
        for begin in range(1, 201, 5):
            await api.put(*(call(number) for number in range(begin, begin + 5)))

    writing = asyncio.get_running_loop().create_task(write())
    while len(found) < 200:
        async with watching(api, **{"Last-Event-ID": last}) as watch:
            for event in await watch.records(min(23, 200 - len(found))):
                found.append(event.number)
                last = event.id
    await writing
    assert found == list(range(1, 201))


async def test_only_what_matches_is_sent_and_in_the_fields_asked_for(api, call):
    async with watching(api, "where=latency_s>=2&fields=latency_s&cursor=r0") as watch:
        await api.put(call(1), call(5), call(2), call(6))
        events = await watch.records(2)
    assert [event.data["latency_s"] for event in events] == [2.5, 3.0]
    assert set(events[0].data) == {"call_id", "cursor", "latency_s"}


async def test_a_revised_record_comes_again(api, call):
    async with watching(api, "cursor=r0") as watch:
        await api.put(call(1))
        await watch.records(1)
        await api.put(call(1, revision=1, notes=["late"]))
        (event,) = await watch.records(1)
    assert event.data["notes"] == ["late"]


async def test_a_quiet_watch_hears_signs_of_life_that_move_its_place_on(open_api, call):
    async with open_api(bounds=QUICK) as api, watching(api, "provider=nobody") as watch:
        assert (await watch.next()).kind == "ready"
        assert (await watch.next()).comment == "quiet"
        await api.put(call(1), call(2))
        while (event := await watch.next()).comment:
            pass
        assert (event.id, event.kind, event.data) == ("r2", "", None)


async def test_a_watch_ends_when_its_token_is_taken_back(open_api, token_file, call):
    bearer = {"Authorization": "Bearer reader-token-0123456789"}
    async with open_api(bounds=QUICK, token_file=token_file) as api:
        async with watching(api, **bearer) as watch:
            assert (await watch.next()).kind == "ready"
            token_file.write_text("another-token-0123456789 team-a reader\n")
            while (event := await watch.next()) is not None:
                assert event.comment
        again = await api.get("/v1/records/watch", headers=bearer)
        assert again.status == 401


async def test_a_watch_ends_so_also_where_it_is_never_quiet(open_api, token_file, call):
    bearer = {"Authorization": "Bearer reader-token-0123456789"}
    async with open_api(bounds=QUICK, token_file=token_file) as api:
        async with watching(api, **bearer) as watch:
            token_file.write_text("another-token-0123456789 team-a reader\n")
            number = 0
            while not watch.answer.content.at_eof():
                number += 1
                await api.put(call(number), namespace="team-a")
                await watch.next()
        assert number > 1


async def test_a_watch_of_what_is_rare_hears_signs_of_life_while_it_looks(
    open_api, call, monkeypatch
):
    from remora_aggregator.store import record_store

    monkeypatch.setattr(record_store, "SCANNED_RECORDS", 2)
    async with open_api(bounds=Bounds(heartbeat_s=0)) as api:
        await api.put(*(call(number) for number in range(1, 8)), call(8, stream=True))
        async with watching(api, "where=stream=true&cursor=r0") as watch:
            assert (await watch.next()).kind == "ready"
            assert [(await watch.next()).id for _ in range(3)] == ["r2", "r4", "r6"]
            assert [event.number for event in await watch.records(1)] == [8]


async def test_a_watch_has_no_head_alone(api):
    assert (await api.ask("HEAD", "/v1/records/watch")).status == 405


async def test_a_watcher_sees_its_namespaces_only(open_api, token_file, call):
    async with open_api(token_file=token_file) as api:
        bearer = {"Authorization": "Bearer reader-token-0123456789"}
        async with watching(api, "cursor=r0", **bearer) as watch:
            await api.put(call(1), namespace="team-b")
            await api.put(call(2), namespace="team-a")
            assert [event.number for event in await watch.records(1)] == [2]


async def test_more_watchers_than_may_be_are_turned_away(open_api):
    async with open_api(bounds=Bounds(watchers=1)) as api:
        async with watching(api) as watch:
            await watch.next()
            second = await api.get("/v1/records/watch")
            assert (second.status, second.json["code"]) == (503, "unavailable")
            assert (
                api.http.front.metrics.registry.get_sample_value("remora_aggregator_followers") == 1
            )
        async with asyncio.timeout(20):
            while api.http.front.watchers:
                await api.get("/healthz")
        async with watching(api) as watch:
            assert (await watch.next()).kind == "ready"


@pytest.mark.parametrize("query", ["cursor=x", "order=oldest", "where=x"])
async def test_what_makes_no_sense_is_refused(api, query):
    answer = await api.get(f"/v1/records/watch?{query}")
    assert (answer.status, answer.json["where"]) == (400, query.partition("=")[0] + (
        ".0" if query.startswith("where") else ""
    ))  # fmt: skip


async def test_a_last_event_id_that_is_none_of_ours_is_refused(api):
    answer = await api.get("/v1/records/watch", headers={"Last-Event-ID": "7"})
    assert (answer.status, answer.json["where"]) == (400, "Last-Event-ID")


async def test_a_store_that_breaks_ends_the_watch(api, call, caplog):
    async with watching(api) as watch:
        assert (await watch.next()).kind == "ready"
        api.store.backend.writer.execute("drop table records")
        api.store.wake_followers()
        assert await watch.next() is None
    assert "a watch ends: the store can't be read" in caplog.text


async def test_the_words_of_bodies_are_watched_too(api, call):
    async with watching(api, "text=apples&bodies=1&cursor=r0") as watch:
        await api.put(call(1), call(2, request_body=pb.Body(content=b"red apples")))
        (event,) = await watch.records(1)
    assert event.data["request_body"]["text"] == "red apples"
