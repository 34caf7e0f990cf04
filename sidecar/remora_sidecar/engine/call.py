"""One call from the agent's request to the answer's last byte."""

import asyncio
from dataclasses import replace

import aiohttp
from aiohttp import web
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.web_protocol import RequestPayloadError

from remora.errors import UpstreamError
from remora.ids import new_call_id
from remora.providers import Provider
from remora.records import Attribution, CallError, EndReason
from remora_sidecar.dialects.decoding import Decoder, decode_body, decoder_for
from remora_sidecar.dialects.registry import dialect_for
from remora_sidecar.engine.agent_side import AgentRequest, AgentSide, Framing
from remora_sidecar.engine.attribution import attribute
from remora_sidecar.engine.headers import (
    RawHeaders,
    end_to_end,
    serialized,
    with_length,
    without_ours,
)
from remora_sidecar.engine.observation import BodyCapture, Observation, Waiting
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.refusal import bad_request, too_large, upstream_failed
from remora_sidecar.engine.request_body import HeldBody, PassingBody, RequestBody, take_body
from remora_sidecar.engine.target import Target
from remora_sidecar.engine.tunnel import Tunnel
from remora_sidecar.engine.upstream import Answer, Endpoint, UpstreamConnection
from remora_sidecar.model.exchange import AnswerHead, RequestHead, header
from remora_sidecar.model.handoff import HandOff
from remora_sidecar.model.redaction import url_without_credentials
from remora_sidecar.model.refusal import Refusal

_BROKEN_BODY = (HttpProcessingError, aiohttp.ClientPayloadError, RequestPayloadError)
"""What reading the agent's body raises where its framing is not valid."""

_RESENT = "sent once more: a kept connection had closed before any byte of an answer"


