"""Exports calls and metrics on a thread of its own, so that no collector slows a call.

The loop's thread only puts records into a bounded queue. OpenTelemetry's libraries load on
the export thread, when it starts.
"""

import asyncio
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from prometheus_client.core import Metric

from remora.clock import Clock
from remora.telemetry.settings import ExportPlan

logger = logging.getLogger(__name__)

QUEUE_FULL = "queue_full"
NOT_TAKEN = "not_taken"


class TelemetrySink[T](Protocol):
    """What takes exports, such as `remora.telemetry.collector.Collector`."""

    def send_calls(self, records: Sequence[T]) -> bool:
        """Export spans; False if they were not taken."""
        ...

    def send_metrics(
        self, families: Iterable[Metric], *, started_unix_ns: int, now_unix_ns: int
    ) -> bool:
        """Export metrics; False if they were not taken."""
        ...

    def shutdown(self) -> None:
        """Interrupt and close."""
        ...


class TelemetryExport[T]:
    """Takes records (`T`: in the form that a part has them) and sends them in batches.

    Now and then it sends the metrics too.

    Attributes:
        dropped: Calls whose spans did not reach the collector, by why.
    """

    def __init__(
        self,
        plan: ExportPlan,
        *,
        connect: Callable[[], TelemetrySink[T]],
        collect: Callable[[], Iterable[Metric]],
        clock: Clock,
        bare: Callable[[T], T],
    ) -> None:
        """Prepare; `start` begins.

        Args:
            plan: What is sent and how often.
            connect: Makes the sink, on the export thread.
            collect: Gives the metrics as they are; called on the export thread.
            clock: Of the part that exports.
            bare: Takes a record's bodies away, so that none waits in the queue.
        """
        self.dropped: Counter[str] = Counter()
        self._plan = plan
        self._connect = connect
        self._collect = collect
        self._clock = clock
        self._bare = bare
        self._waiting: deque[T] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._failing = False
        self._sink: TelemetrySink[T] | None = None
        self._started_unix_ns = clock.now_unix_ns()
        # A daemon: an export that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        """Begin to export."""
        self._thread.start()

    def take(self, record: T) -> None:
        """Let a record be exported, without its bodies; never waits."""
        if self._plan.traces is None or self._stopping:
            return
        if len(self._waiting) >= self._plan.max_waiting:
            self.dropped[QUEUE_FULL] += 1
            return
        self._waiting.append(self._bare(record))
        if len(self._waiting) == self._plan.max_batch:
            self._wake.set()

    async def aclose(self, within_s: float) -> None:
        """Send what waits, for so long at most; then leave it."""
        self._stopping = True
        self._wake.set()
        await asyncio.to_thread(self._thread.join, within_s)
        if self._thread.is_alive() and self._sink is not None:
            await asyncio.to_thread(self._sink.shutdown)
        if self._waiting:
            logger.warning("%d calls were not exported in time", len(self._waiting))

    def _run(self) -> None:
        try:
            self._sink = sink = self._connect()
        except Exception as error:  # noqa: BLE001 - a library's or a setting's: calls go on
            logger.warning("nothing is exported: %s", error)
            self._stopping = True
            self._waiting.clear()
            return
        next_metrics_s = self._clock.monotonic_s() + self._plan.metrics_every_s
        while not self._stopping:
            self._wake.wait(min(self._plan.spans_every_s, self._plan.metrics_every_s))
            self._wake.clear()
            self._send_calls(sink)
            if self._clock.monotonic_s() >= next_metrics_s:
                self._send_metrics(sink)
                next_metrics_s = self._clock.monotonic_s() + self._plan.metrics_every_s
        self._send_calls(sink)
        self._send_metrics(sink)
        sink.shutdown()

    def _send_calls(self, sink: TelemetrySink[T]) -> None:
        while self._waiting:
            size = min(len(self._waiting), self._plan.max_batch)
            batch = [self._waiting.popleft() for _ in range(size)]
            if not self._sent(partial(sink.send_calls, batch)):
                self.dropped[NOT_TAKEN] += size

    def _send_metrics(self, sink: TelemetrySink[T]) -> None:
        if self._plan.metrics is None:
            return
        self._sent(
            lambda: sink.send_metrics(
                self._collect(),
                started_unix_ns=self._started_unix_ns,
                now_unix_ns=self._clock.now_unix_ns(),
            )
        )

    def _sent(self, send: Callable[[], bool]) -> bool:
        """Send, and say once that the collector takes nothing, and once that it does again."""
        try:
            is_taken = send()
        except Exception as error:  # noqa: BLE001 - as in `_run`; the next batch may pass
            logger.debug("an export failed: %s", error)
            is_taken = False
        if is_taken == self._failing:
            self._failing = not is_taken
            if self._failing:
                logger.warning("the OTLP collector takes nothing; calls go on without it")
            else:
                logger.info("the OTLP collector takes exports again")
        return is_taken
