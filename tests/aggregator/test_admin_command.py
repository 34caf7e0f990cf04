"""`remora aggregator purge` and `audit` against a real aggregator."""

import asyncio
import json
import os
import pty
import sys
from pathlib import Path

import pytest
from tests.sdk.cli.asking import asking, record, run

from remora_proto.v1 import records_pb2 as pb

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
CALLS = [
    record(number, attribution=pb.Attribution(session_id=f"s{number % 2}", task_id=f"t{number}"))
    for number in (1, 2, 3)
]


@pytest.fixture
async def remora():
    async with asking(*CALLS) as asked:
        yield asked


async def _left(remora):
    lines = (await remora("records", "--json")).out.splitlines()
    return [int(json.loads(line)["call_id"], 16) for line in lines]


@pytest.mark.parametrize(
    ("options", "records", "tasks", "left"),
    [
        (["--session", "s1"], 2, 0, [2]),
        (["--task", "t2"], 1, 1, [1, 3]),
        (["--namespace", "local"], 3, 3, []),
        (["--namespace", "local", "--session", "s0"], 1, 0, [1, 3]),
        (["--before", "2026-09-21T14:13:21.5Z"], 1, 0, [2, 3]),
        (["--before", "2100-01-01"], 3, 3, []),
        (["--session", "nobody"], 0, 0, [1, 2, 3]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else str(value),
)
async def test_what_is_named_goes(remora, options, records, tasks, left):
    dry = json.loads((await remora("aggregator", "purge", *options, "--dry-run", "--json")).out)
    assert (dry["records"], dry["tasks"], dry["removed"]) == (records, tasks, False)
    assert await _left(remora) == [1, 2, 3]
    ended = await remora("aggregator", "purge", *options, "--yes", "--json")
    shown = json.loads(ended.out)
    assert shown == {"namespace": "local", "records": records, "tasks": tasks, "removed": True}
    assert (ended.code, await _left(remora)) == (0, left)


async def test_it_says_what_went(remora):
    ended = await remora("aggregator", "purge", "--task", "t1", "--yes")
    assert (ended.out, ended.err) == ("", "local: 1 record and 1 task removed\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "say what is to go"),
        (["--yes"], "say what is to go"),
        (["--session", "s1", "--task", "t1"], "not both"),
        (["--before", "soon"], "neither a span"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_said_clearly_is_2(options, said):
    ended = run("aggregator", "purge", *options, "--aggregator", "127.0.0.1:1")
    assert (ended.code, said in ended.err) == (2, True)


async def test_without_a_terminal_nothing_goes_unless_one_says_so(remora):
    ended = await remora("aggregator", "purge", "--session", "s1")
    assert ended.code == 2
    assert "this would remove 2 records for good: --yes" in ended.err
    assert await _left(remora) == [1, 2, 3]


@pytest.mark.parametrize(
    ("answer", "code", "left"),
    [(b"y\n", 0, [2]), (b"n\n", 130, [1, 2, 3]), (b"\n", 130, [1, 2, 3])],
    ids=["yes", "no", "nothing"],
)
async def test_on_a_terminal_one_is_asked_first(remora, answer, code, left):
    main, end = pty.openpty()
    command = [sys.executable, "-P", "-m", "remora", "aggregator", "purge", "--session", "s1"]
    process = await asyncio.create_subprocess_exec(
        *command, "--aggregator", remora.address, stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    text = b""
    while b"[y/N]" not in text:
        text += await asyncio.to_thread(os.read, main, 4096)
    os.write(main, answer)
    ended = await process.wait()
    os.close(main)
    assert b"Remove 2 records of session 's1' of namespace 'local' for good?" in text
    assert (ended, await _left(remora)) == (code, left)


async def test_another_namespace_is_refused(remora):
    ended = await remora("aggregator", "purge", "--namespace", "elsewhere", "--yes")
    assert (ended.code, "local only, not 'elsewhere'" in ended.err) == (2, True)


async def test_the_audit_log_is_shown_newest_first(remora):
    await remora("aggregator", "purge", "--session", "s1", "--yes")
    await remora("tasks", "pause", "t2", "--reason", "see\x1b[2Jme")
    shown = (await remora("aggregator", "audit")).out.splitlines()
    assert "TaskService/Pause  task_id=t2 reason=see\\x1b[2Jme  OK, 1" in shown[0]
    assert "local (admin)  AdminService/Purge  session_id=s1  OK, 2" in shown[1]
    (line,) = (await remora("aggregator", "audit", "--json", "-n", "1")).out.splitlines()
    entry = json.loads(line)
    assert (entry["what"], entry["count"]) == ("TaskService/Pause", 1)
    page = PAGE.read_text()
    assert [key for key in entry if f"`{key}`" not in page] == []


async def test_what_was_done_long_ago_is_left_out(remora):
    await remora("aggregator", "purge", "--session", "s1", "--yes")
    ended = await remora("aggregator", "audit", "--until", "1d")
    assert (ended.code, ended.out) == (0, "")
    assert "nothing was done" in ended.err
    assert len((await remora("aggregator", "audit", "--since", "1d")).out.splitlines()) == 2
