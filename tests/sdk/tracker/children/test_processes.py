"""Processes and what is given to pools of them keep their session, however they are started."""

import contextlib
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.pool import Pool, ThreadPool
from typing import Any

import pytest

from remora.tracker.active import active_session, within

pytestmark = [
    # Forking beside threads is what the tests are about.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]
METHODS = ("fork", "spawn", "forkserver")
GRANDCHILD = [sys.executable, "-S", "-c", 'import os; print(os.environ.get("HTTPS_PROXY"))']


def _id(*_: object) -> str | None:
    session = active_session.get()
    return session.session_id if session else None


def _report(told: Any) -> None:
    told.send(_id())


def _report_all(told: Any, method: str) -> None:
    """Say what this process, a thread, a program and a process started in it belong to."""
    thread = threading.Thread(target=_report, args=(told,))
    thread.start()
    thread.join()
    told.send(subprocess.check_output(GRANDCHILD, text=True).strip())
    process = multiprocessing.get_context(method).Process(target=_report, args=(told,))
    process.start()
    process.join()
    _report(told)


def _sum(*numbers: int) -> tuple[str | None, int]:
    return _id(), sum(numbers)


def _fail(message: str) -> None:
    raise ValueError(message, _id())


_at_start = "nothing"


def _note_at_start() -> None:
    global _at_start
    _at_start = str(_id())


def _noted(_: object = None) -> tuple[str, str | None]:
    return _at_start, _id()


class _Own(multiprocessing.get_context("spawn").Process):
    """A process that overrides run, and does not call the one of its base."""

    def __init__(self, told: Any) -> None:
        super().__init__()
        self._told = told

    def run(self) -> None:
        self._told.send((_id(), multiprocessing.current_process() is self, "run" in vars(self)))


class _OwnForked(multiprocessing.get_context("fork").Process):
    """The same, forked."""

    def __init__(self, told: Any) -> None:
        super().__init__()
        self._told = told

    run = _Own.run


@pytest.fixture(params=METHODS)
def context(request: pytest.FixtureRequest) -> Any:
    """Each way of starting processes."""
    return multiprocessing.get_context(request.param)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[Callable[[], Any], Any]]:
    """Give what receives from a process, and what it is given to send with."""
    heard, told = multiprocessing.Pipe(duplex=False)

    def receive() -> Any:
        assert heard.poll(100)
        return heard.recv()

    with heard, told:
        yield receive, told


def _end(process: Any) -> None:
    process.join(100)
    assert process.exitcode == 0
    process.close()


def test_a_process_keeps_its_session(context, session) -> None:
    with _pipe() as (receive, told):
        process = context.Process(target=_report, args=(told,))
        with within(session):
            process.start()

        assert receive() == "sess_a"
    assert "run" not in vars(process)
    _end(process)


def test_a_process_started_outside_of_a_session_has_none(context, session) -> None:
    with _pipe() as (receive, told):
        with within(session):
            process = context.Process(target=_report, args=(told,))
        process.start()

        assert receive() is None
    _end(process)


def test_what_a_process_starts_keeps_it_too(context, session) -> None:
    with _pipe() as (receive, told):
        process = context.Process(target=_report_all, args=(told, context.get_start_method()))
        with within(session):
            process.start()

        assert [receive() for _ in range(4)] == ["sess_a", session.proxy_url, "sess_a", "sess_a"]
    _end(process)


def test_the_default_kind_of_process_keeps_its_session(session) -> None:
    with _pipe() as (receive, told):
        process = multiprocessing.Process(target=_report, args=(told,))
        with within(session):
            process.start()

        assert receive() == "sess_a"
    _end(process)


@pytest.mark.parametrize("kind", [_Own, _OwnForked])
def test_a_process_that_overrides_run_keeps_its_session(session, kind) -> None:
    with _pipe() as (receive, told):
        process = kind(told)
        with within(session):
            process.start()

        assert receive() == ("sess_a", True, False)
    _end(process)


def test_a_process_that_can_not_start_is_left_as_it_was(session) -> None:
    process = multiprocessing.get_context("spawn").Process(target=lambda: None)
    with within(session), pytest.raises((AttributeError, pickle.PicklingError)):
        process.start()

    assert "run" not in vars(process)


def test_a_plain_fork_keeps_its_session(session) -> None:
    reading, writing = os.pipe()
    with within(session):
        pid = os.fork()
        if not pid:
            os.write(writing, str(_id()).encode())
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with open(reading, "rb") as seen:
        assert seen.read() == b"sess_a"


def _pool(context: Any) -> Pool:
    return context.Pool(1)


def _thread_pool(_: Any) -> ThreadPool:
    return ThreadPool(1)


