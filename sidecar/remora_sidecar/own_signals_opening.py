"""What a sidecar tells of answers by itself, and asks of models, made of its parts and started."""

import random
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from remora.task_owner import TaskOwner
from remora_sidecar.control.signal_door import SignalDoor
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.signals.evaluation import Evaluation
from remora_sidecar.signals.judge import Judge
from remora_sidecar.signals.late_checks import LateChecks
from remora_sidecar.signals.opinion import Opinions
from remora_sidecar.signals.own_calls import OwnCalls, Way
from remora_sidecar.signals.own_metrics import watch_own_signals
from remora_sidecar.signals.redacting import Redacting
from remora_sidecar.signals.spending_file import SpendingFile

SPENDING_FILE = "own-spending.json"


def open_own_signals(
    stack: AsyncExitStack, parts: EngineParts, door: SignalDoor, way: Way, folder: Path
) -> SignalDoor:
    """Make it: from now on answers are evaluated, and judged where policy says so.

    Args:
        stack: Ends it.
        parts: Of the engine; they get the evaluator.
        door: Has the outbox.
        way: To the sidecar's own proxy.
        folder: Where it is written down what was spent.

    Returns:
        The door, with second opinions.
    """
    tasks = TaskOwner("own signals")
    spent = SpendingFile(folder / SPENDING_FILE)
    calls = OwnCalls(parts, way, spent.spending, on_spent=lambda: spent.write_soon(tasks))
    stack.push_async_callback(calls.aclose)
    stack.push_async_callback(tasks.aclose)
    stack.push_async_callback(spent.flush)

    redacting = Redacting(lambda: parts.policy, parts.redaction_worker, parts.redaction_salt)
    opinions = Opinions(lambda: parts.policy, calls, redacting)
    chance = random.Random()  # noqa: S311 - no secret
    judge = Judge(lambda: parts.policy, calls, door.outbox, redacting, parts.clock, chance.random)
    later = LateChecks(door.outbox, parts.clock, tasks)
    stack.callback(later.close)
    evaluation = parts.evaluator = Evaluation(lambda: parts.policy, later, judge)
    tasks.spawn(judge.run(), name="judge")
    watch_own_signals(parts.metrics.registry, evaluation, judge, calls)
    return replace(door, has_opinion=lambda: opinions.rules is not None, opinions=opinions)
