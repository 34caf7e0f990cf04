"""Executions of workflows over HTTP: pages of them, and one with its steps."""

import pytest
from tests.aggregator.store.executions import FOREIGNER, SENDER, report, step
from tests.aggregator.web.conftest import STARTED_NS

from remora_aggregator.store.execution_tables import Sender
from remora_aggregator.web.app import OPERATIONS
from remora_proto.v1 import workflows_pb2 as pb

READER = {"Authorization": "Bearer reader-token-0123456789"}
WIDE = {"Authorization": "Bearer wide-token-01234567890"}
LOCAL = Sender("local", "p", "p", "agent-1", "agents")
COMPLETED, FAILED = pb.EXECUTION_STATUS_COMPLETED, pb.EXECUTION_STATUS_FAILED


def begun(number, **fields):
    return report(number, began_unix_nano=STARTED_NS + number * 10**9, **fields)


async def tell(api, *reports, sender=LOCAL):
    await api.http.front.executions.take(reports, sender)


def test_what_is_asked_is_named_once():
    names = [one.name for one in OPERATIONS]
    assert len(names) == len(set(names))


async def test_an_execution_is_shown_with_its_steps(api):
    first = step(
        "gather", pb.STEP_STATUS_COMPLETED, tier="fast", strategy="single", provider="openai",
        model="gpt-4o-mini", latency_ms=800, tokens=30, receipt_ids=["c" * 32],
    )  # fmt: skip
    first.known_cost_usd = "0.0001"
    second = step(
        "cite", pb.STEP_STATUS_FAILED, depends_on=["gather"], unpriced_calls=1,
        error_code="NO_MODEL", open_calls=1, note="mended once", more_receipts=2,
    )  # fmt: skip
    told = begun(
        1, revision=4, status=FAILED, owns_task=True, steps=[first, second], unpriced_calls=1,
        tokens=30, latency_ms=900, ended_unix_nano=STARTED_NS + 2 * 10**9, error_code="NO_MODEL",
        failed_step="cite", downgraded=["workflow"], session_id="s", trace_id="ab" * 16,
        budget=pb.ExecutionBudget(max_cost_usd="0.25", on_exceed="downgrade"),
    )  # fmt: skip
    told.known_cost_usd = told.estimate_most_usd = "0.0001"
    await tell(api, told)
    shown = (await api.get("/v1/executions/local/e-1")).json
    received = shown.pop("received_at")
    assert received.endswith("Z")
    assert shown == {
        "namespace": "local", "execution_id": "e-1", "task_id": "t-1", "owns_task": True,
        "workflow": "research", "workflow_digest": None, "revision": 4, "status": "failed",
        "began_at": "2025-10-09T08:53:21.000000Z", "ended_at": "2025-10-09T08:53:22.000000Z",
        "budget": {
            "max_cost_usd": "0.25", "max_tokens": None, "max_latency_ms": None,
            "on_exceed": "downgrade",
        },
        "total_cost_usd": None, "known_cost_usd": "0.0001", "unpriced_calls": 1,
        "total_tokens": 30, "total_latency_ms": 900, "estimate_most_usd": "0.0001",
        "error": {"code": "NO_MODEL", "step_id": "cite"}, "downgraded": ["workflow"],
        "session_id": "s", "agent_id": None, "trace_id": "ab" * 16, "pod_uid": "p",
        "pod_name": "agent-1", "workload": "agents",
        "step_counts": {"steps": 2, "ended": 2, "failed": 1, "running": 0},
        "steps": [
            {
                "step_id": "gather", "status": "completed", "depends_on": [],
                "strategy": "single", "tier": "fast", "provider": "openai",
                "model_id": "gpt-4o-mini", "latency_ms": 800, "cost_usd": "0.0001",
                "known_cost_usd": "0.0001", "unpriced_calls": 0, "tokens": 30,
                "receipt_ids": ["c" * 32], "more_receipts": 0, "open_calls": 0,
                "error_code": None, "note": None,
            },
            {
                "step_id": "cite", "status": "failed", "depends_on": ["gather"],
                "strategy": None, "tier": None, "provider": None, "model_id": None,
                "latency_ms": 0, "cost_usd": None, "known_cost_usd": "0", "unpriced_calls": 1,
                "tokens": 0, "receipt_ids": [], "more_receipts": 2, "open_calls": 1,
                "error_code": "NO_MODEL", "note": "mended once",
            },
        ],
    }  # fmt: skip