MAPS: dict[str, Callable[[Any], list[Any]]] = {
    "apply": lambda pool: [pool.apply(_sum, (1, 2))],
    "apply_async": lambda pool: [pool.apply_async(_sum, (1,), {}).get()],
    "apply_async by name": lambda pool: [pool.apply_async(func=_sum, args=(1,)).get()],
    "map": lambda pool: pool.map(_sum, [1, 2, 3]),
    "map by name": lambda pool: pool.map(func=_sum, iterable=[1], chunksize=1),
    "map_async": lambda pool: pool.map_async(_sum, [1, 2, 3], 2).get(),
    "starmap": lambda pool: pool.starmap(_sum, [(1, 2), (3, 4)]),
    "starmap_async": lambda pool: pool.starmap_async(_sum, [(1, 2), (3, 4)]).get(),
    "imap": lambda pool: list(pool.imap(_sum, [1, 2, 3])),
    "imap in chunks": lambda pool: list(pool.imap(_sum, [1, 2, 3], 2)),
    "imap_unordered": lambda pool: sorted(pool.imap_unordered(_sum, [1, 2, 3])),
    "imap_unordered in chunks": lambda pool: sorted(pool.imap_unordered(_sum, [1, 2], 2)),
}


@pytest.mark.parametrize("make", [_pool, _thread_pool])
def test_a_pool_works_in_the_session_of_who_asks(context, session_of, make) -> None:
    with within(session_of("sess_maker")):
        pool = make(context)
    with pool:
        for name, ask in MAPS.items():
            plain = ask(pool)
            with within(session_of(f"sess_{name}")):
                asked = ask(pool)
            assert [number for _, number in asked] == [number for _, number in plain], name
            assert {seen for seen, _ in plain} == {None}, name
            assert {seen for seen, _ in asked} == {f"sess_{name}"}, name
        pool.close()
        pool.join()


def test_a_pools_initializer_has_the_session_of_its_maker(context, session_of) -> None:
    with within(session_of("sess_maker")):
        pool = context.Pool(1, _note_at_start)
    with pool, within(session_of("sess_b")):
        assert pool.map(_noted, [1]) == [("sess_maker", "sess_b")]
        pool.close()
        pool.join()


def test_errors_and_callbacks_of_a_pool_pass(session) -> None:
    seen: list[object] = []
    with ThreadPool(1) as pool:
        with within(session):
            done = pool.apply_async(_sum, (1,), callback=lambda got: seen.append((got, _id())))
            done.wait(100)
            error = pool.apply_async(
                _fail, ("no",), {}, None, lambda raised: seen.append((raised.args, _id()))
            )
        with pytest.raises(ValueError, match="no"):
            error.get()
        pool.close()
        pool.join()

    assert seen == [(("sess_a", 1), "sess_a"), (("no", "sess_a"), "sess_a")]


def test_items_that_a_pool_takes_lazily_are_made_in_the_session(session) -> None:
    def items() -> Iterator[str | None]:
        yield _id()
        yield _id()

    with ThreadPool(1) as pool:
        with within(session):
            lazily = pool.imap(str, items())
        assert list(lazily) == ["sess_a", "sess_a"]
        assert list(pool.imap(str, items())) == ["None", "None"]


WRONG: dict[str, Callable[[Any], object]] = {
    "no function": lambda pool: pool.map(),
    "no iterable": lambda pool: pool.imap(_id),
    "nothing to iterate": lambda pool: pool.map(_id, None),
    "nothing to iterate lazily": lambda pool: list(pool.imap(_id, 5)),
    "a function twice": lambda pool: pool.apply_async(_id, func=_id),
    "no function at all": lambda pool: pool.apply(None),
}


@pytest.mark.parametrize("ask", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_as_ever(session, ask) -> None:
    with ThreadPool(1) as pool:
        with pytest.raises(TypeError) as without:
            ask(pool)
        with within(session), pytest.raises(TypeError) as inside:
            ask(pool)

    assert str(inside.value) == str(without.value)


def test_an_executor_of_processes_has_the_session_of_who_submits(context, session_of) -> None:
    with within(session_of("sess_maker")):
        executor = ProcessPoolExecutor(1, context, _note_at_start)
    with executor:
        with within(session_of("sess_a")):
            futures = [executor.submit(_noted)]
        futures.append(executor.submit(_noted))
        with within(session_of("sess_b")):
            mapped = list(executor.map(_noted, range(3), chunksize=2))

        assert [future.result() for future in futures] == [
            ("sess_maker", "sess_a"),
            ("sess_maker", None),
        ]
        assert mapped == [("sess_maker", "sess_b")] * 3


def test_an_error_in_an_executor_of_processes_passes(session) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor, within(session):
        error = executor.submit(_fail, "no").exception()

    assert isinstance(error, ValueError)
    assert error.args == ("no", "sess_a")


def _same_sidecar(_: object) -> int:
    return id(active_session.get().sidecar)


def test_work_of_one_sidecar_shares_what_is_kept_for_it(session_of) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        seen = []
        for number in range(5):
            with within(session_of(f"sess_{number}")):
                seen.append(executor.submit(_same_sidecar, None).result())

    assert len(set(seen)) == 1
