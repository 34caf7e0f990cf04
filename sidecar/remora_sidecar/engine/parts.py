"""What every call needs of the engine around it."""

import secrets
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from remora.clock import Clock
from remora.records import Origin
from remora.task_owner import TaskOwner
from remora_sidecar.engine.caching import Caching
from remora_sidecar.engine.evaluating import Evaluator
from remora_sidecar.engine.keys import Keys
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.engine.pricing import PriceBook
from remora_sidecar.engine.recorder import Recorder
from remora_sidecar.engine.sessions import Sessions
from remora_sidecar.engine.settlement import Settlement
from remora_sidecar.engine.steering import Steering
from remora_sidecar.engine.task_gate import TaskGate
from remora_sidecar.engine.upstream import Upstream
from remora_sidecar.engine.usage_asking import UsageAsking
from remora_sidecar.model.handoff import HandOff
from remora_sidecar.policy import PolicySnapshot

_KEPT_ORIGINS = 1024

DialGuard = Callable[[str, int], str | None]


@dataclass(slots=True)
class EngineParts:
    """Built once by the composition root.

    Attributes:
        policy: The policy in force; replaced whole when it changes.
        origin: What every record says about where it was made, but for mode and destination.
        dial_guard: Says why a forward-proxied request may not go somewhere.
        steering: Decides where calls go.
        keys: Policy's own, by the credentials that name them.
        caching: The cache; None where policy has none.
        evaluator: Says whether answers are any good; None: nobody does.
        stopping: Set when the sidecar is told to stop.
        takes_any_host: Plain HTTP requests with the path of an LLM call are calls, whoever's
            their host is.
        redaction_worker: Redacts long requests; its thread begins with the first of them.
        redaction_salt: Keys the digests of what is taken out of bodies.
    """

    clock: Clock
    policy: PolicySnapshot
    sessions: Sessions
    prices: PriceBook
    steering: Steering
    keys: Keys
    recorder: Recorder
    metrics: EngineMetrics
    upstream: Upstream
    origin: Origin
    dial_guard: DialGuard
    held_body_bytes: int
    captured_body_bytes: int
    answer_headers: bool
    caching: Caching | None = None
    evaluator: Evaluator | None = None
    stopping: bool = False
    takes_any_host: bool = False
    redaction_salt: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    redaction_worker: Executor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="redaction")
    )
    usage_asking: UsageAsking = field(default_factory=UsageAsking)
    settlement: Settlement = field(default_factory=Settlement)
    task_gate: TaskGate = field(default_factory=TaskGate)
    tasks: TaskOwner = field(default_factory=lambda: TaskOwner("engine"))
    _origins: dict[tuple[str, str], Origin] = field(default_factory=dict)

    def origin_of(self, hand_off: HandOff) -> Origin:
        """Say where a connection's calls are made."""
        key = (hand_off.mode, hand_off.destination)
        origin = self._origins.get(key)
        if origin is None:
            origin = replace(self.origin, mode=key[0], original_destination=key[1])
            if len(self._origins) < _KEPT_ORIGINS:
                self._origins[key] = origin
        return origin
