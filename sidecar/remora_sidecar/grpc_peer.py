"""A server that the sidecar keeps speaking to: where it is, and what its errors mean."""

from collections.abc import Mapping
from typing import Protocol

import grpc

_MEANINGS = {
    grpc.StatusCode.UNAUTHENTICATED: "it does not know this sidecar's token",
    grpc.StatusCode.UNAVAILABLE: "it can't be reached",
    grpc.StatusCode.DEADLINE_EXCEEDED: "it does not answer",
}
"""The same of every server."""

_WRITE_FAILED = "Internal error from Core"


class Target(Protocol):
    """Where a server is: `remora.client.target.AggregatorTarget` speaks to all of them."""

    @property
    def address(self) -> str:
        """Host and port, as people know it."""
        ...

    def aio_channel(self) -> grpc.aio.Channel:
        """A new channel, with the credentials as they are now."""
        ...


def is_reason_lost(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether grpc.aio put a failed write's status over the server's own.

    It does where a stream was refused while the greeting was written (grpc issue 36066).
    """
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == _WRITE_FAILED


def explained(error: grpc.aio.AioRpcError, meanings: Mapping[grpc.StatusCode, str]) -> str:
    """Say what an error means.

    Args:
        error: As grpc raised it.
        meanings: Of statuses that mean something of their own with this server.
    """
    if is_reason_lost(error):
        return "it ended the stream"
    meaning = {**_MEANINGS, **meanings}.get(error.code(), error.code().name)
    return f"{meaning} ({error.details()})" if error.details() else meaning
