"""Records written to files: whole or not at all, and read back."""

import json
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.cli.asking import START_NS, asking, record

from remora.cli import record_export
from remora.cli.record_export import check_path, export
from remora.cli.record_json import record_json
from remora.cli.record_table import SCHEMA, SCHEMA_WITH_BODIES, row_of, table_of
from remora.errors import ConfigError, Unavailable
from remora.receipt import BudgetReceipt, CandidateReceipt, Receipt
from remora.records import (
    Attempt,
    Attribution,
    Body,
    CacheVerdict,
    CallError,
    CallRecord,
    Cost,
    EndReason,
    Origin,
    Outcome,
    StoredRecord,
    Usage,
)
from remora_proto.v1 import records_pb2 as pb

COST = Cost(Decimal("0.0000001234567"), Decimal("0.1"), Decimal(0), "list 1", "2026-11-01")
USAGE = Usage(**dict.fromkeys((name for name in Usage.__slots__ if name != "estimated"), 3))
RECEIPT = Receipt(
    policy="research",
    policy_version="a" * 64,
    rule="chat",
    router="weighted",
    propensity=0.9,
    candidates=(
        CandidateReceipt("openai", "gpt-4o", 0.5, Decimal("0.002"),
                         parameters='{"temperature":0.2}', propensity=0.9, note="tied"),
        CandidateReceipt("groq", "llama", filtered_out_by="dialect"),
    ),
    fallback=("groq/llama",),
    budgets=(
        BudgetReceipt("daily", "namespace", "warn", Decimal("4.5"), Decimal(50), None, None,
                      START_NS),
        BudgetReceipt("small", "task", "ok", None, None, 5, 100),
    ),
)  # fmt: skip
FULL = StoredRecord(
    CallRecord(
        call_id=f"{1:032x}",
        revision=2,
        started_unix_ns=START_NS + 123_456_789,
        provider="openai",
        operation="chat",
        url="https://api.openai.com/v1/chat/completions",
        attribution=Attribution(session_id="sess_1", task_id="t1", goal="extract"),
        origin=Origin(pod_name="p", labels={"app": "x", "tier": ""}),
        requested_model="gpt-4o",
        sent_model="gpt-4o",
        response_model="gpt-4o-2024",
        status_code=200,
        end_reason=EndReason.COMPLETED,
        error=CallError("odd", "says \u202e and \0"),
        tool_names=("search", "fetch"),
        usage=USAGE,
        cost=COST,
        latency_s=1.5,
        ttft_s=0.25,
        request_bytes=2**63 + 1,
        cache=CacheVerdict("hit", "", 1.5, 2.5, Decimal("0.002")),
        cached=True,
        attempts=(
            Attempt("openai", "gpt-4o", 503, 0.1, CallError("busy", ""), False, "overloaded",
                    USAGE, COST),
            Attempt("groq", "llama", 200, 0.2, parameters='{"top_p":1}'),
        ),
        outcome=Outcome("check_failed", 0.0, 0.6, "malformed_output", ("json",)),
        notes=("a", "b"),
        capture="full",
        receipt=RECEIPT,
        request_body=Body(b'{"a":1}', 7, False, "application/json"),
        response_body=Body(b"\xff\x00", 2_000, True),
    ),
    "team-a", "pod-1", START_NS + 10**9, "r1",
)  # fmt: skip
BARE = StoredRecord(CallRecord(call_id=f"{2:032x}", started_unix_ns=START_NS), "", "", 0, "")


def _written(path: Path, *records: StoredRecord, with_bodies: bool = False) -> int:
    return export(records, path, with_bodies=with_bodies, progress=lambda count: None)


def _unknown_keys(shown, kind):
    """Name the keys of a record's JSON that a column's type has not."""
    if kind == pyarrow.string():  # parameters, of whatever names
        return []
    if isinstance(shown, list):
        return [key for one in shown for key in _unknown_keys(one, kind.value_type)]
    if not isinstance(shown, dict) or pyarrow.types.is_map(kind):
        return []
    names = {field.name for field in kind}
    missing = [key for key in shown if key not in names]
    return missing + [
        key
        for name in names & shown.keys()
        for key in _unknown_keys(shown[name], kind.field(name).type)
    ]


