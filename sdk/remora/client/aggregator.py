"""What all clients of an aggregator have in common: one connection, and one way to fail.

Their methods raise `remora.errors.Unavailable` where the aggregator can't be reached and
`remora.errors.BadRequest` where it refuses; nothing of gRPC shows.
"""

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from remora.client.failures import explain
from remora.client.target import AggregatorTarget
from remora.errors import Unavailable

TIMEOUT_S = 60.0
"""How long one answer may take; streams may last."""


class AggregatorClient:
    """Holds one connection; a context manager, usable from several threads."""

    def __init__(self, target: AggregatorTarget) -> None:
        """Open the channel; it is dialled by the first question.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        self._target = target
        self._closed = threading.Event()
        self._channel = target.channel()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed.is_set()

    def close(self) -> None:
        """Close the connection; what still waits in another thread ends."""
        self._closed.set()
        self._channel.close()

    def _ask[T](self, method: Callable[..., T], request: Message) -> T:
        """Ask for one answer."""
        self._check_open()
        try:
            return method(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise explain(error, self._target) from error

    def _stream(self, method: Callable[..., Any], request: Message) -> Iterator[Any]:
        """Yield the answers of a stream, which ends when nobody takes them any more."""
        self._check_open()
        call = method(request)
        try:
            yield from call
        except grpc.RpcError as error:
            raise explain(error, self._target) from error
        finally:
            call.cancel()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Unavailable("the client is closed")


class AggregatorWatch[T](Iterator[T]):
    """What happens at an aggregator, as it happens; ends when it or its client is closed.

    Attributes:
        cursor: Where to go on, without gap or repetition, after what was yielded so far.
    """

    def __init__(
        self, call: Any, target: AggregatorTarget, cursor: str, client_closed: threading.Event
    ) -> None:
        """Take a call of a Watch method; made by the clients."""
        self.cursor = cursor
        self._call = call
        self._target = target
        self._closed = threading.Event()
        self._client_closed = client_closed

    def __iter__(self) -> Self:
        """Return the watch."""
        return self

    @abstractmethod
    def __next__(self) -> T:
        """Wait for what comes next."""

    def _next_event(self) -> Any:
        """Return the next message; None if the watch was closed here."""
        try:
            event = next(self._call, None)
        except grpc.RpcError as error:
            if self._is_closed():
                return None
            raise explain(error, self._target) from error
        if event is None and not self._is_closed():
            raise Unavailable(f"the aggregator at {self._target.address} ended the watch")
        return event

    def _is_closed(self) -> bool:
        return self._closed.is_set() or self._client_closed.is_set()

    def close(self) -> None:
        """End the watch, from any thread."""
        self._closed.set()
        self._call.cancel()
