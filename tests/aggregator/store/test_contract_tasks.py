"""The stores of records do all that a store of tasks has to do, beside it."""

import pytest
from tests.aggregator.tasks.conftest import make_call  # noqa: F401 - a fixture
from tests.aggregator.tasks.test_store import *  # noqa: F403 - all of them

from remora.testing.clock import ManualClock
from remora_aggregator.store.facts import Stamp
from remora_aggregator.store.task_store import StoredTasks
from remora_aggregator.store.task_tables import CountedCall, TaskTables
from remora_aggregator.tasks.states import State
from remora_aggregator.tasks.task import TaskKey
from remora_proto.v1 import records_pb2 as pb

KEY = TaskKey("local", "t")


class CountingTasks(StoredTasks):
    """Counts calls without records."""

    def count(self, key, call, *, instead_of=None):
        counted = CountedCall(key, call, self._clock.now_unix_ns(), instead_of)
        with self._store.backend.transaction() as writing:
            TaskTables(writing, self._mark).count([counted])
        self._store.wake_followers()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def store(open_store, clock):
    async with open_store() as records:
        yield CountingTasks(records, clock, by_database=False)


def _record(number, **fields):
    record = pb.CallRecord(
        call_id=f"{number:032x}",
        started_unix_nano=10**18 + number,
        attribution=pb.Attribution(task_id="t"),
        usage=pb.Usage(input_tokens=10),
        cost=pb.Cost(total_usd="0.01"),
    )
    record.MergeFrom(pb.CallRecord(**fields))
    return record


async def _written(store, *records, pod="pod-1"):
    await store._store.write(list(records), Stamp("local", pod, 10**18 + 5_000_000_000))


async def test_the_first_record_that_names_a_task_begins_it(store):
    await _written(store, _record(1), _record(2, status_code=500))
    await _written(store, _record(3), pod="pod-2")
    entry = await store.task(KEY)
    totals = entry.totals
    assert entry.task.state is State.RUNNING
    assert (totals.calls, totals.errors, totals.input_tokens) == (3, 1, 30)
    assert totals.cost_picousd == 30_000_000_000
    assert totals.pod_uids == ("pod-1", "pod-2")


async def test_a_revised_record_is_counted_once(store):
    await _written(store, _record(1))
    revised = _record(1, revision=1, cost=pb.Cost(total_usd="0.03"))
    await _written(store, revised, revised)
    totals = (await store.task(KEY)).totals
    assert (totals.calls, totals.cost_picousd) == (1, 30_000_000_000)


async def test_a_record_that_comes_again_is_not_counted_again(store):
    for _ in range(3):
        await _written(store, _record(1))
    assert (await store.task(KEY)).totals.calls == 1


async def test_a_tasks_records_are_read_page_by_page(store):
    await _written(store, *map(_record, range(5)))
    first = await store.records_of(KEY, cursor="", limit=3)
    rest = await store.records_of(KEY, cursor=first[-1].cursor, limit=3)
    found = [int(one.record.call_id, 16) for one in (*first, *rest)]
    assert found == [0, 1, 2, 3, 4]


async def test_tasks_outlive_the_store(open_store, clock):
    async with open_store() as records:
        await _written(StoredTasks(records, clock), _record(1))
    async with open_store() as records:
        assert (await StoredTasks(records, clock).task(KEY)).totals.calls == 1


@pytest.mark.parametrize("task_id", ["x" * 300, "a\x01b"], ids=["long", "control"])
async def test_an_id_that_no_task_may_have_makes_none(store, task_id):
    record = _record(1)
    record.attribution.task_id = task_id
    await _written(store, record)
    assert await store.task(TaskKey("local", task_id)) is None
