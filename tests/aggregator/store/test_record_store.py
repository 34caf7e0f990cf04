import asyncio
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remora.errors import ConfigError, Unavailable
from remora_aggregator.store.columns import Stamp
from remora_aggregator.store.files import open_writer
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
