"""Leases of shared budgets: decides with the store's books, and looks at the tasks that ask."""

from collections.abc import Callable, Mapping

from remora_aggregator.service.caller import Caller
from remora_aggregator.service.lease_wire import request_of, response_of, task_of
from remora_aggregator.tasks.amounts import NOTHING
from remora_aggregator.tasks.leases import AccountKey, Book, Grant, LeaseSettings, Request, answered
from remora_aggregator.tasks.ports import TaskStore
from remora_aggregator.tasks.states import CALL, State
from remora_aggregator.tasks.task import Task, TaskEntry, TaskKey, begun, unfit_id
from remora_proto.v1 import tasks_pb2 as pb


class Leasing:
    """Answers the lease requests of sidecars."""

    def __init__(self, store: TaskStore, settings: LeaseSettings) -> None:
        """Take the books, and how leases are granted."""
        self._store = store
        self._settings = settings

    async def answer(self, message: pb.LeaseRequest, caller: Caller) -> pb.LeaseResponse:
        """Charge what a caller spent, and grant what it asks for; once that is durable.

        Raises:
            BadRequest: An ask can't be read; none is answered then.
        """
        request = request_of(message, caller.home, caller.name)

        def decide(
            books: Mapping[AccountKey, Book], now_unix_ns: int
        ) -> tuple[Mapping[AccountKey, Book], list[Grant]]:
            return answered(books, request, now_unix_ns, self._settings)

        grants = await self._store.change_books(request.wanted, decide)
        return response_of(request, grants, await self._tasks_of(request))

    async def _tasks_of(self, request: Request) -> Mapping[TaskKey, Task]:
        """Look up the tasks whose budgets were asked for; make known those that nobody knew."""
        called: dict[TaskKey, bool] = {}
        for ask in request.asks:
            key = task_of(ask.account)
            if ask.account.per == "task" and not unfit_id(key.task_id):
                called[key] = called.get(key, False) or ask.wanted != NOTHING
        if not called:
            return {}
        known = dict(await self._store.known_tasks(list(called)))
        for key, is_called in called.items():
            if is_called and key not in known:
                known[key] = (await self._store.change_task(key, _first_called(key))).task
        return known


def _first_called(key: TaskKey) -> Callable[[TaskEntry | None, int], Task]:
    def decide(entry: TaskEntry | None, now_unix_ns: int) -> Task:
        if entry is not None:
            return entry.task
        return begun(key, State.RUNNING, CALL, "its first call asked for a budget", now_unix_ns)

    return decide