def test_the_table_has_every_key_of_the_json_and_no_other():
    shown = record_json(FULL)
    assert [field.name for field in SCHEMA] == list(shown)
    whole = pyarrow.struct(list(SCHEMA))
    assert _unknown_keys(shown, whole) == []


def test_parquet_reads_back_with_money_exact_and_times_as_times(tmp_path):
    path = tmp_path / "calls.parquet"
    assert _written(path, FULL, BARE) == 2
    table = pyarrow.parquet.read_table(path)
    assert table.schema.equals(SCHEMA)
    full, bare = table.to_pylist(maps_as_pydicts="strict")
    assert full["cost"]["total_usd"] == Decimal("0.0000001234567")
    assert full["started_at"] == datetime.fromtimestamp(1_790_000_000, UTC).replace(
        microsecond=123_456
    )
    assert full["labels"] == {"app": "x", "tier": ""}
    assert full["usage"]["input_tokens"] == 3
    assert full["error"]["message"] == "says \u202e and \0"
    assert full["request_bytes"] == 2**63 + 1
    assert [one["usage"] is None for one in full["attempts"]] == [False, True]
    assert [one["parameters"] for one in full["attempts"]] == [None, '{"top_p": 1}']
    assert full["outcome"]["failed_checks"] == ["json"]
    budgets = full["receipt"]["budgets"]
    assert [one["limit_usd"] for one in budgets] == [Decimal(50), None]
    assert budgets[0]["resets_at"] == datetime.fromtimestamp(1_790_000_000, UTC)
    assert (bare["usage"], bare["cost"], bare["receipt"], bare["model"]) == (None,) * 4
    assert bare["labels"] == {}


def test_parquet_has_bodies_as_bytes_where_they_are_asked_for(tmp_path):
    path = tmp_path / "calls.parquet"
    _written(path, FULL, BARE, with_bodies=True)
    full, bare = pyarrow.parquet.read_table(path).to_pylist()
    assert full["request_body"]["content"] == b'{"a":1}'
    assert full["response_body"] == {
        "content": b"\xff\x00",
        "original_bytes": 2_000,
        "truncated": True,
        "content_type": None,
    }
    assert bare["response_body"] is None
    assert pyarrow.parquet.read_schema(path).equals(SCHEMA_WITH_BODIES)


def test_a_sum_of_money_adds_up_exactly(tmp_path):
    path = tmp_path / "calls.parquet"
    cent = replace(COST, total_usd=Decimal("0.01"))
    many = replace(FULL, record=replace(FULL.record, cost=cent))
    _written(path, *[many] * 300)
    costs = pyarrow.parquet.read_table(path).column("cost").combine_chunks().field("total_usd")
    assert sum(costs.to_pylist()) == 3


@given(
    usd=st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**12 - 1,
                    places=None),
    text=st.text(),
)  # fmt: skip
def test_any_money_and_text_fit_their_columns(usd, text):
    odd = replace(
        FULL.record,
        cost=replace(COST, total_usd=usd),
        notes=(text.encode(errors="ignore").decode(),),
    )
    (row,) = table_of([row_of(replace(FULL, record=odd))]).to_pylist()
    assert abs(row["cost"]["total_usd"] - usd) <= Decimal("5e-19")


