"""`remora top`: how it looks, that it keeps up with a real aggregator, and how one leaves it."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console
from tests.sdk.cli.asking import asking, record, report

from remora.cli.top_feed import Snapshot, TopFeed
from remora.cli.top_json import top_json
from remora.cli.top_view import top_view
from remora.cli.top_window import Window
from remora.client.filter import RecordFilter
from remora.client.target import AggregatorTarget
from remora.client.task import Task, TaskBudget, TaskControl, TaskState, TaskTotals
from remora.client.usage import UsageDimension, UsageRow
from remora.errors import BadRequest, Unavailable
from remora.records import CallError, CallRecord, Cost, EndReason, StoredRecord, Usage
from remora.testing.clock import ManualClock
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
SECOND_NS = 10**9
NOW_NS = 1_790_000_010 * SECOND_NS

GOOD = CallRecord(
    call_id=f"{1:032x}",
    started_unix_ns=0,
    status_code=200,
    end_reason=EndReason.COMPLETED,
    usage=Usage(input_tokens=9_000, output_tokens=3_000),
    cost=Cost(Decimal("0.015"), Decimal(0), Decimal(0), "", ""),
    latency_s=2.0,
    ttft_s=0.5,
)
BAD = replace(GOOD, error=CallError("x", ""), cost=None, ttft_s=None)
ROW = UsageRow(("gpt-4o\x1b[2J",), 1200, 3, 0, 0, 1_000_000, 200_000, 0, 0, 0, Decimal("1.5"),
               600.0, 0)  # fmt: skip
TASK = Task(
    "local", "nightly-7", TaskState.RUNNING, TaskControl.OPEN, False, 1, 0, 0,
    budget=TaskBudget(Decimal(2)),
    totals=TaskTotals(calls=7, cost_usd=Decimal("0.5"), last_call_unix_ns=NOW_NS - 90 * SECOND_NS),
)  # fmt: skip


def _snapshot(**fields):
    window = Window(300)
    for back_s, call in ((1, GOOD), (2, BAD), (12, GOOD)):
        window.add(StoredRecord(call, "", "", NOW_NS - back_s * SECOND_NS, ""))
    busiest = {
        UsageDimension.MODEL: [ROW] * 20,
        UsageDimension.SESSION: [],
        UsageDimension.TASK: [replace(ROW, keys=("t" * 300,), cost_usd=None, unpriced_calls=2)],
    }
    made = Snapshot(
        NOW_NS, 300, window.figures(NOW_NS), window.series(NOW_NS), busiest, (TASK,) * 3, ""
    )
    return replace(made, **fields)


def _drawn(snapshot, width=100, height=0, **options):
    console = Console(width=width, record=True, file=open(os.devnull, "w"), highlight=False)  # noqa: SIM115 - closed below
    with contextlib.closing(console.file), console.capture() as drawn:
        console.print(top_view(snapshot, width, height, **options))
    return drawn.get().splitlines()


def test_the_figures_stand_beside_their_plots():
    lines = _drawn(_snapshot())
    told = {line[:15].strip(): line[15:39].strip() for line in lines[2:10]}
    assert told["calls/s"] == "0.05"
    assert told["errors"] == "1 (33.3%)"
    assert told["tokens/s"] == "600.0"
    assert told["cost/h"] == "$1.80 + unknown"
    assert told["latency p50"] == "1.99s"
    assert lines[2][41:].endswith("▁▅▁█")
    assert "last 60 s; plots and tables: last 5 min" in lines[0]


def test_the_busiest_and_the_tasks_that_run_follow():
    text = "\n".join(_drawn(_snapshot()))
    assert text.count("gpt-4o\\x1b[2J") == 5
    assert "busiest sessions" in text
    assert "unknown" in text
    assert "nightly-7" in text
    assert "25% of $2.00" in text
    assert "1m ago" in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (140, 50), (240, 80)])
def test_it_fits_the_screen(width, height):
    lines = _drawn(_snapshot(trouble="x" * 500), width, height, keys="q leaves")
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    assert lines[-1].strip() == "q leaves"


def test_trouble_is_said_first():
    assert "not up to date: away" in _drawn(_snapshot(trouble="away"))[0]


def test_without_calls_it_is_empty_and_not_zero():
    window = Window(300)
    figures, series = window.figures(NOW_NS), window.series(NOW_NS)
    lines = _drawn(_snapshot(figures=figures, series=series, busiest={}, running=()))
    assert len(lines) == 10
    assert lines[5].split() == ["cost/h", "-", "▁" * 59]


def test_the_page_names_every_key():
    shown = top_json(_snapshot())
    keys = {*shown, *shown["now"], *shown["now"]["latency_s"], *shown["series"], *shown["busiest"]}
    page = PAGE.read_text()
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
    assert shown["now"]["cost_usd_per_h"] == "1.800000"
    assert shown["series"]["cost_usd_per_h"][-1] == "10.800000"
    assert json.loads(json.dumps(shown)) == shown


CALLS = [
    record(number, latency_s=2.0, attribution=pb.Attribution(session_id="s", task_id="t1"))
    for number in (1, 2, 3)
]


async def test_one_picture_as_text_and_as_json():
    clock = ManualClock(NOW_NS)
    async with asking(*CALLS, clock=clock) as remora:
        once = await remora("top", "--once")
        piped = await remora("top")
        (line,) = (await remora("top", "--json")).out.splitlines()
    assert (once.code, piped.code) == (0, 0)
    assert "busiest models" in once.out
    assert "busiest models" in piped.out
    shown = json.loads(line)
    assert [row["group"] for row in shown["busiest"]["tasks"]] == []  # they began in 2026
    assert [task["task_id"] for task in shown["running_tasks"]] == ["t1"]


async def test_calls_of_the_last_minutes_count_by_the_aggregators_clock():
    clock = ManualClock(NOW_NS)
    async with asking(*CALLS, clock=clock) as remora:
        feed = TopFeed(AggregatorTarget(remora.address), RecordFilter(), 300, clock)
        await asyncio.to_thread(feed.load)
        snapshot = feed.snapshot()
    assert (snapshot.figures.calls, snapshot.figures.tokens) == (3, 3150)
    assert snapshot.figures.quantiles_s[0] == pytest.approx(2.0, rel=0.01)
    assert snapshot.running[0].totals.calls == 3


@pytest.mark.parametrize(
    ("wanted", "calls"),
    [(RecordFilter(task_id="t1"), 3), (RecordFilter(task_id="t2"), 0)],
    ids=["theirs", "another's"],
)
async def test_only_calls_that_match_count(wanted, calls):
    clock = ManualClock(NOW_NS)
    async with asking(*CALLS, clock=clock) as remora:
        feed = TopFeed(AggregatorTarget(remora.address), wanted, 300, clock)
        await asyncio.to_thread(feed.load)
    assert feed.snapshot().figures.calls == calls


async def _until(feed, holds):
    """Wait until a snapshot is as it should be."""
    for _ in range(1_000):
        snapshot = feed.snapshot()
        if holds(snapshot):
            return snapshot
        await asyncio.sleep(0.02)
    raise TimeoutError(snapshot)


async def test_it_keeps_up_over_a_restart_of_the_aggregator(tmp_path):
    clock = ManualClock(NOW_NS)
    place = {"data_dir": tmp_path, "clock": clock, "listen": f"unix:{tmp_path}/socket"}
    target = AggregatorTarget(place["listen"])
    feed = TopFeed(target, RecordFilter(), 300, clock)
    with contextlib.ExitStack() as stack:
        async with asking(CALLS[0], **place) as first:
            stack.enter_context(feed.running(0.05))
            await asyncio.to_thread(feed.begun.wait)
            await _until(feed, lambda seen: seen.figures.calls == 1)
            await first.report(CALLS[1])
            await _until(feed, lambda seen: seen.figures.calls == 2)
            await _until(feed, lambda seen: bool(seen.running))
        await _until(feed, lambda seen: "no aggregator answers" in seen.trouble)
        async with temporary_aggregator(**place):
            await report(target.address, CALLS[2:])
            seen = await _until(feed, lambda seen: seen.figures.calls == 3 and not seen.trouble)
        assert seen.running[0].task_id == "t1"
        await asyncio.to_thread(stack.close)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("top ")]


@pytest.mark.parametrize(
    ("wanted", "address", "kind"),
    [
        (RecordFilter(namespace="elsewhere"), "", BadRequest),
        (RecordFilter(), "127.0.0.1:1", Unavailable),
    ],
    ids=["refused", "away"],
)
async def test_what_keeps_it_from_beginning_is_raised(wanted, address, kind):
    async with asking() as remora:
        target = AggregatorTarget(address or remora.address)
        feed = TopFeed(target, wanted, 300, ManualClock(NOW_NS))
        with feed.running(0.05):
            await asyncio.to_thread(feed.begun.wait)
            with pytest.raises(kind):
                await _until(feed, lambda seen: False)


_ON_ITS_TERMINAL = (
    "import fcntl, os, signal, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal the command's own, so that its keys interrupt it, however it was started."""


