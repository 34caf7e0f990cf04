"""The client for programs with an event loop."""

from types import TracebackType
from typing import Self

from remora.api_client.async_calls import (
    AsyncCapabilities,
    AsyncChat,
    AsyncEmbeddings,
    AsyncGeneration,
    AsyncModels,
)
from remora.api_client.async_workflow_calls import AsyncExecutions, AsyncTasks, AsyncWorkflows
from remora.api_client.client import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S
from remora.api_client.http_calls import Calls
from remora.api_client.whereabouts import Whereabouts


class AsyncClient:
    """Calls the sidecar without blocking the event loop; otherwise as `Client`.

    ``chat.completions.create(stream=True)`` is awaited and then iterated over;
    ``workflows.stream`` and ``executions.stream`` are iterated over.

    Attributes:
        chat: ``chat.completions.create``.
        completions: ``create``, of the older kind.
        embeddings: ``create``.
        models: ``list``, ``retrieve``.
        capabilities: ``get``, ``set``.
        workflows: ``execute``, ``stream``, ``list``, ``get``.
        executions: ``list``, ``get``, ``stream``, ``cancel``, ``pause``, ``resume``.
        tasks: ``get``, ``list``, ``create``, ``cancel``, ``pause``, ``resume``.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
        max_retries: int = DEFAULT_RETRIES,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Say where the sidecar is, as `Client` is told."""
        span_s = timeout_s if timeout is None else timeout
        calls = Calls(Whereabouts(base_url, api_key), span_s, max(1, max_retries))
        self._calls = calls
        self.chat = AsyncChat(calls)
        self.completions = AsyncGeneration(calls, "/completions")
        self.embeddings = AsyncEmbeddings(calls)
        self.models = AsyncModels(calls)
        self.capabilities = AsyncCapabilities(calls)
        self.workflows = AsyncWorkflows(calls)
        self.executions = AsyncExecutions(calls)
        self.tasks = AsyncTasks(calls)

    async def close(self) -> None:
        """End what is still going on; calls after this are refused. Runs go on."""
        self._calls.cut.cut()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()
