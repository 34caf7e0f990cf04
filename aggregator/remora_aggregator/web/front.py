"""What every request finds in the application: the store, who asks, and what is under way."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from remora.clock import Clock
from remora.http_listening.connections import Connections
from remora_aggregator.learning import Learning
from remora_aggregator.service.audit import AuditSink
from remora_aggregator.service.entrance import Entrance
from remora_aggregator.store.execution_store import StoredExecutions
from remora_aggregator.store.learning_signal_store import StoredSignals
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.retention import Retention
from remora_aggregator.store.task_store import StoredTasks
from remora_aggregator.web.admission import Admission
from remora_aggregator.web.cookie import Seal, SignedOut
from remora_aggregator.web.metrics import AggregatorMetrics
from remora_aggregator.web.readiness import Readiness
from remora_aggregator.web.roster import Roster
from remora_aggregator.web.stock import StockWatch


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is done at once, and how long it may take.

    Attributes:
        connections: How many stand at once; the one that is idle longest makes room for another.
        questions: How many are answered at once.
        bodies: How many answers with bodies are made or sent at once.
        watchers: How many follow the records at once.
        idle_s: How long a connection may say nothing, or take to say what it asks.
        handshake_s: How long TLS may take to begin.
        body_s: How long the body of a request may take.
        question_s: How long the store may take for an answer.
        answer_s: How long a client may take to read one.
        heartbeat_s: How often a watcher hears something.
    """

    connections: int = 512
    questions: int = 64
    bodies: int = 4
    watchers: int = 128
    idle_s: float = 20.0
    handshake_s: float = 5.0
    body_s: float = 10.0
    question_s: float = 60.0
    answer_s: float = 60.0
    heartbeat_s: float = 15.0


@dataclass(slots=True)
class Front:
    """What stands behind the HTTP listener.

    Attributes:
        tasks: Those beside the records.
        executions: Of workflows.
        signals: What is said of answers.
        learned: What is learned of that.
        audit: Keeps who changed what.
        entrance: Says who asks, and whether they may.
        retention: How much is kept, and for how long.
        roster: Sidecars that were heard of lately.
        stock: How much there is.
        connections: Those that stand.
        stopping: Set when the aggregator was told to stop.
        questions: How many are being answered.
        body_places: For answers with bodies.
        watchers: How many follow the records.
        urandom: Gives so many random bytes.
        signature_key: What spans of Kalibr's clients are signed with; empty: nobody looks.
        damage: Says what the last look over the store found damaged; empty: nothing.
    """

    store: RecordStore
    tasks: StoredTasks
    executions: StoredExecutions
    signals: StoredSignals
    learned: Learning
    audit: AuditSink
    entrance: Entrance
    clock: Clock
    admission: Admission
    seal: Seal
    metrics: AggregatorMetrics
    readiness: Readiness
    connections: Connections
    bounds: Bounds
    retention: Retention
    roster: Roster
    stock: StockWatch
    version: str
    urandom: Callable[[int], bytes]
    signed_out: SignedOut = field(default_factory=SignedOut)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    questions: int = 0
    watchers: int = 0
    body_places: asyncio.Semaphore = field(init=False)
    signature_key: bytes = b""
    damage: Callable[[], str] = str

    def __post_init__(self) -> None:
        """Make the places for answers with bodies."""
        self.body_places = asyncio.Semaphore(self.bounds.bodies)


FRONT: web.AppKey[Front] = web.AppKey("front", Front)


def front_of(request: web.Request) -> Front:
    """Return what stands behind a request's listener."""
    return request.app[FRONT]
