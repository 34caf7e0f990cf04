"""Agents that leave at any event of a stream, in every dialect, in virtual time."""

import asyncio
import re
import struct

import pytest

from remora.records import EndReason
from remora.testing.double_answer import Answer, Fault, FaultKind, Framing
from remora.testing.virtual_loop import VirtualTimeLoop

WITHIN_S = 0.1
_MOST_BYTES = 40_000
_MOST_BOUNDARIES = 12
_RECORDED = {"cohere-chat": "cohere"}
_HOSTS = {"generativelanguage.googleapis.com", "api.openai.com", "api.anthropic.com",
          "bedrock-runtime.us-east-1.amazonaws.com", "api.cohere.com", "api.groq.com"}  # fmt: skip


def _boundaries(body: bytes) -> list[int]:
    """Where events end, in whatever framing."""
    if body[:1] == b"\0":
        ends, at = [], 0
        while at < len(body):
            at += struct.unpack_from(">I", body, at)[0]
            ends.append(at)
    elif body[:1] == b"{":
        ends = [end.end() for end in re.finditer(rb"\n", body)]
    elif body[:1] == b"[":
        ends = [end.start() for end in re.finditer(rb"\n,\r?\n", body)]
    else:
        ends = [end.end() for end in re.finditer(rb"\r?\n\r?\n", body)]
    inner = [end for end in ends if 0 < end < len(body)]
    step = max(1, len(inner) // _MOST_BOUNDARIES)
    return inner[::step]


def _stream(transcripts):
    """A recorded stream of a host that is built in, with some events and a whole end."""
    for transcript in transcripts:
        is_fit = transcript.stream and transcript.host in _HOSTS and transcript.expect["complete"]
        small = len(transcript.response_body) < _MOST_BYTES
        if is_fit and small and len(_boundaries(transcript.response_body)) >= 3:
            return transcript
    return None


@pytest.mark.parametrize(
    "dialect",
    ["anthropic-messages", "bedrock-converse", "bedrock-invoke", "cohere-chat", "gemini-generate",
     "openai-chat", "openai-completions", "openai-responses"],
)  # fmt: skip
def test_the_provider_is_let_go_at_once_and_what_was_seen_is_recorded(carry, recorded, dialect):
    transcript = _stream(recorded(_RECORDED.get(dialect, dialect)))
    if transcript is None:
        pytest.skip(f"the corpus has no fitting stream of {dialect}")
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        records = runner.run(_leave_everywhere(carry, transcript))
    for boundary, record in records:
        assert record.end_reason in (EndReason.CLIENT_GONE, EndReason.COMPLETED), boundary
        assert record.response_bytes == boundary
        assert record.requested_model or dialect.startswith("cohere")
        assert record.usage is not None or record.ttft_s is None, boundary


async def _leave_everywhere(carry, transcript):
    boundaries = _boundaries(transcript.response_body)
    async with carry(double={"names": [transcript.host]}) as carrying:
        for boundary in boundaries:
            await _leave(carrying, transcript, boundary)
        return list(zip(boundaries, await carrying.records(len(boundaries)), strict=True))


async def _leave(carrying, transcript, boundary):
    carrying.double.script(
        Answer(
            headers=tuple(
                (name, value)
                for name, value in transcript.response_headers
                if name.lower() not in ("transfer-encoding", "content-length")
            ),
            body=transcript.response_body,
            framing=Framing.CHUNKED,
            fault=Fault(FaultKind.STALL, boundary),
        )
    )
    agent = await carrying.agent(host=transcript.host)
    query = f"?{transcript.query}" if transcript.query else ""
    length = [("Content-Length", str(len(transcript.request_body)))]
    headers = [("Host", transcript.host), *transcript.request_headers, *length]
    await agent.send(transcript.method, transcript.path + query, headers, transcript.request_body)
    head, got = await agent.head(), 0
    async for piece in agent.pieces(head):
        got += len(piece)
        if got >= boundary:
            break
    loop, aborted = asyncio.get_running_loop(), len(carrying.double.aborted)
    left_s = loop.time()
    agent.abort()
    await carrying.until(lambda: len(carrying.double.aborted) > aborted)
    assert loop.time() - left_s <= WITHIN_S
