"""A whole sidecar and a whole aggregator: what users say of answers moves the next calls."""

import asyncio
import contextlib
import json
from collections import Counter

import grpc
import pytest

from remora.testing.double_answer import Answer
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import signals_pb2 as pb
from remora_proto.v1 import signals_pb2_grpc as pb_grpc

CHAT = "/v1/chat/completions"
HEADERS = [("Host", "api.openai.com"), ("Content-Type", "application/json")]
BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}'
A, B = "gpt-4o", "gpt-4o-mini"
COLD = {"model": B, "parameters": {"temperature": 0}}
GOOD = Answer(
    headers=(("Content-Type", "application/json"),),
    body=json.dumps(
        {
            "model": A,
            "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }
    ).encode(),
)
SPEC = {
    "routes": [
        {
            "name": "r",
            "router": {
                "policy": "learned",
                "goal": "support",
                "explorationRate": 0,
                "candidates": [{"model": A}, COLD],
            },
        }
    ]
}
CALLS = 60


async def until(condition, within_s=60.0):
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - it belongs to code that signals nothing
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def story(ruled):
    async with (
        temporary_aggregator() as aggregator,
        ruled(SPEC, aggregator=aggregator.address) as carrying,
    ):
        carrying.double.route("POST", CHAT, GOOD)
        await until(lambda: carrying.sidecar.health().figures["scores_watched"])
        async with grpc.aio.insecure_channel(aggregator.address) as channel:
            yield carrying, pb_grpc.SignalServiceStub(channel)


async def call(carrying):
    """Make a call; gives its id and whether it went to the cold candidate."""
    agent = await carrying.agent()
    answer = await agent.ask("POST", CHAT, HEADERS, BODY)
    asked = json.loads(carrying.double.requests[-1].body)
    agent.abort()
    return answer.header("remora-call-id"), asked.get("temperature") == 0


@pytest.mark.parametrize("good_is_cold", [True, False], ids=["the cold one", "the other"])
async def test_calls_move_to_the_candidate_whose_answers_are_accepted(ruled, good_is_cold):
    async with story(ruled) as (carrying, signals):
        taken = []
        for number in range(CALLS):
            call_id, is_cold = await call(carrying)
            taken.append(is_cold)
            kind = "user_accepted" if is_cold is good_is_cold else "user_rejected"
            signal = pb.Signal(signal_id=f"s{number}", call_id=call_id, kind=kind)
            await signals.Send(pb.SendSignalsRequest(signals=[signal]))
        assert set(taken) == {True, False}
        book = carrying.sidecar.parts.steering.routers.learned.book

        def known():
            snapshot = book.get("support")
            return sum(arm.samples for arm in snapshot.scores.arms) if snapshot else 0

        await until(lambda: known() > CALLS / 2)
        arms = {arm.arm.key for arm in book.get("support").scores.arms}
        assert arms == {f"openai/{A}", f'openai/{B} {{"temperature":0}}'}
        counts = Counter([(await call(carrying))[1] for _ in range(20)])
        assert counts[good_is_cold] >= 16
