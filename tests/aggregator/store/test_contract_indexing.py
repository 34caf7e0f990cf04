"""Words are indexed after their bodies were committed, on every back end, and nobody notices."""

import asyncio
import threading
from functools import partial

from tests.aggregator.store.calls import BEGIN_NS, STAMP, calls

from remora_aggregator.store import indexing, removal
from remora_aggregator.store.committing import Batch, commit
from remora_aggregator.store.questions import usage_question
from remora_aggregator.store.retention import Slice
from remora_aggregator.store.selection import selection
from remora_aggregator.store.sql import Statement
from remora_proto.v1 import records_pb2 as pb

LOCAL = ("local",)
DEADLINE_S = 60


def _with_words(count, begin=0):
    records = calls(1, begin + count)[begin:]
    for record in records:
        number = int(record.call_id, 16)
        record.request_body.content = f'{{"p": "each of them, n{number}"}}'.encode()
    return records


async def _found(store, text):
    chosen = selection(pb.RecordFilter(text=text), LOCAL)
    pages = store.pages(chosen, after=None)
    return [stored.record.call_id async for page in pages for stored in page.records]


async def _quiet(store):
    """Wait until the store has nothing left to index, of what it knows."""
    async with asyncio.timeout(DEADLINE_S):
        while store.unindexed_bodies:  # noqa: ASYNC110 - nobody is told when
            await asyncio.sleep(0.01)


async def _commit_unnoticed(store, records):
    """Commit as another aggregator would, or one that was killed then: nobody here indexes it."""
    await _quiet(store)
    work = partial(commit, store.backend, [Batch(STAMP, records)])
    await store.write_with(work)
    assert (await store.ask(indexing.STATE, list))[0][1] == len(records)


async def test_words_are_indexed_once_nobody_reports(store):
    records = _with_words(3)
    await store.write(records, STAMP)
    await _quiet(store)
    ((position, bodies),) = await store.ask(indexing.STATE, list)
    assert (position, bodies) == (await store.last_position(), 0)


async def test_who_asks_by_words_misses_nothing_that_is_committed(store):
    records = _with_words(450)
    await _commit_unnoticed(store, records)
    assert len(await _found(store, "each")) == len(records)
    assert await _found(store, "n449") == [records[449].call_id]
    assert (await store.ask(indexing.STATE, list))[0][1] == 0


async def test_words_that_an_aggregator_left_behind_are_indexed_by_the_next(open_store):
    records = _with_words(5)
    async with open_store() as store:
        await _commit_unnoticed(store, records)
    async with open_store() as store:
        await _quiet(store)
        assert (await store.ask(indexing.STATE, list))[0][1] == 0
        assert await _found(store, "n3") == [records[3].call_id]


async def test_bodies_that_go_before_they_are_indexed_are_found_no_more(store):
    records = _with_words(5)
    await _commit_unnoticed(store, records[:3])
    gone = await store.write_with(partial(removal.shed_bodies, store.backend, Slice(2)))
    assert gone == 2
    assert (await store.ask(indexing.STATE, list))[0][1] == 1
    assert await _found(store, "each") == [records[2].call_id]
    await store.write_with(partial(removal.shed_bodies, store.backend, Slice(1)))
    await store.write(records[3:], STAMP)
    assert await _found(store, "each") == [record.call_id for record in records[3:]]


async def test_what_went_while_its_text_was_read_is_not_indexed(store):
    records = _with_words(3)
    await _commit_unnoticed(store, records)
    part = indexing.read_slice(store.backend, threading.Event())
    await store.write_with(partial(removal.shed_bodies, store.backend, Slice(1)))
    left = await store.write_with(partial(indexing.index, store.backend, part))
    assert left == 0
    assert await _found(store, "each") == [record.call_id for record in records[1:]]


async def test_two_that_index_the_same_do_so_once(store):
    await _commit_unnoticed(store, _with_words(3))
    part = indexing.read_slice(store.backend, threading.Event())
    for _ in range(2):
        left = await store.write_with(partial(indexing.index, store.backend, part))
        assert left == 0
    assert len(await _found(store, "each")) == 3


async def test_a_revised_record_is_found_by_its_new_words_alone(store):
    (record,) = _with_words(1)
    await _commit_unnoticed(store, [record])
    record.revision = 1
    record.request_body.content = b'{"p": "revised"}'
    await store.write([record], STAMP)
    assert await _found(store, "each") == []
    assert await _found(store, "revised") == [record.call_id]


async def test_bodies_that_cannot_be_read_hold_no_others_up(store, caplog):
    records = _with_words(3)
    await _commit_unnoticed(store, records)
    mark = store.backend.flavour.mark
    spoil = Statement(
        f"update bodies set packed = {mark} where position = (select min(position) from bodies)",  # noqa: S608 - a mark
        (b"no zstd",),
    )

    def spoiled():
        with store.backend.transaction() as writing:
            writing.run(spoil)

    await store.write_with(spoiled)
    assert await _found(store, "each") == [record.call_id for record in records[1:]]
    assert "can't be read" in caplog.text
    assert "no zstd" not in caplog.text


async def test_usage_of_records_with_words_misses_none(store):
    await _commit_unnoticed(store, _with_words(4))
    chosen = selection(pb.RecordFilter(text="each", since_unix_nano=BEGIN_NS), LOCAL)
    request = pb.UsageRequest(group_by=[pb.USAGE_DIMENSION_NAMESPACE])
    ((_, totals),) = await store.usage(usage_question(request, chosen))
    assert totals.sums[0] == 4
