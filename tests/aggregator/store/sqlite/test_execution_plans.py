"""How the file is read for executions: along an index, without sorting."""

import pytest

from remora.execution_report import ExecutionStatus
from remora_aggregator.store.execution_selection import ExecutionPlace, ExecutionSelection
from remora_aggregator.store.sqlite.files import open_reader, open_writer

AFTER = ExecutionPlace(9, "local", "e-1")
ORDER = "order by began_unix_ns desc, namespace desc, execution_id desc limit 10"


@pytest.fixture
def reader(tmp_path):
    writer = open_writer(tmp_path / "records.db")
    reader = open_reader(tmp_path / "records.db")
    yield reader
    reader.close()
    writer.close()


def _plan(reader, where, parameters):
    sql = f"explain query plan select position, head from executions where {where}"  # noqa: S608 - our own words
    return " | ".join(row[3] for row in reader.execute(sql, parameters))


@pytest.mark.parametrize("after", [None, AFTER], ids=["first", "next"])
@pytest.mark.parametrize(
    ("fields", "index"),
    [
        ({"namespaces": None}, "executions_all_began"),
        ({}, "executions_"),
        ({"statuses": frozenset({ExecutionStatus.FAILED})}, "executions_"),
        ({"workflow": "w"}, "executions_workflow"),
        ({"task_id": "t"}, "executions_task_id"),
        ({"session_id": "s"}, "executions_session_id"),
        ({"agent_id": "a"}, "executions_agent_id"),
    ],
    ids=["everybody's", "one namespace", "status", "workflow", "task", "session", "agent"],
)
def test_pages_are_read_along_an_index(reader, fields, index, after):
    chosen = ExecutionSelection(**{"namespaces": frozenset({"local"}), **fields})
    where, parameters = chosen.conditions(after)
    plan = _plan(reader, f"{where} {ORDER}", parameters)
    assert f"USING INDEX {index}" in plan
    assert "SCAN executions" not in plan.replace("SCAN executions USING INDEX", "")


def test_changes_are_read_in_their_order_along_an_index(reader):
    plan = _plan(reader, "position > ? and position <= ? order by position limit 10", (1, 2))
    assert "executions_position" in plan
    assert "TEMP B-TREE" not in plan
