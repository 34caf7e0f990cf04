"""How every back end takes records away; `store` is each of them in turn."""

import asyncio
from dataclasses import replace

import pytest
from tests.aggregator.store.calls import STAMP, calls, rounded, sums

from remora.testing.clock import ManualClock
from remora_aggregator.store import removal
from remora_aggregator.store.questions import usage_question
from remora_aggregator.store.retention import FEW_RECORDS, SLICE_RECORDS, Retention, Slice
from remora_aggregator.store.selection import selection
from remora_aggregator.store.totals import DAY_NS
from remora_aggregator.store.upkeep import Upkeep
from remora_proto.v1 import records_pb2 as pb

EVERYTHING = selection(pb.RecordFilter(), ("local",))


async def _ids(store, chosen=EVERYTHING, *, bodies=False):
    pages = store.pages(chosen, after=None, bodies=bodies)
    found = [stored.record async for page in pages for stored in page.records]
    return [
        int(record.call_id, 16) for record in found if not bodies or record.request_body.content
    ]


async def _usage(store, dimension=1):
    request = pb.UsageRequest(group_by=[dimension])
    groups = await store.usage(usage_question(request, EVERYTHING))
    return {keys: rounded(totals.sums) for keys, totals in groups}


def _with_bodies(records):
    for record in records:
        record.request_body.content = b'{"content": "words of number %d"}' % int(record.call_id, 16)
    return records


def _upkeep(store, now_ns, **keep):
    clock = ManualClock(now_ns)
    return Upkeep(store, Retention(**keep), clock)


async def _write_days(store, records, days):
    """Write an equal part of the records on each day."""
    part = len(records) // days
    for day in range(days):
        stamp = replace(STAMP, received_unix_ns=STAMP.received_unix_ns + day * DAY_NS)
        await store.write(records[day * part : (day + 1) * part], stamp)


async def test_what_is_too_old_goes_and_its_sums_stay(store):
    records = _with_bodies(calls(1, 90))
    await _write_days(store, records, 3)
    now = STAMP.received_unix_ns + 2 * DAY_NS + 1
    keeper = _upkeep(store, now, facts_ns=2 * DAY_NS, bodies_ns=DAY_NS)
    await keeper.shed()
    assert await _ids(store) == [*range(30, 90)]
    assert await _ids(store, bodies=True) == [*range(60, 90)]
    assert (keeper.shed_records, keeper.shed_bodies) == (30, 60)
    assert sum(row[0] for row in (await _usage(store)).values()) == 90


async def test_words_of_bodies_that_went_find_nothing(store):
    await _write_days(store, _with_bodies(calls(2, 20)), 2)
    now = STAMP.received_unix_ns + DAY_NS + 1
    await _upkeep(store, now, bodies_ns=DAY_NS).shed()
    found = await _ids(store, selection(pb.RecordFilter(text="words"), ("local",)))
    assert found == [*range(10, 20)]


async def test_what_is_too_much_goes_oldest_first(store):
    records = _with_bodies(calls(3, 2 * SLICE_RECORDS))
    await store.write(records, STAMP)
    stock = await store.write_with(store.backend.stock)
    half = stock.bodies_bytes // 2 + 1
    await _upkeep(store, STAMP.received_unix_ns, bodies_bytes=half).shed()
    left = await _ids(store, bodies=True)
    assert SLICE_RECORDS - FEW_RECORDS <= len(left) <= SLICE_RECORDS
    assert left == [*range(2 * SLICE_RECORDS)][-len(left) :]
    after = await store.write_with(store.backend.stock)
    assert 0 < after.bodies_bytes <= half


async def test_bodies_that_all_went_weigh_nothing(store):
    await store.write(_with_bodies(calls(4, 10)), STAMP)
    await _upkeep(store, STAMP.received_unix_ns, bodies_bytes=0).shed()
    stock = await store.write_with(store.backend.stock)
    assert stock.bodies_bytes == 0
    assert stock.oldest_body_received_unix_ns is None


