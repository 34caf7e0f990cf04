"""An execution as the sidecar knows it, from its order to some time after its end."""

import asyncio
from typing import Any

from remora_sidecar.workflow_runs.feed import OVER, Feed
from remora_sidecar.workflow_runs.order import Ordered
from remora_sidecar.workflow_runs.running import Running
from remora_sidecar.workflow_runs.view import final_event, running_value, started_event


class Known:
    """One execution.

    Attributes:
        ordered: What was ordered.
        workflow: What is run; None once it is over.
        agent_id: Of its client's session.
        running: While it goes on.
        feed: What it tells.
        ended_unix_ns: 0 while it goes on.
        result_bytes: Size of what it came to; 0 while it goes on.
        kept: Set once it outlives the process, as far as the disk lets it.
    """

    def __init__(self, ordered: Ordered, running: Running | None = None) -> None:
        """Begin with an order, or with a run that goes on."""
        self.ordered = ordered
        self.running = running
        self.workflow = None if running is None else running.workflow
        self.agent_id = "" if running is None else running.agent_id
        self.feed = Feed(OVER) if running is None else running.feed
        self.ended_unix_ns = 0
        self.result_bytes = 0
        self.kept = asyncio.Event()
        self._result: dict[str, Any] | None = None
        self.feed.tell(started_event(ordered))

    @property
    def status(self) -> str:
        """How it stands."""
        if self._result is not None:
            return str(self._result["status"])
        return "paused" if self.running is not None and self.running.is_paused else "running"

    @property
    def value(self) -> dict[str, Any]:
        """The execution as answers show it."""
        if self._result is not None or self.running is None:
            return self._result or {}
        is_paused = self.running.is_paused
        return running_value(self.ordered, self.running.so_far(), is_paused=is_paused)

    @property
    def summary(self) -> dict[str, Any]:
        """The execution as lists show it."""
        return {
            "execution_id": self.ordered.execution_id,
            "task_id": self.ordered.task_id,
            "workflow": self.ordered.name,
            "status": self.status,
            "began_unix_ns": self.ordered.began_unix_ns,
            "ended_unix_ns": self.ended_unix_ns or None,
        }

    def end(self, result: dict[str, Any], ended_unix_ns: int, result_bytes: int) -> None:
        """Take what it came to, and tell it."""
        self.running = self.workflow = None
        self.kept.set()
        self.ordered = self.ordered.without_texts()
        self.ended_unix_ns = ended_unix_ns
        self.result_bytes = result_bytes
        self._result = result
        self.feed.tell(final_event(result))
        self.feed.close()

    async def settled(self) -> None:
        """Wait until what it was told is done."""
        if self.running is not None:
            await self.running.settled_down()
