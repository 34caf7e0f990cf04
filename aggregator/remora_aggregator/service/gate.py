"""In front of every gRPC method: who calls, whether they may, and how much.

All methods are served as ones that take a stream of messages, whatever they are to their callers
(which can't tell): so a caller is known, and let in, before a byte of its message is read.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message

from remora.clock import Clock
from remora.errors import BadRequest
from remora_aggregator.service.audit import AuditSink, entry_of
from remora_aggregator.service.caller import Caller, Metadata, Role
from remora_aggregator.service.entrance import Entrance
from remora_aggregator.service.flight import Flight
from remora_aggregator.service.grpc_errors import (
    Context,
    bugs_as_status,
    errors_as_status,
)
from remora_aggregator.service.permissions import AUDITED, AUDITED_IF, METHODS, Act, may
from remora_aggregator.service.shown import Shown, shown_in
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import signals_pb2, workflows_pb2

FIRST_MESSAGE_S = 30.0
"""How long a call may last without any message; later ones may be hours apart."""

RECHECK_S = 60.0
"""A call that lasts longer ends soon after what its caller showed counts no more."""

_LIGHT_BYTES = 64 * 1024
"""Messages up to this size do not wait for larger ones."""

_CALLER: ContextVar[Caller] = ContextVar("caller")
_COUNT: ContextVar[int | None] = ContextVar("count", default=None)

type Handler = Any
"""A grpc.RpcMethodHandler, whose stubs know nothing of asyncio."""

type Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]


class Admitted:
    """Tells a service whom the gate let in."""

    def caller(self, metadata: Metadata) -> Caller:
        """Return who the call at hand comes from; raises BadRequest (401) past no gate."""
        del metadata
        try:
            return _CALLER.get()
        except LookupError:
            raise BadRequest("nobody looked who calls", status=401) from None


def counted(things: int) -> None:
    """Tell how many things the call at hand concerned so far; the audit log says so."""
    _COUNT.set(things)


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """The interceptor of one server."""

    def __init__(
        self,
        entrance: Entrance,
        flight: Flight,
        audit: AuditSink,
        clock: Clock,
        *,
        first_message_s: float = FIRST_MESSAGE_S,
        recheck_s: float = RECHECK_S,
    ) -> None:
        """Take who lets in, and who keeps what was done.

        Args:
            entrance: Decides.
            flight: Bounds what all callers send together.
            audit: Keeps what is audited.
            clock: Tells when that was, and when to look at a caller again.
            first_message_s: How long a call may last without any message.
            recheck_s: How often a caller is looked at again.
        """
        self.entrance = entrance
        self.flight = flight
        self.audit = audit
        self.clock = clock
        self.first_message_s = first_message_s
        self.recheck_s = recheck_s

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """Stand in front of a method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        passage = _Passage(self, handler, str(method))
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                passage.stream, None, handler.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(
            passage.single, None, handler.response_serializer
        )


class _Visit:
    """One call of somebody who was let in."""

    def __init__(self, gate: Gate, caller: Caller, shown: Shown, act: Act) -> None:
        self.caller = caller
        self.shown = shown
        self._gate = gate
        self._act = act
        self._flying_bytes = 0
        self._pause_s = 0.0
        self._checked_s = gate.clock.monotonic_s()

    async def messages(
        self, requests: AsyncIterator[bytes], read: Callable[[bytes], Any]
    ) -> AsyncGenerator[Any]:
        """Read messages one by one, no faster than the caller may send them."""
        message = await self._next(requests, read, self._gate.first_message_s)
        while message is not None:
            yield message
            message = None  # whoever waits for the next one holds none
            self.landed()
            await self._until_due()
            message = await self._next(requests, read)

    async def _until_due(self) -> None:
        """Leave the next message where it is, with who sends it, while it would be too much."""
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
        await self._gate.flight.take_off(0)

    async def _next(
        self,
        requests: AsyncIterator[bytes],
        read: Callable[[bytes], Any],
        within_s: float | None = None,
    ) -> Any | None:
        try:
            async with asyncio.timeout(within_s):
                raw = await anext(requests, None)
        except TimeoutError:
            raise BadRequest(f"no message came within {within_s:g} s", status=408) from None
        if raw is None:
            return None
        await self.check_again()
        if len(raw) > _LIGHT_BYTES:
            await self._gate.flight.take_off(len(raw))
            self._flying_bytes = len(raw)
        message = read(raw)
        amounts = {"bytes": float(len(raw)), "messages": 1.0}
        if isinstance(message, pb.ReportRequest):
            amounts["records"] = float(len(message.entries))
        elif isinstance(message, signals_pb2.SendSignalsRequest):
            amounts["records"] = float(len(message.signals))
        elif isinstance(message, workflows_pb2.ReportExecutionsRequest):
            amounts["records"] = float(len(message.reports))
        self._pause_s = self._gate.entrance.charge(self.caller, amounts)
        return message

    def landed(self) -> None:
        """What was read is done with."""
        if self._flying_bytes:
            self._gate.flight.land(self._flying_bytes)
            self._flying_bytes = 0

    async def check_again(self) -> None:
        """Look now and then whether the caller is still who it was.

        Raises:
            BadRequest: It is not (status 401).
        """
        now_s = self._gate.clock.monotonic_s()
        if now_s - self._checked_s < self._gate.recheck_s:
            return
        self._checked_s = now_s
        if not await self._gate.entrance.is_still(self.caller, self.shown, self._act):
            raise BadRequest("what this caller may do has changed: connect again", status=401)


