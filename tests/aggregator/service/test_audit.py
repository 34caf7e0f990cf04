"""What is written down of what admins do."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_aggregator.service.audit import entry_of, line_of
from remora_aggregator.service.audit_file import AuditFile
from remora_aggregator.service.caller import Caller, Role

ANN = Caller("team-a", Role.ADMIN, "ann")
AT_NS = 1_767_225_600_000_000_001


def _entry(asked=None, **fields):
    made = {"outcome": "OK", "at_unix_ns": AT_NS, "count": 1, **fields}
    return entry_of(ANN, "ipv4:10.0.0.1:5", "TaskService/Cancel", asked or {"task_id": "t"}, **made)


def test_a_line_says_who_did_what_when_and_how_it_ended():
    assert json.loads(line_of(_entry())) == {
        "at": "2026-01-01T00:00:00Z",
        "at_unix_ns": AT_NS,
        "who": "ann",
        "role": "admin",
        "namespace": "team-a",
        "peer": "ipv4:10.0.0.1:5",
        "what": "TaskService/Cancel",
        "asked": {"task_id": "t"},
        "outcome": "OK",
        "count": 1,
    }


@given(st.dictionaries(st.text(max_size=9), st.text() | st.integers() | st.lists(st.text())))
def test_whatever_was_asked_for_a_line_is_one_bounded_line(asked):
    line = line_of(_entry(asked))
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 400 + 40 * 520 * 6
    assert json.loads(line)["who"] == "ann"


async def test_the_file_and_the_log_have_each_entry(tmp_path, caplog):
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)
    with caplog.at_level(logging.INFO, "remora_aggregator"):
        for count in (1, 2):
            await file.keep(_entry(count=count))
    lines = path.read_text().splitlines()
    assert [json.loads(line)["count"] for line in lines] == [1, 2]
    assert [record.getMessage() for record in caplog.records] == [f"audit {one}" for one in lines]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_pieces_are_put_away_and_the_oldest_goes(tmp_path):
    file = AuditFile(tmp_path / "audit.jsonl", piece_bytes=1)
    for count in range(12):
        await file.keep(_entry(count=count))
    pieces = sorted(tmp_path.iterdir(), key=lambda path: path.suffix.removeprefix("."))
    assert len(pieces) == 10
    kept = {json.loads(path.read_text())["count"] for path in pieces}
    assert kept == set(range(2, 12))


async def test_a_file_that_can_not_be_written_is_said_and_the_log_has_the_entry(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "remora_aggregator"):
        await AuditFile(tmp_path / "none" / "audit.jsonl").keep(_entry())
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]


@pytest.mark.parametrize("value", ["x" * 5_000, ["x" * 5_000], {"a": "x" * 5_000}])
def test_long_words_are_cut(value):
    assert len(json.loads(line_of(_entry({"reason": value})))["asked"]["reason"]) == 501
