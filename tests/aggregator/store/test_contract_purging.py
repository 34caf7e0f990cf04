"""How every back end takes away what somebody wants gone; `store` is each of them in turn."""

import asyncio
import random
from dataclasses import replace

import pytest
from tests.aggregator.store.calls import STAMP, call, calls, rounded, sums

from remora.testing.clock import ManualClock
from remora_aggregator.store.purging import Doomed, Purged, Purging
from remora_aggregator.store.questions import usage_question
from remora_aggregator.store.retention import SLICE_RECORDS
from remora_aggregator.store.selection import selection
from remora_aggregator.store.task_store import StoredTasks
from remora_aggregator.store.totals import DAY_NS
from remora_aggregator.tasks.selection import TaskSelection
from remora_aggregator.tasks.task import TaskKey
from remora_proto.v1 import records_pb2 as pb

EVERY_TASK = TaskSelection(namespaces=None)
LONG_AGO_NS = STAMP.received_unix_ns - 8 * DAY_NS


async def _purged(store, doomed):
    return [purged async for purged in Purging(store).remove(doomed)]


async def _ids(store, namespace="local"):
    chosen = selection(pb.RecordFilter(), (namespace,))
    pages = store.pages(chosen, after=None)
    return [int(one.record.call_id, 16) async for page in pages for one in page.records]


async def _usage(store, dimension):
    request = pb.UsageRequest(group_by=[dimension])
    chosen = selection(pb.RecordFilter(), ("local",))
    groups = await store.usage(usage_question(request, chosen))
    return {keys: rounded(totals.sums) for keys, totals in groups}


async def _tasks(store):
    tasks = StoredTasks(store, ManualClock())
    return {entry.task.key for entry in await tasks.tasks(EVERY_TASK, after=None, limit=100_000)}


@pytest.mark.parametrize(
    ("doomed", "fits", "tasks"),
    [
        ({"session_id": "s1"}, lambda r: r.attribution.session_id == "s1", 0),
        ({"task_id": "t1"}, lambda r: r.attribution.task_id == "t1", 1),
        ({"task_id": "t0"}, lambda r: False, 0),
        ({}, lambda _: True, 1),
        ({"before_unix_ns": LONG_AGO_NS}, lambda r: r.started_unix_nano < LONG_AGO_NS, 0),
        ({"before_unix_ns": LONG_AGO_NS, "session_id": "s1"},
         lambda r: r.started_unix_nano < LONG_AGO_NS and r.attribution.session_id == "s1", 0),
        ({"before_unix_ns": STAMP.received_unix_ns + 1}, lambda _: True, 1),
    ],
    ids=["session", "task", "another task", "namespace", "before", "session before", "all before"],
)  # fmt: skip
async def test_what_is_counted_goes_and_nothing_else(store, doomed, fits, tasks):
    records = calls(8, 120)
    await store.write(records, STAMP)
    await store.write(records, replace(STAMP, namespace="other"))
    left = [record for record in records if not fits(record)]
    meant = Doomed(namespace="local", **doomed)
    counted = await Purging(store).count(meant)
    assert counted == Purged(120 - len(left), tasks, is_done=True)
    assert await _ids(store) == [*range(120)]
    *_, last = await _purged(store, meant)
    assert last == counted
    assert await _ids(store) == [int(record.call_id, 16) for record in left]
    for dimension, column in ((1, "model"), (3, "session_id"), (7, "task_id")):
        assert await _usage(store, dimension) == sums(left, (column,))
    assert len(await _ids(store, "other")) == 120
    keys = {TaskKey("local", "t1"), TaskKey("other", "t1")}
    assert await _tasks(store) == (keys if not tasks else {TaskKey("other", "t1")})
    assert await Purging(store).count(meant) == Purged(is_done=True)


async def test_much_goes_slice_by_slice_and_tells_how_far_it_is(store):
    count = 2 * SLICE_RECORDS + 1
    await store.write(calls(9, count), STAMP)
    told = await _purged(store, Doomed(namespace="local"))
    assert [(one.records, one.is_done) for one in told] == [
        (SLICE_RECORDS, False),
        (2 * SLICE_RECORDS, False),
        (count, True),
    ]


async def test_many_tasks_go_slice_by_slice(store):
    clock = ManualClock()
    count = SLICE_RECORDS + 5
    named = [
        pb.CallRecord(call_id=f"{number:032x}", attribution=pb.Attribution(task_id=f"t{number}"))
        for number in range(count)
    ]
    await store.write(named, replace(STAMP, received_unix_ns=clock.now_unix_ns()))
    told = await _purged(store, Doomed(namespace="local"))
    assert [one.tasks for one in told] == [0, SLICE_RECORDS, count]
    assert await _tasks(store) == set()


async def test_a_slice_that_is_exactly_full_is_not_the_end(store):
    await store.write(calls(10, SLICE_RECORDS), STAMP)
    told = await _purged(store, Doomed(namespace="local"))
    assert [one.is_done for one in told] == [False, True]
    assert told[-1].records == SLICE_RECORDS


async def test_others_report_while_it_goes_on(store):
    await store.write(calls(11, 2 * SLICE_RECORDS), STAMP)
    other = replace(STAMP, namespace="other")
    removing = Purging(store).remove(Doomed(namespace="local"))
    await anext(removing)
    new = calls(12, 10)
    (_, *_), outcomes = await asyncio.gather(_rest(removing), store.write(new, other))
    assert not any(outcome.is_refused for outcome in outcomes)
    assert (await _ids(store), len(await _ids(store, "other"))) == ([], 10)


async def _rest(removing):
    return [purged async for purged in removing]


async def test_who_stops_asking_stops_it(store):
    await store.write(calls(13, 2 * SLICE_RECORDS), STAMP)
    removing = Purging(store).remove(Doomed(namespace="local"))
    await anext(removing)
    await removing.aclose()
    assert len(await _ids(store)) == SLICE_RECORDS


async def test_a_purged_task_begins_anew_with_its_next_call(store):
    chance = random.Random(1)  # noqa: S311 - for tests
    of_task = {"attribution": pb.Attribution(task_id="t9")}
    await store.write([call(chance, 1, **of_task), call(chance, 2, **of_task)], STAMP)
    await _purged(store, Doomed(namespace="local", task_id="t9"))
    await store.write([call(chance, 3, **of_task)], STAMP)
    entry = await StoredTasks(store, ManualClock()).task(TaskKey("local", "t9"))
    assert entry.totals.calls == 1
