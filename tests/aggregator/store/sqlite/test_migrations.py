"""A file of every older version is brought up to date, with its rows."""

import sqlite3
from contextlib import closing
from decimal import Decimal

import pytest
from sqlite_utils import Database
from tests.aggregator.store.calls import calls, sums

from remora_aggregator.store.questions import usage_question
from remora_aggregator.store.selection import selection
from remora_aggregator.store.sqlite import migrations
from remora_aggregator.store.sqlite.backend import opened
from remora_aggregator.store.sqlite.files import open_writer
from remora_proto.v1 import records_pb2 as pb


def _file_of_0001(path, records):
    """Lay down what 0001 did, as the version that had it wrote it."""
    with closing(sqlite3.connect(path)) as connection:
        migrations.steps.apply(Database(connection), stop_before="0002_facts_and_totals")
        for number, record in enumerate(records):
            bodies = None
            bare = pb.CallRecord()
            bare.CopyFrom(record)
            if record.HasField("request_body"):
                bodies = pb.CallRecord(request_body=record.request_body).SerializeToString()
                bare.ClearField("request_body")
            connection.execute(
                "insert into records (position, namespace, pod_uid, call_id, revision, "
                "received_unix_ns, started_unix_ns, message, bodies) values (?,?,?,?,?,?,?,?,?)",
                (number * 3 + 1, "local", "pod-1", record.call_id, 0, 77, record.started_unix_nano,
                 bare.SerializeToString(), bodies),
            )  # fmt: skip
        connection.commit()


async def test_records_of_the_first_version_are_carried_over(tmp_path):
    records = calls(1, 1_100)
    records[5].request_body.content = b'{"content": "long ago"}'
    _file_of_0001(tmp_path / "records.db", records)
    async with opened(tmp_path / "records.db") as store:
        chosen = selection(pb.RecordFilter(), ("local",))
        found = [
            stored
            async for page in store.pages(chosen, after=None, bodies=True)
            for stored in page.records
        ]
        assert [stored.record for stored in found] == records
        assert [stored.cursor for stored in found[:2]] == ["r1", "r4"]
        question = usage_question(pb.UsageRequest(), chosen)
        by_model = {keys: totals.sums[0] for keys, totals in await store.usage(question)}
        assert by_model == {keys: row[0] for keys, row in sums(records, ("model",)).items()}
        words = selection(pb.RecordFilter(text="ago"), ("local",))
        page = await anext(store.pages(words, after=None))
        assert [stored.record.call_id for stored in page.records] == [records[5].call_id]


@pytest.mark.parametrize("records", [0, 3], ids=["empty", "with rows"])
def test_an_older_file_comes_to_the_schema_of_a_new_one(tmp_path, records):
    _file_of_0001(tmp_path / "old.db", calls(2, records))
    schemas = []
    for name in ("old.db", "new.db"):
        with closing(open_writer(tmp_path / name)) as connection:
            rows = connection.execute(
                "select name, sql from sqlite_master where name not like 'sqlite%' order by name"
            ).fetchall()
            schemas.append(rows)
    assert schemas[0] == schemas[1]


def test_money_that_was_stored_is_summed(tmp_path):
    records = calls(3, 50)
    _file_of_0001(tmp_path / "old.db", records)
    with closing(open_writer(tmp_path / "old.db")) as connection:
        kept = connection.execute("select cost_usd from period_totals where level_ns < 1e14")
        total = sum((Decimal(cost) for (cost,) in kept), Decimal(0)) / 2  # hours and days
    stated = (Decimal(record.cost.total_usd) for record in records if record.cost.total_usd)
    assert total == sum(stated, Decimal(0))
