"""Where evaluations run: a thread with an event loop, and threads for what blocks.

Whatever ends is put in one queue, which the thread that runs the selector reads.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Literal, NamedTuple, Self

from remora.selectors.evaluation import Cell, Evaluation
from remora.task_owner import TaskOwner

Evaluate = Callable[[Cell, Executor], Awaitable[Evaluation]]


class Ended(NamedTuple):
    """An evaluation that ended, or the run's own trouble with it."""

    cell: Cell
    result: Evaluation | Exception


INTERRUPTED: Literal["interrupted"] = "interrupted"
"""In the queue: the user wants the run to end; wakes who waits for evaluations."""

_ABANDON_S = 5.0
"""So long code that was abandoned may take to notice that it was cancelled."""


class Workshop:
    """Runs evaluations that it is given; use it in a ``with`` block.

    Leaving the block after all have ended takes no time; with an exception, what still runs
    on the loop is cancelled, and what runs in threads is left to itself.

    Attributes:
        ended: What ended, in the order in which it did.
    """

    def __init__(self, evaluate: Evaluate, threads: int) -> None:
        """Take what evaluates, and how many evaluations run at a time at most."""
        self.ended: SimpleQueue[Ended | Literal["interrupted"]] = SimpleQueue()
        self._evaluate = evaluate
        # Twice as many, so that a session can be closed while the agents in it are stuck.
        self._threads = ThreadPoolExecutor(2 * threads, thread_name_prefix="remora-selector")
        self._loop = asyncio.new_event_loop()
        self._owner = TaskOwner("selector")
        self._thread = threading.Thread(
            target=self._serve, name="remora-selector-loop", daemon=True
        )

    def __enter__(self) -> Self:
        """Start the loop."""
        self._thread.start()
        return self

    def start(self, cell: Cell) -> None:
        """Begin to evaluate a cell."""
        self._loop.call_soon_threadsafe(self._spawn, cell)

    def _spawn(self, cell: Cell) -> None:
        self._owner.spawn(self._work(cell), name=f"{cell.combination}/{cell.datapoint}")

    async def _work(self, cell: Cell) -> None:
        try:
            result: Evaluation | Exception = await self._evaluate(cell, self._threads)
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits for it
            result = error
        self.ended.put(Ended(cell, result))

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()
            runner.run(self._owner.aclose())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the loop and the threads."""
        del error, traceback
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=None if kind is None else _ABANDON_S)
        self._threads.shutdown(wait=kind is None, cancel_futures=True)
