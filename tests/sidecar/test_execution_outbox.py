"""The outbox of executions: of each the last report waits, and what is written outlives a kill."""

import asyncio
import os
import signal
import sqlite3
import stat
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sidecar.told_executions import COMPLETED, RUNNING, SOON_S, report, until

from remora.execution_report import StepReported, StepStatus
from remora.task_owner import TaskOwner
from remora_proto.v1 import workflows_pb2 as pb
from remora_sidecar import execution_outbox
from remora_sidecar.execution_outbox import ExecutionOutbox
from remora_sidecar.execution_table import SMALLEST_LIMIT_BYTES, ExecutionTable, NewReport

EVERYTHING = (10_000, 1 << 30)


async def waiting(outbox):
    found = [pb.ExecutionReport.FromString(one.message) for one in await outbox.batch(*EVERYTHING)]
    return [(one.execution_id, one.revision) for one in found]


@pytest.fixture
async def outbox(tmp_path):
    outbox = ExecutionOutbox(tmp_path / "executions.db", jitter=lambda: 0.0)
    owner = TaskOwner("test")
    owner.spawn(outbox.run(), name="writer")
    async with asyncio.timeout(SOON_S):
        yield outbox
    await owner.aclose()
    await outbox.aclose()


async def test_of_each_execution_the_last_report_waits(outbox):
    for one in (report(1), report(2), report(1, 2), report(1, 3), report(2, 2)):
        outbox.put(one)
        await outbox.written()
    assert await waiting(outbox) == [("e-1", 3), ("e-2", 2)]
    assert outbox.waiting == 2


async def test_an_earlier_report_does_not_undo_a_later_one(outbox):
    outbox.put(report(1, 5))
    outbox.put(report(1, 4))
    await outbox.written()
    outbox.put(report(1, 3))
    await outbox.written()
    assert await waiting(outbox) == [("e-1", 5)]


async def test_a_report_that_came_while_another_was_delivered_stays(outbox):
    outbox.put(report(1))
    outbox.put(report(2))
    await outbox.written()
    batch = await outbox.batch(*EVERYTHING)
    outbox.put(report(1, 2))
    await outbox.written()
    await outbox.forget(batch)
    await outbox.forget(batch)
    assert await waiting(outbox) == [("e-1", 2)]


async def test_one_report_is_read_however_large_it_is(outbox):
    outbox.put(report(1, steps=(StepReported("a", StepStatus.RUNNING, note="n" * 1_000),)))
    outbox.put(report(2))
    await outbox.written()
    assert len(await outbox.batch(10, 1)) == 1
    assert len(await outbox.batch(1, 1 << 20)) == 1


async def test_a_report_that_can_t_be_written_is_passed_over_and_said_without_its_text(
    outbox, caplog
):
    outbox.put(report(1, task_id="secret \ud800"))
    outbox.put(report(2))
    await outbox.written()
    assert await waiting(outbox) == [("e-2", 1)]
    assert "can't be written" in caplog.text
    assert "secret" not in caplog.text


async def test_what_can_t_be_written_waits_in_memory_until_it_can(tmp_path, caplog):
    path = tmp_path / "executions.db"
    holder = sqlite3.connect(path, autocommit=True)
    holder.execute("pragma locking_mode = exclusive")
    holder.execute("create table other (x)")
    outbox = ExecutionOutbox(path, jitter=lambda: 0.0)
    owner = TaskOwner("test")
    owner.spawn(outbox.run(), name="writer")
    outbox.put(report(1))
    async with asyncio.timeout(SOON_S):
        await until(lambda: outbox.problem)
        outbox.put(report(1, 2))
        holder.execute("drop table other")
        holder.close()
        path.unlink()
        await outbox.written()
        assert await waiting(outbox) == [("e-1", 2)]
    assert outbox.problem == ""
    assert "can't be used" in caplog.text
    await owner.aclose()
    await outbox.aclose()


