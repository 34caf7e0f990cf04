"""Tasks over the control listener of a sidecar that has no aggregator."""

import asyncio
import json
from decimal import Decimal

import aiohttp
import pytest
from tests.sidecar.tasks.conftest import CHAT, LIMIT_S

from remora.testing.double_answer import Answer, Fault, FaultKind, Framing

EVENT = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
ENDLESS = Answer(
    headers=(("Content-Type", "text/event-stream"),),
    body=EVENT * 9,
    framing=Framing.CHUNKED,
    fault=Fault(FaultKind.STALL, len(EVENT)),
)


async def test_calls_make_their_task_known_and_add_up(beside):
    for _ in range(3):
        assert (await beside.chat())[0] == 200
    task = (await beside.task("t-1"))["task"]
    records = await beside.records()

    assert task["status"] == "running"
    assert task["namespace"] == "local"
    assert (task["calls"], task["errors"], task["unpriced_calls"]) == (3, 0, 0)
    assert Decimal(task["total_cost_usd"]) == sum(one.cost.total_usd for one in records) > 0
    used = [(one.usage.input_tokens, one.usage.output_tokens) for one in records]
    assert (task["input_tokens"], task["output_tokens"]) == tuple(map(sum, zip(*used, strict=True)))
    assert task["total_latency_ms"] >= 0
    assert task["budget"] is None


async def test_receipts_are_given_where_they_are_asked_for(beside):
    await beside.chat()
    await beside.chat(messages=[{"role": "user", "content": "[[error:429]]"}])
    plain, whole = await beside.task("t-1"), await beside.task("t-1", include_receipts="true")
    records = await beside.records()

    assert plain["receipts"] == []
    assert [one["receipt_id"] for one in whole["receipts"]] == [one.call_id for one in records]
    first, second = whole["receipts"]
    assert first["decision"]["model_id"] == "gpt-4o-mini"
    assert first["decision"]["provider"] == "openai"
    assert Decimal(first["execution"]["actual_cost_usd"]) == records[0].cost.total_usd
    assert [one["execution"]["status"] for one in whole["receipts"]] == ["success", "error"]
    assert second["execution"]["actual_cost_usd"] == "0"
    assert whole["next_cursor"] is None


async def test_receipts_come_a_page_at_a_time(beside):
    for _ in range(5):
        await beside.chat()
    found, cursor = [], ""
    while cursor is not None:
        page = await beside.task("t-1", include_receipts="true", limit=2, cursor=cursor)
        assert len(page["receipts"]) <= 2
        found += [one["call_id"] for one in page["receipts"]]
        cursor = page["next_cursor"]

    assert found == [one.call_id for one in await beside.records()]


async def test_tasks_are_listed_newest_first_a_page_at_a_time(beside):
    for number in range(5):
        await beside.ask("POST", "/tasks", {"task_id": f"t-{number}"})
    await beside.steer("t-2", "pause")
    found, cursor = [], ""
    while cursor is not None:
        _, page = await beside.ask("GET", f"/tasks?limit=2&cursor={cursor}")
        found += [one["task_id"] for one in page["tasks"]]
        cursor = page["next_cursor"]
    _, paused = await beside.ask("GET", "/tasks?state=paused,cancelled")

    assert found == ["t-4", "t-3", "t-2", "t-1", "t-0"]
    assert [one["task_id"] for one in paused["tasks"]] == ["t-2"]


async def test_a_paused_task_is_refused_until_it_is_resumed(beside):
    assert (await beside.chat())[0] == 200
    paused = await beside.steer("t-1", "pause", reason="somebody looks at it")
    status, answer = await beside.chat()
    resumed = await beside.steer("t-1", "resume")

    assert (paused["status"], paused["reason"]) == ("paused", "somebody looks at it")
    assert (status, answer["remora"]["code"]) == (403, "TASK_PAUSED")
    assert "somebody looks at it" in answer["error"]["message"]
    assert resumed["status"] == "running"
    assert (await beside.chat())[0] == 200
    task = (await beside.task("t-1"))["task"]
    assert (task["calls"], task["refused_calls"], task["errors"]) == (3, 1, 1)


