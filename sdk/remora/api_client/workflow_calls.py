"""Workflows: run them, watch them, look at runs and steer them. Sums of money are `Decimal`."""

from typing import Any
from urllib.parse import quote

from remora.api_client.amounts import with_amounts
from remora.api_client.http_calls import Calls
from remora.api_client.orders import BudgetGiven, OnDisconnect, Order, WorkflowGiven
from remora.api_client.run_stream import RunStream, execution_path


class Workflows:
    """The workflows that there are, and new runs."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    def execute(
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
        """Run a workflow to its end.

        A connection that breaks is opened again, so that a restart of the sidecar loses no run.
        Who interrupts the wait cancels the run.

        Args:
            workflow: A name of `remora workflow list`, a document, or a file with one.
            input: What it works on; any JSON.
            budget: Of this run: ``{max_cost_usd, max_tokens, max_latency_ms, on_exceed}``.
            task_id: The task that it belongs to; None: one of its own.
            task_budget: Of that task, shared by its runs.
            idempotency_key: The same key and order give the same run.
            timeout_s: After so long the run is cancelled; None: as long as it takes.

        Returns:
            The execution: ``status``, ``outputs``, ``total_cost_usd``, ``total_latency_ms``,
            ``steps`` and more, however it ended.

        Raises:
            ApiError: It was refused.
            ConfigError: The workflow or its input has problems; holds all of them.
            RunTimeout: It took longer than ``timeout_s``.
            Unavailable: No sidecar answers.
        """
        order = Order(workflow, input, budget, task_id, task_budget, idempotency_key)
        return RunStream(self._calls, order, timeout_s=timeout_s).result()

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
    ) -> RunStream:
        """Run a workflow, and iterate over its events; the last one is ``final``.

        Whoever stops listening lets the run go on. Takes and raises what `execute` does.

        Args:
            workflow: As `execute` has it.
            input: As `execute` has it.
            budget: As `execute` has it.
            task_id: As `execute` has it.
            task_budget: As `execute` has it.
            idempotency_key: As `execute` has it.
            timeout_s: For how long to listen; the run goes on.
            on_disconnect: ``cancel``: the run ends when its client has gone.
        """
        order = Order(workflow, input, budget, task_id, task_budget, idempotency_key, on_disconnect)
        return RunStream(self._calls, order, timeout_s=timeout_s)

    def list(self) -> list[dict[str, Any]]:
        """List the workflows that the sidecar has: ``name``, ``steps``, ``outputs`` and more."""
        return list(with_amounts(self._calls.get("/workflows"))["workflows"])

    def get(self, name: str) -> dict[str, Any]:
        """Show one of them, with its document and what a run of it may take."""
        return dict(with_amounts(self._calls.get(f"/workflows/{quote(name, safe='')}")))


class Executions:
    """Runs of workflows that were begun."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    def list(self) -> list[dict[str, Any]]:
        """List the runs of the caller's session, the newest first."""
        return list(with_amounts(self._calls.get("/executions"))["executions"])

    def get(self, execution_id: str) -> dict[str, Any]:
        """Show a run; ``status`` is ``running`` or ``paused`` while it goes on."""
        return dict(with_amounts(self._calls.get(execution_path(execution_id))))

    def stream(self, execution_id: str, *, timeout_s: float | None = None) -> RunStream:
        """Iterate over a run's events from its beginning; raises as `Workflows.stream` does."""
        return RunStream(self._calls, None, execution_id=execution_id, timeout_s=timeout_s)

    def cancel(self, execution_id: str, reason: str = "") -> dict[str, Any]:
        """End a run: calls in flight are cut, nothing new begins."""
        return self._steered(execution_id, "cancel", reason)

    def pause(self, execution_id: str, reason: str = "") -> dict[str, Any]:
        """Begin nothing new; calls in flight go on."""
        return self._steered(execution_id, "pause", reason)

    def resume(self, execution_id: str, reason: str = "") -> dict[str, Any]:
        """Go on with a run that is paused."""
        return self._steered(execution_id, "resume", reason)

    def _steered(self, execution_id: str, what: str, reason: str) -> dict[str, Any]:
        body = {"reason": reason} if reason else {}
        return dict(with_amounts(self._calls.post(execution_path(execution_id, what), body)))
