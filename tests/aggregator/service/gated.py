"""Every service behind the gate, on a Unix socket, and callers that say who they are."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from remora.clock import SystemClock
from remora.errors import BadRequest
from remora.task_owner import TaskOwner
from remora_aggregator.learning import learning
from remora_aggregator.service.admin_service import AdminService
from remora_aggregator.service.audit import AuditEntry
from remora_aggregator.service.audit_reading import AuditReader
from remora_aggregator.service.caller import Caller, Role
from remora_aggregator.service.entrance import Entrance, EntranceRates
from remora_aggregator.service.execution_service import WorkflowService
from remora_aggregator.service.flight import Flight
from remora_aggregator.service.gate import Admitted, Gate, counted
from remora_aggregator.service.record_service import RecordService
from remora_aggregator.service.signal_service import SignalService
from remora_aggregator.service.task_service import TaskService
from remora_aggregator.store.execution_store import StoredExecutions
from remora_aggregator.store.learning_score_store import StoredScores
from remora_aggregator.store.learning_signal_store import StoredSignals
from remora_aggregator.store.purging import Purging
from remora_aggregator.store.sqlite.backend import opened
from remora_aggregator.tasks.memory_store import MemoryTaskStore
from remora_aggregator.testing_tasks import NoRecords
from remora_proto.v1 import (
    admin_pb2_grpc,
    records_pb2_grpc,
    scores_pb2_grpc,
    signals_pb2_grpc,
    tasks_pb2_grpc,
    workflows_pb2_grpc,
)

CALLERS = {
    "pod": Caller("team-a", Role.REPORTER, "agent-1/pod-1", pod_uid="pod-1"),
    "neighbour": Caller("team-a", Role.REPORTER, "agent-2/pod-2", pod_uid="pod-2"),
    "foreigner": Caller("team-b", Role.REPORTER, "agent-3/pod-3", pod_uid="pod-3"),
    "static reporter": Caller("team-a", Role.REPORTER, "vm-7"),
    "member": Caller("team-a", Role.MEMBER, "team-a"),
    "reader": Caller("", Role.READER, "board", frozenset({"team-a"})),
    "reader of two": Caller("", Role.READER, "board", frozenset({"team-a", "team-b"})),
    "admin": Caller("team-a", Role.ADMIN, "ann"),
    "admin of all": Caller("", Role.ADMIN, "root", None),
}


class ByToken:
    """The token is the name of who calls."""

    def __init__(self) -> None:
        """Know all of them."""
        self.known = dict(CALLERS)

    async def caller(self, shown):
        """Return who is named so."""
        name = shown.token.replace("-", " ")
        if name not in self.known:
            raise BadRequest("a token is needed", status=401)
        return self.known[name]


class Kept:
    """An audit log that a test reads."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.entries: list[AuditEntry] = []

    async def keep(self, entry: AuditEntry) -> None:
        """Keep it."""
        self.entries.append(entry)


@dataclass
class Gated:
    """A running server.

    Attributes:
        channel: To it.
        who: Knows callers.
        audit: What was written down.
        entrance: Lets in.
        flight: What is being read.
    """

    address: str
    channel: grpc.aio.Channel
    who: ByToken
    entrance: Entrance
    flight: Flight
    audit: Kept = field(default_factory=Kept)

    def call(self, method: str, request, answer, who: str = "pod", *, streams: str = "uu"):
        """Begin a call of a method by its path, as somebody; ``streams``: u or s, each way."""
        kinds = {"uu": "unary_unary", "us": "unary_stream", "ss": "stream_stream"}
        begin = getattr(self.channel, kinds[streams])(
            method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return begin(request, metadata=as_(who))

    async def until_nobody_calls(self) -> None:
        """Wait until the last call is over; raises TimeoutError where that takes too long."""
        for _ in range(500):
            if not self.entrance.open_calls:
                return
            await asyncio.sleep(0.01)
        raise TimeoutError(f"{self.entrance.open_calls} calls are still under way")


def as_(who: str) -> tuple[tuple[str, str], ...]:
    """Write who calls."""
    return (("authorization", f"Bearer {who.replace(' ', '-')}"),) if who else ()


@asynccontextmanager
async def gated(
    *,
    rates: EntranceRates | None = None,
    calls_each: int = 1_000,
    bytes_in_flight: int = 1 << 28,
    options: tuple[tuple[str, int], ...] = (),
    **times: float,
) -> AsyncIterator[Gated]:
    """Serve records, tasks, signals, workflows, scores and admins behind the gate."""
    clock, who = SystemClock(), ByToken()
    entrance = Entrance(who, (rates or EntranceRates()).limits, clock, calls_each=calls_each)
    flight, audit = Flight(bytes_in_flight), Kept()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gated-")))
        store = await stack.enter_async_context(opened(folder / "records.db"))
        gate = Gate(entrance, flight, audit, clock, **times)
        server = grpc.aio.server(interceptors=[gate], options=options)
        records = RecordService(store, Admitted(), clock, version="1")
        records_pb2_grpc.add_RecordServiceServicer_to_server(records, server)
        tasks = TaskService(MemoryTaskStore(clock), NoRecords(), Admitted(), clock)
        tasks_pb2_grpc.add_TaskServiceServicer_to_server(tasks, server)
        signals = SignalService(StoredSignals(store), Admitted(), clock)
        signals_pb2_grpc.add_SignalServiceServicer_to_server(signals, server)
        workflows = WorkflowService(StoredExecutions(store, clock), store, Admitted())
        workflows_pb2_grpc.add_WorkflowServiceServicer_to_server(workflows, server)
        scores = StoredScores(store, clock)
        learned = await stack.enter_async_context(learning(scores, store, Admitted(), clock))
        scores_pb2_grpc.add_ScoreServiceServicer_to_server(learned.service, server)
        done = AuditReader(folder / "audit.jsonl")
        admin = AdminService(Purging(store), done, Admitted(), count=counted)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(admin, server)
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
        reflection.enable_server_reflection((reflection.SERVICE_NAME,), server)
        address = f"unix:{folder}/gate.sock"
        server.add_insecure_port(address)
        await server.start()
        owner = TaskOwner("gated")
        owner.spawn(tasks.run(), name="tasks")
        stack.push_async_callback(server.stop, 0)
        stack.push_async_callback(owner.aclose)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        yield Gated(address, channel, who, entrance, flight, audit)
