"""A TaskService for tests: the real one, in front of a store in memory."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from remora.clock import Clock, SystemClock
from remora.task_owner import TaskOwner
from remora_aggregator.service.caller import Caller, Callers, Metadata
from remora_aggregator.service.identity import LOCAL_NAMESPACE
from remora_aggregator.service.permissions import Role
from remora_aggregator.service.task_service import TaskService
from remora_aggregator.tasks.memory_store import MemoryTaskStore
from remora_aggregator.tasks.ports import TaskRecords
from remora_aggregator.tasks.task import TaskKey
from remora_proto.v1 import records_pb2, tasks_pb2_grpc


class LocalCallers:
    """Where everybody is this machine."""

    def caller(self, metadata: Metadata) -> Caller:
        """Return the admin of `local`."""
        return Caller(LOCAL_NAMESPACE, Role.ADMIN, LOCAL_NAMESPACE)


class NoRecords:
    """Where no call was recorded."""

    async def records_of(
        self, key: TaskKey, *, cursor: str, limit: int
    ) -> Sequence[records_pb2.StoredRecord]:
        """Give none."""
        return ()


@dataclass(frozen=True, slots=True)
class TemporaryTasks:
    """A running service.

    Attributes:
        address: Where it listens, with the port that was found for port 0.
    """

    address: str
    store: MemoryTaskStore


@asynccontextmanager
async def temporary_tasks(
    listen: str = "127.0.0.1:0",
    *,
    clock: Clock | None = None,
    callers: Callers | None = None,
    records: TaskRecords | None = None,
    store: MemoryTaskStore | None = None,
    **how: Any,
) -> AsyncIterator[TemporaryTasks]:
    """Serve tasks and leases; they last as long as the store.

    Args:
        listen: ``host:port`` or ``unix:/path``.
        clock: By which leases end; default: the machine's.
        callers: Default: everybody is this machine.
        records: Of the tasks' calls; default: none.
        store: One that is there already; default: a new one.
        **how: What else `TaskService` takes.
    """
    clock = clock or SystemClock()
    store = store or MemoryTaskStore(clock)
    callers = callers or LocalCallers()
    service = TaskService(store, records or NoRecords(), callers, clock, **how)
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    tasks_pb2_grpc.add_TaskServiceServicer_to_server(service, server)
    port = server.add_insecure_port(listen)
    await server.start()
    tasks = TaskOwner("temporary tasks")
    tasks.spawn(service.run(), name="run")
    try:
        is_path = listen.startswith("unix:")
        address = listen if is_path else f"{listen.rpartition(':')[0]}:{port}"
        yield TemporaryTasks(address, store)
    finally:
        await tasks.aclose()
        await server.stop(0)
