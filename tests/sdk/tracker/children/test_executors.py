"""Work submitted to executors runs within the session of whoever submitted it."""

import asyncio
import gc
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from remora.tracker.active import active_session, within


def _id(*_: object) -> str | None:
    session = active_session.get()
    return session.session_id if session else None


def test_each_task_has_the_session_of_its_submitter_on_one_thread(session_of) -> None:
    with ThreadPoolExecutor(1) as executor:
        futures = [executor.submit(_id)]
        for name in ("sess_a", "sess_b"):
            with within(session_of(name)):
                futures.append(executor.submit(_id))
        futures.append(executor.submit(_id))

        assert [future.result() for future in futures] == [None, "sess_a", "sess_b", None]


def test_a_thread_started_by_a_submission_does_not_keep_its_session(session) -> None:
    with ThreadPoolExecutor(1) as executor:
        with within(session):
            assert executor.submit(_id).result() == "sess_a"

        assert executor.submit(_id).result() is None


def test_map_has_the_session_of_its_caller(session) -> None:
    with ThreadPoolExecutor(2) as executor, within(session):
        assert list(executor.map(_id, range(5))) == ["sess_a"] * 5


def test_arguments_and_errors_pass(session) -> None:
    def fail(*given: object, **named: object) -> None:
        raise KeyError(given, named)

    with ThreadPoolExecutor(1) as executor, within(session):
        error = executor.submit(fail, 1, fn=2, self=3).exception()
        with pytest.raises(TypeError):
            executor.submit()

    assert isinstance(error, KeyError)
    assert error.args == ((1,), {"fn": 2, "self": 3})


@pytest.mark.parametrize("by_name", [True, False], ids=["named", "by position"])
def test_an_initializer_has_the_session_of_who_made_the_executor(session_of, by_name) -> None:
    seen: list[object] = []

    def initialize(value: str) -> None:
        seen.append((value, _id()))

    with within(session_of("sess_maker")):
        executor = (
            ThreadPoolExecutor(1, initializer=initialize, initargs=("x",))
            if by_name
            else ThreadPoolExecutor(1, "name", initialize, ("x",))
        )
    with executor, within(session_of("sess_b")):
        assert executor.submit(_id).result() == "sess_b"

    assert seen == [("x", "sess_maker")]


def test_an_initializer_that_is_none_is_refused_as_ever(session) -> None:
    with within(session), pytest.raises(TypeError, match="initializer must be a callable"):
        ThreadPoolExecutor(1, initializer=1)


def test_a_callback_has_the_session_of_who_added_it(session) -> None:
    seen: list[object] = []
    future: Future[int] = Future()
    with within(session):
        future.add_done_callback(lambda done: seen.append((done, _id())))
    future.add_done_callback(lambda done: seen.append((done, _id())))
    future.set_result(1)

    assert seen == [(future, "sess_a"), (future, None)]


def test_an_executor_of_a_users_own_kind_keeps_sessions(session) -> None:
    names = []

    class Own(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            names.append(fn.__name__)
            return super().submit(fn, *args, **kwargs)

    with Own(1) as executor, within(session):
        assert executor.submit(_id).result() == "sess_a"

    assert names == ["_id"]


async def test_the_loops_executor_keeps_the_session(session) -> None:
    loop = asyncio.get_running_loop()
    with within(session):
        kept = await loop.run_in_executor(None, _id)
    with ThreadPoolExecutor(1) as executor:
        with within(session):
            assert await loop.run_in_executor(executor, _id) == "sess_a"
        assert await loop.run_in_executor(executor, _id) is None

    assert kept == "sess_a"


async def test_to_thread_keeps_the_session(session) -> None:
    with within(session):
        assert await asyncio.to_thread(_id) == "sess_a"
    assert await asyncio.to_thread(_id) is None


def test_an_executor_that_lives_on_holds_no_session(session_of) -> None:
    session = session_of("sess_gone")
    gone = weakref.ref(session)
    with ThreadPoolExecutor(4) as executor:
        with within(session):
            assert set(executor.map(_id, range(100))) == {"sess_gone"}
        del session
        done = threading.Barrier(5)
        for _ in range(4):
            executor.submit(done.wait)  # so that each thread is past its last task of the session
        done.wait(30)
        gc.collect()

        assert gone() is None
