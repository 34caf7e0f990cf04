import asyncio
import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remora.errors import ConfigError, Unavailable
from remora_aggregator.store.columns import Stamp, position_of
from remora_aggregator.store.files import open_reader, open_writer
from remora_aggregator.store.questions import Statement, selection
from remora_aggregator.store.questions import page as questions_page
from remora_aggregator.store.reading import PAGE_BYTES, Readers, read_page
from remora_aggregator.store.record_store import opened
from remora_aggregator.store.writer import Batch, Verdict, commit
from remora_proto.v1 import records_pb2 as pb

STAMP = Stamp("local", "pod-1", 1)
REPORTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30)


@given(reports=REPORTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_however_revisions_arrive_the_highest_of_each_call_stays(tmp_path_factory, reports):
    connection = open_writer(tmp_path_factory.mktemp("store") / "records.db")
    for number, revision in reports:
        record = pb.CallRecord(
            call_id=f"{number:032x}", started_unix_nano=number, revision=revision
        )
        commit(connection, [Batch(STAMP, [record])])
    stored = dict(connection.execute("select call_id, revision from records").fetchall())
    connection.close()
    expected: dict[str, int] = {}
    for number, revision in reports:
        key = f"{number:032x}"
        expected[key] = max(revision, expected.get(key, 0))
    assert stored == expected


async def test_a_full_disk_is_said_and_healed(tmp_path, make_record):
    async with opened(tmp_path / "records.db") as store:
        store._writer.execute("pragma max_page_count=20")
        body = pb.Body(content=b"x" * 1_000_000)
        with pytest.raises(Unavailable, match="full"):
            await store.write([make_record(1, request_body=body)], STAMP)
        assert "full" in store.problem
        store._writer.execute("pragma max_page_count=1000000")
        (outcome,) = await store.write([make_record(1)], STAMP)
        assert outcome.verdict is Verdict.STORED
        assert store.problem == ""


async def test_a_failed_commit_stores_none_of_its_batches(tmp_path, make_record):
    async with opened(tmp_path / "records.db") as store:
        store._writer.execute("pragma max_page_count=20")
        large = make_record(2, request_body=pb.Body(content=b"x" * 1_000_000))
        writes = [store.write([make_record(1)], STAMP), store.write([large], STAMP)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        stored = store._writer.execute("select count(*) from records").fetchone()[0]
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
    open_writer(tmp_path / "records.db").close()
    endless = (
        "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    )
    readers = Readers(tmp_path / "records.db")
    for _ in range(8):
        reading = asyncio.ensure_future(readers.ask(Statement(endless, ()), list))
        await asyncio.sleep(0)
        reading.cancel()
    assert await readers.ask(Statement("select 1", ()), list) == [(1,)]
    await asyncio.to_thread(readers.close)


SIZES = st.sampled_from([0, 1, PAGE_BYTES // 2, PAGE_BYTES - 1, PAGE_BYTES])


@given(sizes=st.lists(SIZES, max_size=8), most=st.integers(1, 8))
def test_a_page_ends_with_the_record_that_fills_it(sizes, most):
    rows = [
        (number, "local", "pod", 1, b"", None, bytes(size)) for number, size in enumerate(sizes)
    ]
    page = read_page(rows, most)
    count = len(page.records)
    assert sum(sizes[: count - 1]) < PAGE_BYTES
    assert count <= most
    if page.is_last:
        assert count == len(rows)
    else:
        assert count == most or sum(sizes[:count]) >= PAGE_BYTES


@given(
    sessions=st.lists(st.integers(0, 2), max_size=40),
    size=st.integers(1, 9),
    newest_first=st.booleans(),
    wanted=st.none() | st.integers(0, 2),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_pages_by_cursor_are_the_whole_cut_into_pieces(
    tmp_path_factory, sessions, size, newest_first, wanted
):
    path = tmp_path_factory.mktemp("store") / "records.db"
    with closing(open_writer(path)) as writer, closing(open_reader(path)) as reader:
        commit(writer, [Batch(STAMP, [_of_session(*pair) for pair in enumerate(sessions)])])
        session = "" if wanted is None else f"s{wanted}"
        chosen = selection(pb.RecordFilter(session_id=session), "local")
        seen, after = [], None
        while True:
            asked = questions_page(
                chosen, after=after, newest_first=newest_first, limit=size, bodies=True
            )
            page = read_page(reader.execute(asked.sql, asked.parameters), size)
            seen += [int(stored.record.call_id, 16) for stored in page.records]
            if page.is_last:
                break
            after = position_of(page.records[-1].cursor)
    expected = [number for number, of in enumerate(sessions) if wanted in (None, of)]
    assert seen == (expected[::-1] if newest_first else expected)


def _of_session(number, session):
    return pb.CallRecord(
        call_id=f"{number:032x}",
        started_unix_nano=number,
        attribution=pb.Attribution(session_id=f"s{session}"),
    )


async def test_writes_of_many_share_a_commit(tmp_path, make_record):
    async with opened(tmp_path / "records.db") as store:
        commits = []
        store._writer.set_trace_callback(
            lambda sql: commits.append(sql) if sql.startswith("COMMIT") or sql == "commit" else None
        )
        writes = (store.write([make_record(number)], STAMP) for number in range(100))
        await asyncio.gather(*writes)
        store._writer.set_trace_callback(None)
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
