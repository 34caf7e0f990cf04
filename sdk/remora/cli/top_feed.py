"""What `remora top` shows, kept up to date: records as they come, sums and tasks as asked.

One thread follows the records through restarts of the aggregator; one asks now and then who is
busiest and which tasks run. Whoever draws takes a snapshot.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from remora.cli.follow import follow
from remora.cli.top_window import Figures, Series, ServerClock, Window
from remora.client.aggregator import AggregatorClient
from remora.client.condition import Condition, Operator
from remora.client.filter import Order, RecordFilter
from remora.client.records import RecordClient
from remora.client.target import AggregatorTarget
from remora.client.task import Task, TaskState
from remora.client.tasks import TaskClient, TaskFilter
from remora.client.usage import UsageDimension, UsageRow
from remora.clock import Clock
from remora.errors import BadRequest, RemoraError, Unavailable
from remora.records import StoredRecord

BUSIEST: Final = (UsageDimension.MODEL, UsageDimension.SESSION, UsageDimension.TASK)
MOST_ROWS: Final = 20
MOST_EARLIER: Final = 20_000
"""So many calls of the past are read at the start; busier minutes are not known at once."""

_RUNNING_TASKS = 200


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is to show.

    Attributes:
        at_unix_ns: When, by the aggregator's clock.
        span_s: Over which time the busiest are found.
        busiest: The groups with the most calls, by what they are grouped.
        running: Tasks that are worked on, those that called last first.
        trouble: What keeps it from being up to date; empty: nothing does.
    """

    at_unix_ns: int
    span_s: int
    figures: Figures
    series: Series
    busiest: dict[UsageDimension, list[UsageRow]]
    running: tuple[Task, ...]
    trouble: str


@dataclass(slots=True)
class _Asked:
    """What was answered last."""

    busiest: dict[UsageDimension, list[UsageRow]] = field(default_factory=dict)
    running: tuple[Task, ...] = ()
    trouble: str = ""


class _Left(RemoraError):
    """Nobody looks any more."""


