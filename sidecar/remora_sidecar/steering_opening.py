"""What decides about calls, made of a sidecar's settings and its first policy."""

import random

from remora.clock import Clock
from remora.policy.spec import CallRules
from remora_sidecar.engine.budgeting import Budgeting
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.engine.pricing import PriceBook
from remora_sidecar.engine.router_plugins import RouterPlugins
from remora_sidecar.engine.steering import Steering
from remora_sidecar.policy.breakers import Breakers
from remora_sidecar.policy.condition_input import ConditionPod
from remora_sidecar.policy.latencies import Latencies
from remora_sidecar.policy.ledger import Ledger
from remora_sidecar.policy.rates import Rates
from remora_sidecar.policy.routers import Routers
from remora_sidecar.settings import SidecarSettings


def open_steering(
    settings: SidecarSettings,
    rules: CallRules,
    clock: Clock,
    prices: PriceBook,
    metrics: EngineMetrics,
) -> Steering:
    """Make it; nothing is spent and nobody has failed yet."""
    latencies, chance = Latencies(), random.Random()  # noqa: S311 - no secret
    budgeting = Budgeting(
        Ledger(rules.budgets),
        Rates(rules.rates),
        prices,
        clock,
        namespace=settings.namespace,
        pod=settings.pod_name,
    )
    return Steering(
        clock=clock,
        latencies=latencies,
        routers=Routers(latencies, chance),
        breakers=Breakers(rules.breaker),
        budgeting=budgeting,
        ask_plugin=RouterPlugins().ask,
        chance=chance.random,
        pod=ConditionPod(settings.pod_name, settings.namespace, settings.labels),
        condition_failed=metrics.condition_failed,
    )
