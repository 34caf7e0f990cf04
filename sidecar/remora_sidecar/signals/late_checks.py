"""Checks that take too long for the end of an answer: in a thread, and told as signals."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from remora.clock import Clock
from remora.errors import Unavailable
from remora.outcomes.answer import Answer
from remora.outcomes.checks import evaluate
from remora.outcomes.contracts import Contract
from remora.records import CallRecord
from remora.task_owner import TaskOwner
from remora_proto.v1 import signals_pb2 as pb
from remora_sidecar.signals.told import signal_of_outcome

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 32
"""Answers of up to a megabyte each."""


class SignalSink(Protocol):
    """Where signals go."""

    async def take(self, signals: list[pb.Signal]) -> object:
        """Write signals down; raises Unavailable where that can't be done."""
        ...


class LateChecks:
    """Checks answers one after the other."""

    def __init__(self, sink: SignalSink, clock: Clock, tasks: TaskOwner) -> None:
        """Take where outcomes go; the thread begins with the first answer."""
        self._sink = sink
        self._clock = clock
        self._tasks = tasks
        self._worker = ThreadPoolExecutor(1, "remora-checks")
        self._waiting = 0

    def check(self, record: CallRecord, answer: Answer, contract: Contract) -> bool:
        """Check an answer and tell it as a signal; False if there is no room for it."""
        if self._waiting >= MOST_WAITING:
            return False
        self._waiting += 1
        self._tasks.spawn(self._check(record, answer, contract), name="late check")
        return True

    def close(self) -> None:
        """Begin no more checks."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _check(self, record: CallRecord, answer: Answer, contract: Contract) -> None:
        try:
            loop = asyncio.get_running_loop()
            outcome = await loop.run_in_executor(self._worker, evaluate, answer, contract)
            if outcome is not None:
                now = self._clock.now_unix_ns()
                await self._sink.take([signal_of_outcome(record, outcome, now)])
        except Unavailable as error:
            logger.warning("what was told of an answer is lost: %s", error)
        finally:
            self._waiting -= 1
