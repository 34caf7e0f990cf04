"""The way of signals through a sidecar, made of its settings: door, outbox, delivery."""

from contextlib import AsyncExitStack

from remora.client.target import AggregatorTarget
from remora.task_owner import TaskOwner
from remora_sidecar.control.signal_door import SignalDoor
from remora_sidecar.control.signal_metrics import watch_signals
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.settings import SidecarSettings
from remora_sidecar.signals.delivery import SignalDelivery
from remora_sidecar.signals.outbox import Outbox

OUTBOX_FILE = "signals.db"


def open_signals(
    stack: AsyncExitStack,
    settings: SidecarSettings,
    parts: EngineParts,
    target: AggregatorTarget | None,
    flush_s: float,
) -> SignalDoor:
    """Make it and start its delivery; the stack ends both, and delivers what it can before.

    Args:
        stack: What is pushed on it ends after the listeners that are pushed later.
        settings: Of the sidecar.
        parts: Have the policy in force, the clock and the metrics.
        target: The aggregator; None: signals wait, up to the outbox's bound.
        flush_s: How long delivery may take at the end.
    """

    def keeps_text() -> bool:
        return parts.policy.capture == "full"

    outbox = Outbox(settings.data_dir / OUTBOX_FILE)
    stack.push_async_callback(outbox.aclose)
    delivery = None
    if target is not None:
        delivery = SignalDelivery(outbox, target, keeps_text=keeps_text, clock=parts.clock)
        tasks = TaskOwner("signals")
        stack.push_async_callback(tasks.aclose)
        stack.push_async_callback(delivery.flush, flush_s)
        tasks.spawn(delivery.run(), name="delivery")
    watch_signals(parts.metrics.registry, outbox, delivery)
    return SignalDoor(outbox, keeps_text, has_opinion=lambda: False)
