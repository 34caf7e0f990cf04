"""Calls to models, in the shapes of OpenAI's API: plain dicts in, plain dicts out."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, overload
from urllib.parse import quote

from remora.api_client.failures import ProviderError
from remora.api_client.http_calls import Calls, OpenAnswer, written
from remora.errors import Unavailable

AUTO: Final = "auto"
"""The model's name that leaves the choice to the sidecar."""

_LAST_WORD: Final = "[DONE]"


class Generation:
    """Chats, or completions of the older kind."""

    def __init__(self, calls: Calls, path: str) -> None:
        """Take the path that is asked."""
        self._calls = calls
        self._path = path

    @overload
    def create(
        self, *, model: str = AUTO, stream: Literal[False] = False, **asked: Any
    ) -> dict[str, Any]: ...

    @overload
    def create(
        self, *, model: str = AUTO, stream: Literal[True], **asked: Any
    ) -> Iterator[dict[str, Any]]: ...

    def create(
        self, *, model: str = AUTO, stream: bool = False, **asked: Any
    ) -> dict[str, Any] | Iterator[dict[str, Any]]:
        """Ask a model.

        Args:
            model: Its name, or ``auto``.
            stream: Whether the answer comes chunk by chunk, as it is made.
            asked: The rest of the request: ``messages`` (or ``prompt``), ``temperature``,
                ``task_id`` and whatever else the provider takes. What is None is left out.

        Returns:
            The answer, or an iterator of its chunks.

        Raises:
            ApiError: It was refused.
            Unavailable: No sidecar answers.
        """
        body = generation_body(model, asked, stream=stream)
        if not stream:
            return self._calls.post(self._path, body)
        return chunks_of(open_generation(self._calls, self._path, body))


def generation_body(model: str, asked: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
    """Make the body of a request; what is None is left out."""
    said = {"model": model, **asked, **({"stream": True} if stream else {})}
    return {name: value for name, value in said.items() if value is not None}


def open_generation(calls: Calls, path: str, body: Mapping[str, Any]) -> OpenAnswer:
    """Send a request whose answer is streamed; gives it when it has begun."""
    content = written(body)
    headers = {"Accept": "text/event-stream"}
    return calls.retried(lambda: calls.opened("POST", path, content, headers))


def chunks_of(answer: OpenAnswer) -> Iterator[dict[str, Any]]:
    """Give the chunks of a streamed answer, and close it.

    Raises:
        ProviderError: It broke off before its end.
    """
    with answer:
        try:
            for event in answer.events():
                if event.data == _LAST_WORD:
                    return
                if (chunk := _chunk(event.data)) is not None:
                    yield chunk
        except Unavailable as error:
            raise ProviderError(f"the answer broke off: {error}", "STREAM_CUT") from error
    raise ProviderError("the answer broke off: it ended before its last word", "STREAM_CUT")


def _chunk(text: str) -> dict[str, Any] | None:
    """Read a chunk; what is no JSON object is passed over."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class Chat:
    """Chats.

    Attributes:
        completions: Asks for them.
    """

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self.completions = Generation(calls, "/chat/completions")


class Embeddings:
    """Embeddings."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    def create(self, *, input: Any, model: str = AUTO, **asked: Any) -> dict[str, Any]:  # noqa: A002 - OpenAI's name
        """Embed a text or several; raises as `Generation.create` does."""
        body = generation_body(model, {"input": input, **asked}, stream=False)
        return self._calls.post("/embeddings", body)


class Models:
    """The models that can be asked for."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    def list(self) -> dict[str, Any]:
        """List them in ``data``, ``auto`` first."""
        return self._calls.get("/models")

    def retrieve(self, model: str) -> dict[str, Any]:
        """Show one of them."""
        return self._calls.get(f"/models/{quote(model, safe='/')}")


class Capabilities:
    """What this sidecar makes of capabilities."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    def get(self) -> dict[str, Any]:
        """Show those that are not the catalogue's."""
        return self._calls.get("/capabilities")

    def set(
        self, capabilities: Mapping[str, Any], *, admin_token: str | None = None
    ) -> dict[str, Any]:
        """Put other meanings in force; those that are not named are the catalogue's.

        Args:
            capabilities: Name → ``{models, providers, tiers, min_context_tokens}``.
            admin_token: The sidecar's; None: it is the client's ``api_key``.
        """
        headers = {} if admin_token is None else {"Authorization": f"Bearer {admin_token}"}
        return self._calls.post("/capabilities", {"capabilities": capabilities}, headers)
