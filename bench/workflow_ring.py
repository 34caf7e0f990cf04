"""Workflow runs without an engine: everything that runs them, before models that answer at will."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from remora.workflows.catalogue import Catalogue
from remora.workflows.choosing import Market, ModelPrice
from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.engine.sessions import Sessions
from remora_sidecar.engine.task_gate import TaskGate
from remora_sidecar.openai_api.client_key import ClientKey
from remora_sidecar.workflow_runs.asking import Outcome
from remora_sidecar.workflow_runs.caller import Caller
from remora_sidecar.workflow_runs.known import Known
from remora_sidecar.workflow_runs.lost_calls import Waiting
from remora_sidecar.workflow_runs.order import RunOrder
from remora_sidecar.workflow_runs.preparing import Preparing
from remora_sidecar.workflow_runs.receipts import Slip
from remora_sidecar.workflow_runs.reports import Reports
from remora_sidecar.workflow_runs.run_file import RunFile
from remora_sidecar.workflow_runs.running import Surroundings
from remora_sidecar.workflow_runs.runs import Knowledge, WorkflowRuns
from remora_sidecar.workflow_runs.turns import CALLS_AT_ONCE, Turns
from remora_sidecar.workflows.amounts import Bill
from remora_sidecar.workflows.inputs import Answered
from remora_sidecar.workflows.question import Question

_PRICE = ModelPrice(Decimal("0.5"), Decimal(2))
_BEGAN_UNIX_NS = 1_800_000_000_000_000_000


class LoopClock:
    """The time of the running loop, which may be a virtual one."""

    def now_unix_ns(self) -> int:
        """Wall-clock time, from a fixed day on."""
        return _BEGAN_UNIX_NS + int(self.monotonic_s() * 1e9)

    def monotonic_s(self) -> float:
        """Seconds since the loop began."""
        return asyncio.get_running_loop().time()


class AllOnOffer:
    """Offers every model of the catalogue at one price; stands for `Offers`."""

    def load(self) -> None:
        """Load what the first choice needs."""
        Catalogue.builtin()

    def market(self, catalogue: Catalogue, surface: object, key: object) -> Market:
        """Give the whole catalogue."""
        del surface, key
        return Market(catalogue, lambda provider, model: _PRICE)


class Models(Protocol):
    """Who is asked; stands for `Asking`."""

    def awaited(self, key: str, caller: Caller) -> AbstractContextManager[Slip]:
        """Wait for the bill of an ask from now on."""
        ...

    async def ask(self, key: str, question: Question, caller: Caller, slip: Slip) -> Outcome:
        """Ask, and say what came of it."""
        ...


class NoRecords:
    """A spool in which nothing waits."""

    async def find(self, is_wanted: Callable[[pb.CallRecord], bool]) -> list[pb.CallRecord]:
        """Find nothing."""
        del is_wanted
        return []


class NoTasks:
    """Keeps no tasks."""

    def began(self, task_id: str, title: str) -> None:
        """Forget it."""

    def ended(self, task_id: str, status: str) -> None:
        """Forget it."""


@dataclass
class PunctualModels:
    """Answer each question after a time of the loop's own, which may be virtual.

    Attributes:
        latency_s: Of a call, by its key.
        asked: The runs whose calls were begun, in order.
    """

    latency_s: Callable[[str], float] = lambda key: 1.0
    asked: list[str] = field(default_factory=list)

    @contextmanager
    def awaited(self, key: str, caller: Caller) -> Iterator[Slip]:
        """Give a slip; the bill comes with the answer."""
        del key, caller
        yield Slip()

    async def ask(self, key: str, question: Question, caller: Caller, slip: Slip) -> Outcome:
        """Answer in a sentence that names the call."""
        del slip
        self.asked.append(caller.execution_id)
        await asyncio.sleep(self.latency_s(key))
        target = question.target
        bill = Bill(key, target.provider, target.model, Decimal("0.0001"), 100, 20, 1)
        return Answered(key, f"What {question.step_id} found is in {key}.", bill)


class Ring:
    """Workflow runs over one file; one made later on the same folder goes on with them.

    Attributes:
        runs: What is measured.
        file: Where runs are kept.
        turns: Whose call is next.
        gate: Says which tasks are held.
        key: Of the client.
        is_stopping: Whether nothing may begin.
    """

    def __init__(
        self,
        folder: Path,
        models: Models,
        *,
        waiting: Waiting | None = None,
        preparing: Preparing | None = None,
        at_once: int = CALLS_AT_ONCE,
    ) -> None:
        """Prepare it; `runs.take_up` begins."""
        clock, offers = LoopClock(), AllOnOffer()
        sessions = Sessions(clock.now_unix_ns())
        self.is_stopping = False
        self.file, self.turns, self.gate = RunFile(folder), Turns(at_once), TaskGate()
        self.key = ClientKey(sessions.default)
        asking: Any = models
        around = Surroundings(asking, self.turns, self.file, clock, lambda: self.is_stopping)
        known_models: Any = offers
        preparing = preparing or Preparing(known_models)
        reports = Reports(None, NoTasks(), clock)
        knows = Knowledge(preparing, self.gate, sessions, waiting or NoRecords(), reports)
        self.runs = WorkflowRuns(knows, around)

    async def order(self, workflow: dict[str, Any], **more: Any) -> Known:
        """Begin a run."""
        return await self.runs.order(RunOrder(workflow=workflow, **more), self.key)

    async def stop(self) -> None:
        """Stop as a sidecar does that was asked to."""
        self.is_stopping = True
        await self.runs.aclose()

    async def crash(self) -> None:
        """End with nothing written any more, as a killed process."""
        await self.file.aclose()
        await self.stop()
