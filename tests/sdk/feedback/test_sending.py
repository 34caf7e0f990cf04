"""Signals on their way out: what waits, what is dropped, and that all of it is counted."""

import json
import os
import subprocess
import sys
import threading

import pytest

from remora.errors import ConfigError, Problem
from remora.feedback import sending
from remora.feedback.doors import BATCH_BYTES, BATCH_SIGNALS, _batches
from remora.feedback.sending import ASKS_AGAIN_S, Counts
from remora.feedback.worker import MOST_JOBS, Worker

ONE = "0190b5a1c0de70008000000000000001"


def accept(stage, times=1):
    stage.feedback.track_run(ONE)
    for _ in range(times):
        stage.feedback.user_accepted()


def test_what_is_sent_is_counted(stage):
    accept(stage, 3)
    assert len(stage.sent()) == 3
    assert stage.feedback.counts == Counts(sent=3)


def test_signals_wait_while_nobody_is_there_and_go_later(stage, caplog):
    stage.door.is_away = True
    accept(stage, 2)
    assert stage.feedback.flush(30) is False
    assert stage.feedback.counts == Counts(waiting=2)
    stage.door.is_away = False
    assert len(stage.sent()) == 2
    assert stage.feedback.counts == Counts(sent=2)
    assert caplog.text.count("nobody is there") == 1
    assert len({one.signal_id for one in stage.sent()}) == 2


def test_waiting_signals_go_without_another_report(stage):
    stage.door.is_away = True
    accept(stage)
    assert stage.feedback.flush(30) is False
    stage.door.is_away = False
    done = threading.Event()
    send = stage.door.send

    def noted(some):
        result = send(some)
        done.set()
        return result

    stage.door.send = noted
    assert done.wait(30)


def test_refused_signals_are_counted_and_never_sent_again(stage, caplog):
    stage.door.refuses = {"user_accepted": "no such call"}
    accept(stage, 2)
    assert stage.sent() == []
    assert stage.feedback.counts == Counts(refused=2)
    assert caplog.text.count("no such call") == 1


def test_where_signals_go_nowhere_it_is_said_once_and_counted(make_stage, caplog):
    stage = make_stage(find=lambda near: None)
    accept(stage)
    stage.feedback.flush(30)
    accept(stage)
    stage.feedback.flush(30)
    assert stage.feedback.counts == Counts(dropped=2)
    assert caplog.text.count("signals go nowhere") == 1


def test_a_door_that_opens_later_is_found(make_stage):
    doors = []
    stage = make_stage(find=lambda near: doors[0] if doors else None)
    accept(stage)
    stage.feedback.flush(30)
    doors.append(stage.door)
    stage.later(ASKS_AGAIN_S + 1)
    accept(stage)
    assert len(stage.sent()) == 1


def test_signals_wait_for_a_sidecar_that_was_there_before(make_stage):
    """It may be about to start again, at another address."""
    doors = []
    stage = make_stage(find=lambda near: doors[-1] if doors else None)
    doors.append(stage.door)
    accept(stage)
    assert len(stage.sent()) == 1
    stage.door.is_away = True
    doors.clear()
    accept(stage)
    for _ in range(3):
        assert stage.feedback.flush(30) is False
    assert stage.feedback.counts == Counts(sent=1, waiting=1)
    doors.append(type(stage.door)())
    assert stage.feedback.flush(30) is True
    assert len(doors[-1].signals) == 1


def test_settings_that_are_of_no_use_are_told_and_raise_nothing(make_stage, caplog):
    def find(near):
        raise ConfigError([Problem("REMORA_GATEWAY_URL", "it is no URL")])

    stage = make_stage(find=find)
    accept(stage)
    assert stage.feedback.flush(30) is False
    assert "REMORA_GATEWAY_URL" in caplog.text


def test_what_policy_wants_is_asked_for_now_and_then(stage):
    for _ in range(3):
        accept(stage)
        stage.sent()
    assert stage.door.wanted_asked == 1
    stage.later(ASKS_AGAIN_S + 1)
    accept(stage)
    stage.sent()
    assert stage.door.wanted_asked == 2


def test_of_too_many_that_wait_the_oldest_go(stage, monkeypatch, caplog):
    monkeypatch.setattr(sending, "MOST_WAITING", 3)
    stage.door.is_away = True
    stage.feedback.track_run(ONE)
    for score in range(5):
        stage.feedback.user_accepted(score / 10)
    stage.feedback.flush(30)
    assert stage.feedback.counts == Counts(dropped=2, waiting=3)
    stage.door.is_away = False
    assert [one.strength for one in stage.sent()] == [0.2, 0.3, 0.4]
    assert "oldest are dropped" in caplog.text


def test_jobs_without_room_are_counted_and_the_caller_goes_on():
    worker, begun, go_on = Worker(lambda everything: None, lambda: None), *_events(2)

    def hang():
        begun.set()
        assert go_on.wait(30)

    assert worker.put(hang)
    assert begun.wait(30)
    assert all(worker.put(int) for _ in range(MOST_JOBS))
    assert not worker.put(int)
    assert worker.dropped_total == 1
    go_on.set()
    assert worker.flush(30)
    worker.close()


