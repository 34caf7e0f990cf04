"""A sidecar that stops in the middle of a run, and another that goes on with it."""

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
from tests.sidecar.engine.conftest import until
from tests.sidecar.workflow_runs.conftest import Provider, Serve, Serving
from tests.sidecar.workflow_runs.test_running import PLAN_AND_DO

BODY = {"workflow": PLAN_AND_DO, "input": {"goal": "tea"}, "idempotency_key": "k"}


def is_second(asked: Any) -> bool:
    return asked["messages"][-1]["content"].startswith("Do this")


async def begun(served: Serving, count: int) -> str:
    """Order the run, and wait until the provider was asked so often; gives its id."""
    reply = await served.ask("POST", "/v1/workflows/execute", {**BODY, "wait": False})
    assert reply.json["status"] == "running"
    await served.double.until(lambda: len(served.double.requests) == count, 30)
    return reply.json["execution_id"]


async def test_a_call_that_is_cut_by_the_stop_is_billed_and_asked_again(serve: Serve) -> None:
    async with serve(Provider(held=is_second), settings={"drain_s": 0.05}) as first:
        execution_id = await begun(first, 2)
    async with serve() as second:
        result = (await second.ask("POST", "/v1/workflows/execute", BODY)).json
        assert len(second.double.requests) == 1
        spooled = [r for r in await second.records(3) if r.attribution.trace_id in execution_id]
    assert result["execution_id"] == execution_id
    assert result["status"] == "completed"
    assert [[c["status"] for c in step["calls"]] for step in result["steps"]] == [
        ["ok"],
        ["abandoned", "ok"],
    ]
    receipts = [one for step in result["steps"] for one in step["receipt_ids"]]
    assert sorted(receipts) == sorted(record.call_id for record in spooled)
    known = [record.cost.total_usd for record in spooled if record.cost is not None]
    assert Decimal(result["known_cost_usd"]) == sum(known)


async def test_calls_in_flight_end_while_the_sidecar_waits_and_nothing_is_paid_twice(
    serve: Serve,
) -> None:
    provider = Provider(held=lambda asked: not is_second(asked))
    async with serve(provider, settings={"drain_s": 20.0}) as first:
        execution_id = await begun(first, 1)
        asyncio.get_running_loop().call_later(0.05, provider.gate.set)
    async with serve() as second:
        result = (await second.ask("POST", "/v1/workflows/execute", BODY)).json
        assert [is_second(asked) for asked in second.asked] == [True]
    assert result["execution_id"] == execution_id
    assert [len(step["receipt_ids"]) for step in result["steps"]] == [1, 1]
    assert result["unpriced_calls"] == 0
    assert result["outputs"] == {"answer": "about Do this: about Make a plan for tea."}
    assert result["total_cost_usd"] is not None


async def test_a_run_that_was_paused_stays_so_until_it_is_resumed(serve: Serve) -> None:
    async with serve(Provider(held=lambda asked: True)) as first:
        execution_id = await begun(first, 1)
        path = f"/v1/executions/{execution_id}"
        assert (await first.ask("POST", f"{path}/pause")).json["status"] == "paused"
    async with serve() as second:
        assert (await second.ask("GET", path)).json["status"] == "paused"
        assert (await second.ask("POST", f"{path}/resume")).json["status"] == "running"
        result = (await second.ask("POST", "/v1/workflows/execute", BODY)).json
    assert result["status"] == "completed"


async def test_events_go_on_after_a_restart_and_say_again_what_was_over(serve: Serve) -> None:
    async with serve(Provider(held=is_second)) as first:
        execution_id = await begun(first, 2)
    async with serve() as second:
        path = f"/v1/executions/{execution_id}/events"
        reply = await second.ask("GET", path, Last_Event_ID="1-3")
        types = [(event["type"], event.get("step_id")) for event in reply.events]
    assert types == [
        ("started", None),
        ("step_completed", "plan"),
        ("step_started", "do"),
        ("step_completed", "do"),
        ("final", None),
    ]


async def test_who_followed_a_run_that_ended_meanwhile_still_hears_its_end(serve: Serve) -> None:
    async with serve() as first:
        result = (await first.ask("POST", "/v1/workflows/execute", BODY)).json
    path = f"/v1/executions/{result['execution_id']}/events"
    async with serve() as second:
        for after in ("1-2", "1-5", "1-6", "0-1"):
            reply = await second.ask("GET", path, Last_Event_ID=after)
            assert reply.events[-1] == {
                "type": "final",
                "latency_ms": result["total_latency_ms"],
                "cost_usd": result["total_cost_usd"],
                "result": result,
            }, after
        assert not second.double.requests


async def test_clients_that_wait_are_told_that_the_sidecar_stops(serve: Serve) -> None:
    provider = Provider(held=is_second)
    async with aiohttp.ClientSession() as client:
        async with serve(provider, settings={"drain_s": 0.05}) as first:
            root = f"{first.root}/v1/workflows"
            waiting = asyncio.ensure_future(client.post(f"{root}/execute", json=BODY))
            await first.double.until(lambda: len(first.double.requests) == 2, 30)
            streaming = await client.post(f"{root}/stream", json=BODY)
            (known,) = first.sidecar.workflows.of_session("default")
            await until(lambda: known.feed.followers == 2)
        refused, told = await waiting, await streaming.text()
        why = await refused.json()
    assert (refused.status, why["remora"]["code"]) == (503, "STOPPING")
    assert known.ordered.execution_id in why["error"]["message"]
    assert "event: started" in told
    assert "event: final" not in told
