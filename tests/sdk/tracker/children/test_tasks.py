"""Tasks of asyncio and anyio keep the session in which they were started, and keep to it."""

import asyncio

import anyio
import anyio.to_thread

from remora.tracker.active import active_session, within


def _id() -> str | None:
    session = active_session.get()
    return session.session_id if session else None


async def _later(go: asyncio.Event) -> str | None:
    await go.wait()
    return _id()


async def test_a_task_that_outlives_its_with_keeps_its_session(session) -> None:
    go = asyncio.Event()
    with within(session):
        task = asyncio.ensure_future(_later(go))
    assert _id() is None
    go.set()

    assert await task == "sess_a"


async def test_tasks_side_by_side_have_each_its_own(session_of) -> None:
    async def work(name: str) -> str | None:
        with within(session_of(name)):
            await asyncio.sleep(0)
            return await asyncio.to_thread(_id)

    names = [f"sess_{number}" for number in range(20)]

    assert await asyncio.gather(*(work(name) for name in names)) == names
    assert _id() is None


async def test_callbacks_of_the_loop_keep_the_session(session) -> None:
    seen: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    with within(session):
        asyncio.get_running_loop().call_soon(lambda: seen.set_result(_id()))

    assert await seen == "sess_a"


async def test_tasks_and_threads_of_anyio_keep_the_session(session_of) -> None:
    seen: dict[str, object] = {}

    async def work(name: str) -> None:
        with within(session_of(name)):
            async with anyio.create_task_group() as inner:
                inner.start_soon(note, name)

    async def note(name: str) -> None:
        seen[name] = (_id(), await anyio.to_thread.run_sync(_id))

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(work, f"sess_{number}")
    outside = await anyio.to_thread.run_sync(_id)

    assert seen == {f"sess_{n}": (f"sess_{n}", f"sess_{n}") for n in range(5)}
    assert outside is None
