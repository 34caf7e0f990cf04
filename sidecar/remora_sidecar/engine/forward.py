"""The streaming forward proxy: absolute-form requests to hosts that are no provider.

Nothing of them is recorded; they pass as they are, like a relayed connection.
"""

import aiohttp
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from remora.errors import UpstreamError
from remora.task_owner import TaskOwner
from remora_sidecar.engine.agent_side import AgentRequest, AgentSide, Framing
from remora_sidecar.engine.headers import end_to_end, serialized, with_length, without_ours
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.refusal import upstream_failed
from remora_sidecar.engine.target import Target
from remora_sidecar.engine.upstream import Answer, Endpoint, UpstreamConnection
from remora_sidecar.model.refusal import Refusal


async def forward(parts: EngineParts, request: AgentRequest, target: Target) -> web.StreamResponse:
    """Carry a plain HTTP request to where it says, if an agent may go there."""
    agent = AgentSide(request)
    if reason := parts.dial_guard(target.host, target.port):
        agent.refuse(Refusal(403, "forbidden", "NOT_ALLOWED", reason))
        return agent.carried()
    try:
        connection = await parts.upstream.connect(Endpoint(target.host, target.port, tls=False))
    except UpstreamError as error:
        agent.refuse(upstream_failed(str(error), error.kind))
        return agent.carried()
    uploads = TaskOwner("forward")
    try:
        _send(connection, request, target, agent, uploads)
        await _relay(agent, await connection.answer())
        if uploads.idle:
            connection.release()
    except UpstreamError as error:
        agent.refuse(upstream_failed(str(error), error.kind))
    except (aiohttp.ClientError, OSError):
        agent.cut()
    finally:
        await uploads.aclose()
        connection.abort()
    return agent.carried()


def _send(
    connection: UpstreamConnection,
    request: AgentRequest,
    target: Target,
    agent: AgentSide,
    uploads: TaskOwner,
) -> None:
    headers = end_to_end(without_ours(request.raw_headers), also=(b"expect",))
    length = request.content_length if request.body_exists else 0
    line = f"{request.method} {target.origin_form} HTTP/1.1".encode("utf-8", "surrogateescape")
    head = serialized(line, with_length(headers, length))
    connection.begin(head, has_answer_body=request.method != "HEAD")
    if request.body_exists:
        if "100-continue" in request.fields.get("Expect", "").lower():
            agent.interim_continue()
        uploads.spawn(_upload(connection, request, chunked=length is None), name="upload")


async def _upload(connection: UpstreamConnection, request: AgentRequest, *, chunked: bool) -> None:
    try:
        while chunk := await request.content.readany():
            connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            await connection.drain()
        if chunked:
            connection.write(b"0\r\n\r\n")
    except (UpstreamError, RequestPayloadError, ConnectionError):
        return  # whoever waits for the answer learns of it and says so


async def _relay(agent: AgentSide, answer: Answer) -> None:
    message, content = answer.message, answer.content
    length = None if message.chunked else _length(message.headers.get("Content-Length"))
    framing = agent.frame(message.code, length)
    agent.start(message.code, message.reason, end_to_end(message.raw_headers))
    agent.flush()
    if framing is Framing.NONE:
        return
    while chunk := await content.readany():
        agent.write(chunk)
        await agent.drain()
    agent.write(b"", last=True)


def _length(value: str | None) -> int | None:
    return int(value) if value is not None else None
