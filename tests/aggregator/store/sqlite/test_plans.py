import sqlite3

import pytest

from remora.errors import ConfigError
from remora_aggregator.store import sql
from remora_aggregator.store.questions import pieces, usage_question
from remora_aggregator.store.reading import RECORD_COLUMNS
from remora_aggregator.store.selection import selection
from remora_aggregator.store.sqlite.backend import FLAVOUR
from remora_aggregator.store.sqlite.files import open_reader, open_writer
from remora_proto.v1 import records_pb2 as pb


@pytest.fixture
def reader(tmp_path):
    writer = open_writer(tmp_path / "records.db")
    reader = open_reader(tmp_path / "records.db")
    yield reader
    reader.close()
    writer.close()


def _plan(reader, statement):
    rows = reader.execute(f"explain query plan {statement.sql}", statement.parameters)
    return " | ".join(row[3] for row in rows)


def _page(wanted, *, newest_first=False, order_by=""):
    return sql.page(
        selection(wanted, ("local",)),
        FLAVOUR,
        order=sql.Order(order_by, descending=newest_first),
        after=sql.Place(7),
        limit=10,
        columns=RECORD_COLUMNS,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"session_id": "s"},
        {"task_id": "t"},
        {"data_id": "d"},
        {"combo_id": "c"},
        {"agent_id": "a"},
        {"provider": "openai"},
        {"model": "gpt-4o"},
        {"conditions": [pb.Condition(field="origin.workload", operator=1, values=["w"])]},
        {"outcome": pb.RecordFilter.OUTCOME_ERROR},
        {"call_id": "0" * 32},
        {"since_unix_nano": 5, "until_unix_nano": 9},
    ],
    ids=lambda fields: "-".join(fields) or "everything",
)
@pytest.mark.parametrize("newest_first", [False, True], ids=["oldest", "newest"])
def test_pages_are_read_along_an_index(reader, fields, newest_first):
    plan = _plan(reader, _page(pb.RecordFilter(**fields), newest_first=newest_first))
    assert "SCAN records" not in plan
    assert "USING INDEX" in plan or "USING INTEGER PRIMARY KEY" in plan
    if not {"since_unix_nano", "call_id", "model"} & fields.keys():
        assert "TEMP B-TREE" not in plan  # no sorting of what may be millions


@pytest.mark.parametrize("field", ["session_id", "task_id", "data_id", "combo_id", "agent_id"])
def test_recent_records_of_one_span_are_read_along_that_span(reader, field):
    wanted = pb.RecordFilter(**{field: "x"}, since_unix_nano=5)
    plan = _plan(reader, _page(wanted, newest_first=True))
    assert f"{field}=?" in plan
    assert "TEMP B-TREE" not in plan


def _usage_plans(reader, request):
    question = usage_question(request, selection(request.filter, ("local",)))
    return [_plan(reader, piece.statement) for piece in pieces(question, FLAVOUR)]


def test_usage_of_a_session_reads_its_totals_alone(reader):
    request = pb.UsageRequest(filter=pb.RecordFilter(session_id="s"))
    (plan,) = _usage_plans(reader, request)
    assert "SEARCH span_totals USING PRIMARY KEY (kind=? AND span_id=?" in plan


def test_usage_of_a_session_in_a_while_reads_that_session_alone(reader):
    request = pb.UsageRequest(filter=pb.RecordFilter(session_id="s", since_unix_nano=5))
    (plan,) = _usage_plans(reader, request)
    assert "session_id=?" in plan


def test_usage_by_model_reads_days(reader):
    (plan,) = _usage_plans(reader, pb.UsageRequest(quantiles=[0.5]))
    assert "SEARCH period_totals USING PRIMARY KEY (level_ns=?" in plan


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "records.db"
    open_writer(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "insert into _sqlite_migrations (migration_set, name, applied_at) "
            "values ('remora-aggregator', '9999_future', '')"
        )
    connection.close()
    with pytest.raises(ConfigError, match="9999_future"):
        open_writer(path)


def test_opening_twice_changes_nothing(tmp_path):
    path = tmp_path / "records.db"
    open_writer(path).close()
    before = path.read_bytes()
    open_writer(path).close()
    assert path.read_bytes() == before


def test_money_is_summed_exactly(reader):
    rows = "select '0.1' as a union all select '0.2' union all select null"
    (total,) = reader.execute(f"select money_sum(a) from ({rows})").fetchone()  # noqa: S608
    assert total == "0.3"
    assert reader.execute("select money_sum(null)").fetchone() == (None,)