async def test_a_store_of_much_is_shed_to_its_bound(store):
    await store.write(calls(5, 6 * SLICE_RECORDS), STAMP)
    whole = (await store.write_with(store.backend.stock)).facts_bytes
    await _upkeep(store, STAMP.received_unix_ns, facts_bytes=whole // 2).shed()
    left = await _ids(store)
    assert 0 < len(left) < 6 * SLICE_RECORDS
    assert left[-1] == 6 * SLICE_RECORDS - 1
    assert (await store.write_with(store.backend.stock)).facts_bytes <= whole // 2


async def test_totals_go_when_nothing_keeps_them(store):
    await store.write(calls(6, 50), STAMP)
    now = STAMP.received_unix_ns + 400 * DAY_NS
    await _upkeep(store, now, facts_ns=30 * DAY_NS, days_ns=300 * DAY_NS).shed()
    assert await _ids(store) == []
    assert await _usage(store) == {}
    assert await _usage(store, 3) == {}


async def test_days_outlive_hours(store):
    records = calls(7, 50)
    await store.write(records, STAMP)
    now = STAMP.received_unix_ns + 40 * DAY_NS
    await _upkeep(store, now, facts_ns=30 * DAY_NS, days_ns=300 * DAY_NS).shed()
    assert await _ids(store) == []
    assert await _usage(store) == sums(records, ("model",))


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"session_id": "s1"}, lambda r: r.attribution.session_id == "s1"),
        ({"task_id": "t1"}, lambda r: r.attribution.task_id == "t1"),
        ({}, lambda _: True),
        ({"until_unix_nano": STAMP.received_unix_ns - 8 * DAY_NS},
         lambda r: r.started_unix_nano < STAMP.received_unix_ns - 8 * DAY_NS),
    ],
    ids=["session", "task", "namespace", "before"],
)  # fmt: skip
async def test_what_is_purged_is_in_no_sum_either(store, wanted, fits):
    records = _with_bodies(calls(8, 120))
    await store.write(records, STAMP)
    await store.write(records, replace(STAMP, namespace="other"))
    chosen = selection(pb.RecordFilter(**wanted), ("local",))
    left = [record for record in records if not fits(record)]
    gone = await store.write_with(lambda: removal.purge(store.backend, chosen))
    await store.write_with(lambda: removal.purge_totals(store.backend, chosen))
    assert gone == len(records) - len(left)
    assert await _ids(store) == [int(record.call_id, 16) for record in left]
    for dimension, column in ((1, "model"), (3, "session_id"), (16, "status_code")):
        assert await _usage(store, dimension) == sums(left, (column,))
    other = selection(pb.RecordFilter(), ("other",))
    assert len(await _ids(store, other)) == 120


async def test_a_purge_takes_what_retention_left_behind(store):
    await store.write(calls(9, 40), STAMP)
    await store.write_with(lambda: removal.shed_facts(store.backend, Slice(SLICE_RECORDS)))
    assert await _ids(store) == []
    chosen = selection(pb.RecordFilter(session_id="s1"), ("local",))
    assert await store.usage(usage_question(pb.UsageRequest(), chosen))
    await store.write_with(lambda: removal.purge_totals(store.backend, chosen))
    assert await store.usage(usage_question(pb.UsageRequest(), chosen)) == []


async def test_records_may_come_again_after_they_were_purged(store):
    records = calls(10, 5)
    await store.write(records, STAMP)
    await store.write_with(lambda: removal.purge(store.backend, EVERYTHING))
    await store.write(records, STAMP)
    assert await _ids(store) == [*range(5)]
    assert await _usage(store) == sums(records, ("model",))


async def test_upkeep_goes_on_by_itself(store):
    await store.write(_with_bodies(calls(11, 10)), STAMP)
    rounds = 0

    async def sleep(_seconds):
        nonlocal rounds
        rounds += 1
        if rounds == 2:
            raise asyncio.CancelledError

    clock = ManualClock(STAMP.received_unix_ns + 2 * DAY_NS)
    keeper = Upkeep(store, Retention(bodies_ns=DAY_NS), clock, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await keeper.run()
    assert await _ids(store, bodies=True) == []
    assert keeper.damage == ""


async def test_a_sound_store_has_no_damage(store):
    await store.write(_with_bodies(calls(12, 10)), STAMP)
    keeper = _upkeep(store, STAMP.received_unix_ns)
    await keeper.look()
    assert keeper.damage == ""
