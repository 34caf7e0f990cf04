"""What the control and status listeners show of the running sidecar."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

from remora.clock import Clock
from remora_sidecar.cache.levels import CacheLevels
from remora_sidecar.control.daemon import Daemon
from remora_sidecar.control.providers import Providers
from remora_sidecar.control.signal_door import SignalDoor
from remora_sidecar.engine.sessions import Sessions
from remora_sidecar.engine.trackers import Trackers
from remora_sidecar.journal.journal import Journal
from remora_sidecar.openai_api.api import OpenAIApi
from remora_sidecar.tasks.answering import Tasks
from remora_sidecar.workflow_runs.runs import WorkflowRuns


@dataclass(frozen=True, slots=True)
class Health:
    """Whether agents can be served, and what a person should look at.

    Attributes:
        ready: Agents' connections are taken.
        problems: What is degraded though calls go on, such as a full disk.
        figures: Numbers and texts for a person: spool depth, connections, versions.
    """

    ready: bool
    problems: tuple[str, ...]
    figures: Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class ControlState:
    """Everything the listeners need, given by the composition root.

    Attributes:
        in_pod: Agents that are not the sidecar's owner reach the control listener, so that
            the tracker's calls which change it need the admin token.
        ca_pem: The CA whose certificates agents are shown.
        cache: Gives the cache; None while policy has none.
        proxy_address: ``host:port`` of the explicit listener, for proxy URLs.
        holds: Programs that keep a session open; a sidecar may end when the last has gone.
        daemon: What the published tracker's protocol needs besides.
        signals: Where programs tell what became of answers.
        openai: Answers OpenAI's clients.
        tasks: Answers for tasks.
        workflows: Runs workflows.
        max_order_bytes: Of a workflow that is ordered, with its input.
        hosts: Names that calls may use besides loopback and the address they came to; None: only
            loopback.
    """

    clock: Clock
    sessions: Sessions
    trackers: Trackers
    journal: Journal
    health: Callable[[], Health]
    policy_view: Callable[[], Mapping[str, object]]
    metrics: CollectorRegistry
    admin_token: str
    trust_dir: Path
    ca_pem: str
    proxy_address: str
    mode: str
    in_pod: bool
    version: str
    providers: Providers
    cache: Callable[[], CacheLevels | None]
    holds: "Holds"
    daemon: Daemon
    signals: SignalDoor
    openai: OpenAIApi
    tasks: Tasks
    workflows: WorkflowRuns
    max_order_bytes: int
    hosts: frozenset[str] | None = None

    def hosts_of(self, request: web.Request) -> frozenset[str]:
        """Give the names and addresses besides loopback by which a request may call the sidecar."""
        if self.hosts is None or request.transport is None:
            return frozenset()
        return self.hosts | {request.transport.get_extra_info("sockname")[0]}


class Holds:
    """Counts the programs that hold a session, and wakes who waits for a change."""

    def __init__(self) -> None:
        """Start with none."""
        self.count = 0
        self.changed = asyncio.Event()

    def __enter__(self) -> None:
        """Count one more."""
        self.count += 1
        self.changed.set()

    def __exit__(self, *_: object) -> None:
        """Count one less."""
        self.count -= 1
        self.changed.set()

    async def all_gone(self, *, first_within_s: float, linger_s: float) -> None:
        """Wait until nobody holds a session for ``linger_s``, or nobody came in time."""
        wait_s = first_within_s
        while True:
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), None if self.count else wait_s)
            except TimeoutError:
                return
            wait_s = linger_s
