"""Where records go, and when: before the bytes that end their answers."""

import asyncio
import json

import pytest
from OpenSSL import SSL

from remora.records import CallRecord
from remora.testing.double_answer import Answer, Framing
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.engine.recorder import Recorder
from remora_sidecar.engine.sessions import Sessions

CHAT = "/v1/chat/completions"
HOST = ("Host", "api.openai.com")
KEY = ("Authorization", "Bearer sk-one")
ASKED = b'{"model":"m","messages":[],"temperature":0%b}'


def _whole(content: str) -> Answer:
    choice = {"index": 0, "message": {"content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    body = json.dumps({"choices": [choice], "usage": usage}).encode()
    return Answer(headers=(("Content-Type", "application/json"),), body=body)


EVENTS = [
    b'data: {"choices":[{"index":0,"delta":{"content":"H"},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n',
    b"data: [DONE]\n\n",
]
STREAM = Answer(
    headers=(("Content-Type", "text/event-stream"),),
    body=b"".join(EVENTS),
    framing=Framing.CHUNKED,
    cuts=(len(EVENTS[0]), len(EVENTS[0] + EVENTS[1])),
)


class Kept:
    """Keeps what a spool would."""

    def __init__(self) -> None:  # noqa: D107
        self.together: list[tuple[str, ...]] = []

    def append(self, *records: CallRecord) -> None:
        self.together.append(tuple(record.call_id for record in records))


@pytest.fixture
async def kept():
    return Kept()


@pytest.fixture
async def take(kept):
    """Gives what takes a record of an id, and writes down what is due."""
    loop = asyncio.get_running_loop()
    recorder = Recorder(kept, EngineMetrics(), loop.call_soon)
    session = Sessions(0).default

    def take(call_id):
        recorder.take(CallRecord(call_id, 1), session)

    take.recorder = recorder
    return take


async def test_records_of_one_turn_are_written_down_together_in_the_next(kept, take):
    take("a")
    take("b")
    assert kept.together == []
    await asyncio.sleep(0)
    assert kept.together == [("a", "b")]

    take("c")
    await asyncio.sleep(0)
    assert kept.together == [("a", "b"), ("c",)]


async def test_what_was_written_down_when_asked_is_not_written_again(kept, take):
    take("a")
    take.recorder.write_down()
    take("b")
    take.recorder.write_down()
    take.recorder.write_down()
    for _ in range(3):
        await asyncio.sleep(0)
    assert kept.together == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("given", "end", "streamed"),
    [
        (_whole("short"), b"}}", False),
        (_whole("long" * 100_000), b"}}", False),
        (STREAM, b"[DONE]\n\n", True),
    ],
    ids=["short", "long", "stream"],
)
async def test_the_record_is_in_the_spool_before_the_answers_end_leaves(
    carry, tmp_path, monkeypatch, given, end, streamed
):
    """Watched where both mitmproxy's layer and what follows it encrypt for the agent."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\nmetadata: {name: p}\n"
        "spec: {cache: {mode: readwrite}, includeUsage: never}\n"
    )
    encrypt, depths, cached = SSL.Connection.sendall, [], []
    async with carry(policy=policy) as carrying:

        def sendall(self, data):
            if end in bytes(data):
                depths.append(carrying.sidecar.spool.depth)
            return encrypt(self, data)

        monkeypatch.setattr(SSL.Connection, "sendall", sendall)
        carrying.double.script(given)
        agent = await carrying.agent()
        for _ in range(3):
            asked = ASKED % (b',"stream":true' if streamed else b"")
            answer = await agent.ask("POST", CHAT, [HOST, KEY], asked)
            cached.append(answer.header("remora-cache").partition(";")[0])
            await carrying.until(
                lambda: carrying.sidecar.parts.caching.levels.stats()["memory"].entries
            )

    assert cached == ["miss", "hit", "hit"]
    assert depths == [1, 2, 3]
