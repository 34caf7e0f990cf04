"""Workflows on the control listener, made of a sidecar's parts."""

from contextlib import AsyncExitStack
from pathlib import Path

from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.openai_api.offers import Offers
from remora_sidecar.openai_api.way import OwnWay
from remora_sidecar.signals.own_calls import Way
from remora_sidecar.workflow_runs.asking import Asking
from remora_sidecar.workflow_runs.preparing import Preparing
from remora_sidecar.workflow_runs.receipts import Receipts
from remora_sidecar.workflow_runs.run_file import RunFile
from remora_sidecar.workflow_runs.running import Surroundings
from remora_sidecar.workflow_runs.runs import Knowledge, WorkflowRuns
from remora_sidecar.workflow_runs.turns import Turns


def open_workflows(
    stack: AsyncExitStack, parts: EngineParts, offers: Offers, way: Way, folder: Path
) -> WorkflowRuns:
    """Make them; runs of an earlier process are still to be taken up.

    Args:
        stack: Ends them.
        parts: Of the engine; their recorder tells of calls from now on.
        offers: Knows which models may be asked.
        way: To the sidecar's own proxy.
        folder: Where runs are kept.
    """
    own_way = OwnWay(way.proxy, way.root_pem)
    stack.push_async_callback(own_way.aclose)
    receipts = Receipts()
    around = Surroundings(
        asking=Asking(parts, offers, own_way, receipts),
        turns=Turns(),
        file=RunFile(folder),
        clock=parts.clock,
        is_stopping=lambda: parts.stopping,
    )
    runs = WorkflowRuns(Knowledge(Preparing(offers), parts.task_gate, parts.sessions), around)
    stack.push_async_callback(runs.aclose)
    parts.recorder.listeners += [receipts.take, runs.envelopes.take]
    return runs
