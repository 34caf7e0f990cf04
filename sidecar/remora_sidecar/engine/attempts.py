"""The tries of one call against its provider: the request out, the head of an answer in."""

import asyncio

import aiohttp
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from remora.errors import UpstreamError
from remora_sidecar.engine.attempt_limits import NO_LIMITS
from remora_sidecar.engine.observation import Observation
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.request_body import HeldBody, PassingBody
from remora_sidecar.engine.upstream import Answer, Endpoint, UpstreamConnection

BROKEN_BODY = (HttpProcessingError, aiohttp.ClientPayloadError, RequestPayloadError)
"""What reading the agent's body raises where its framing is not valid."""

_RESENT = "sent once more: a kept connection had closed before any byte of an answer"


class Attempts:
    """Holds the connection of the try that is under way.

    Attributes:
        body_is_broken: The agent's body could not be read to its end.
        limits: How long each may take.
    """

    def __init__(self, parts: EngineParts, seen: Observation) -> None:
        """Stand before the first try."""
        self.body_is_broken = False
        self.limits = NO_LIMITS
        self._parts = parts
        self._seen = seen
        self._connection: UpstreamConnection | None = None
        self._upload: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether a connection is held."""
        return self._connection is not None

    @property
    def connection(self) -> UpstreamConnection:
        """The connection that the answer comes on."""
        if self._connection is None:
            raise RuntimeError("no attempt is under way")
        return self._connection

    async def ask(self, outgoing: Outgoing) -> Answer:
        """Get an answer; once more if a kept connection turns out to be closed.

        Raises:
            UpstreamError: No valid answer came.
        """
        while True:
            connection = await self._connect(outgoing.endpoint)
            try:
                self._send(connection, outgoing)
                with self._seen.waiting:
                    return await self._answer(connection)
            except UpstreamError as error:
                self._seen.no_answer(error)
                stale = connection.reused and connection.untouched and error.retryable
                self.abort()
                if not (stale and isinstance(outgoing.body, HeldBody)):
                    raise
                self._seen.note(_RESENT)

    def complete(self) -> bool:
        """Give the connection back; False if the answer came before the request had gone out."""
        if self._stop_upload():
            self.abort()
            return False
        self.connection.release()
        self._connection = None
        return True

    def abort(self) -> None:
        """Cut what is under way, if anything is."""
        self._stop_upload()
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def _connect(self, endpoint: Endpoint) -> UpstreamConnection:
        seen = self._seen
        seen.attempt_started_s = self._parts.clock.monotonic_s()
        seen.reused_connection = False
        with seen.waiting:
            try:
                limit_s = self.limits.connect_s
                self._connection = await self._parts.upstream.connect(endpoint, limit_s)
            except UpstreamError as error:
                seen.no_answer(error)
                raise
        seen.reused_connection = self._connection.reused
        return self._connection

    async def _answer(self, connection: UpstreamConnection) -> Answer:
        limit_s = self.limits.first_byte_s
        if limit_s is None:
            return await connection.answer()
        try:
            async with asyncio.timeout(limit_s):
                return await connection.answer()
        except TimeoutError as error:
            text = f"the provider began no answer within {limit_s:g} s"
            raise UpstreamError(text, kind="first_byte_timeout") from error

    def _send(self, connection: UpstreamConnection, outgoing: Outgoing) -> None:
        head, body = outgoing.head(), outgoing.body
        has_answer_body = outgoing.method != "HEAD"
        if isinstance(body, HeldBody):
            connection.begin(head + body.content, has_answer_body=has_answer_body)
        else:
            connection.begin(head, has_answer_body=has_answer_body)
            sending = self._send_body(connection, body)
            self._upload = self._parts.tasks.spawn(sending, name="upload")

    async def _send_body(self, connection: UpstreamConnection, body: PassingBody) -> None:
        """Stream a body past the held limit; the answer may come, and end it, before."""
        chunked = body.length is None
        try:
            async for chunk in body.chunks():
                self._seen.request_capture.feed(chunk)
                connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                await connection.drain()
            if chunked:
                connection.write(b"0\r\n\r\n")
        except BROKEN_BODY:
            self.body_is_broken = True
            connection.abort()
        except (UpstreamError, ConnectionError):
            return  # whoever waits for the answer learns of it and says so

    def _stop_upload(self) -> bool:
        """Stop sending the body; False if it had gone out whole."""
        return self._upload is not None and self._upload.cancel()