async def test_of_too_many_in_memory_those_that_go_on_are_given_up_first(tmp_path, monkeypatch):
    monkeypatch.setattr(execution_outbox, "MOST_IN_MEMORY", 3)
    outbox = ExecutionOutbox(tmp_path / "executions.db")
    statuses = [COMPLETED, RUNNING, COMPLETED, COMPLETED, COMPLETED]
    for number, status in enumerate(statuses):
        outbox.put(report(number, status=status))
    assert outbox.shed_total == 2
    await outbox.aclose()
    again = ExecutionOutbox(tmp_path / "executions.db")
    assert [name for name, _ in await waiting(again)] == ["e-2", "e-3", "e-4"]
    await again.aclose()


async def test_a_stop_writes_down_what_was_taken(tmp_path):
    outbox = ExecutionOutbox(tmp_path / "executions.db")
    outbox.put(report(1, status=COMPLETED))
    await outbox.aclose()
    await outbox.aclose()
    again = ExecutionOutbox(tmp_path / "executions.db")
    assert await waiting(again) == [("e-1", 1)]
    assert stat.S_IMODE((tmp_path / "executions.db").stat().st_mode) == 0o600
    await again.aclose()


async def test_a_file_that_is_broken_is_moved_aside(tmp_path):
    path = tmp_path / "executions.db"
    path.write_bytes(b"no database" * 1_000)
    outbox = ExecutionOutbox(path)
    assert await waiting(outbox) == []
    assert path.with_name(path.name + ".broken").exists()
    await outbox.aclose()


def test_a_full_file_gives_up_those_that_go_on_before_those_that_are_over(tmp_path):
    table = ExecutionTable(tmp_path / "executions.db", SMALLEST_LIMIT_BYTES)
    shed = table.keep([NewReport(f"over-{n}", 1, True, bytes(4_000)) for n in range(20)])
    assert shed == 0
    shed = table.keep([NewReport(f"going-{n}", 1, False, bytes(4_000)) for n in range(60)])
    assert shed
    assert len(table.oldest(1_000, 1 << 30)) == 80 - shed
    assert table.count() == 80 - shed
    left = {one.sequence for one in table.oldest(1_000, 1 << 30)}
    assert set(range(1, 21)) <= left
    table.close()


STEPS = st.lists(
    st.tuples(st.sampled_from(["keep", "forget", "read"]), st.integers(0, 3), st.integers(1, 5)),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_the_table_is_as_a_mapping_of_last_reports(tmp_path_factory, steps):
    table = ExecutionTable(tmp_path_factory.mktemp("table") / "t.db", SMALLEST_LIMIT_BYTES)
    known, read = {}, []
    for what, number, revision in steps:
        if what == "keep":
            message = f"{number} {revision}".encode()
            table.keep([NewReport(str(number), revision, False, message)])
            known[number] = max(revision, known.get(number, 0))
        elif what == "read":
            read = table.oldest(10, 1 << 20)
        else:
            table.forget(read)
            for one in read:
                name, told = map(int, one.message.split())
                if known.get(name) == told:
                    del known[name]
            read = []
        left = dict(map(int, one.message.split()) for one in table.oldest(10, 1 << 20))
        assert left == known
    table.close()


KILLED = """
import asyncio, os, sys
from pathlib import Path
from tests.sidecar.told_executions import COMPLETED, report
from remora.task_owner import TaskOwner
from remora_sidecar.execution_outbox import ExecutionOutbox

async def main():
    outbox = ExecutionOutbox(Path(sys.argv[1]))
    TaskOwner("killed").spawn(outbox.run(), name="writer")
    number = 0
    while True:
        number += 1
        outbox.put(report(number, 7, COMPLETED))
        await outbox.written()
        print(number, flush=True)

asyncio.run(main())
"""


async def test_what_was_written_outlives_a_kill(tmp_path):
    path = tmp_path / "executions.db"
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(path),
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    said = 0
    async with asyncio.timeout(SOON_S):
        while said < 20:
            said = int(await killed.stdout.readline())
    with suppress(ProcessLookupError):
        os.kill(killed.pid, signal.SIGKILL)
    rest = (await killed.stdout.read()).split()
    said = int(rest[-1]) if rest else said
    await killed.wait()
    outbox = ExecutionOutbox(path)
    found = await waiting(outbox)
    assert found[:said] == [(f"e-{number}", 7) for number in range(1, said + 1)]
    await outbox.aclose()
