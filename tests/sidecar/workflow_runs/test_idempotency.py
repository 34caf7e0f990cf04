"""One order made twice is one run; another one under its key is refused."""

import asyncio
from typing import Any

import pytest
from tests.sidecar.workflow_runs.conftest import Provider, Serve, Serving
from tests.sidecar.workflow_runs.test_running import PLAN_AND_DO

BODY = {"workflow": PLAN_AND_DO, "input": {"goal": "tea"}, "idempotency_key": "k"}
EXECUTE = "/v1/workflows/execute"


async def session(served: Serving) -> str:
    """Open a session; gives its id."""
    return (await served.ask("POST", "/v1/sessions", {})).json["session_id"]


async def test_the_same_order_at_the_same_time_is_one_run(served: Serving) -> None:
    replies = await asyncio.gather(*(served.ask("POST", EXECUTE, BODY) for _ in range(8)))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.text for reply in replies}) == 1
    assert len(served.double.requests) == 2


async def test_the_header_is_as_good_as_the_field(served: Serving) -> None:
    plain = {name: value for name, value in BODY.items() if name != "idempotency_key"}
    one = await served.ask("POST", EXECUTE, plain, Idempotency_Key="k")
    other = await served.ask("POST", EXECUTE, BODY)
    assert one.json == other.json
    assert len(served.double.requests) == 2


async def test_a_stream_under_the_key_tells_the_run_again(served: Serving) -> None:
    first = await served.ask("POST", "/v1/workflows/stream", BODY)
    second = await served.ask("POST", "/v1/workflows/stream", BODY)
    assert first.text == second.text
    assert len(served.double.requests) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"input": {"goal": "coffee"}},
        {"workflow": {**PLAN_AND_DO, "name": "other"}},
        {"budget": {"max_cost_usd": "3"}},
        {"task_id": "t"},
        {"task_budget": {"max_tokens": 90_000}},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_another_order_under_the_key_is_refused(served: Serving, changed: Any) -> None:
    await served.ask("POST", EXECUTE, BODY)
    reply = await served.ask("POST", EXECUTE, {**BODY, **changed})
    assert (reply.status, reply.json["error"]["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert len(served.double.requests) == 2


@pytest.mark.parametrize("changed", [{"wait": False}, {"on_disconnect": "cancel"}], ids=str)
async def test_how_a_client_waits_is_no_part_of_the_order(served: Serving, changed: Any) -> None:
    one = await served.ask("POST", EXECUTE, BODY)
    other = await served.ask("POST", EXECUTE, {**BODY, **changed})
    assert one.json == other.json


async def test_a_key_belongs_to_its_session(served: Serving) -> None:
    ids = [await session(served), await session(served)]
    replies = [
        await served.ask("POST", EXECUTE, BODY, Authorization=f"Bearer {one}") for one in ids
    ]
    assert len({reply.json["execution_id"] for reply in replies}) == 2
    for one, reply in zip(ids, replies, strict=True):
        listed = (await served.ask("GET", "/v1/executions", Authorization=f"Bearer {one}")).json
        assert [e["execution_id"] for e in listed["executions"]] == [reply.json["execution_id"]]


async def test_an_order_that_was_refused_leaves_its_key_free(served: Serving) -> None:
    wrong = {**BODY, "workflow": {"name": "wrong", "steps": [{"id": "a", "prompt": "{{no}}"}]}}
    assert (await served.ask("POST", EXECUTE, wrong)).status == 400
    assert (await served.ask("POST", EXECUTE, BODY)).json["status"] == "completed"


async def test_orders_under_other_keys_do_not_wait_for_each_other(serve: Serve) -> None:
    async with serve(Provider(held=lambda asked: True)) as served:
        bodies = [{**BODY, "idempotency_key": f"k{n}"} for n in range(3)]
        waiting = [asyncio.ensure_future(served.ask("POST", EXECUTE, body)) for body in bodies]
        await served.double.until(lambda: len(served.double.requests) == 3, 30)
        served.provider.gate.set()
        done = await asyncio.gather(*waiting)
    assert len({reply.json["execution_id"] for reply in done}) == 3
