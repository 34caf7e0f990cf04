"""Tasks over HTTP: pages of them, one with its calls, and what is asked of them."""

import json
from urllib.parse import quote

import pytest
from yarl import URL

from remora_aggregator.service.audit import AuditEntry
from remora_aggregator.tasks import lifecycle
from remora_aggregator.tasks.amounts import Limit
from remora_aggregator.tasks.lifecycle import Asking, Terms
from remora_aggregator.tasks.states import Actor, ActorKind
from remora_aggregator.tasks.task import TaskKey
from remora_proto.v1 import records_pb2 as pb

READER = {"Authorization": "Bearer reader-token-0123456789"}
WIDE = {"Authorization": "Bearer wide-token-01234567890"}
ADMIN = {"Authorization": "Bearer admin-token-0123456789"}


def of_task(call, number, task_id):
    return call(number, attribution=pb.Attribution(task_id=task_id))


async def bounded(api, task_id, picousd, namespace="local"):
    by = Actor(ActorKind.CALLER, "anna")

    def decide(entry, now_unix_ns):
        asking = Asking(by, "", now_unix_ns)
        return lifecycle.updated(entry, None, Terms(Limit(picousd, None), "A title"), asking)

    await api.http.front.tasks.change_task(TaskKey(namespace, task_id), decide)


async def test_tasks_are_listed_with_what_their_calls_came_to(api, call):
    await api.put(of_task(call, 1, "one"), of_task(call, 2, "one"), of_task(call, 3, "two"))
    await bounded(api, "one", 10**12)
    answer = await api.get("/v1/tasks")
    found = {task["task_id"]: task for task in answer.json["tasks"]}
    assert set(found) == {"one", "two"}
    one = found["one"]
    assert (one["state"], one["control"], one["title"]) == ("running", "open", "A title")
    assert one["budget"] == {"cost_usd": "1", "tokens": None}
    assert one["totals"]["calls"] == 2
    assert one["totals"]["cost_usd"] == "0.0002"
    assert one["totals"]["first_call_at"] == "2025-10-09T08:53:21.000000Z"
    assert one["totals"]["last_call_at"] == "2025-10-09T08:53:21.000000Z"  # it came then
    assert one["totals"]["pod_uids"] == ["p"]
    assert found["two"]["budget"] is None


async def test_pages_of_tasks_follow_each_other(api, call):
    for number in range(1, 6):
        await api.put(of_task(call, number, f"task {number}"))
    found, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"/v1/tasks?limit=2&cursor={cursor}")).json
        found += [task["task_id"] for task in page["tasks"]]
        cursor = page["next"]
    assert found == [f"task {number}" for number in (5, 4, 3, 2, 1)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=paused", {"night-2"}),
        ("state=paused,running", {"night-1", "night-2", "day"}),
        ("state=running&state=failed", {"night-1", "day"}),
        ("task_id=night-*", {"night-1", "night-2"}),
        ("task_id=d?y", {"day"}),
        ("since=1h", {"night-2"}),
        ("namespace=local&task_id=day", {"day"}),
    ],
)
async def test_tasks_are_filtered(api, call, query, found):
    await api.put(
        *(of_task(call, at, name) for at, name in enumerate(("night-1", "night-2", "day")))
    )
    assert (await api.ask("POST", "/v1/tasks/local/night-2/pause", json={})).status == 200
    answer = await api.get(f"/v1/tasks?{query}")
    assert {task["task_id"] for task in answer.json["tasks"]} == found


@pytest.mark.parametrize(
    ("query", "status", "where"),
    [
        ("state=sleeping", 400, "state.0"),
        ("cursor=x", 400, "cursor"),
        ("limit=0", 400, "limit"),
        ("since=whenever", 400, "since"),
        ("task_id=%00", 400, "task_id"),
        ("namespace=other", 403, "namespace"),
        ("colour=red", 400, "colour"),
    ],
)
async def test_what_makes_no_sense_is_refused(api, query, status, where):
    answer = await api.get(f"/v1/tasks?{query}")
    assert (answer.status, answer.json["where"]) == (status, where)


async def test_one_task_comes_with_its_changes_and_the_receipts_of_its_calls(api, call):
    receipt = pb.Receipt(rule="chat", policy="team-a/research")
    for number in range(1, 4):
        record = of_task(call, number, "one")
        record.receipt.CopyFrom(receipt)
        await api.put(record)
    first = (await api.get("/v1/tasks/local/one?limit=2")).json
    assert [change["after"] for change in first["task"]["history"]] == ["running"]
    assert first["task"]["history"][0]["before"] is None
    assert [int(record["call_id"], 16) for record in first["records"]] == [1, 2]
    assert first["records"][0]["receipt"]["rule"] == "chat"
    rest = (await api.get(f"/v1/tasks/local/one?limit=2&cursor={first['next']}")).json
    assert [int(record["call_id"], 16) for record in rest["records"]] == [3]
    assert rest["next"] is None
    assert (await api.get("/v1/tasks/local/one?limit=0")).json["records"] == []


@pytest.mark.parametrize("task_id", ["a/b", "über ü", "50% off?", "x" * 256, "<b>&'\"", "שלום"])
async def test_any_id_is_found_by_its_path(api, call, task_id):
    await api.put(of_task(call, 1, task_id))
    path = f"/v1/tasks/local/{quote(task_id, safe='')}"
    url = URL(f"http://{api.http.address}{path}", encoded=True)
    async with api.client.get(url) as answer:
        assert (await answer.json())["task"]["task_id"] == task_id


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/tasks/local/nobody", 404),
        ("/v1/tasks/local/" + "x" * 257, 400),
        ("/v1/tasks/other/one", 403),
        ("/v1/tasks/local/one?cursor=x", 400),
        ("/v1/tasks/local/one?limit=201", 400),
    ],
)
async def test_a_task_that_can_not_be_shown_is_a_problem(api, call, path, status):
    await api.put(of_task(call, 1, "one"))
    assert (await api.get(path)).status == status