class _Passage:
    """A method with the gate in front of it, for one call."""

    def __init__(self, gate: Gate, handler: Handler, method: str) -> None:
        self._gate = gate
        self._handler = handler
        self._method = method
        self._asked: Mapping[str, object] = {}

    async def single(self, requests: AsyncIterator[bytes], context: Context) -> Any:
        """Serve a method that gives one answer."""
        async with self._visit(context) as visit:
            messages = visit.messages(requests, self._read)
            async with aclosing(messages):
                if self._handler.request_streaming:
                    return await self._handler.stream_unary(messages, context)
                return await self._handler.unary_unary(await _only(messages), context)
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def stream(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        """Serve a method that gives a stream of answers."""
        async with self._visit(context) as visit:
            messages = visit.messages(requests, self._read)
            async with aclosing(messages):
                if self._handler.request_streaming:
                    answers = self._handler.stream_stream(messages, context)
                else:
                    answers = self._handler.unary_stream(await _only(messages), context)
                if not hasattr(answers, "__aiter__"):
                    await answers  # it writes to the context
                    return
                async with aclosing(answers):
                    async for answer in answers:
                        visit.landed()
                        await visit.check_again()
                        yield answer

    def _read(self, raw: bytes) -> Any:
        read = self._handler.request_deserializer
        try:
            message = raw if read is None else read(raw)
        except DecodeError:
            raise BadRequest("the message can't be read: another version, or garbage") from None
        if self._method in AUDITED and isinstance(message, Message):
            self._asked = MessageToDict(message, preserving_proto_field_name=True)
        return message

    @asynccontextmanager
    async def _visit(self, context: Context) -> AsyncIterator[_Visit]:
        entrance = self._gate.entrance
        async with bugs_as_status(context), errors_as_status(context):
            act = METHODS.get(self._method)
            if act is None:
                raise BadRequest(f"nobody may call {self._method}", status=403)
            metadata = context.invocation_metadata() or ()
            shown = shown_in(metadata, context.auth_context(), context.peer())
            caller = await entrance.caller(shown, act)
            async with self._audited(caller, shown, context):
                entrance.admit(caller, act)
                with entrance.opened(caller, act):
                    _CALLER.set(caller)
                    visit = _Visit(self._gate, caller, shown, act)
                    try:
                        yield visit
                    finally:
                        visit.landed()

    @asynccontextmanager
    async def _audited(self, caller: Caller, shown: Shown, context: Context) -> AsyncIterator[None]:
        is_refused = not may(caller.role, METHODS[self._method])
        if self._method not in AUDITED or (caller.role is Role.REPORTER and not is_refused):
            yield
            return
        outcome = "OK"
        _COUNT.set(None)
        try:
            yield
        except BaseException as error:
            outcome = _outcome(error, context)
            raise
        finally:
            if AUDITED_IF.get(self._method, "") in ("", *self._asked):
                await self._keep(caller, shown, outcome)

    async def _keep(self, caller: Caller, shown: Shown, outcome: str) -> None:
        count = _COUNT.get()
        entry = entry_of(
            caller,
            shown.peer,
            self._method.removeprefix("/remora.v1."),
            self._asked,
            outcome,
            self._gate.clock.now_unix_ns(),
            int(outcome == "OK") if count is None else count,
        )
        await self._gate.audit.keep(entry)


async def _only(messages: AsyncIterator[Any]) -> Any:
    async for message in messages:
        return message
    raise BadRequest("the call has no message")


def _outcome(error: BaseException, context: Context) -> str:
    if isinstance(error, BadRequest):
        return error.code.upper()
    if isinstance(error, asyncio.CancelledError):
        return "CANCELLED"
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"