async def test_a_cancelled_task_is_refused_for_good(beside):
    assert (await beside.steer("t-1", "cancel"))["status"] == "cancelled"
    status, answer = await beside.chat()
    assert (status, answer["remora"]["code"]) == (403, "TASK_CANCELLED")
    for what in ("pause", "resume"):
        status, answer = await beside.ask("POST", f"/tasks/t-1/{what}", {})
        assert (status, answer["error"]["code"]) == (409, "TASK_STATE")
    status, answer = await beside.ask("POST", "/tasks", {"task_id": "t-1"})
    assert (status, answer["error"]["code"]) == (409, "TASK_STATE")
    assert "use another id" in answer["error"]["message"]
    assert (await beside.steer("t-1", "cancel"))["status"] == "cancelled"


async def read_stream(beside, begun):
    """Read a stream that does not end by itself; say how it ended."""
    headers = {"remora-task": "t-1", "Authorization": "Bearer sk-agent"}
    body = {"model": "gpt-4o-mini", "messages": [], "stream": True}
    try:
        async with beside.client.post(f"{beside.root}{CHAT}", json=body, headers=headers) as answer:
            async for _ in answer.content.iter_any():
                begun.set()
    except aiohttp.ClientError:
        return "cut"
    return "ended"


async def test_cancel_cuts_streams_in_flight(beside):
    beside.double.script(ENDLESS)
    begun = asyncio.Event()
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        reading = group.create_task(read_stream(beside, begun))
        await begun.wait()
        await beside.steer("t-1", "cancel")

    assert reading.result() == "cut"
    await beside.until(lambda: beside.double.aborted)
    receipts = (await beside.task("t-1", include_receipts="1"))["receipts"]
    assert [one["execution"]["status"] for one in receipts] == ["cut"]


async def test_streams_go_on_where_cancel_does_not_say_to_cut_them(beside):
    beside.double.script(ENDLESS)
    begun = asyncio.Event()
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        reading = group.create_task(read_stream(beside, begun))
        await begun.wait()
        task = await beside.steer("t-1", "cancel", cut_streams=False)
        assert (await beside.chat())[0] == 403
        assert beside.double.aborted == []
        reading.cancel()

    assert task["status"] == "cancelled"


async def test_a_spent_budget_of_its_own_ends_a_task_until_it_is_raised(beside):
    created = {"task_id": "t-1", "title": "Survey", "budget": {"max_tokens": 1}}
    _, answer = await beside.ask("POST", "/tasks", created)
    assert answer["task"]["status"] == "pending"
    assert answer["task"]["budget"] == {"max_cost_usd": None, "max_tokens": 1}
    assert (await beside.chat())[0] == 200

    status, answer = await beside.chat()
    assert (status, answer["remora"]["code"]) == (429, "BUDGET_EXCEEDED")
    assert (await beside.task("t-1"))["task"]["status"] == "budget_exceeded"
    status, answer = await beside.ask("POST", "/tasks/t-1/resume", {})
    assert (status, answer["error"]["code"]) == (409, "TASK_STATE")

    raised = {"task_id": "t-1", "budget": {"max_cost_usd": 0.25}}
    _, answer = await beside.ask("POST", "/tasks", raised)
    assert answer["task"]["status"] == "running"
    assert answer["task"]["title"] == "Survey"
    assert answer["task"]["budget"] == {"max_cost_usd": "0.25", "max_tokens": None}
    assert (await beside.chat())[0] == 200


