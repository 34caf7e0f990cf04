"""Performs one answer on one connection: in time, cut where asked, failing where asked."""

import asyncio
from typing import Protocol

from remora.testing.double_answer import Answer, Fault, FaultKind
from remora.testing.double_wire import Plan, chunk, interim_bytes, last_chunk


class Wire(Protocol):
    """What a connection offers to a player."""

    def write(self, plain: bytes) -> None:
        """Send, encrypted where the connection is."""
        ...

    async def drained(self) -> None:
        """Wait until the peer has taken enough of what was written."""
        ...

    async def flushed(self) -> None:
        """Wait until the kernel has taken all that was written."""
        ...

    def end(self, kind: FaultKind) -> None:
        """End the connection in this way."""
        ...


async def _wait(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


async def _fail(wire: Wire, fault: Fault) -> None:
    await wire.flushed()
    if fault.kind is FaultKind.STALL:
        # Cancelled when the peer leaves.
        await asyncio.get_running_loop().create_future()
    wire.end(fault.kind)


async def _body(wire: Wire, answer: Answer, plan: Plan) -> bool:
    """Write the body; False if the fault came first."""
    fault_at = None if answer.fault is None else answer.fault.after_body_bytes
    written, first = 0, True
    for piece in answer.pieces():
        if not first:
            await _wait(answer.between_chunks_s)
        left = len(piece) if fault_at is None else max(0, fault_at - written)
        if part := piece[:left]:
            wire.write(chunk(part) if plan.chunked else part)
            written += len(part)
            await wire.drained()
        if left < len(piece):
            break
        if not answer.between_chunks_s:
            # Lets the peer's side of the loop run, so that cuts are seen as cuts.
            await asyncio.sleep(0)
        first = False
    return fault_at is None


async def play(wire: Wire, answer: Answer, plan: Plan) -> bool:
    """Perform an answer.

    Returns:
        True if it went out whole; False if its fault ended the connection.
    """
    for interim in answer.interim:
        wire.write(interim_bytes(interim))
    if answer.waits_for is not None:
        await answer.waits_for.wait()
    await _wait(answer.before_head_s)
    if answer.fault is not None and answer.fault.after_body_bytes is None:
        await _fail(wire, answer.fault)
        return False
    wire.write(plan.head if answer.verbatim is None else answer.verbatim)
    if answer.verbatim is None and plan.has_body:
        await _wait(answer.before_first_byte_s)
        whole = await _body(wire, answer, plan)
        if whole and plan.chunked:
            wire.write(last_chunk(answer.trailers))
    if answer.fault is not None:
        await _fail(wire, answer.fault)
        return False
    await wire.drained()
    return True
