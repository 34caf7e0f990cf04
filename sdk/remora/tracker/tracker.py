"""`LLMTracker`: sessions, and everything that is asked about their calls.

    with LLMTracker() as tracker:
        for number, question in enumerate(questions, 1):
            with tracker.track(data_id=f"q{number}"):
                agent.run(question)
    tracker.print_summary()

What the agent calls, in this process or in one that it starts, goes through a sidecar, which
records it. `docs/tracker.md` says how the sidecar is found, and what can't be followed.
"""

import asyncio
import os
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from remora.clock import SystemClock
from remora.feedback.following import follow_calls
from remora.routing import RouteContext, Router
from remora.tracker.active import untracked_causes
from remora.tracker.attachment import Attachment
from remora.tracker.call_record import CallRecord
from remora.tracker.children import install_children
from remora.tracker.children.environment import session_environment
from remora.tracker.clients import install_clients
from remora.tracker.ledger import RecordFilter, cached_latency_s, usage_of
from remora.tracker.session import SessionInfo
from remora.tracker.tracking import Tracking

DEFAULT_CACHE_DIR: Final = ".remora_cache"
_DEFAULT_ID: Final = "default"
_NS: Final = 1_000_000_000
_NOT_STARTED: Final = (
    "the tracker is not started: open sessions within `with LLMTracker() as tracker:`, or between "
    "start() and stop()"
)


class _Unrouted:
    def route(self, ctx: RouteContext) -> str | None:
        """Leave the call as it is."""
        return None


UNROUTED: Final[Router] = _Unrouted()
"""``track(router=UNROUTED)``: no router for this session, whatever the tracker's own is."""