class Call:
    """Carries one request to its provider and the answer back, and records it."""

    def __init__(
        self,
        parts: EngineParts,
        request: AgentRequest,
        target: Target,
        provider: Provider,
        hand_off: HandOff,
    ) -> None:
        """Take the request; nothing is read or sent yet."""
        self._parts = parts
        self._request = request
        self._agent = AgentSide(request)
        self._target = target
        self._provider = provider
        self._head = _request_head(request, target)
        self._dialect = dialect_for(provider.dialects, self._head)
        call_id = new_call_id(parts.clock.now_unix_ns())
        attributed = attribute(request.raw_headers, hand_off.proxy_user, parts.sessions, call_id)
        self._session = attributed.session
        self._seen = self._observation(call_id, hand_off, attributed.attribution)
        self._seen.notes.extend(attributed.notes)
        self._connection: UpstreamConnection | None = None
        self._upload: asyncio.Task[None] | None = None
        self._body_is_broken = False
        self._decoder: Decoder | None = None
        self._recorded = False

    def _observation(
        self, call_id: str, hand_off: HandOff, attribution: Attribution
    ) -> Observation:
        parts = self._parts
        limit = parts.captured_body_bytes if parts.policy.captures_bodies else 0
        return Observation(
            call_id=call_id,
            clock=parts.clock,
            started_unix_ns=parts.clock.now_unix_ns(),
            started_s=parts.clock.monotonic_s(),
            origin=parts.origin_of(hand_off),
            attribution=attribution,
            provider=self._provider.name,
            price_id=self._provider.price_id,
            dialect=self._dialect.name,
            method=self._request.method,
            url=url_without_credentials(self._target.url),
            request_capture=BodyCapture(limit),
            response_capture=BodyCapture(limit),
            capture=parts.policy.capture,
            waiting=Waiting(parts.clock),
            request_content_type=header(self._head.headers, b"content-type") or "",
        )

    async def run(self) -> web.StreamResponse:
        """Carry the call to its end; the record is made however it ends."""
        self._session.in_flight += 1
        self._parts.metrics.in_flight += 1
        try:
            await self._carry()
        except asyncio.CancelledError:
            self._finish(EndReason.STOPPED if self._parts.stopping else EndReason.CLIENT_GONE)
            raise
        except ConnectionError:
            self._finish(EndReason.CLIENT_GONE)
        finally:
            self._session.in_flight -= 1
            self._parts.metrics.in_flight -= 1
            self._stop_upload()
            self._drop_connection()
            if not self._recorded:  # a bug of ours must not lose the fact of the call
                self._finish(
                    EndReason.UNSPECIFIED,
                    CallError("internal_error", "the call failed inside Remora"),
                )
        return self._agent.carried()

    async def _carry(self) -> None:
        try:
            body = await self._take_body()
        except _BROKEN_BODY:
            self._refuse_broken_body()
            return
        if isinstance(body, PassingBody) and not self._parts.policy.opaque_allowed:
            self._seen.opaque = True
            self._refuse(too_large(self._parts.held_body_bytes))
            return
        self._read_request(body)
        try:
            connection, answer = await self._ask(body)
        except UpstreamError as error:
            if self._body_is_broken:
                self._refuse_broken_body()
            else:
                self._no_answer(error)
            return
        if answer.message.code == 101:
            await self._tunnel(connection, answer.message)
        else:
            await self._relay(connection, answer)

    async def _take_body(self) -> RequestBody:
        request = self._request
        if not request.body_exists:
            return HeldBody(b"")
        expects = header(request.raw_headers, b"expect") or ""
        if expects.lower() == "100-continue" and request.version >= (1, 1):
            self._agent.interim_continue()
        length = request.content_length
        with self._seen.waiting:
            return await take_body(request.content, length, self._parts.held_body_bytes)

    def _read_request(self, body: RequestBody) -> None:
        if isinstance(body, HeldBody):
            self._seen.request_capture.feed(body.content)
            self._seen.request = self._dialect.read_request(self._head, self._decoded(body.content))
            if self._seen.request.problem:
                self._seen.note(self._seen.request.problem)
        else:
            self._seen.opaque = True
            self._seen.request = replace(self._dialect.read_request(self._head, b""), problem="")
            limit = self._parts.held_body_bytes
            self._seen.note(f"the body is larger than {limit} bytes and was not read")

    def _decoded(self, body: bytes) -> bytes:
        """Undo the request's content-encoding on the side; what goes out stays encoded."""
        encoding = header(self._head.headers, b"content-encoding")
        if encoding is None:
            return body
        decoded, problem = decode_body(encoding, body, self._parts.held_body_bytes)
        if problem:
            self._seen.note(f"the request's body could not be decoded: {problem}")
        return decoded

    async def _ask(self, body: RequestBody) -> tuple[UpstreamConnection, Answer]:
        """Get an answer; once more if a kept connection turns out to be closed."""
        while True:
            connection = await self._connect()
            try:
                self._send(connection, body)
                with self._seen.waiting:
                    return connection, await connection.answer()
            except UpstreamError as error:
                self._seen.attempt_ended(0, CallError(error.kind, str(error)))
                stale = connection.reused and connection.untouched and error.retryable
                self._drop_connection()
                if not (stale and isinstance(body, HeldBody)):
                    raise
                self._seen.note(_RESENT)

    async def _connect(self) -> UpstreamConnection:
        target = self._target
        endpoint = Endpoint(target.host, target.port, target.scheme == "https")
        self._seen.attempt_started_s = self._parts.clock.monotonic_s()
        self._seen.reused_connection = False
        with self._seen.waiting:
            try:
                self._connection = await self._parts.upstream.connect(endpoint)
            except UpstreamError as error:
                self._seen.attempt_ended(0, CallError(error.kind, str(error)))
                raise
        self._seen.reused_connection = self._connection.reused
        return self._connection

    def _send(self, connection: UpstreamConnection, body: RequestBody) -> None:
        head = self._upstream_head(body)
        has_answer_body = self._request.method != "HEAD"
        if isinstance(body, HeldBody):
            connection.begin(head + body.content, has_answer_body=has_answer_body)
        else:
            connection.begin(head, has_answer_body=has_answer_body)
            sending = self._send_body(connection, body)
            self._upload = self._parts.tasks.spawn(sending, name="upload")

    def _upstream_head(self, body: RequestBody) -> bytes:
        """Write the provider's request head: the agent's, but for what is ours or hop-by-hop."""
        request = self._request
        headers: RawHeaders = end_to_end(self._head.headers, also=(b"expect",))
        length = len(body.content) if isinstance(body, HeldBody) else body.length
        headers = with_length(headers, length)
        if self._asks_upgrade():
            upgrade = header(request.raw_headers, b"upgrade") or ""
            headers += [(b"Connection", b"Upgrade"), (b"Upgrade", upgrade.encode("latin-1"))]
        line = f"{request.method} {self._target.origin_form} HTTP/1.1"
        return serialized(line.encode("utf-8", "surrogateescape"), headers)

    def _asks_upgrade(self) -> bool:
        return (header(self._request.raw_headers, b"upgrade") or "").lower() == "websocket"

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
        except _BROKEN_BODY:
            self._body_is_broken = True
            connection.abort()
        except (UpstreamError, ConnectionError):
            return  # whoever waits for the answer learns of it and says so

    def _stop_upload(self) -> bool:
        """Stop sending the body; False if it had gone out whole."""
        return self._upload is not None and self._upload.cancel()

    async def _relay(self, connection: UpstreamConnection, answer: Answer) -> None:
        self._begin_answer(answer.message)
        if self._agent.framing is Framing.NONE:
            self._complete(connection)
            self._agent.flush()
            return
        length = _length(answer.message) if self._agent.framing is Framing.LENGTH else None
        try:
            await self._pass_body(answer.content, length)
        except aiohttp.ClientError:
            self._cut()
        else:
            self._complete(connection)

    async def _pass_body(self, content: aiohttp.StreamReader, remaining: int | None) -> None:
        """Pass the body on; raises aiohttp.ClientError if the provider cuts it."""
        last = False
        while not last:
            chunk = await self._next_chunk(content)
            if remaining is not None:
                remaining -= len(chunk)
            last = content.at_eof() or remaining == 0
            if self._observe(chunk) or last:
                self._record_answer()
            self._agent.write(chunk, last=last)
            if self._agent.congested and not last:
                with self._seen.waiting:
                    await self._agent.drain()

    async def _next_chunk(self, content: aiohttp.StreamReader) -> bytes:
        """Take what has arrived, else wait; the head goes out before any waiting."""
        if not content.at_eof():
            if chunk := content.read_nowait():
                return chunk
            if not content.at_eof():
                self._agent.flush()
                with self._seen.waiting:
                    return await content.readany()
        return b""

    def _begin_answer(self, message: RawResponseMessage) -> None:
        seen = self._seen
        seen.status_code = message.code
        seen.answer_headers = message.raw_headers
        seen.attempt_ended(message.code)
        head = AnswerHead(message.code, message.raw_headers)
        seen.reader = self._dialect.answer_reader(head, seen.request)
        self._decoder = decoder_for(header(message.raw_headers, b"content-encoding"))
        self._agent.frame(message.code, None if message.chunked else _length(message))
        headers = end_to_end(message.raw_headers)
        if self._parts.answer_headers:
            headers.append((b"remora-call-id", seen.call_id.encode()))
        self._agent.start(message.code, message.reason, headers)

    def _observe(self, chunk: bytes) -> bool:
        """Watch a chunk; True if the answer's own format says that it is whole now."""
        seen = self._seen
        seen.response_capture.feed(chunk)
        reader, decoder = seen.reader, self._decoder
        if reader is None or decoder is None or self._recorded:
            return False
        for decoded in decoder.feed(chunk):
            if reader.feed(decoded):
                seen.output_seen()
        if not seen.request.stream:
            seen.output_seen()
        return reader.ended

    def _record_answer(self) -> None:
        self._finish(EndReason.COMPLETED)

    def _complete(self, connection: UpstreamConnection) -> None:
        self._finish(EndReason.COMPLETED)
        if self._stop_upload():  # answered early: what would follow is no request
            self._agent.keep_alive = False
            return
        connection.release()
        self._connection = None

    def _cut(self) -> None:
        """The provider broke off: the agent must see a cut, with all that came before it."""
        error = CallError("provider_cut", "the provider cut its answer before it was whole")
        self._finish(EndReason.PROVIDER_CUT, error)
        self._agent.flush()
        self._agent.cut()

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def _no_answer(self, error: UpstreamError) -> None:
        self._finish(EndReason.NO_ANSWER, CallError(error.kind, str(error)))
        self._say(upstream_failed(str(error), error.kind))

    def _refuse_broken_body(self) -> None:
        self._agent.keep_alive = False
        self._refuse(bad_request("the request's body is not framed as HTTP/1.1 asks"))

    def _refuse(self, refusal: Refusal) -> None:
        self._finish(EndReason.REFUSED, CallError(refusal.code, refusal.message))
        self._parts.metrics.refused[refusal.code] += 1
        self._say(refusal)

    def _say(self, refusal: Refusal) -> None:
        call_id = self._seen.call_id if self._parts.answer_headers else ""
        self._agent.refuse(refusal, call_id, shape=self._dialect.refuse)

    async def _tunnel(self, connection: UpstreamConnection, message: RawResponseMessage) -> None:
        self._seen.status_code = 101
        self._seen.answer_headers = message.raw_headers
        self._seen.attempt_ended(101)
        self._agent.frame(101, None)
        headers = [*end_to_end(message.raw_headers), (b"Connection", b"Upgrade")]
        upgrade = header(message.raw_headers, b"upgrade") or "websocket"
        headers.append((b"Upgrade", upgrade.encode("latin-1")))
        self._agent.start(101, message.reason, headers)
        self._agent.flush()
        tunnel = Tunnel(self._request.protocol, connection.protocol)
        with self._seen.waiting:
            await tunnel.run(self._seen.request_capture.feed, self._seen.response_capture.feed)
        self._finish(EndReason.COMPLETED)
        self._agent.keep_alive = False

    def _finish(self, end_reason: EndReason, error: CallError | None = None) -> None:
        """Make the record, once."""
        if self._recorded:
            return
        self._recorded = True
        if self._seen.status_code == 0 and not self._seen.attempts and self._connection is not None:
            self._seen.attempt_ended(0, error)
        if (decoder := self._decoder) is not None:
            reader = self._seen.reader
            if end_reason is EndReason.COMPLETED and not (reader is not None and reader.ended):
                decoder.finish()
            self._seen.decoding_problem = decoder.problem
        record = self._seen.record(self._parts.prices, end_reason, error)
        self._parts.recorder.take(record, self._session)


def _request_head(request: AgentRequest, target: Target) -> RequestHead:
    path, _, query = target.origin_form.partition("?")
    return RequestHead(
        method=request.method,
        host=target.host,
        path=path,
        query=query,
        headers=without_ours(request.raw_headers),
    )


def _length(message: RawResponseMessage) -> int | None:
    value = message.headers.get("Content-Length")
    return int(value) if value is not None else None
