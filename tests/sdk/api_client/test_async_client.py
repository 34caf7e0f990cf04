"""`AsyncClient`: the same calls, without blocking the loop, ended at once by a cancellation."""

import asyncio
import threading
from decimal import Decimal

import pytest
from tests.sdk.api_client.scripted_sidecar import (
    FINAL,
    RESULT,
    STARTED,
    Events,
    Reply,
    done,
    refusal,
)

from remora import AsyncClient, BudgetExceededError
from remora.errors import ConfigError, RemoraError

STREAM = "POST /workflows/stream"
CANCEL = "POST /executions/exec_1/cancel"
MESSAGES = [{"role": "user", "content": "Say hello."}]
CHUNKS = [{"choices": [{"delta": {"content": word}}]} for word in ("hel", "lo")]


@pytest.fixture
async def client(scripted):
    async with AsyncClient(api_key="kr-x", base_url=scripted.url) as client:
        yield client


async def test_calls_are_awaited(scripted, client):
    for call in ("POST /chat/completions", "POST /completions", "POST /embeddings"):
        scripted.answer(call, Reply({"at": call}))
    assert (await client.chat.completions.create(messages=MESSAGES))["at"].endswith(
        "chat/completions"
    )
    assert (await client.completions.create(prompt="x"))["at"] == "POST /completions"
    assert (await client.embeddings.create(input="x"))["at"] == "POST /embeddings"
    scripted.answer("GET /models", Reply({"data": []}))
    scripted.answer("GET /models/x", Reply({"id": "x"}))
    scripted.answer("GET /capabilities", Reply({"capabilities": {}}))
    scripted.answer("POST /capabilities", Reply({"capabilities": {"vision": {}}}))
    assert await client.models.list() == {"data": []}
    assert await client.models.retrieve("x") == {"id": "x"}
    assert await client.capabilities.get() == {"capabilities": {}}
    assert (await client.capabilities.set({"vision": {}}))["capabilities"] == {"vision": {}}


async def test_chunks_come_as_they_are_sent(scripted, client):
    scripted.answer("POST /chat/completions", Events(CHUNKS, then="hang"))
    chunks = await client.chat.completions.create(messages=MESSAGES, stream=True)
    assert [await anext(chunks), await anext(chunks)] == CHUNKS
    await chunks.aclose()
    assert await asyncio.to_thread(scripted.left.wait, 30)


async def test_a_stream_that_is_refused_raises_before_its_first_chunk(scripted, client):
    scripted.answer("POST /chat/completions", refusal(429, "BUDGET_EXCEEDED"))
    with pytest.raises(BudgetExceededError):
        await client.chat.completions.create(messages=MESSAGES, stream=True)


async def test_a_run_is_awaited(scripted, client):
    scripted.answer(STREAM, Events([STARTED, done(), FINAL]))
    result = await client.workflows.execute("research", {"goal": "tea"})
    assert result["total_cost_usd"] == Decimal("0.0125")


async def test_events_are_iterated_over(scripted, client):
    scripted.answer(STREAM, Events([STARTED, done(), FINAL]))
    kinds = [event["type"] async for event in client.workflows.stream("research")]
    assert kinds == ["started", "step_completed", "final"]


async def test_the_loop_goes_on_while_a_run_does(scripted, client):
    scripted.answer(STREAM, Events([STARTED], then="hang"))
    runs = [asyncio.ensure_future(client.workflows.execute("research")) for _ in range(40)]
    scripted.answer("GET /models", Reply({"data": []}))
    scripted.answer(CANCEL, Reply(RESULT))
    assert await client.models.list() == {"data": []}
    for run in runs:
        run.cancel()
    ended = await asyncio.gather(*runs, return_exceptions=True)
    assert all(isinstance(error, asyncio.CancelledError) for error in ended)


async def test_a_cancelled_wait_ends_at_once_and_cancels_the_run(scripted, client):
    scripted.answer(STREAM, Events([STARTED], then="hang"))
    scripted.answer(CANCEL, Reply(RESULT))
    run = asyncio.ensure_future(client.workflows.execute("research"))
    await asyncio.to_thread(scripted.wait_until_hanging)
    await asyncio.to_thread(scripted.wait_for, STREAM)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (await asyncio.to_thread(scripted.wait_for, CANCEL)).body == {"reason": "interrupted"}
    assert await asyncio.to_thread(scripted.left.wait, 30)


async def test_a_stream_that_is_left_lets_the_run_go_on(scripted, client):
    scripted.answer(STREAM, Events([STARTED, done()], then="hang"))
    async for event in client.workflows.stream("research"):
        assert event["type"] == "started"
        break
    assert await asyncio.to_thread(scripted.left.wait, 30)
    assert scripted.calls() == [STREAM]


async def test_problems_are_raised_as_the_blocking_client_does(scripted, client):
    problems = [{"where": "steps[0]", "what": "a circle"}]
    scripted.answer(STREAM, refusal(400, "INVALID_WORKFLOW", problems=problems))
    with pytest.raises(ConfigError, match="a circle"):
        await client.workflows.execute({"name": "x"})
    with pytest.raises(ConfigError, match="a circle"):
        await anext(client.workflows.stream({"name": "x"}))


async def test_workflows_and_runs_are_looked_at_and_steered(scripted, client):
    scripted.answer("GET /workflows", Reply({"workflows": [{"name": "research"}]}))
    scripted.answer("GET /workflows/research", Reply({"name": "research"}))
    scripted.answer("GET /executions", Reply({"executions": []}))
    scripted.answer("GET /executions/exec_1", Reply(RESULT))
    scripted.answer("GET /executions/exec_1/events", Events([STARTED, FINAL]))
    for what in ("cancel", "pause", "resume"):
        scripted.answer(f"POST /executions/exec_1/{what}", Reply({"did": what}))
    assert await client.workflows.list() == [{"name": "research"}]
    assert await client.workflows.get("research") == {"name": "research"}
    assert await client.executions.list() == []
    assert (await client.executions.get("exec_1"))["status"] == "completed"
    assert [event["type"] async for event in client.executions.stream("exec_1")][-1] == "final"
    assert await client.executions.cancel("exec_1") == {"did": "cancel"}
    assert await client.executions.pause("exec_1") == {"did": "pause"}
    assert await client.executions.resume("exec_1") == {"did": "resume"}


async def test_a_closed_client_ends_what_goes_on(scripted):
    client = AsyncClient(base_url=scripted.url)
    scripted.answer(STREAM, Events([STARTED], then="hang"))
    events = client.workflows.stream("research")
    assert (await anext(events))["type"] == "started"
    await client.close()
    with pytest.raises(RemoraError):
        await anext(events)
    with pytest.raises(RemoraError):
        await client.models.list()


async def test_threads_end_with_their_calls(scripted, client):
    scripted.answer("GET /models", Reply({"data": []}))
    scripted.answer(STREAM, Events([STARTED, FINAL]))
    await client.models.list()
    assert [event["type"] async for event in client.workflows.stream("x")] == ["started", "final"]

    def ours() -> list[threading.Thread]:
        return [
            one for one in threading.enumerate() if one.name in ("remora-call", "remora-stream")
        ]

    async with asyncio.timeout(30):
        for thread in ours():
            await asyncio.to_thread(thread.join, 30)
    assert ours() == []