async def test_a_budget_of_money_holds_to_the_last_digit(beside):
    await beside.chat("first")
    cost = (await beside.task("first"))["task"]["total_cost_usd"]
    budget = {"max_cost_usd": str(Decimal(cost) * 2)}
    await beside.ask("POST", "/tasks", {"task_id": "t-1", "budget": budget})

    assert [(await beside.chat())[0] for _ in range(3)] == [200, 200, 429]
    assert (await beside.task("t-1"))["task"]["total_cost_usd"] == budget["max_cost_usd"]


@pytest.mark.parametrize("task_id", ["a/b", "with spaces ", "{{x}}", "%2F", "x" * 256])
async def test_any_id_can_be_asked_for(beside, task_id):
    _, answer = await beside.ask("POST", "/tasks", {"task_id": task_id})
    assert answer["task"]["task_id"] == task_id
    assert (await beside.task(task_id))["task"]["task_id"] == task_id
    assert (await beside.steer(task_id, "pause"))["status"] == "paused"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/tasks/nobodys", None, 404, "nobody called for it yet"),
        ("POST", "/tasks/nobodys/resume", {}, 404, "nobody called for it yet"),
        ("GET", "/tasks?state=asleep", None, 400, "pending, planning"),
        ("GET", "/tasks?limit=0", None, 400, "1 to 500"),
        ("GET", "/tasks?limit=many", None, 400, "1 to 500"),
        ("GET", "/tasks?cursor=x", None, 400, "cursor"),
        ("GET", "/tasks/t?include_receipts=maybe", None, 400, "include_receipts"),
        ("POST", "/tasks", {}, 400, "task_id"),
        ("POST", "/tasks", {"task_id": ""}, 400, "1 to 256"),
        ("POST", "/tasks", {"task_id": "x" * 257}, 400, "1 to 256"),
        ("POST", "/tasks", {"task_id": "a\nb"}, 400, "control characters"),
        ("POST", "/tasks", {"task_id": "t", "budget": {}}, 400, "names no limit"),
        ("POST", "/tasks", {"task_id": "t", "budget": {"max_tokens": 0}}, 400, "max_tokens"),
        ("POST", "/tasks", {"task_id": "t", "budget": {"max_cost_usd": -1}}, 400, "max_cost_usd"),
        ("POST", "/tasks", {"task_id": "t", "budget": {"max_usd": 1}}, 400, "max_usd"),
        ("POST", "/tasks/t/cancel", {"force": True}, 400, "force"),
        ("POST", "/tasks/t/pause", [], 400, "object"),
    ],
)  # fmt: skip
async def test_what_can_not_be_is_refused_with_the_reason(beside, method, path, body, status, says):
    got, answer = await beside.ask(method, path, body)

    assert got == status
    assert says in answer["error"]["message"]
    assert answer["error"]["code"] == answer["remora"]["code"]


async def test_what_is_empty_in_a_query_is_as_if_unsaid(beside):
    await beside.chat()
    _, page = await beside.ask("GET", "/tasks?state=&limit=&cursor=")
    task = await beside.task("t-1", include_receipts="", limit="", cursor="")

    assert [one["task_id"] for one in page["tasks"]] == ["t-1"]
    assert task["receipts"] == []


async def test_the_brokers_paths_are_served_too(beside):
    await beside.chat()
    beside.base = "/api/v1"

    assert (await beside.task("t-1"))["task"]["calls"] == 1


async def test_web_pages_may_not_steer_tasks(beside):
    status, answer = await beside.ask("POST", "/tasks/t-1/cancel", {}, Origin="https://evil.test")

    assert (status, answer["error"]["code"]) == (403, "FORBIDDEN")
    assert (await beside.ask("GET", "/tasks/t-1"))[0] == 404


async def test_no_text_of_a_call_is_told(beside):
    secret = "the-text-of-a-user"
    await beside.chat(messages=[{"role": "user", "content": secret}])
    answer = await beside.task("t-1", include_receipts="true")

    assert answer["receipts"]
    assert secret not in json.dumps(answer)