async def test_a_task_is_paused_resumed_and_cancelled_for_good(api, call):
    await api.put(of_task(call, 1, "one"))
    path = "/v1/tasks/local/one"
    paused = (await api.ask("POST", f"{path}/pause", json={"reason": "too dear"})).json
    assert (paused["state"], paused["control"], paused["reason"]) == (
        "paused",
        "paused",
        "too dear",
    )
    assert paused["by"] == {"kind": "caller", "name": "local"}
    assert (await api.ask("POST", f"{path}/resume", json={})).json["state"] == "running"
    body = {"cut_streams": True, "reason": "enough"}
    cancelled = (await api.ask("POST", f"{path}/cancel", json=body)).json
    assert (cancelled["state"], cancelled["cut_streams"]) == ("cancelled", True)
    assert [change["after"] for change in cancelled["history"]] == [
        "running", "paused", "running", "cancelled",
    ]  # fmt: skip
    refused = await api.ask("POST", f"{path}/pause", json={})
    assert (refused.status, refused.json["code"]) == (409, "task-state")
    assert "cancelled by local (enough)" in refused.json["detail"]


async def test_a_task_that_nobody_called_for_is_made_known_only_if_asked(api):
    unknown = await api.ask("POST", "/v1/tasks/local/new/pause", json={})
    assert (unknown.status, unknown.json["code"]) == (404, "no-task")
    made = await api.ask("POST", "/v1/tasks/local/new/pause", json={"create": True})
    assert (made.status, made.json["state"]) == (200, "paused")
    other = await api.ask("POST", "/v1/tasks/local/other/resume", json={"create": True})
    assert (other.status, other.json["where"]) == (400, "create")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": b"{}"}, 415),
        ({"json": {"reason": "x" * 501}}, 400),
        ({"json": []}, 400),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": {}, "headers": {"Origin": "https://elsewhere.example"}}, 403),
        ({"json": {}, "headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
    ],
    ids=["no JSON", "long", "list", "cut", "other origin", "other site"],
)
async def test_what_is_asked_badly_changes_nothing(api, call, options, status):
    await api.put(of_task(call, 1, "one"))
    answer = await api.ask("POST", "/v1/tasks/local/one/cancel", **options)
    assert answer.status == status
    assert (await api.get("/v1/tasks/local/one")).json["task"]["state"] == "running"


async def test_a_reader_looks_and_steers_nothing(open_api, token_file, call):
    async with open_api(token_file=token_file) as api:
        await api.put(of_task(call, 1, "one"), namespace="team-a")
        await api.put(of_task(call, 2, "two"), namespace="team-b")
        seen = (await api.get("/v1/tasks", headers=READER)).json["tasks"]
        assert [task["task_id"] for task in seen] == ["one"]
        wide = (await api.get("/v1/tasks", headers=WIDE)).json["tasks"]
        assert {task["task_id"] for task in wide} == {"one", "two"}
        assert (await api.get("/v1/tasks/team-b/two", headers=READER)).status == 403
        for word in ("pause", "cancel", "resume"):
            answer = await api.ask("POST", f"/v1/tasks/team-a/one/{word}", json={}, headers=READER)
            assert (answer.status, answer.json["code"]) == (403, "not-allowed")
        assert (await api.ask("POST", "/v1/tasks/team-a/one/pause", json={})).status == 401
        steered = await api.ask("POST", "/v1/tasks/team-b/two/pause", json={}, headers=ADMIN)
        assert steered.json["by"] == {"kind": "caller", "name": "carla"}


class Kept:
    """Keeps entries where a test looks at them."""

    def __init__(self):
        """Keep none yet."""
        self.entries: list[AuditEntry] = []

    async def keep(self, entry):
        self.entries.append(entry)


async def test_what_is_asked_of_tasks_is_in_the_audit_log_and_so_is_what_is_refused(
    open_api, token_file, call
):
    async with open_api(token_file=token_file) as api:
        api.http.front.audit = kept = Kept()
        await api.put(of_task(call, 1, "one"), namespace="team-a")
        body = {"reason": "why not"}
        await api.ask("POST", "/v1/tasks/team-a/one/pause", json=body, headers=ADMIN)
        await api.ask("POST", "/v1/tasks/team-a/one/cancel", json={}, headers=READER)
        await api.ask("POST", "/v1/tasks/team-a/none/cancel", json={}, headers=ADMIN)
    told = [(one.name, one.what, one.outcome, one.count) for one in kept.entries]
    assert told == [
        ("carla", "TaskService/Pause", "OK", 1),
        ("anna", "TaskService/Cancel", "NOT_ALLOWED", 0),
        ("carla", "TaskService/Cancel", "NO_TASK", 0),
    ]
    asked = kept.entries[0].asked
    assert (asked["namespace"], asked["task_id"], asked["reason"]) == ("team-a", "one", "why not")


async def test_a_reason_is_kept_as_it_was_said(api, call):
    await api.put(of_task(call, 1, "one"))
    reason = "<script>alert(1)</script>\u202e"
    answer = await api.ask("POST", "/v1/tasks/local/one/pause", json={"reason": reason})
    assert json.loads(answer.body)["reason"] == reason
