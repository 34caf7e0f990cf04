"""The engine's end of connections that the interceptor hands off; nobody else can reach it."""

import asyncio
import logging
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from remora_sidecar.engine.agent_side import AgentRequest, AgentSide
from remora_sidecar.engine.arrival import Arrival, arrival, provider_for
from remora_sidecar.engine.call import Call
from remora_sidecar.engine.forward import forward
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.refusal import misdirected, no_provider
from remora_sidecar.engine.unnamed_provider import unnamed_provider
from remora_sidecar.engine.upstream import MAX_HEAD_BYTES, MAX_HEADER_FIELDS
from remora_sidecar.model.handoff import HandOff
from remora_sidecar.model.refusal import Refusal

logger = logging.getLogger(__name__)

_SILENT = logging.getLogger("remora_sidecar.engine.http")
_SILENT.disabled = True  # aiohttp's own words quote what the agent sent

_IDLE_AGENT_S = 3600.0

_LINGER_S = 5.0
"""How long a body that nobody wants is still read: closing at once would reset the connection
before the agent has read its answer."""


class _AgentProtocol(RequestHandler):
    """aiohttp's server protocol with errors in our words.

    Attributes:
        hand_off: What is known of the connection.
    """

    hand_off: HandOff

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer malformed HTTP; what it was is not quoted."""
        agent = AgentSide(cast(AgentRequest, request))
        agent.keep_alive = False
        text = (
            "the request is not valid HTTP/1.1" if status < 500 else "the call failed inside Remora"
        )
        if exc is not None and status >= 500:
            logger.error("carrying a call failed: %s", type(exc).__name__, exc_info=exc)
        kind = "invalid_request_error" if status < 500 else "api_error"
        agent.refuse(Refusal(status, kind, "BAD_REQUEST" if status < 500 else "INTERNAL", text))
        self.force_close_after_write()
        return agent.carried()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Let the next request come; the answer to this one was written already."""
        if self._upgraded:
            return await super().finish_response(request, resp, start_time)
        return resp, False

    def force_close_after_write(self) -> None:
        """Take no further request on this connection."""
        self.close()


class _AgentServer(web.Server):
    """Makes our protocol for each connection."""

    def __call__(self) -> _AgentProtocol:
        """Make the protocol of a new connection."""
        return _AgentProtocol(self, loop=self._loop, **self._kwargs)


class EngineServer:
    """Serves the connections of agents, as they come out of their TLS."""

    def __init__(self, parts: EngineParts) -> None:
        """Take what the engine's calls need."""
        self._parts = parts
        self._web = _AgentServer(
            self._handle,
            request_factory=_request,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            logger=_SILENT,
            keepalive_timeout=_IDLE_AGENT_S,
            tcp_keepalive=False,
            lingering_time=_LINGER_S,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=MAX_HEADER_FIELDS,
            read_bufsize=64 * 1024,
        )

    def take_over(self, hand_off: HandOff) -> asyncio.Protocol | None:
        """Make who serves one connection; None while stopping."""
        if self._parts.stopping:
            return None
        protocol = self._web()
        protocol.hand_off = hand_off
        return protocol

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._web.connections)

    async def _handle(self, made: web.BaseRequest) -> web.StreamResponse:
        request = cast(AgentRequest, made)  # made below
        hand_off = cast(_AgentProtocol, request.protocol).hand_off
        arrived = arrival(request.method, request.target, request.raw_headers, hand_off)
        if isinstance(arrived, Refusal):
            return self._refuse(request, arrived)
        return await self._route(request, arrived, hand_off)

    async def _route(
        self, request: AgentRequest, arrived: Arrival, hand_off: HandOff
    ) -> web.StreamResponse:
        target = arrived.target
        provider = provider_for(self._parts.policy, target, request.method, request.raw_headers)
        if provider is not None:
            return await Call(self._parts, request, arrived, provider, hand_off).run()
        if target.scheme == "https":  # policy changed under an open connection
            return self._refuse(request, misdirected(target.host, hand_off.tls_name))
        if hand_off.destination:
            return self._refuse(request, no_provider(target.host))
        if self._parts.takes_any_host:
            provider = unnamed_provider(target, request.method, request.raw_headers)
            if provider is not None:
                return await Call(self._parts, request, arrived, provider, hand_off).run()
        return await forward(self._parts, request, target)

    def _refuse(self, request: AgentRequest, refusal: Refusal) -> web.StreamResponse:
        self._parts.metrics.refused[refusal.code] += 1
        agent = AgentSide(request)
        agent.keep_alive = not request.body_exists and agent.keep_alive
        agent.refuse(refusal)
        return agent.carried()

    async def aclose(self, drain_s: float) -> None:
        """Take no more connections; calls in flight get ``drain_s`` to end, then are cut."""
        self._parts.stopping = True
        self._web.pre_shutdown()  # connections without a call have nothing to wait for
        await self._web.shutdown(drain_s)


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    _writer: AbstractStreamWriter,
    _task: "asyncio.Task[None]",
) -> web.BaseRequest:
    return cast(web.BaseRequest, AgentRequest(message, payload, protocol))
