"""`remora.tasks`: what it asks its sidecar, and what it makes of the answers."""

from decimal import Decimal

import pytest
from tests.sdk.api_client.conftest import *  # noqa: F403 - its fixtures
from tests.sdk.api_client.scripted_sidecar import Reply, refusal

from remora import ApiError, tasks
from remora.tasks import process

TASK = {
    "task_id": "t/1", "status": "running", "calls": 2, "total_cost_usd": "0.0125",
    "budget": {"max_cost_usd": "0.50", "max_tokens": None},
}  # fmt: skip
READ = {
    **TASK,
    "total_cost_usd": Decimal("0.0125"),
    "budget": {"max_cost_usd": Decimal("0.50"), "max_tokens": None},
}
RECEIPT = {
    "receipt_id": "r",
    "decision": {"model_id": "gpt-4o"},
    "candidates": [{"est_cost_usd": "0.001"}],
    "execution": {"status": "success", "actual_cost_usd": "0.002"},
}


@pytest.fixture
def sidecar(scripted, monkeypatch):
    monkeypatch.setenv("REMORA_GATEWAY_URL", scripted.root)
    process.own_client._calls.whereabouts.forget()
    process.own_async_client._calls.whereabouts.forget()
    return scripted


def test_a_task_is_shown_with_exact_money(sidecar):
    sidecar.answer("GET /tasks/t%2F1", Reply({"task": TASK}))
    assert tasks.get("t/1") == {"task": READ, "receipts": []}
    assert sidecar.last().query == {}


def test_receipts_come_from_all_pages(sidecar):
    pages = [
        Reply({"task": TASK, "receipts": [{**RECEIPT, "receipt_id": n}], "next_cursor": cursor})
        for n, cursor in (("1", "c1"), ("2", "c2"), ("3", None))
    ]
    sidecar.answer("GET /tasks/t%2F1", *pages)
    snapshot = tasks.get("t/1", include_receipts=True)
    assert [receipt["receipt_id"] for receipt in snapshot["receipts"]] == ["1", "2", "3"]
    first = snapshot["receipts"][0]
    assert first["decision"]["model_id"] == "gpt-4o"
    assert first["execution"]["actual_cost_usd"] == Decimal("0.002")
    assert first["candidates"][0]["est_cost_usd"] == Decimal("0.001")
    queries = [seen.query for seen in sidecar.seen]
    assert queries[0] == {"include_receipts": "true"}
    assert queries[2] == {"include_receipts": "true", "cursor": "c2"}


def test_no_more_pages_are_asked_for_than_are_wanted(sidecar):
    page = Reply({"task": TASK, "receipts": [RECEIPT] * 3, "next_cursor": "c"})
    sidecar.answer("GET /tasks/t%2F1", page)
    assert len(tasks.get("t/1", include_receipts=True, limit=4)["receipts"]) == 4
    assert len(sidecar.seen) == 2


def test_tasks_are_listed_page_by_page(sidecar):
    sidecar.answer(
        "GET /tasks",
        Reply({"tasks": [TASK], "next_cursor": "c"}),
        Reply({"tasks": [TASK], "next_cursor": None}),
    )
    assert tasks.list("running") == [READ, READ]
    assert [seen.query for seen in sidecar.seen] == [
        {"state": "running"},
        {"state": "running", "cursor": "c"},
    ]


@pytest.mark.parametrize(
    ("act", "call", "body"),
    [
        (lambda: tasks.cancel("t/1"), "cancel", {"cut_streams": True}),
        (
            lambda: tasks.cancel("t/1", "enough", cut_streams=False),
            "cancel",
            {"cut_streams": False, "reason": "enough"},
        ),
        (lambda: tasks.pause("t/1", "lunch"), "pause", {"reason": "lunch"}),
        (lambda: tasks.resume("t/1"), "resume", {}),
    ],
    ids=["cancel", "cancel-softly", "pause", "resume"],
)
def test_a_task_is_steered(sidecar, act, call, body):
    sidecar.answer(f"POST /tasks/t%2F1/{call}", Reply({"task": TASK}))
    assert act() == {"task": READ}
    assert sidecar.last().body == body


def test_a_task_is_made_known_with_its_budget(sidecar):
    sidecar.answer("POST /tasks", Reply({"task": TASK}))
    assert tasks.create("t/1", "Tea", {"max_cost_usd": Decimal("0.5")}) == {"task": READ}
    assert sidecar.last().body == {
        "task_id": "t/1",
        "title": "Tea",
        "budget": {"max_cost_usd": "0.5"},
    }


def test_an_unknown_task_is_an_error(sidecar):
    sidecar.answer("GET /tasks/x", refusal(404, "UNKNOWN_TASK", "there is no such task"))
    with pytest.raises(ApiError, match="there is no such task") as caught:
        tasks.get("x")
    assert caught.value.status_code == 404


async def test_each_call_has_a_twin_that_is_awaited(sidecar):
    sidecar.answer("GET /tasks/t", Reply({"task": TASK}))
    sidecar.answer("GET /tasks", Reply({"tasks": [TASK], "next_cursor": None}))
    sidecar.answer("POST /tasks", Reply({"task": TASK}))
    for what in ("cancel", "pause", "resume"):
        sidecar.answer(f"POST /tasks/t/{what}", Reply({"task": TASK, "did": what}))
    assert await tasks.get_async("t") == {"task": READ, "receipts": []}
    assert await tasks.list_async() == [READ]
    assert await tasks.create_async("t") == {"task": READ}
    assert (await tasks.cancel_async("t"))["did"] == "cancel"
    assert (await tasks.pause_async("t"))["did"] == "pause"
    assert (await tasks.resume_async("t"))["did"] == "resume"
