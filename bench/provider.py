"""The provider of all runs: the double with prepared answers, as a process of its own.

`python -m bench.provider CA_FILE` prints one JSON line when it listens. Prepared answers
cost the double so little that it is never what a run measures.
"""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from bench.asking import (
    AT_ONCE,
    CHAT_PATH,
    ENDLESS,
    GEMINI_PATH,
    HOSTS,
    MESSAGES_PATH,
    RESPONSES_PATH,
)
from bench.samples import CHAT_JSON, EVENTS, chat_event
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer, Framing, Repeated, json_answer
from remora.testing.double_request import ReceivedRequest

LOCAL_NAME = "localhost"
"""The double's name for clients that can't be told to dial another address."""
_PAUSE_S = 0.002


def _streamed(body: bytes | Repeated) -> Answer:
    headers = (("content-type", "text/event-stream; charset=utf-8"),)
    return Answer(headers=headers, body=body, framing=Framing.CHUNKED)


def _spoken(events: Sequence[bytes]) -> Answer:
    # One event a chunk and a pause between them, as models speak: a first byte is then one.
    cuts = tuple(accumulate(len(event) for event in events))
    return replace(_streamed(b"".join(events)), cuts=cuts, between_chunks_s=_PAUSE_S)


_HEADERS = (("x-request-id", "req_0d1f2a"), ("openai-processing-ms", "412"))
_WHOLE = json_answer(CHAT_JSON, headers=_HEADERS)
_ENDLESS = replace(_streamed(Repeated(chat_event({"content": "on and "}))), between_chunks_s=0.25)


def _streams(dialect: str) -> Callable[[ReceivedRequest], Answer]:
    spoken, at_once = _spoken(EVENTS[dialect]), _streamed(b"".join(EVENTS[dialect]))
    return lambda request: at_once if AT_ONCE.encode() in request.body else spoken


_chat_stream = _streams("openai-chat")


def answer(request: ReceivedRequest) -> Answer:
    """Choose the answer to a chat call by what its body asks for."""
    if b'"stream":true' not in request.body:
        return _WHOLE
    return _ENDLESS if ENDLESS.encode() in request.body else _chat_stream(request)


def add_answers(double: ProviderDouble) -> None:
    """Let a double answer all that the bench asks for."""
    double.route("POST", CHAT_PATH, answer)
    double.route("POST", RESPONSES_PATH, _streams("openai-responses"))
    double.route("POST", MESSAGES_PATH, _streams("anthropic-messages"))
    double.route("POST", GEMINI_PATH, _streams("gemini-generate"))


async def serve(ca_file: Path, listener: socket.socket) -> None:
    """Answer on this socket until told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    double = ProviderDouble(names=[*HOSTS, LOCAL_NAME], hosts=(), keep_requests=False)
    add_answers(double)
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
