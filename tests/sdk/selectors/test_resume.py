"""A run that was interrupted goes on where it was, and comes to the same end."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import suppress
from decimal import Decimal

import pytest

from remora.selectors import ModelSelector, RunFileError

NUMBERS = [(number, number) for number in range(20)]
MODELS = {"node": ["a", "b", "c"]}


class Crash(ConnectionError):
    """The tracker breaks down, and the run with it."""


def skilled(tracker, models, given):
    """Right for 20, 14 and 7 of 20; every call costs a cent."""
    tracker.call(models["node"])
    return given if given % 20 < {"a": 7, "b": 20, "c": 14}[models["node"]] else None


def crashing_after(tracker, number):
    """Make a tracker break down once it was asked for the records of so many evaluations."""
    ask, asked = tracker.get_records, []

    def get_records(**which):
        asked.append(which)
        if len(asked) > number:
            raise Crash("gone")
        return ask(**which)

    tracker.get_records = get_records
    return tracker


def facts(results):
    return [
        (
            result.model_name,
            result.is_best,
            result.price,
            [(one.datapoint_index, one.score) for one in result.datapoint_results],
        )
        for result in results
    ]


METHODS = [
    ("brute_force", {}),
    ("arm_elimination", {}),
    ("arm_elimination", {"bound": "standard_error"}),
    ("matrix_ucb", {"sample_fraction": 0.5}),
]


@pytest.mark.parametrize("crash_after", [0, 1, 7, 23])
@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize(("method", "options"), METHODS, ids=str)
def test_a_run_that_crashed_ends_as_if_it_had_not(
    select, new_tracker, tmp_path, method, options, at_once, crash_after
):
    def run(tracker, **more):
        def answer(models, given):
            return skilled(tracker, models, given)

        selector = select(
            answer, MODELS, NUMBERS, method=method, tracker=tracker, **options, **more
        )
        return selector.select_best(parallel=True, max_concurrent=at_once)

    path = tmp_path / "run.db"
    whole = run(new_tracker())
    broken, rest = crashing_after(new_tracker(), crash_after), new_tracker()
    with pytest.raises(Crash):
        run(broken, results_path=path)
    resumed = run(rest, resume=path)

    assert facts(resumed) == facts(whole)
    assert resumed.selection_cost == whole.selection_cost
    total = sum(result.num_samples for result in whole)
    assert len(rest.sessions) == total - crash_after


def test_a_run_that_is_done_is_not_run_again(select, tracker, tmp_path):
    def run():
        def answer(models, given):
            return skilled(tracker, models, given)

        return select(answer, MODELS, NUMBERS, results_path=tmp_path / "run.db").select_best()

    first = run()
    number = len(tracker.sessions)

    assert facts(run()) == facts(first)
    assert len(tracker.sessions) == number


def test_another_method_takes_what_is_known(select, tracker, tmp_path):
    def run(method):
        def answer(models, given):
            return skilled(tracker, models, given)

        return select(
            answer, MODELS, NUMBERS, method=method, results_path=tmp_path / "run.db"
        ).select_best()

    run("arm_elimination")
    run("brute_force")

    assert len(tracker.sessions) == len({session.data_id for session in tracker.sessions}) == 60


def test_a_budget_counts_what_was_paid_before(select, tracker, tmp_path):
    def run(budget_usd):
        def answer(models, given):
            return skilled(tracker, models, given)

        return select(
            answer,
            MODELS,
            NUMBERS,
            method="brute_force",
            results_path=tmp_path / "run.db",
            budget_usd=budget_usd,
        ).select_best()

    assert run("0.1").selection_cost == Decimal("0.10")
    assert run("0.1").selection_cost == Decimal("0.10")
    assert len(tracker.sessions) == 10
    assert run("0.25").selection_cost == Decimal("0.25")


def test_prices_that_were_missing_can_be_named_when_a_run_goes_on(select, tracker, tmp_path):
    def run(**prices):
        def answer(models, given):
            tracker.call(models["node"], cost_usd=None, cache_read_tokens=40)
            return given

        return select(
            answer,
            {"node": ["a"]},
            NUMBERS,
            method="brute_force",
            results_path=tmp_path / "run.db",
            budget_usd=1,
            **prices,
        ).select_best()

    stopped = run()
    price = {"input_price": 100, "output_price": 0, "cache_read_price": 50}
    done = run(model_prices={"a": price})

    assert stopped.stopped.startswith("the budget of $1 can't be held: no price of a")
    assert stopped.selection_cost is None
    assert (done.stopped, done.get_best().price) == (None, Decimal("0.008"))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"models": {"node": ["a", "b"]}}, "another models"),
        ({"dataset": NUMBERS[:-1]}, "another dataset"),
        ({"dataset": [*NUMBERS[:-1], (19, "nineteen")]}, "another dataset"),
    ],
    ids=["models", "shorter", "changed"],
)
def test_a_file_of_another_run_is_refused(select, tmp_path, changes, what):
    def run(**changes):
        given = {"models": MODELS, "dataset": NUMBERS} | changes
        return select(
            lambda _, given: given, **given, results_path=tmp_path / "run.db"
        ).select_best()

    run()

    with pytest.raises(RunFileError, match=what):
        run(**changes)


def test_a_file_of_another_agent_is_refused(select, tmp_path, tracker):
    class Other:
        def __init__(self, models):
            pass

        def run(self, given):
            return given

    path = tmp_path / "run.db"
    select(lambda _, given: given, MODELS, NUMBERS, results_path=path).select_best()

    with pytest.raises(RunFileError, match="another agent"):
        ModelSelector(
            Other, MODELS, lambda *_: 1, NUMBERS, tracker=tracker, resume=path, progress=False
        ).select_best()


def test_a_file_in_use_is_refused(select, tmp_path):
    path = tmp_path / "run.db"
    errors = []

    def answer(models, given):
        with pytest.raises(RunFileError) as error:
            select(lambda _, given: given, MODELS, NUMBERS, results_path=path).select_best()
        errors.append(str(error.value))
        return given

    select(answer, {"node": ["a"]}, NUMBERS, results_path=path).select_best()

    assert "a run uses it just now" in errors[0]


def test_other_databases_and_files_are_left_alone(select, tmp_path):
    database, text = tmp_path / "other.db", tmp_path / "text.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    text.write_text("Dear diary, " * 1000)
    before = [database.read_bytes(), text.read_bytes()]

    for path, reason in ((database, "not of a run"), (text, "not a database")):
        with pytest.raises(RunFileError, match=reason):
            select(lambda _, given: given, MODELS, NUMBERS, results_path=path).select_best()

    assert [database.read_bytes(), text.read_bytes()] == before


def test_what_is_to_be_resumed_has_to_be_there(select, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no run to resume: .*run\.db"):
        select(lambda *_: 1, MODELS, NUMBERS, resume=tmp_path / "run.db")


@pytest.mark.parametrize("at_once", [1, 4])
def test_ctrl_c_ends_a_run_whose_evaluations_are_kept(select, new_tracker, tmp_path, at_once):
    """The signal comes while evaluations are under way; these end, and no other begins."""
    path = tmp_path / "run.db"
    tracker, rest = new_tracker(), new_tracker()
    running = threading.Barrier(at_once, timeout=60)
    answered = []

    def answer(models, given):
        running.wait()
        if not answered:
            answered.append(given)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return skilled(tracker, models, given)

    with pytest.raises(KeyboardInterrupt):
        select(
            answer, MODELS, NUMBERS, method="brute_force", results_path=path, tracker=tracker
        ).select_best(parallel=True, max_concurrent=at_once)
    begun = len(tracker.sessions)
    resumed = select(
        lambda models, given: skilled(rest, models, given),
        MODELS,
        NUMBERS,
        method="brute_force",
        resume=path,
        tracker=rest,
    ).select_best(parallel=True)

    assert tracker.stopped == 1
    assert begun < 60
    assert len(rest.sessions) == 60 - begun
    assert {result.num_samples for result in resumed} == {20}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def press_ctrl_c_twice():
    """The second comes once the first was heard."""
    for handler in (signal.default_int_handler, None):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        while handler is not None and signal.getsignal(signal.SIGINT) is not handler:
            threading.Event().wait(0.01)


def test_a_second_ctrl_c_leaves_an_async_evaluation(new_tracker):
    cancelled = threading.Event()

    class Stuck:
        def __init__(self, models):
            pass

        async def run(self, given):
            try:
                threading.Thread(target=press_ctrl_c_twice).start()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

    tracker = new_tracker()
    selector = ModelSelector(Stuck, MODELS, lambda *_: 1, NUMBERS, tracker=tracker, progress=False)

    with pytest.raises(KeyboardInterrupt):
        selector.select_best()
    assert cancelled.is_set()
    assert tracker.stopped == 1


def test_a_second_ctrl_c_leaves_a_sync_evaluation(select, tracker):
    over = threading.Event()

    def answer(models, given):
        threading.Thread(target=press_ctrl_c_twice).start()
        over.wait(60)

    with pytest.raises(KeyboardInterrupt):
        select(answer, MODELS, NUMBERS).select_best()
    assert not over.is_set()
    assert tracker.stopped == 1
    over.set()


PROGRAM = """
import sys, threading
from contextlib import contextmanager
from remora.selectors import ModelSelector