class TopFeed:
    """Keeps up with one aggregator."""

    def __init__(
        self, target: AggregatorTarget, wanted: RecordFilter, span_s: int, clock: Clock
    ) -> None:
        """Know nothing yet.

        Args:
            target: The aggregator.
            wanted: Which calls count.
            span_s: How far back.
            clock: Tells the time here.
        """
        self._target = target
        self._wanted = wanted
        self._span_s = span_s
        self._clock = clock
        self._lock = threading.Lock()
        self._window = Window(span_s)
        self._server = ServerClock()
        self._asked = _Asked()
        self._link = ""
        self._failure: RemoraError | None = None
        self._left = threading.Event()
        self._clients: list[AggregatorClient] = []
        self.begun = threading.Event()

    def snapshot(self) -> Snapshot:
        """Say how things stand.

        Raises:
            RemoraError: The aggregator could not be reached at first, or refuses the question.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            now = self._server.now_unix_ns(self._clock.now_unix_ns())
            return Snapshot(
                now,
                self._span_s,
                self._window.figures(now),
                self._window.series(now),
                self._asked.busiest,
                self._asked.running,
                self._link or self._asked.trouble,
            )

    def load(self) -> None:
        """Read how things stand now, once; raises RemoraError."""
        with RecordClient(self._target) as records, TaskClient(self._target) as tasks:
            for stored in self._earlier(records):
                self._take(stored, is_live=False)
            self._asked = self._answers(records, tasks)

    @contextmanager
    def running(self, every_s: float) -> Iterator[None]:
        """Keep up as long as the block lasts, asking so often for what has to be asked for."""
        threads = [
            threading.Thread(target=self._follow, name="top records", daemon=True),
            threading.Thread(target=self._poll, args=(every_s,), name="top sums", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._left.set()
            with self._lock:
                clients = tuple(self._clients)
            for client in clients:
                client.close()
            for thread in threads:
                thread.join(timeout=5.0)

    # Records.

    def _follow(self) -> None:
        is_live = False

        def earlier(client: RecordClient) -> Iterable[StoredRecord]:
            nonlocal is_live
            yield from self._earlier(client)
            is_live = True
            self.begun.set()

        try:
            for stored in follow(
                self._connect, self._wanted, earlier=earlier, say=self._say, sleep=self._sleep
            ):
                self._take(stored, is_live=is_live)
        except _Left:
            pass
        except RemoraError as error:
            with self._lock:
                self._failure = error
        finally:
            self.begun.set()

    def _connect(self) -> RecordClient:
        client = RecordClient(self._target)
        self._hold(client)
        return client

    def _hold(self, *clients: AggregatorClient) -> None:
        """Have clients closed at the end, in whose midst it may come."""
        with self._lock:
            self._clients = [held for held in self._clients if not held.is_closed]
            self._clients += clients
        if self._left.is_set():
            for client in clients:
                client.close()
            raise _Left

    def _sleep(self, seconds: float) -> None:
        if self._left.wait(seconds):
            raise _Left

    def _say(self, text: str) -> None:
        with self._lock:
            self._link = text if text.endswith("waiting for it") else ""

    def _take(self, stored: StoredRecord, *, is_live: bool) -> None:
        with self._lock:
            now = self._clock.now_unix_ns()
            self._server.take(stored.received_unix_ns, now, is_live=is_live)
            self._window.add(stored)

    def _earlier(self, client: RecordClient) -> Iterator[StoredRecord]:
        """Give the newest calls of the window, oldest first."""
        since = self._window.reach_back_unix_ns(self._clock.now_unix_ns())
        received = Condition("received_unix_nano", Operator.GREATER_OR_EQUAL, (str(since),))
        wanted = replace(self._wanted, conditions=(*self._wanted.conditions, received))
        newest = client.query(wanted, order=Order.NEWEST_FIRST, limit=MOST_EARLIER, fields=_FIELDS)
        found = list(newest)
        if len(found) == MOST_EARLIER:
            with self._lock:
                self._window.nothing_known_before(found[-1].received_unix_ns)
        yield from reversed(found)

    # Sums and tasks.

    def _poll(self, every_s: float) -> None:
        with suppress(_Left):
            while not self._left.is_set():
                try:
                    self._ask_again_and_again(every_s)
                except Unavailable as error:
                    with self._lock:
                        self._asked = replace(self._asked, trouble=str(error))
                except _Left:
                    raise
                except RemoraError as error:
                    with self._lock:
                        self._failure = error
                    return
                self._sleep(every_s)

    def _ask_again_and_again(self, every_s: float) -> None:
        with RecordClient(self._target) as records, TaskClient(self._target) as tasks:
            self._hold(records, tasks)
            while True:
                asked = self._answers(records, tasks)
                with self._lock:
                    self._asked = asked
                self._sleep(every_s)

    def _answers(self, records: RecordClient, tasks: TaskClient) -> _Asked:
        with self._lock:
            now = self._server.now_unix_ns(self._clock.now_unix_ns())
        wanted = replace(self._wanted, since_unix_ns=max(now - self._span_s * 10**9, 1))
        busiest = {
            dimension: records.usage(wanted, [dimension], limit=MOST_ROWS) for dimension in BUSIEST
        }
        return _Asked(busiest, self._running_tasks(tasks))

    def _running_tasks(self, tasks: TaskClient) -> tuple[Task, ...]:
        """Give the tasks that are worked on; none where the aggregator knows of none."""
        states = (TaskState.RUNNING, TaskState.PLANNING)
        wanted = TaskFilter(namespace=self._wanted.namespace, states=states)
        with suppress(BadRequest, Unavailable):
            found = tasks.list(wanted, limit=_RUNNING_TASKS)
            return tuple(sorted(found, key=lambda task: -task.stirred_unix_ns))
        return ()


_FIELDS: Final = (
    "status_code", "end_reason", "error", "usage", "cost.total_usd", "cached", "latency_s",
    "ttft_s",
)  # fmt: skip
"""What of a call the window looks at."""