def test_a_job_that_fails_does_not_stop_the_others(caplog):
    done, worker = [], Worker(lambda everything: None, lambda: None)

    def fail():
        raise KeyError("my secret")

    worker.put(fail)
    worker.put(lambda: done.append(1))
    assert worker.flush(30)
    assert done == [1]
    assert worker.failed_total == 1
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text
    worker.close()


def test_a_flush_of_what_hangs_ends_in_time():
    worker, begun, go_on = Worker(lambda everything: None, lambda: None), *_events(2)

    def hang():
        begun.set()
        assert go_on.wait(30)

    worker.put(hang)
    assert begun.wait(30)
    assert worker.flush(0.01) is False
    go_on.set()
    assert worker.flush(30) is True
    worker.close()


def test_a_worker_goes_on_after_it_was_closed():
    done, worker = threading.Event(), Worker(lambda everything: None, lambda: None)
    worker.put(int)
    worker.close()
    worker.put(done.set)
    assert done.wait(30)
    worker.close()


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [([10] * 250, 3), ([BATCH_BYTES // 2] * 3, 3), ([BATCH_BYTES * 2, 10], 2), ([], 0)],
    ids=["many", "large", "one too large", "none"],
)
def test_calls_to_a_sidecar_are_of_a_bounded_size(sizes, batches):
    found = _batches([{"text": "x" * size} for size in sizes])
    assert len(found) == batches
    assert sum(map(len, found)) == len(sizes)
    for batch in found:
        assert len(batch) <= BATCH_SIGNALS
        assert len(json.dumps(batch)) < BATCH_BYTES * 1.5 or len(batch) == 1


def _events(count):
    return [threading.Event() for _ in range(count)]


# Processes that fork, and that end.

_PROGRAM = """
import json, os, sys
from remora.feedback.doors import Wanted
from remora.feedback.feedback import Feedback

class Door:
    def wanted(self): return Wanted()
    def send(self, signals):
        with open(sys.argv[1], "a") as file:
            file.writelines(f"{os.getpid()} {one.strength}\\n" for one in signals)
        return []
    def close(self): pass

feedback = Feedback(find=lambda near: Door())
feedback.track_run("0190b5a1c0de70008000000000000001")
"""


def run(program, path):
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", _PROGRAM + program, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(pid), float(score)) for pid, score in lines], done


def test_a_process_that_ends_sends_what_is_left(tmp_path):
    sent, _ = run("[feedback.user_accepted(n / 10) for n in range(5)]", tmp_path / "sent")
    assert [score for _, score in sent] == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_a_child_of_a_fork_sends_its_own_and_nothing_of_its_parents(tmp_path):
    program = """
import threading
go_on, send = threading.Event(), Door.send
def held(self, signals):
    assert go_on.wait(30)
    return send(self, signals)
Door.send = held
feedback.user_accepted(0.1)
child = os.fork()
if child:
    go_on.set()
else:
    Door.send = send
feedback.user_accepted(0.2 if child else 0.3)
assert feedback.flush(30)
if not child:
    os._exit(0)
os.waitpid(child, 0)
print(child)
"""
    sent, done = run(program, tmp_path / "sent")
    child = int(done.stdout)
    assert [score for pid, score in sent if pid == child] == [0.3]
    assert [score for pid, score in sent if pid != child] == [0.1, 0.2]


def test_a_fork_while_the_thread_works_leaves_the_child_able_to_report(tmp_path):
    program = """
import threading
begun, go_on = threading.Event(), threading.Event()
def hang():
    begun.set()
    go_on.wait(30)
feedback._worker.put(hang)
assert begun.wait(30)
child = os.fork()
if not child:
    feedback.user_accepted(0.3)
    assert feedback.flush(30)
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
go_on.set()
print(child)
"""
    sent, done = run(program, tmp_path / "sent")
    assert sent == [(int(done.stdout), 0.3)]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_sends_what_is_left(tmp_path, method):
    (tmp_path / "program.py").write_text(
        _PROGRAM.replace("sys.argv[1]", "os.environ['SENT']")
        + f"""
import multiprocessing
def work():
    feedback.track_run("0190b5a1c0de70008000000000000001")
    feedback.user_accepted(0.3)
if __name__ == "__main__":
    process = multiprocessing.get_context({method!r}).Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
"""
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "program.py"],
        cwd=tmp_path,
        env={**os.environ, "SENT": str(tmp_path / "sent")},
        check=True,
        timeout=60,
    )
    assert (tmp_path / "sent").read_text().split()[1] == "0.3"


def test_a_process_that_can_not_send_ends_all_the_same(tmp_path):
    program = """
import time
Door.send = lambda self, signals: time.sleep(3600)
feedback.user_accepted()
"""
    sent, _ = run(program, tmp_path / "sent")
    assert sent == []
