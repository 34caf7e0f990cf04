"""Calls of tasks that are paused, cancelled or out of budget: refused, and cut where asked."""

import asyncio
import json

import pytest

from remora.records import EndReason
from remora.testing.double_answer import Answer, Fault, FaultKind, Framing
from remora.testing.raw_agent import CutError
from remora_sidecar.engine.task_gate import MAX_TASKS, TaskGate, TaskHold

HOST = "api.openai.com"
PATH = "/v1/chat/completions"
BODY = json.dumps({"model": "gpt-4o", "messages": [], "stream": True}).encode()
EVENT = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
GOOD = Answer(headers=(("Content-Type", "application/json"),), body=b'{"choices": []}')
CANCELLED = TaskHold("t-1", "cancelled", 2, cut_streams=True, by="ann", reason="wrong input")
WORDS = {
    "paused": (403, "TASK_PAUSED", "resumed"),
    "cancelled": (403, "TASK_CANCELLED", "no more calls"),
    "budget_exceeded": (429, "BUDGET_EXCEEDED", "own budget"),
}


def headers(task="t-1"):
    named = [("remora-task", task)] if task else []
    return [("Host", HOST), ("Content-Type", "application/json"), *named]


async def send(agent, task, body=BODY):
    length = ("Content-Length", str(len(body)))
    await agent.send("POST", PATH, [*headers(task), length], body)


async def ask(carrying, task="t-1"):
    agent = await carrying.agent()
    return await agent.ask("POST", PATH, headers(task), BODY)


@pytest.mark.parametrize("control", WORDS)
async def test_calls_of_a_held_task_are_refused_and_recorded(carrying, control):
    carrying.sidecar.parts.task_gate.take(TaskHold("t-1", control, 1, by="ann", reason="audit"))
    answer = await ask(carrying)
    record = await carrying.record()

    status, code, words = WORDS[control]
    said = json.loads(answer.body)
    assert (answer.status, said["error"]["code"]) == (status, code)
    assert answer.header("x-should-retry") == "false"
    for part in ("'t-1'", "by ann", "(audit)", words):
        assert part in said["error"]["message"]
    assert carrying.double.requests == []
    assert (record.end_reason, record.error.type) == (EndReason.REFUSED, code)
    assert record.receipt.refused_by == code
    assert record.attribution.task_id == "t-1"


@pytest.mark.parametrize("task", ["", "t-2"], ids=["no task", "another"])
async def test_other_calls_go_on(carrying, task):
    carrying.double.route("POST", PATH, GOOD)
    carrying.sidecar.parts.task_gate.take(TaskHold("t-1", "paused", 1))

    assert (await ask(carrying, task)).status == 200


async def test_a_resumed_task_goes_on(carrying):
    carrying.double.route("POST", PATH, GOOD)
    gate = carrying.sidecar.parts.task_gate
    gate.take(TaskHold("t-1", "paused", 1))
    assert (await ask(carrying)).status == 403
    gate.take(TaskHold("t-1", "open", 2))

    assert (await ask(carrying)).status == 200


async def test_what_the_cache_could_answer_is_refused_too(ruled):
    async with ruled({"cache": {"mode": "readwrite"}}) as carrying:
        body = json.dumps({"model": "gpt-4o", "temperature": 0, "messages": []}).encode()
        carrying.double.route("POST", PATH, GOOD)
        statuses = []
        for control in ("open", "paused"):
            carrying.sidecar.parts.task_gate.take(TaskHold("t-1", control, len(statuses)))
            agent = await carrying.agent()
            statuses.append((await agent.ask("POST", PATH, headers(), body)).status)

    assert statuses == [200, 403]


async def begun_stream(carrying, task="t-1"):
    """Begin a stream that would never end, and read its first event."""
    fault = Fault(FaultKind.STALL, len(EVENT))
    stream = (("Content-Type", "text/event-stream"),)
    carrying.double.script(
        Answer(headers=stream, body=EVENT * 9, framing=Framing.CHUNKED, fault=fault)
    )
    agent = await carrying.agent()
    await send(agent, task)
    pieces = agent.pieces(await agent.head())
    assert await anext(pieces) == EVENT
    return agent, pieces


async def test_a_stream_in_flight_is_cut_where_cancel_says_so(carrying):
    _, pieces = await begun_stream(carrying)
    carrying.sidecar.parts.task_gate.take(CANCELLED)
    with pytest.raises(CutError):
        await anext(pieces)
    record = await carrying.record()

    assert record.end_reason is EndReason.STOPPED
    assert record.error.type == "TASK_CANCELLED"
    assert record.response_bytes == len(EVENT)
    await carrying.until(lambda: carrying.double.aborted)