def test_lines_of_json_are_those_of_the_listing(tmp_path):
    path = tmp_path / "calls.jsonl"
    _written(path, FULL, BARE, with_bodies=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [record_json(one, with_bodies=True) for one in (FULL, BARE)]


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.parquet"])
def test_nothing_that_matches_is_an_empty_file_that_can_be_read(tmp_path, name):
    path = tmp_path / name
    assert _written(path) == 0
    if path.suffix == ".parquet":
        assert pyarrow.parquet.read_table(path).num_rows == 0
    else:
        assert path.read_bytes() == b""


def test_much_goes_to_parquet_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(record_export, "_GROUP_RECORDS", 10)
    path = tmp_path / "calls.parquet"
    said = []
    monkeypatch.setattr(record_export, "_SAID_EVERY", 20)
    export([BARE] * 55, path, with_bodies=False, progress=said.append)
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 6
    assert said == [20, 40]


def test_large_bodies_are_not_held_until_there_are_many(tmp_path, monkeypatch):
    monkeypatch.setattr(record_export, "_GROUP_BYTES", 10)
    path = tmp_path / "calls.parquet"
    _written(path, *[FULL] * 4, with_bodies=True)
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 2


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.parquet"])
@pytest.mark.parametrize("before", [None, b"what was there"], ids=["new", "replaced"])
def test_a_file_that_is_not_whole_is_not_there(tmp_path, name, before):
    path = tmp_path / name
    if before is not None:
        path.write_bytes(before)

    def broken_off():
        yield FULL
        raise Unavailable("gone")

    with pytest.raises(Unavailable):
        export(broken_off(), path, with_bodies=False, progress=lambda count: None)
    assert [one.name for one in tmp_path.iterdir()] == ([] if before is None else [name])
    assert before is None or path.read_bytes() == before


def test_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "calls.jsonl"
    _written(path, FULL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_leads_to_what_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "calls.jsonl", tmp_path / "link.jsonl"
    real.write_text("old")
    link.symlink_to(real)
    _written(check_path(link, replace=True), BARE)
    assert link.is_symlink()
    assert "old" not in real.read_text()


def test_what_is_no_file_is_never_replaced(tmp_path):
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(ConfigError, match="is no file"):
        check_path(tmp_path / "folder.jsonl", replace=True)


def test_without_its_package_parquet_says_what_brings_it(tmp_path):
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from remora.cli.main import main\n"
        f"main(['records', '--to', {str(tmp_path / 'x.parquet')!r}])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "pip install 'remora[parquet]'" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_the_command_writes_all_that_matches_page_by_page(tmp_path):
    calls = [record(number) for number in range(1, 1_203)]
    path = tmp_path / "calls.jsonl"
    async with asking(*calls) as remora:
        ended = await remora("records", "--to", str(path))
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [int(line["call_id"], 16) for line in lines] == [*range(1, 1_203)]
        assert (ended.code, ended.out) == (0, "")
        assert f"{path}: 1,202 records" in ended.err
        again = await remora("records", "--to", str(path), "-n", "2")
        assert (again.code, "--force replaces it" in again.err) == (2, True)
        forced = await remora("records", "--to", str(path), "--force", "-n", "2", "--bodies")
        assert forced.code == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [int(line["call_id"], 16) for line in lines] == [1_202, 1_201]
    assert lines[0]["request_body"]["text"] == '{"a":1}'


async def test_the_command_says_where_a_file_can_not_be_written():
    async with asking(record(1, notes=["x"])) as remora:
        ended = await remora("records", "--to", "/proc/calls.jsonl")
    assert ended.code == 1
    assert "/proc/calls.jsonl can't be written" in ended.err


async def test_what_the_aggregator_refuses_leaves_no_file(tmp_path):
    async with asking(record(1)) as remora:
        ended = await remora("records", "--to", str(tmp_path / "x.jsonl"), "--where", "nothing=1")
    assert ended.code == 2
    assert list(tmp_path.iterdir()) == []


async def test_order_and_filters_hold_for_exports(tmp_path):
    path = tmp_path / "slow.parquet"
    calls = [record(number, latency_s=number) for number in (1, 3, 2)]
    failed = record(9, status_code=500, error=pb.CallError(type="x"), latency_s=9)
    async with asking(*calls, failed) as remora:
        ended = await remora(
            "records", "--to", str(path), "--order-by", "latency_s", "--most-first",
            "--where", "error.type!?",
        )  # fmt: skip
    assert ended.code == 0
    assert pyarrow.parquet.read_table(path).column("latency_s").to_pylist() == [3, 2, 1]
