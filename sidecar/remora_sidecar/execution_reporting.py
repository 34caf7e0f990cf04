"""Tells the aggregator how executions of workflows go, in the background."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from remora.clock import Clock
from remora.execution_report import ExecutionReport
from remora.pauses import Sleep
from remora_proto.v1 import workflows_pb2 as pb
from remora_proto.v1 import workflows_pb2_grpc as pb_grpc
from remora_sidecar.execution_outbox import ExecutionOutbox
from remora_sidecar.execution_table import WaitingReport
from remora_sidecar.grpc_peer import Target
from remora_sidecar.outbox_delivery import ANSWER_S, OutboxDelivery

BATCH_EXECUTIONS: Final = 200
LINGER_S: Final = 0.2
"""Between two deliveries: of what an execution tells meanwhile the last goes."""


@dataclass(frozen=True, slots=True)
class Teller:
    """Who tells.

    Attributes:
        pod_uid: The pod's uid or the installation's id.
        pod_name: For people.
        workload: For people.
    """

    pod_uid: str
    pod_name: str = ""
    workload: str = ""


class ExecutionDelivery(OutboxDelivery[WaitingReport]):
    """Hands the outbox's reports to `WorkflowService`."""

    def __init__(
        self,
        outbox: ExecutionOutbox,
        target: Target,
        teller: Teller,
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take where reports wait, where they go and who tells; nothing is dialled before `run`."""
        super().__init__(
            outbox,
            target,
            things="executions",
            most=BATCH_EXECUTIONS,
            clock=clock,
            sleep=sleep,
            jitter=jitter,
            linger_s=LINGER_S,
        )
        self._teller = teller

    async def _sent(
        self, channel: grpc.aio.Channel, batch: Sequence[WaitingReport]
    ) -> Sequence[str]:
        request = pb.ReportExecutionsRequest(
            pod_uid=self._teller.pod_uid,
            pod_name=self._teller.pod_name,
            workload=self._teller.workload,
            reports=map(_message, batch),
        )
        answer = await pb_grpc.WorkflowServiceStub(channel).Report(request, timeout=ANSWER_S)
        return [refusal.reason for refusal in answer.refused]


def _message(waiting: WaitingReport) -> pb.ExecutionReport:
    try:
        return pb.ExecutionReport.FromString(waiting.message)
    except DecodeError:  # the aggregator refuses it, and it goes
        return pb.ExecutionReport()


class ExecutionReporting:
    """Where runs of workflows tell how they go."""

    def __init__(self, outbox: ExecutionOutbox, delivery: ExecutionDelivery) -> None:
        """Take where reports wait, and who delivers them; both have to run."""
        self.outbox = outbox
        self.delivery = delivery

    @property
    def problem(self) -> str:
        """Why reports are not written down or delivered; empty if all is well."""
        return self.outbox.problem or self.delivery.problem

    def take(self, report: ExecutionReport) -> None:
        """Take a report, at once and whatever happens.

        It stands for all that its execution told before. It outlives the process once `written`
        returns, and stays until the aggregator keeps it.
        """
        self.outbox.put(report)

    async def written(self) -> None:
        """Wait until all that was taken by now outlives the process."""
        await self.outbox.written()

    async def flush(self, timeout_s: float) -> bool:
        """Deliver what was taken, while both run; says whether all was delivered in time."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        try:
            async with asyncio.timeout_at(end_s):
                await self.written()
        except TimeoutError:
            return False
        return await self.delivery.flush(max(0.0, end_s - loop.time()))
