"""The provider of all runs: the double with prepared answers, as a process of its own.

`python -m bench.provider CA_FILE` prints one JSON line when it listens. Prepared answers
cost the double so little that it is never what a run measures.
"""

import asyncio
import json
import signal
import socket
import sys
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer, Framing, Repeated, json_answer
from remora.testing.double_request import ReceivedRequest

SERVER_NAME = "api.openai.com"
CHAT_PATH = "/v1/chat/completions"
_EVENTS = 10
_PAUSE_S = 0.002
_WORDS = "Remoras hold on to sharks by a disc on their head, and let themselves be carried. " * 6


def _common(kind: str) -> dict[str, object]:
    return {
        "id": "chatcmpl-C1oVqBb4mN7xTgR2sYpLdKe5",
        "object": kind,
        "created": 1767225600,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_560af6e559",
    }


_USAGE = {
    "prompt_tokens": 412,
    "completion_tokens": 118,
    "total_tokens": 530,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


def _whole() -> Answer:
    message: dict[str, object] = {
        "role": "assistant",
        "content": _WORDS,
        "refusal": None,
        "annotations": [],
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    answer = _common("chat.completion") | {"choices": [choice], "usage": _USAGE}
    headers = (("x-request-id", "req_0d1f2a"), ("openai-processing-ms", "412"))
    return json_answer(json.dumps(answer).encode(), headers=headers)


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = _common("chat.completion.chunk") | {"usage": None, "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _streamed(body: bytes | Repeated) -> Answer:
    headers = (("content-type", "text/event-stream; charset=utf-8"),)
    return Answer(headers=headers, body=body, framing=Framing.CHUNKED)


def _stream() -> Answer:
    words = [_event({"content": "remora "}) for _ in range(_EVENTS)]
    usage = _common("chat.completion.chunk") | {"choices": [], "usage": _USAGE}
    end = [_event({}, "stop"), b"data: " + json.dumps(usage).encode() + b"\n\ndata: [DONE]\n\n"]
    events = [_event({"role": "assistant"}), *words, *end]
    # One event a chunk and a pause between them, as models speak: a first byte is then one.
    cuts = tuple(accumulate(len(event) for event in events))
    return replace(_streamed(b"".join(events)), cuts=cuts, between_chunks_s=_PAUSE_S)


_WHOLE = _whole()
_STREAM = _stream()
_ENDLESS = replace(_streamed(Repeated(_event({"content": "on and "}))), between_chunks_s=0.25)


def answer(request: ReceivedRequest) -> Answer:
    """Choose by what the body asks for."""
    if b'"stream":true' not in request.body:
        return _WHOLE
    return _ENDLESS if b"[[endless]]" in request.body else _STREAM


async def serve(ca_file: Path, listener: socket.socket) -> None:
    """Answer on this socket until told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    double = ProviderDouble(names=[SERVER_NAME], hosts=(), keep_requests=False)
    double.route("POST", CHAT_PATH, answer)
    ca_file.write_text(double.ca_pem)  # noqa: ASYNC240 - before anything is served
    async with double:
        await double.listen_on(listener)
        host, port = double.address
        print(json.dumps({"address": f"{host}:{port}"}), flush=True)
        await stop.wait()


def main(ca_file: str, host: str = "127.0.0.1", port: str = "0") -> None:
    """Listen and serve."""
    listener = socket.create_server((host, int(port)), backlog=1024)
    asyncio.run(serve(Path(ca_file), listener))


if __name__ == "__main__":
    main(*sys.argv[1:])