async def test_a_call_whose_answer_has_not_begun_is_told_why(carrying):
    carrying.double.script(Answer(fault=Fault(FaultKind.STALL)))
    agent = await carrying.agent()
    await send(agent, "t-1")
    await carrying.until(lambda: carrying.double.requests)
    carrying.sidecar.parts.task_gate.take(CANCELLED)
    answer = await agent.answer()
    record = await carrying.record()

    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (403, "TASK_CANCELLED")
    assert (record.end_reason, record.receipt.refused_by) == (EndReason.REFUSED, "TASK_CANCELLED")
    await carrying.until(lambda: carrying.double.aborted)


@pytest.mark.parametrize(
    "hold",
    [
        CANCELLED._replace(cut_streams=False),
        CANCELLED._replace(control="paused"),
        CANCELLED._replace(task_id="t-2"),
    ],
    ids=["not asked", "paused", "another task"],
)
async def test_other_streams_go_on(carrying, hold):
    agent, _ = await begun_stream(carrying)
    carrying.sidecar.parts.task_gate.take(hold)
    await asyncio.sleep(0)
    assert carrying.double.aborted == []

    agent.abort()
    record = await carrying.record()
    assert record.end_reason is EndReason.CLIENT_GONE


async def test_a_shared_answer_is_cut_for_the_task_that_was_cancelled_alone(ruled):
    async with ruled({"cache": {"mode": "readwrite"}}) as carrying:
        body = json.dumps({"model": "gpt-4o", "temperature": 0, "messages": [], "stream": True})
        fault = Fault(FaultKind.STALL, len(EVENT))
        stream = (("Content-Type", "text/event-stream"),)
        carrying.double.script(
            Answer(headers=stream, body=EVENT * 9, framing=Framing.CHUNKED, fault=fault)
        )
        reads = []
        for task in ("t-1", "t-2"):
            agent = await carrying.agent()
            await send(agent, task, body.encode())
            pieces = agent.pieces(await agent.head())
            assert await anext(pieces) == EVENT
            reads.append((agent, pieces))
        carrying.sidecar.parts.task_gate.take(CANCELLED)
        with pytest.raises(CutError):
            await anext(reads[0][1])
        assert len(carrying.double.requests) == 1
        assert carrying.double.aborted == []

        reads[1][0].abort()
        await carrying.until(lambda: carrying.double.aborted)
        records = await carrying.records(2)
        [led] = [record for record in records if record.attribution.task_id == "t-1"]
        assert "the call was cut, since its task was cancelled" in led.notes


async def test_the_connection_serves_other_tasks_after_a_refusal(carrying):
    carrying.double.route("POST", PATH, GOOD)
    carrying.sidecar.parts.task_gate.take(TaskHold("t-1", "paused", 1))
    agent = await carrying.agent()
    statuses = [(await agent.ask("POST", PATH, headers(task), BODY)).status for task in ("t-1", "")]

    assert statuses == [403, 200]


def refused(gate, task_id="t"):
    return gate.refusal(task_id) is not None


@pytest.mark.parametrize(
    ("holds", "is_refused"),
    [
        ([("paused", 1), ("open", 2)], False),
        ([("open", 2), ("paused", 1)], False),
        ([("paused", 2), ("open", 1)], True),
        ([("paused", 2), ("paused", 2)], True),
        ([("open", 1), ("cancelled", 2)], True),
    ],
    ids=["resumed", "overtaken pause", "overtaken resume", "twice", "cancelled"],
)
def test_what_is_newest_counts_in_whatever_order_it_comes(holds, is_refused):
    gate = TaskGate()
    for control, revision in holds:
        gate.take(TaskHold("t", control, revision))

    assert refused(gate) is is_refused


def test_the_words_of_a_hold_are_taken_though_it_is_known_already():
    gate = TaskGate()
    gate.take(TaskHold("t-1", "cancelled", 2))  # as a grant says it
    gate.take(CANCELLED)
    gate.take(TaskHold("t-1", "cancelled", 2))

    assert "wrong input" in gate.refusal("t-1").message


def test_what_all_is_said_at_once_replaces_what_was_known():
    gate = TaskGate()
    gate.take(TaskHold("old", "paused", 1))
    gate.take_all({"new": TaskHold("new", "paused", 5)})
    assert (refused(gate, "old"), refused(gate, "new")) == (False, True)

    gate.take_all({})
    assert not refused(gate, "new")


def test_a_gate_remembers_a_bounded_number_of_tasks_the_newest():
    gate = TaskGate()
    for number in range(MAX_TASKS + 5):
        gate.take(TaskHold(f"t-{number}", "paused", 1))

    assert [refused(gate, f"t-{number}") for number in (4, 5, MAX_TASKS + 4)] == [False, True, True]
