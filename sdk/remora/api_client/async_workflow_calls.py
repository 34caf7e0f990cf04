"""Workflows and tasks, awaited: the calls of `Workflows`, `Executions` and `Tasks`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from remora.api_client.async_calls import called
from remora.api_client.http_calls import Calls
from remora.api_client.off_loop import in_thread, items_in_thread
from remora.api_client.orders import BudgetGiven, OnDisconnect, Order, WorkflowGiven
from remora.api_client.run_stream import RunStream
from remora.api_client.task_calls import Tasks
from remora.api_client.workflow_calls import Executions, Workflows


class AsyncWorkflows:
    """The workflows that there are, and new runs."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    async def execute(
        self,
        workflow: WorkflowGiven,
        input: Any = None,  # noqa: A002 - the published name
        budget: BudgetGiven = None,
        *,
        task_id: str | None = None,
        task_budget: BudgetGiven = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Run a workflow to its end; cancelled, it cancels the run. As `Workflows.execute`."""
        order = Order(workflow, input, budget, task_id, task_budget, idempotency_key)
        cut = self._calls.cut.child()
        run = RunStream(self._calls.until(cut), order, timeout_s=timeout_s)
        try:
            return await in_thread(run.result, cut)
        except asyncio.CancelledError:
            run.abandon_soon()
            raise

    def stream(
        self,
        workflow: WorkflowGiven,
        input: Any = None,  # noqa: A002 - the published name
        budget: BudgetGiven = None,
        *,
        task_id: str | None = None,
        task_budget: BudgetGiven = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
        on_disconnect: OnDisconnect = "continue",
    ) -> AsyncIterator[dict[str, Any]]:
        """Run a workflow, and iterate over its events. As `Workflows.stream`."""
        order = Order(workflow, input, budget, task_id, task_budget, idempotency_key, on_disconnect)
        cut = self._calls.cut.child()
        run = RunStream(self._calls.until(cut), order, timeout_s=timeout_s)
        return items_in_thread(run, cut)

    async def list(self) -> list[dict[str, Any]]:
        """List the workflows that the sidecar has."""
        return await called(self._calls, lambda calls: Workflows(calls).list())

    async def get(self, name: str) -> dict[str, Any]:
        """Show one of them, with its document and what a run of it may take."""
        return await called(self._calls, lambda calls: Workflows(calls).get(name))


class AsyncExecutions:
    """Runs of workflows that were begun."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    async def list(self) -> list[dict[str, Any]]:
        """List the runs of the caller's session, the newest first."""
        return await called(self._calls, lambda calls: Executions(calls).list())

    async def get(self, execution_id: str) -> dict[str, Any]:
        """Show a run."""
        return await called(self._calls, lambda calls: Executions(calls).get(execution_id))

    def stream(
        self, execution_id: str, *, timeout_s: float | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Iterate over a run's events from its beginning."""
        cut = self._calls.cut.child()
        calls = self._calls.until(cut)
        run = RunStream(calls, None, execution_id=execution_id, timeout_s=timeout_s)
        return items_in_thread(run, cut)

    async def cancel(self, execution_id: str, reason: str = "") -> dict[str, Any]:
        """End a run."""
        return await called(
            self._calls, lambda calls: Executions(calls).cancel(execution_id, reason)
        )

    async def pause(self, execution_id: str, reason: str = "") -> dict[str, Any]:
        """Begin nothing new; calls in flight go on."""
        return await called(
            self._calls, lambda calls: Executions(calls).pause(execution_id, reason)
        )

    async def resume(self, execution_id: str, reason: str = "") -> dict[str, Any]:
        """Go on with a run that is paused."""
        return await called(
            self._calls, lambda calls: Executions(calls).resume(execution_id, reason)
        )


class AsyncTasks:
    """Looks at tasks and steers them. As `Tasks`."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    async def get(
        self, task_id: str, include_receipts: bool = False, *, limit: int | None = None
    ) -> dict[str, Any]:
        """Show a task, with the receipts of its calls if that is wanted."""
        return await called(
            self._calls, lambda calls: Tasks(calls).get(task_id, include_receipts, limit=limit)
        )

    async def list(
        self, state: str | None = None, *, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """List tasks."""
        return await called(self._calls, lambda calls: Tasks(calls).list(state, limit=limit))

    async def create(
        self, task_id: str, title: str | None = None, budget: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make a task known, or change its title and budget."""
        return await called(self._calls, lambda calls: Tasks(calls).create(task_id, title, budget))

    async def cancel(
        self, task_id: str, reason: str = "", *, cut_streams: bool = True
    ) -> dict[str, Any]:
        """End a task."""
        return await called(
            self._calls,
            lambda calls: Tasks(calls).cancel(task_id, reason, cut_streams=cut_streams),
        )

    async def pause(self, task_id: str, reason: str = "") -> dict[str, Any]:
        """Refuse a task's next calls until it is resumed."""
        return await called(self._calls, lambda calls: Tasks(calls).pause(task_id, reason))

    async def resume(self, task_id: str, reason: str = "") -> dict[str, Any]:
        """Let a paused task go on."""
        return await called(self._calls, lambda calls: Tasks(calls).resume(task_id, reason))