class Terminal:
    """A terminal with a command on it; what the command writes is read as it comes."""

    def __init__(self, *arguments):
        """Start the command."""
        self.main, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.before = termios.tcgetattr(end)
        self.end = end
        kept = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES")}
        command = [sys.executable, "-P", "-m", "remora", *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ON_ITS_TERMINAL, *command],
            stdin=end, stdout=end, stderr=end, start_new_session=True,
            env={**kept, "TERM": "xterm-256color"},
        )  # fmt: skip
        self.text = ""

    def read_until(self, text):
        """Read on until a text was written."""
        while text not in self.text:
            self.text += os.read(self.main, 65_536).decode(errors="replace")

    def press(self, key):
        """Press a key."""
        os.write(self.main, key)

    def ended(self):
        """Wait until the command is over; returns its exit code."""
        code = self.process.wait(timeout=30)
        self.restored = termios.tcgetattr(self.end) == self.before
        os.close(self.end)
        with contextlib.suppress(OSError):
            while got := os.read(self.main, 65_536):
                self.text += got.decode(errors="replace")
        os.close(self.main)
        return code


@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "ctrl-c"])
async def test_on_a_terminal_it_is_drawn_again_until_one_leaves(key):
    async with asking(*CALLS) as remora:
        terminal = Terminal("top", "--refresh", "0.5", "--aggregator", remora.address)
        await asyncio.to_thread(terminal.read_until, "running tasks")
        await remora.report(record(9, attribution=pb.Attribution(session_id="s", task_id="later")))
        await asyncio.to_thread(terminal.read_until, "later")
        terminal.press(key)
        code = await asyncio.to_thread(terminal.ended)
    assert code == {b"q": 0, b"\x03": 130}[key]
    assert terminal.restored
    assert "\x1b[?1049h" in terminal.text
    assert "\x1b[?1049l" in terminal.text
    assert "Traceback" not in terminal.text


def test_on_a_terminal_an_aggregator_that_is_away_is_3_and_said_where_it_can_be_read():
    terminal = Terminal("top", "--aggregator", "127.0.0.1:1")
    assert terminal.ended() == 3
    assert "no aggregator answers at 127.0.0.1:1" in terminal.text
    assert "\x1b[?1049h" not in terminal.text