async def test_one_that_goes_on_has_no_end(api):
    await tell(api, begun(1))
    shown = (await api.get("/v1/executions/local/e-1")).json
    assert (shown["status"], shown["ended_at"], shown["error"]) == ("running", None, None)
    assert (shown["total_cost_usd"], shown["estimate_most_usd"]) == ("0", None)


async def test_pages_of_executions_follow_each_other(api):
    await tell(api, *map(begun, range(1, 6)))
    found, cursor = [], ""
    while cursor is not None:
        page = (await api.get("/v1/executions", params={"limit": 2, "cursor": cursor})).json
        found += [one["execution_id"] for one in page["executions"]]
        assert all("steps" not in one for one in page["executions"])
        cursor = page["next"]
    assert found == ["e-5", "e-4", "e-3", "e-2", "e-1"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=failed", {"e-2"}),
        ("status=failed,completed", {"e-2", "e-3"}),
        ("status=failed&status=running", {"e-1", "e-2"}),
        ("workflow=write", {"e-3"}),
        ("task_id=t-1", {"e-1"}),
        ("session_id=s", {"e-2"}),
        ("agent_id=planner", {"e-3"}),
        ("since=2025-10-09T08:53:22Z", {"e-2", "e-3"}),
        ("namespace=local&workflow=research", {"e-1", "e-2"}),
    ],
)
async def test_executions_are_filtered(api, query, found):
    await tell(
        api,
        begun(1),
        begun(2, status=FAILED, session_id="s"),
        begun(3, status=COMPLETED, workflow="write", agent_id="planner"),
    )
    answer = await api.get(f"/v1/executions?{query}")
    assert {one["execution_id"] for one in answer.json["executions"]} == found


@pytest.mark.parametrize(
    ("path", "status", "where"),
    [
        ("/v1/executions?status=sleeping", 400, "status.0"),
        ("/v1/executions?cursor=t1", 400, "cursor"),
        ("/v1/executions?limit=501", 400, "limit"),
        ("/v1/executions?since=whenever", 400, "since"),
        ("/v1/executions?namespace=other", 403, "namespace"),
        ("/v1/executions?colour=red", 400, "colour"),
        ("/v1/executions/local/a%2Fb", 400, "execution_id"),
        ("/v1/executions/other/e-1", 403, "namespace"),
        ("/v1/executions/watch?execution_id=%20", 400, "execution_id"),
    ],
)
async def test_what_makes_no_sense_is_refused(api, path, status, where):
    answer = await api.get(path)
    assert (answer.status, answer.json["where"]) == (status, where)


async def test_one_that_nobody_reported_is_not_found(api):
    answer = await api.get("/v1/executions/local/e-9")
    assert answer.status == 404
    assert "nobody reported it" in answer.json["detail"]


async def test_namespaces_see_their_own(open_api, token_file):
    async with open_api(token_file=token_file) as api:
        await tell(api, begun(1), sender=SENDER)
        await tell(api, begun(1), begun(2), sender=FOREIGNER)
        one = (await api.get("/v1/executions", headers=READER)).json["executions"]
        assert [each["namespace"] for each in one] == ["team-a"]
        assert len((await api.get("/v1/executions", headers=WIDE)).json["executions"]) == 3
        assert (await api.get("/v1/executions/team-b/e-2", headers=READER)).status == 403
        assert (await api.get("/v1/executions/team-b/e-2", headers=WIDE)).status == 200
        assert (await api.get("/v1/executions")).status == 401