class LLMTracker:
    """Opens sessions and answers for their calls; for use from any thread.

    `stop` ends what is open; records can still be asked for. `close` lets go of the sidecar; what
    was recorded by then can still be asked for. `start` after `stop` goes on.
    """

    def __init__(
        self,
        *,
        data_id: str | None = None,
        combo_id: str | None = None,
        agent_id: str | None = None,
        router: Router | None = None,
        cache: bool = True,
        cache_dir: str | Path | None = DEFAULT_CACHE_DIR,
        goal: str | None = None,
        task_id: str | None = None,
    ) -> None:
        """Prepare a tracker; nothing is started yet.

        Args:
            data_id: With this or the next two, `with LLMTracker(…)` is one session itself.
            combo_id: As above.
            agent_id: As above.
            router: Decides for each call of each session that has no router of its own.
            cache: Whether calls may be answered by what was answered before.
            cache_dir: Data of the local sidecar, shared by all trackers that name the same; None
                for data that end with this process. Without effect beside a gateway or in a pod.
            goal: What the calls are for of each session that names no goal of its own: a name of
                1 to 128 characters by which learned routing keeps its scores.
            task_id: The task that the calls belong to of each session that names none of its own:
                it adds up what one run of an agent costs, over any number of programs.
        """
        self._ids = (data_id, combo_id, agent_id)
        self._router = router
        self._is_cached = cache
        self._goal = goal
        self._task_id = task_id
        self._lock = threading.Lock()
        self._attachment = Attachment(None if cache_dir is None else Path(cache_dir))
        self._open: dict[str, SessionInfo] = {}
        self._is_started = False
        self._is_closed = False
        self._own: Tracking | None = None
        weakref.finalize(self, self._attachment.abandon)

    def start(self) -> None:
        """Find a sidecar, or start one, and follow the calls of sessions from now on.

        Raises:
            ConfigError: No sidecar can be started; with every problem.
            Unavailable: The gateway that is named can't be reached.
            RuntimeError: The tracker is closed.
        """
        self._attachment.attach()
        install_clients()
        install_children()
        follow_calls()
        self._is_started = True

    def stop(self) -> None:
        """End every session that is open; records can still be asked for."""
        self._is_started = False
        with self._lock:
            still_open = list(self._open.values())
        for session in still_open:
            self._end(session)

    def close(self) -> None:
        """Stop, read what is not read yet, and let go of the sidecar for good."""
        self.stop()
        self._is_closed = True
        self._attachment.close()

    def __enter__(self) -> Self:
        """Start, and open one session if an id was given."""
        self.start()
        if any(given is not None for given in self._ids):
            data_id, combo_id, agent_id = self._ids
            self._own = self.track(data_id or _DEFAULT_ID, combo_id or _DEFAULT_ID, agent_id)
            self._own.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        own, self._own = self._own, None
        if own is not None:
            own.__exit__(kind, error, trace)
        self.stop()

    async def __aenter__(self) -> Self:
        """Start, without holding up the loop, and open one session if an id was given."""
        await asyncio.to_thread(self.start)
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.__exit__(kind, error, trace)

    def track(
        self,
        data_id: str | None = None,
        combo_id: str | None = None,
        agent_id: str | None = None,
        router: Router | None = None,
        goal: str | None = None,
        task_id: str | None = None,
    ) -> Tracking:
        """Open a session for the code in a ``with`` or ``async with`` block.

        Args:
            data_id: Which datapoint or user task its calls belong to.
            combo_id: Which combination of models.
            agent_id: Which agent role.
            router: Decides for each of its calls; None for the tracker's own, `UNROUTED` for none.
            goal: What its calls are for; None for the tracker's own.
            task_id: The task that its calls belong to; None for the tracker's own.
        """
        router = router or self._router
        router = None if router is UNROUTED else router
        goal, task_id = goal or self._goal, task_id or self._task_id
        return Tracking(_Asked(self, data_id, combo_id, agent_id, router, goal, task_id))

    def get_session_env(self, session: SessionInfo) -> dict[str, str]:
        """Give the variables that lead a child process through a session."""
        return session_environment(session.active)

    @property
    def records(self) -> list[CallRecord]:
        """All calls of this tracker's sessions that have ended so far, oldest first."""
        return self.get_records()

    def get_records(
        self,
        data_id: str | None = None,
        combo_id: str | None = None,
        agent_id: str | None = None,
    ) -> list[CallRecord]:
        """Give the calls for which all that is given holds, oldest first.

        Raises:
            Unavailable: The sidecar can't be reached.
        """
        return self._selected(RecordFilter(data_id, combo_id, agent_id))

    def get_usage(
        self,
        data_id: str | None = None,
        combo_id: str | None = None,
        agent_id: str | None = None,
    ) -> dict[str, tuple[int, int]]:
        """Sum input and output tokens by model."""
        return usage_of(self.get_records(data_id, combo_id, agent_id))

    def get_cached_latency(
        self,
        data_id: str | None = None,
        combo_id: str | None = None,
        agent_id: str | None = None,
    ) -> float:
        """Sum the seconds that cached answers took when they were made."""
        return cached_latency_s(self.get_records(data_id, combo_id, agent_id))

    def print_summary(
        self,
        data_id: str | None = None,
        combo_id: str | None = None,
        agent_id: str | None = None,
    ) -> None:
        """Print the models in the order in which they were called, tokens, cost and time."""
        from remora.routers import print_routing_summary

        print_routing_summary(self.get_records(data_id, combo_id, agent_id))
        if causes := untracked_causes():
            print(f"Calls that went past the tracker: {', '.join(causes)}")

    def clear(self) -> None:
        """Forget every record of this tracker, here and at the sidecar."""
        if self._is_closed:
            self._attachment.ledger.clear()
        else:
            self._attachment.forget_records()

    def register_provider(self, name: str, base_url: str, path_patterns: Iterable[str]) -> None:
        """Have the calls of a provider tracked, from now on.

        Args:
            name: Of your choice.
            base_url: Such as ``http://localhost:8000/v1``.
            path_patterns: Parts of paths by which further calls are known.

        Raises:
            Unavailable: The sidecar refuses, and says why, or can't be reached.
        """
        self._attachment.register_provider(name, base_url, tuple(path_patterns))

    def flush_cache(self) -> None:
        """Return when every cached answer would survive a loss of power."""
        self._attachment.flush_cache()

    def clear_cache(self) -> None:
        """Forget every cached answer, those of other trackers of this sidecar included."""
        self._attachment.clear_cache()

    def _opened(self, asked: "_Asked") -> SessionInfo:
        if not self._is_started:
            raise RuntimeError(_NOT_STARTED)
        ids = {"data_id": asked.data_id, "combo_id": asked.combo_id, "agent_id": asked.agent_id}
        wanted = {**ids, "cache": self._is_cached}
        if asked.goal:
            wanted["goal"] = asked.goal
        if asked.task_id:
            wanted["task_id"] = asked.task_id
        active = self._attachment.open_session(wanted, asked.router)
        now_s = SystemClock().now_unix_ns() / _NS
        session = SessionInfo(
            active.session_id,
            asked.data_id,
            asked.combo_id,
            asked.agent_id,
            created_at=now_s,
            active=active,
            read_records=self._of_session,
            goal=asked.goal,
            task_id=asked.task_id,
        )
        with self._lock:
            self._open[session.session_id] = session
        return session

    def _end(self, session: SessionInfo) -> None:
        if session.opener_pid != os.getpid():
            return
        with self._lock:
            if self._open.pop(session.session_id, None) is None:
                return
        self._attachment.end_session(session.session_id)

    def _of_session(self, session_id: str) -> list[CallRecord]:
        return self._selected(RecordFilter(session_id=session_id))

    def _selected(self, wanted: RecordFilter) -> list[CallRecord]:
        if not self._is_closed:
            self._attachment.read_records()
        return self._attachment.ledger.select(wanted)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A session that a tracker is asked for."""

    tracker: LLMTracker
    data_id: str | None
    combo_id: str | None
    agent_id: str | None
    router: Router | None
    goal: str | None
    task_id: str | None

    def open(self) -> SessionInfo:
        return self.tracker._opened(self)

    def end(self, session: SessionInfo) -> None:
        self.tracker._end(session)
