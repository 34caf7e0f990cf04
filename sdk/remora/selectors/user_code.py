"""Calls functions that others wrote, sync in a thread and async on the loop, in one context.

A session of the tracker is a context variable: what opens it, what runs in it and what closes
it have to share a context, whatever thread each is in. One `UserCode` is one such context.
"""

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import Any


class Exited(Exception):
    """The code asked the whole program to end; it is not its to end."""


class UserCode:
    """Runs functions in a context of their own."""

    def __init__(self, threads: Executor) -> None:
        """Take the threads for functions that block."""
        self._threads = threads
        self._context = copy_context()

    async def in_thread[T](self, function: Callable[..., T], *args: Any, **named: Any) -> T:
        """Call what may block."""
        call = partial(self._context.run, _contained, partial(function, *args, **named))
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call what may be sync or async.

        Raises:
            Exited: It raised SystemExit, KeyboardInterrupt, or cancelled itself.
        """
        if is_async(function):
            return await self._on_loop(function, *args)
        found = await self.in_thread(function, *args)
        return await self._on_loop(lambda: found) if inspect.isawaitable(found) else found

    async def _on_loop(self, function: Callable[..., Any], *args: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.create_task(_awaited(function, *args), context=self._context)


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling gives something to await, as far as its definition says."""
    call = getattr(function, "__call__", None)  # noqa: B004 - of objects that are called
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _contained[T](function: Callable[[], T]) -> T:
    try:
        return function()
    except (SystemExit, KeyboardInterrupt) as error:
        raise Exited(f"{type(error).__name__}: {error}") from error


async def _awaited(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return await function(*args)
    except (SystemExit, KeyboardInterrupt) as error:
        raise Exited(f"{type(error).__name__}: {error}") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Exited("it cancelled itself") from error
