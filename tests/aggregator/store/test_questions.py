import sqlite3

import pytest

from remora.errors import BadRequest, ConfigError
from remora_aggregator.store import questions
from remora_aggregator.store.columns import cursor_of, position_of
from remora_aggregator.store.files import open_reader, open_writer
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
        {"outcome": pb.RecordFilter.OUTCOME_ERROR},
        {"call_id": "0" * 32},
        {"since_unix_nano": 5, "until_unix_nano": 9},
    ],
    ids=lambda fields: "-".join(fields) or "everything",
)
@pytest.mark.parametrize("newest_first", [False, True], ids=["oldest", "newest"])
def test_pages_are_read_along_an_index(reader, fields, newest_first):
    chosen = questions.selection(pb.RecordFilter(**fields), "local")
    statement = questions.page(chosen, after=7, newest_first=newest_first, limit=10, bodies=False)
    plan = _plan(reader, statement)
    assert "SCAN" not in plan
    assert "USING INDEX" in plan or "USING INTEGER PRIMARY KEY" in plan
    if "since_unix_nano" not in fields and "call_id" not in fields:
        assert "TEMP B-TREE" not in plan  # no sorting of what may be millions


@pytest.mark.parametrize("field", ["session_id", "task_id", "data_id", "combo_id", "agent_id"])
def test_recent_records_of_one_span_are_read_along_that_span(reader, field):
    wanted = pb.RecordFilter(**{field: "x"}, since_unix_nano=5)
    chosen = questions.selection(wanted, "local")
    page = questions.page(chosen, after=None, newest_first=True, limit=10, bodies=False)
    plan = _plan(reader, page)
    assert f"{field}=?" in plan
    assert "TEMP B-TREE" not in plan


def test_usage_of_a_session_reads_that_session_alone(reader):
    chosen = questions.selection(pb.RecordFilter(session_id="s"), "local")
    plan = _plan(reader, questions.usage(chosen, [pb.USAGE_DIMENSION_MODEL]))
    assert "session_id=?" in plan


@pytest.mark.parametrize("position", [0, 1, 255, (1 << 63) - 1])
def test_cursors_are_read_as_they_were_written(position):
    assert position_of(cursor_of(position)) == position


@pytest.mark.parametrize("cursor", ["", "x", "r", "rzz", "r-1", "r" + "f" * 17])
def test_what_is_no_cursor_is_refused(cursor):
    with pytest.raises(ValueError, match="cursor"):
        position_of(cursor)


def test_another_namespace_is_refused():
    with pytest.raises(BadRequest, match="team-a") as refusal:
        questions.selection(pb.RecordFilter(namespace="team-b"), "team-a")
    assert refusal.value.status == 403


def test_an_unknown_dimension_is_refused():
    chosen = questions.selection(pb.RecordFilter(), "local")
    with pytest.raises(BadRequest, match="99"):
        questions.usage(chosen, [99])


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
