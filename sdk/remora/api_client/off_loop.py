"""Blocking calls for programs with an event loop: each on a thread of its own.

The loop's own few threads are left alone: a run may take an hour. Whoever stops waiting goes on at
once; the call is cut, and its thread ends.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Final

from remora.api_client.cut import Cut

_END: Final = object()


async def in_thread[T](call: Callable[[], T], cut: Cut) -> T:
    """Make a call on a thread; cancelled, it is cut and this returns at once."""
    waiting = _Waiting[T]()
    _start(lambda: waiting.settle(call), "remora-call")
    return await waiting.result(cut)


async def items_in_thread[T](items: Iterator[T], cut: Cut) -> AsyncIterator[T]:
    """Give the items of a blocking iterator as they come, one asked for at a time."""
    asked: SimpleQueue[_Waiting[T | object] | None] = SimpleQueue()
    _start(lambda: _serve(items, asked), "remora-stream")
    try:
        while True:
            waiting = _Waiting[T | object]()
            asked.put(waiting)
            item = await waiting.result(cut)
            if item is _END:
                return
            yield item  # type: ignore[misc]  # not the end, so it is an item
    finally:
        cut.cut()
        asked.put(None)


def _serve[T](items: Iterator[T], asked: "SimpleQueue[_Waiting[T | object] | None]") -> None:
    while (waiting := asked.get()) is not None:
        waiting.settle(lambda: next(items, _END))
    with suppress(Exception):
        if (close := getattr(items, "close", None)) is not None:
            close()


def _start(work: Callable[[], None], name: str) -> None:
    """Run something in the caller's context; the program's end does not wait for it."""
    context = copy_context()
    threading.Thread(target=lambda: context.run(work), name=name, daemon=True).start()


class _Waiting[T]:
    """One result, made on a thread and waited for on a loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[T] = self._loop.create_future()

    async def result(self, cut: Cut) -> T:
        try:
            return await self._future
        except asyncio.CancelledError:
            cut.cut()
            raise

    def settle(self, call: Callable[[], T]) -> None:
        """Make the call, and hand over what came of it; nobody may be there any more."""
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._hand_over(partial(self._future.set_exception, error))
        else:
            self._hand_over(partial(self._future.set_result, value))

    def _hand_over(self, settle: Callable[[], None]) -> None:
        def settled() -> None:
            if not self._future.done():
                settle()

        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(settled)
