"""Threads keep the session in which they were started."""

import _thread
import gc
import threading
import weakref

import pytest

from remora.tracker.active import active_session, within


def _id() -> str | None:
    session = active_session.get()
    return session.session_id if session else None


class _Worker(threading.Thread):
    """A thread that overrides run, and does not call the one of its base."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str | None] = []

    def run(self) -> None:
        self.seen.append(_id())


def test_a_thread_keeps_its_session(session) -> None:
    seen: list[str | None] = []
    thread = threading.Thread(target=lambda *given, **named: seen.extend([_id(), given, named]),
                              args=(1,), kwargs={"b": 2})  # fmt: skip
    with within(session):
        thread.start()
    thread.join()

    assert seen == ["sess_a", (1,), {"b": 2}]


def test_a_thread_made_in_a_session_and_started_outside_of_it_has_none(session) -> None:
    with within(session):
        worker = _Worker()
    worker.start()
    worker.join()

    assert worker.seen == [None]


def test_a_thread_that_overrides_run_keeps_its_session_and_its_run(session) -> None:
    worker = _Worker()
    with within(session):
        worker.start()
    worker.join()

    assert worker.seen == ["sess_a"]
    assert "run" not in vars(worker)


def test_a_run_of_the_threads_own_is_run_and_stays(session) -> None:
    worker = _Worker()
    worker.run = own = lambda: worker.seen.append(f"own {_id()}")
    with within(session):
        worker.start()
    worker.join()

    assert worker.seen == ["own sess_a"]
    assert worker.run is own


def test_a_timer_keeps_its_session(session) -> None:
    seen: list[str | None] = []
    with within(session):
        timer = threading.Timer(0.001, lambda: seen.append(_id()))
        timer.start()
    timer.join()

    assert seen == ["sess_a"]


def test_threads_of_threads_keep_it_too(session) -> None:
    seen: list[str | None] = []

    def outer() -> None:
        inner = threading.Thread(target=lambda: seen.append(_id()))
        inner.start()
        inner.join()

    with within(session):
        thread = threading.Thread(target=outer)
        thread.start()
    thread.join()

    assert seen == ["sess_a"]


def test_each_of_many_threads_has_its_own_session(session_of) -> None:
    seen: dict[str, str | None] = {}
    threads = []
    for number in range(50):
        name = f"sess_{number}"
        thread = threading.Thread(target=lambda name=name: seen.update({name: _id()}))
        with within(session_of(name)):
            thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()

    assert seen == {f"sess_{number}": f"sess_{number}" for number in range(50)}


def test_a_thread_started_at_the_lowest_level_keeps_its_session(session) -> None:
    seen: list[object] = []
    done = threading.Event()

    def work(*given: object, **named: object) -> None:
        seen.extend([_id(), given, named])
        done.set()

    with within(session):
        _thread.start_new_thread(work, (1,), {"b": 2})
    assert done.wait(30)

    assert seen == ["sess_a", (1,), {"b": 2}]


def test_a_second_start_is_refused_as_ever(session) -> None:
    worker = _Worker()
    with within(session):
        worker.start()
        worker.join()
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            worker.start()

    assert "run" not in vars(worker)


def test_a_thread_without_its_init_is_refused_as_ever(session) -> None:
    class Careless(threading.Thread):
        def __init__(self) -> None:
            pass

    with within(session), pytest.raises(RuntimeError, match="not called"):
        Careless().start()


def test_a_failing_start_of_a_bare_thread_says_what_it_always_said(session) -> None:
    with within(session), pytest.raises(TypeError):
        _thread.start_new_thread()
    with within(session), pytest.raises(TypeError):
        _thread.start_new_thread(1, ())


def test_a_thread_goes_without_the_garbage_collector_once_it_has_ended(session) -> None:
    gc.disable()
    try:
        worker = _Worker()
        with within(session):
            worker.start()
        worker.join()
        gone = weakref.ref(worker)
        del worker
        assert gone() is None
    finally:
        gc.enable()


def test_ten_thousand_threads_leave_nothing(session_of) -> None:
    session = session_of("sess_gone")
    gone = weakref.ref(session)
    before = threading.active_count()
    with within(session):
        for _ in range(10_000):
            thread = threading.Thread(target=_id)
            thread.start()
            thread.join()
    del session, thread

    assert threading.active_count() <= before
    assert gone() is None
