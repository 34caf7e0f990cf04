"""What `AsyncClient` has: the calls of `Client`, awaited.

Each call is made by the blocking client's own code on a thread, so that the two can't differ.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal, overload

from remora.api_client.http_calls import Calls
from remora.api_client.model_calls import (
    AUTO,
    Capabilities,
    Embeddings,
    Generation,
    Models,
    chunks_of,
    generation_body,
    open_generation,
)
from remora.api_client.off_loop import in_thread, items_in_thread


async def called[T](calls: Calls, call: Callable[[Calls], T]) -> T:
    """Make a call on a thread, with a cut of its own."""
    cut = calls.cut.child()
    return await in_thread(lambda: call(calls.until(cut)), cut)


class AsyncGeneration:
    """Chats, or completions of the older kind."""

    def __init__(self, calls: Calls, path: str) -> None:
        """Take the path that is asked."""
        self._calls = calls
        self._path = path

    @overload
    async def create(
        self, *, model: str = AUTO, stream: Literal[False] = False, **asked: Any
    ) -> dict[str, Any]: ...

    @overload
    async def create(
        self, *, model: str = AUTO, stream: Literal[True], **asked: Any
    ) -> AsyncIterator[dict[str, Any]]: ...

    async def create(
        self, *, model: str = AUTO, stream: bool = False, **asked: Any
    ) -> dict[str, Any] | AsyncIterator[dict[str, Any]]:
        """Ask a model; with ``stream`` the chunks are iterated over. As `Generation.create`."""
        if not stream:
            return await called(
                self._calls,
                lambda calls: Generation(calls, self._path).create(model=model, **asked),
            )
        body, cut = generation_body(model, asked, stream=True), self._calls.cut.child()
        calls = self._calls.until(cut)
        answer = await in_thread(lambda: open_generation(calls, self._path, body), cut)
        return items_in_thread(chunks_of(answer), cut)


class AsyncChat:
    """Chats.

    Attributes:
        completions: Asks for them.
    """

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self.completions = AsyncGeneration(calls, "/chat/completions")


class AsyncEmbeddings:
    """Embeddings."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    async def create(self, *, input: Any, model: str = AUTO, **asked: Any) -> dict[str, Any]:  # noqa: A002 - OpenAI's name
        """Embed a text or several."""
        return await called(
            self._calls, lambda calls: Embeddings(calls).create(input=input, model=model, **asked)
        )


class AsyncModels:
    """The models that can be asked for."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    async def list(self) -> dict[str, Any]:
        """List them in ``data``, ``auto`` first."""
        return await called(self._calls, lambda calls: Models(calls).list())

    async def retrieve(self, model: str) -> dict[str, Any]:
        """Show one of them."""
        return await called(self._calls, lambda calls: Models(calls).retrieve(model))


class AsyncCapabilities:
    """What this sidecar makes of capabilities."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    async def get(self) -> dict[str, Any]:
        """Show those that are not the catalogue's."""
        return await called(self._calls, lambda calls: Capabilities(calls).get())

    async def set(
        self, capabilities: Mapping[str, Any], *, admin_token: str | None = None
    ) -> dict[str, Any]:
        """Put other meanings in force."""
        return await called(
            self._calls,
            lambda calls: Capabilities(calls).set(capabilities, admin_token=admin_token),
        )
