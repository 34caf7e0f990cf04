"""The way of executions' reports to the aggregator, made of a sidecar's settings and started."""

from contextlib import AsyncExitStack
from typing import Final

from remora.client.target import AggregatorTarget
from remora.task_owner import TaskOwner
from remora_sidecar.data_directory import DataDirectory
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.execution_metrics import watch_execution_reports
from remora_sidecar.execution_outbox import ExecutionOutbox
from remora_sidecar.execution_reporting import ExecutionDelivery, ExecutionReporting, Teller
from remora_sidecar.settings import SidecarSettings

OUTBOX_FILE: Final = "executions.db"


def open_execution_reports(
    stack: AsyncExitStack,
    settings: SidecarSettings,
    data: DataDirectory,
    parts: EngineParts,
    target: AggregatorTarget | None,
    flush_s: float,
) -> ExecutionReporting | None:
    """Make it and start it; the stack ends it, and delivers what it can before.

    Args:
        stack: What is pushed on it later ends earlier: so the runs that tell.
        settings: Of the sidecar.
        data: Where reports wait.
        parts: Have the clock, the metrics and where the sidecar runs.
        target: The aggregator; None: there is nobody to tell.
        flush_s: How long delivery may take at the end.
    """
    if target is None:
        return None
    outbox = ExecutionOutbox(data.path / OUTBOX_FILE)
    origin = parts.origin
    teller = Teller(settings.pod_uid or data.installation_id, origin.pod_name, origin.workload)
    delivery = ExecutionDelivery(outbox, target, teller, clock=parts.clock)
    reporting = ExecutionReporting(outbox, delivery)
    stack.push_async_callback(outbox.aclose)
    tasks = TaskOwner("execution reports")
    stack.push_async_callback(tasks.aclose)
    stack.push_async_callback(reporting.flush, flush_s)
    tasks.spawn(outbox.run(), name="writer")
    tasks.spawn(delivery.run(), name="delivery")
    watch_execution_reports(parts.metrics.registry, reporting)
    return reporting
