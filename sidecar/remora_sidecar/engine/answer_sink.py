"""Where an answer goes: to the agent itself, or to all who wait for the same one."""

from typing import NamedTuple, Protocol

from remora_sidecar.engine.headers import RawHeaders


class AnswerStart(NamedTuple):
    """The head of an answer as an agent gets it, but for framing and for what is ours.

    Attributes:
        length: Of the body as it is sent; None if it is not known.
    """

    status: int
    reason: str
    headers: RawHeaders
    length: int | None


class AnswerSink(Protocol):
    """Takes one answer, piece by piece."""

    def begin(self, start: AnswerStart) -> bool:
        """Take the head; False if no body belongs to it. It may wait for the first bytes."""
        ...

    def write(self, chunk: bytes, *, last: bool = False) -> None:
        """Take the next bytes of the body; raises ConnectionResetError if nobody is there."""
        ...

    def flush(self) -> None:
        """Let the head go if it still waits."""
        ...

    @property
    def congested(self) -> bool:
        """Whether to wait with `drain` before the next write."""
        ...

    async def drain(self) -> None:
        """Wait until there is room."""
        ...

    def cut(self) -> None:
        """End without the body's end, so that a cut looks like one."""
        ...
