"""The client: everything that a program asks of its sidecar, by one object."""

from types import TracebackType
from typing import Final, Self

from remora.api_client.http_calls import Calls
from remora.api_client.model_calls import Capabilities, Chat, Embeddings, Generation, Models
from remora.api_client.task_calls import Tasks
from remora.api_client.whereabouts import Whereabouts
from remora.api_client.workflow_calls import Executions, Workflows

DEFAULT_TIMEOUT_S: Final = 60.0
DEFAULT_RETRIES: Final = 3


class Client:
    """Calls the sidecar; blocking, and safe to use from many threads.

    The published samples of KairosRoute run with ``from remora import Client as KairosRoute``.

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
        """Say where the sidecar is; nothing is looked for before the first call.

        Args:
            api_key: A provider's key, the id of a session, or any ``kr-…``; None: none. Where
                policy has a key, that one is used.
            base_url: Such as ``http://127.0.0.1:15080/v1``; None: the sidecar of the tracker's
                session, of ``REMORA_GATEWAY_URL``, of this pod, or of this machine.
            timeout: Another name of ``timeout_s``.
            max_retries: How often a call is tried that nobody took, or that came too soon.
            timeout_s: For how long an answer may be silent.

        Raises:
            ConfigError: The base URL is none.
        """
        span_s = timeout_s if timeout is None else timeout
        calls = Calls(Whereabouts(base_url, api_key), span_s, max(1, max_retries))
        self._calls = calls
        self.chat = Chat(calls)
        self.completions = Generation(calls, "/completions")
        self.embeddings = Embeddings(calls)
        self.models = Models(calls)
        self.capabilities = Capabilities(calls)
        self.workflows = Workflows(calls)
        self.executions = Executions(calls)
        self.tasks = Tasks(calls)

    def close(self) -> None:
        """End what is still going on; calls after this are refused. Runs go on."""
        self._calls.cut.cut()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()
