"""The one way to start a background task: it has an owner, a name and an end."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)


class TaskOwner:
    """Keeps the tasks that one part started, says when one fails, and ends them all.

    A task that raises is logged by name (the exception's text, not its arguments'
    bytes); it never goes unnoticed until garbage collection.
    """

    def __init__(self, name: str) -> None:
        """Name the owner; the name prefixes its tasks' names."""
        self.name = name
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start a task and keep it until it ends."""
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task %s failed: %s", task.get_name(), error, exc_info=error)

    @property
    def idle(self) -> bool:
        """Whether every task has ended."""
        return not self._tasks

    async def aclose(self) -> None:
        """Cancel what still runs and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
