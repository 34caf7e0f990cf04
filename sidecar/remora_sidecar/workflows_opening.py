"""Workflows on the control listener, made of a sidecar's parts."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.openai_api.offers import Offers
from remora_sidecar.openai_api.way import OwnWay
from remora_sidecar.signals.own_calls import Way
from remora_sidecar.tasks.answering import TaskDoor
from remora_sidecar.workflow_runs.asking import Asking
from remora_sidecar.workflow_runs.lost_calls import Waiting
from remora_sidecar.workflow_runs.metrics import watch_workflows
from remora_sidecar.workflow_runs.preparing import Preparing
from remora_sidecar.workflow_runs.receipts import Receipts
from remora_sidecar.workflow_runs.reports import Reporting, Reports
from remora_sidecar.workflow_runs.run_file import RunFile
from remora_sidecar.workflow_runs.running import Surroundings
from remora_sidecar.workflow_runs.runs import Knowledge, WorkflowRuns
from remora_sidecar.workflow_runs.turns import Turns


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Parts of the sidecar that runs have to do with.

    Attributes:
        offers: Knows which models may be asked.
        waiting: Records that an earlier process did not deliver.
        tasks: Hears of tasks that runs make for themselves.
        reporting: Gets reports of runs; None: there is no aggregator.
    """

    offers: Offers
    waiting: Waiting
    tasks: TaskDoor
    reporting: Reporting | None


def open_workflows(
    stack: AsyncExitStack, parts: EngineParts, way: Way, folder: Path, beside: Neighbours
) -> WorkflowRuns:
    """Make them; runs of an earlier process are still to be taken up.

    Args:
        stack: Ends them.
        parts: Of the engine; their recorder tells of calls from now on.
        way: To the sidecar's own proxy.
        folder: Where runs are kept.
        beside: Other parts.
    """
    own_way = OwnWay(way.proxy, way.root_pem)
    stack.push_async_callback(own_way.aclose)
    receipts = Receipts()
    around = Surroundings(
        asking=Asking(parts, beside.offers, own_way, receipts),
        turns=Turns(),
        file=RunFile(folder),
        clock=parts.clock,
        is_stopping=lambda: parts.stopping,
    )
    reports = Reports(beside.reporting, beside.tasks, parts.clock)
    preparing = Preparing(beside.offers)
    knows = Knowledge(preparing, parts.task_gate, parts.sessions, beside.waiting, reports)
    runs = WorkflowRuns(knows, around)
    stack.push_async_callback(runs.aclose)
    watch_workflows(parts.metrics.registry, runs)
    parts.recorder.listeners += [receipts.take, runs.envelopes.take]
    return runs
