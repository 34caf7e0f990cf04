"""What a sidecar knows of tasks, made of its settings: a book of its own, or the aggregator's."""

from contextlib import AsyncExitStack

from remora.client.target import AggregatorTarget
from remora.task_owner import TaskOwner
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.settings import SidecarSettings
from remora_sidecar.spool.reporter import Reporter
from remora_sidecar.task_watch import TaskWatch
from remora_sidecar.tasks.book import TaskBook
from remora_sidecar.tasks.forwarding import ForwardedTasks
from remora_sidecar.tasks.under_way import UnderWay


def open_tasks(
    stack: AsyncExitStack,
    settings: SidecarSettings,
    parts: EngineParts,
    target: AggregatorTarget | None,
    reporter: Reporter | None,
) -> TaskBook | ForwardedTasks:
    """Make what answers for tasks, and is told of runs of workflows.

    Args:
        stack: Ends it.
        settings: Of the sidecar.
        parts: Of the engine: their gate holds back what is paused or cancelled.
        target: The aggregator, whose tasks are followed from now on; None: there is none, and
            the book counts what the engine records.
        reporter: Delivers records to the aggregator; None as `target`.
    """
    if target is not None and reporter is not None:
        tasks = TaskOwner("tasks")
        stack.push_async_callback(tasks.aclose)
        tasks.spawn(TaskWatch(target, parts.task_gate).run(), name="task watch")
        under_way = UnderWay(reporter, parts.clock)
        parts.recorder.listeners.append(under_way.take)
        return ForwardedTasks(target, parts.task_gate, under_way)
    book = TaskBook(parts.task_gate, parts.clock, settings.namespace)
    parts.recorder.listeners.append(book.take)
    parts.task_gate.listeners.append(book.hear)
    return book
