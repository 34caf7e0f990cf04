import asyncio
import random
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.errors import ConfigError, Unavailable
from remora_aggregator.store.committing import Verdict
from remora_aggregator.store.facts import Stamp
from remora_aggregator.store.reading import PAGE_BYTES, read_page
from remora_aggregator.store.selection import Selection
from remora_aggregator.store.sql import Statement
from remora_aggregator.store.sqlite.backend import opened
from remora_proto.v1 import records_pb2 as pb

STAMP = Stamp("local", "pod-1", 1)
NOISE = random.Random(1).randbytes(1_000_000)  # noqa: S311 - for tests; it packs to no less
ANY = Selection(namespaces=("local",))


async def test_a_full_disk_is_said_and_healed(tmp_path, make_record):
    async with opened(tmp_path / "records.db") as store:
        store.backend.writer.execute("pragma max_page_count=20")
        body = pb.Body(content=NOISE)
        with pytest.raises(Unavailable, match="full"):
            await store.write([make_record(1, request_body=body)], STAMP)
        assert "full" in store.problem
        store.backend.writer.execute("pragma max_page_count=1000000")
        (outcome,) = await store.write([make_record(1)], STAMP)
        assert outcome.verdict is Verdict.STORED
        assert store.problem == ""


async def test_a_failed_commit_stores_none_of_its_batches(tmp_path, make_record):
    async with opened(tmp_path / "records.db") as store:
        store.backend.writer.execute("pragma max_page_count=20")
        large = make_record(2, request_body=pb.Body(content=NOISE))
        writes = [store.write([make_record(1)], STAMP), store.write([large], STAMP)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        stored = store.backend.writer.execute("select count(*) from records").fetchone()[0]
        acknowledged = sum(not isinstance(result, Exception) for result in results)
    assert stored == acknowledged


async def test_the_writer_outlives_a_batch_that_it_chokes_on(tmp_path, make_record, caplog):
    async with opened(tmp_path / "records.db") as store:
        with pytest.raises(Unavailable, match="AttributeError"):
            await store.write(["no record"], STAMP)
        (outcome,) = await store.write([make_record(1)], STAMP)
    assert outcome.verdict is Verdict.STORED
    assert "no record" not in caplog.records[0].getMessage()


async def test_a_read_that_nobody_waits_for_ends(tmp_path):
    endless = (
        "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    )
    async with opened(tmp_path / "records.db") as store:
        for _ in range(8):
            reading = asyncio.ensure_future(store.ask(Statement(endless), list))
            await asyncio.sleep(0)
            reading.cancel()
        assert await store.ask(Statement("select 1"), list) == [(1,)]


SIZES = st.sampled_from([0, 1, PAGE_BYTES // 2, PAGE_BYTES - 100, PAGE_BYTES])


@given(sizes=st.lists(SIZES, max_size=8), most=st.integers(1, 8))
@settings(deadline=None, max_examples=30)
def test_a_page_ends_with_the_record_that_fills_it(sizes, most):
    rows = [
        (number, "local", "pod", 1, None, _of_size(size), None) for number, size in enumerate(sizes)
    ]
    page = read_page(rows, ANY, len(rows) + 1, most, ordered=False)
    count = len(page.records)
    taken = [stored.ByteSize() for stored in page.records]
    assert sum(taken[: count - 1]) < PAGE_BYTES
    assert count <= most
    if page.is_last:
        assert count == len(rows)
    else:
        assert count == most or sum(taken) >= PAGE_BYTES


def _of_size(size):
    return pb.CallRecord(notes=["x" * size]).SerializeToString()


async def test_writes_of_many_share_a_commit(tmp_path, make_record):
    async with opened(tmp_path / "records.db") as store:
        commits = []
        store.backend.writer.set_trace_callback(
            lambda sql: commits.append(sql) if sql.startswith("COMMIT") or sql == "commit" else None
        )
        writes = (store.write([make_record(number)], STAMP) for number in range(100))
        await asyncio.gather(*writes)
        store.backend.writer.set_trace_callback(None)
    assert 1 <= len(commits) < 20


async def test_a_file_that_is_no_store_is_refused(tmp_path):
    path = tmp_path / "records.db"
    path.write_bytes(b"this is not SQLite" * 100)
    with pytest.raises(ConfigError, match="REMORA_AGGREGATOR_DATA_DIR"):
        async with opened(path):
            pass


async def test_records_outlive_the_aggregator(tmp_path, make_record):
    path = tmp_path / "records.db"
    async with opened(path) as store:
        await store.write([make_record(1)], STAMP)
    with sqlite3.connect(path) as connection:
        count = connection.execute("select count(*) from records").fetchone()[0]
    connection.close()
    assert count == 1
