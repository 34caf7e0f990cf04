"""The file that runs outlive the process by, also where the disk takes nothing for a while."""

from pathlib import Path

from remora_sidecar.workflow_runs.run_file import RunFile
from remora_sidecar.workflow_runs.run_table import Ending, NewEntries, NewRun

RUN = NewRun("exec_1", b'{"name": "x"}', 7)


def entries(first: int, *values: bytes) -> NewEntries:
    return NewEntries("exec_1", first, values, 5)


async def test_what_could_not_be_written_is_written_with_what_comes_next(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.write_text("in the way")
    file = RunFile(folder)
    await file.keep([RUN])
    await file.keep([entries(0, b'{"n": 0}')])
    assert str(folder) in file.problem
    assert file.due_count == 2
    folder.unlink()
    await file.keep([entries(1, b'{"n": 1}')])
    assert (file.problem, file.due_count) == ("", 0)
    await file.aclose()

    again = RunFile(folder)
    (kept,) = await again.open_runs()
    assert kept.entries == [{"n": 0}, {"n": 1}]
    await again.aclose()


async def test_a_change_that_comes_twice_changes_nothing(tmp_path: Path) -> None:
    file = RunFile(tmp_path)
    await file.keep([RUN, entries(0, b'{"n": 0}')])
    await file.keep([RUN, entries(0, b'{"n": 0}')])
    (kept,) = await file.open_runs()
    assert kept.entries == [{"n": 0}]
    await file.aclose()


async def test_an_ended_run_leaves_its_result_alone(tmp_path: Path) -> None:
    file = RunFile(tmp_path)
    await file.keep([RUN, entries(0, b'{"n": 0}')])
    await file.keep([Ending("exec_1", b"{}", 9, b'{"status": "completed"}')])
    assert await file.open_runs() == []
    (ended,) = await file.ended_runs()
    assert (ended.ended_unix_ns, ended.result) == (9, {"status": "completed"})
    await file.aclose()


async def test_entries_without_their_run_are_gone_at_the_next_start(tmp_path: Path) -> None:
    file = RunFile(tmp_path)
    await file.keep([entries(0, b'{"n": 0}')])
    await file.aclose()
    again = RunFile(tmp_path)
    await again.keep([RUN])
    (kept,) = await again.open_runs()
    assert kept.entries == []
    await again.aclose()
