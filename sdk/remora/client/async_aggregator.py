"""What clients of an aggregator have in common in programs with an event loop.

As `remora.client.aggregator`, for asyncio: one connection, and the same errors.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from remora.client.aggregator import TIMEOUT_S
from remora.client.failures import explain
from remora.client.target import AggregatorTarget
from remora.errors import Unavailable


class AsyncAggregatorClient:
    """Holds one connection; an asynchronous context manager, for one event loop."""

    def __init__(self, target: AggregatorTarget) -> None:
        """Open the channel; it is dialled by the first question.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        self._target = target
        self._is_closed = False
        self._channel = target.aio_channel()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def close(self) -> None:
        """Close the connection; what still waits ends."""
        self._is_closed = True
        await self._channel.close(None)

    async def _ask[T](self, method: Callable[..., Awaitable[T]], request: Message) -> T:
        """Ask for one answer."""
        self._check_open()
        try:
            return await method(request, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise explain(error, self._target) from error

    async def _stream(self, method: Callable[..., Any], request: Message) -> AsyncIterator[Any]:
        """Yield the answers of a stream, which ends when nobody takes them any more."""
        self._check_open()
        call = method(request)
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise explain(error, self._target) from error
        finally:
            call.cancel()

    def _check_open(self) -> None:
        if self._is_closed:
            raise Unavailable("the client is closed")
