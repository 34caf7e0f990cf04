"""`remora records` and `remora usage` against a real aggregator."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sdk.cli.asking import record, report

from remora.cli.usage import BY
from remora.client.usage import UsageDimension
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb


@pytest.fixture
async def remora():
    """Run commands against an aggregator with three calls in it."""
    failed = record(2, status_code=500, error=pb.CallError(type="server_error", message="x"))
    failed.ClearField("usage")
    failed.ClearField("cost")
    unpriced = record(3, attribution=pb.Attribution(session_id="sess_2", goal="extract"))
    unpriced.ClearField("cost")
    async with temporary_aggregator() as aggregator:
        await report(aggregator.address, [record(1), failed, unpriced])

        async def run(*arguments):
            command = [sys.executable, "-P", "-m", "remora", *arguments]
            return await asyncio.to_thread(
                subprocess.run,
                [*command, "--aggregator", aggregator.address],
                env={**os.environ, "COLUMNS": "140"},
                capture_output=True,
                text=True,
                timeout=60,
            )

        run.address = aggregator.address
        yield run


async def test_records_are_listed_oldest_first(remora):
    listed = await remora("records", "--json")
    shown = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [int(record["call_id"], 16) for record in shown] == [1, 2, 3]
    assert shown[0]["cost"]["total_usd"] == "0.003"
    assert (shown[1]["usage"], shown[1]["cost"]) == (None, None)
    assert "request_body" not in shown[0]


async def test_the_table_says_unknown_where_nothing_is_known(remora):
    lines = (await remora("records")).stdout.splitlines()
    assert lines[0].split()[:3] == ["time", "model", "status"]
    assert "$0.003" in lines[2]
    assert "500 server_error" in lines[3]
    assert "unknown" in lines[4]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--session", "sess_2"], [3]),
        (["--task", "t1"], [1, 2, 3]),
        (["--errors"], [2]),
        (["--model", "gpt-4o-2024-08-06"], [1, 2, 3]),
        (["--provider", "anthropic"], []),
        (["--goal", "extract"], [3]),
        (["--goal", "other"], []),
        (["--where", "goal!?"], [1, 2]),
        (["--limit", "2"], [2, 3]),
        (["--since", "2100-01-01"], []),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
async def test_options_choose_what_is_listed(remora, options, expected):
    listed = await remora("records", "--json", *options)
    shown = [int(json.loads(line)["call_id"], 16) for line in listed.stdout.splitlines()]
    assert (listed.returncode, shown) == (0, expected)


async def test_one_call_is_shown_in_full(remora):
    shown = json.loads((await remora("records", f"{1:032x}")).stdout)
    assert shown["request_body"]["text"] == '{"a":1}'


async def test_a_call_that_is_not_there_is_1(remora):
    ended = await remora("records", "0" * 32)
    assert ended.returncode == 1
    assert "has no call" in ended.stderr


async def test_following_shows_what_comes(remora):
    command = [sys.executable, "-P", "-m", "remora", "records", "-f", "--json"]
    follower = await asyncio.create_subprocess_exec(
        *command, "--aggregator", remora.address, "-n", "1", stdout=asyncio.subprocess.PIPE
    )
    try:
        first = json.loads(await follower.stdout.readline())
        await report(remora.address, [record(4)])
        then = json.loads(await follower.stdout.readline())
    finally:
        follower.terminate()
        await follower.wait()
    assert [int(record["call_id"], 16) for record in (first, then)] == [3, 4]


async def test_usage_adds_up_and_says_what_it_lacks(remora):
    ended = await remora("usage")
    assert "gpt-4o-2024-08-06" in ended.stdout
    assert "$0.003 + unknown" in ended.stdout
    assert "without a known price" in ended.stdout


async def test_usage_by_session_has_a_total(remora):
    lines = (await remora("usage", "--by", "session")).stdout.splitlines()
    assert lines[0].split()[:2] == ["session", "calls"]
    assert [line.split()[0] for line in lines[1:4]] == ["sess_1", "sess_2", "total"]
    assert lines[3].split()[1] == "3"


async def test_usage_of_a_goal(remora):
    (line,) = (await remora("usage", "--goal", "extract", "--json")).stdout.splitlines()
    assert json.loads(line)["calls"] == 1


async def test_usage_as_json(remora):
    (line,) = (await remora("usage", "--json")).stdout.splitlines()
    row = json.loads(line)
    assert row["group"] == {"model": "gpt-4o-2024-08-06"}
    assert (row["calls"], row["errors"], row["unpriced_calls"]) == (3, 1, 1)
    assert row["cost_usd"] == "0.003"


async def test_usage_by_the_hour_with_quantiles(remora):
    ended = await remora("usage", "--every", "1h", "--by", "provider", "--quantiles")
    assert "from (UTC)" in ended.stdout
    assert "latency p50" in ended.stdout
    assert ended.stdout.count("of the true value") == 1
    (line,) = (await remora("usage", "--every", "1d", "--json")).stdout.splitlines()
    assert json.loads(line)["starts_at"] == "2026-09-21T00:00:00.000000Z"


async def test_usage_of_the_busiest_alone(remora):
    rows = (await remora("usage", "--by", "session", "--limit", "1", "--json")).stdout
    assert [json.loads(row)["group"] for row in rows.splitlines()] == [{"session": "sess_1"}]


async def test_the_page_names_every_key_of_the_json(remora):
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    record = json.loads((await remora("records", f"{1:032x}")).stdout)
    usage = json.loads((await remora("usage", "--json")).stdout)
    assert [key for key in (*record, *usage) if f"`{key}`" not in page] == []


def test_every_dimension_can_be_grouped_by():
    assert {name.upper() for name in BY} == {dimension.name for dimension in UsageDimension}