class Tracker:
    def start(self): pass
    def stop(self): pass
    @contextmanager
    def track(self, data_id=None, combo_id=None, agent_id=None, router=None):
        yield type("Session", (), {"session_id": data_id})
    def get_records(self, **_): return []

done = 0
class Agent:
    def __init__(self, models): self.models = models
    def run(self, given):
        global done
        done += 1
        if done == int(sys.argv[2]):
            print("here", flush=True)
            threading.Event().wait()
        return given if given < {"a": 7, "b": 20}[self.models["node"]] else None

results = ModelSelector(
    Agent, {"node": ["a", "b"]}, lambda e, a: e == a, [(n, n) for n in range(20)], "brute_force",
    tracker=Tracker(), results_path=sys.argv[1],
).select_best()
print(done, [result.accuracy for result in results])
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda one: one.name)
def test_a_killed_program_goes_on(tmp_path, how):
    arguments = [sys.executable, "-c", PROGRAM, str(tmp_path / "run.db")]
    with subprocess.Popen([*arguments, "15"], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout.readline() == "here\n"
        os.kill(killed.pid, how)
        with suppress(subprocess.TimeoutExpired):
            killed.wait(60)

    again = subprocess.run([*arguments, "0"], capture_output=True, text=True, check=True)

    assert again.stdout == "26 [0.35, 1.0]\n"
