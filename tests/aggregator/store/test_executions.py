"""How every back end keeps executions of workflows; `store` is each of them in turn."""

import asyncio
import random

import pytest
from tests.aggregator.store.executions import FOREIGNER, NEIGHBOUR, SENDER, report, step

from remora.errors import BadRequest
from remora.execution_report import ExecutionStatus
from remora.testing.clock import ManualClock
from remora_aggregator.store.execution_selection import (
    ExecutionPlace,
    ExecutionSelection,
    cursor_of,
    place_of,
)
from remora_aggregator.store.execution_store import StoredExecutions
from remora_aggregator.store.execution_tables import Taken
from remora_aggregator.store.port import Backend
from remora_aggregator.store.purging import Doomed, Purging
from remora_aggregator.store.removal import shed_totals
from remora_aggregator.store.retention import Retention
from remora_aggregator.store.task_store import StoredTasks
from remora_aggregator.tasks.states import ActorKind, State
from remora_aggregator.tasks.task import TaskKey
from remora_proto.v1 import workflows_pb2 as pb

COMPLETED, FAILED = pb.EXECUTION_STATUS_COMPLETED, pb.EXECUTION_STATUS_FAILED
EVERYTHING = ExecutionSelection(namespaces=None)
SOON_S = 30
DAY_NS = 86_400 * 10**9


@pytest.fixture
def clock():
    return ManualClock(10 * DAY_NS)


@pytest.fixture
def executions(store, clock):
    return StoredExecutions(store, clock)


@pytest.fixture
def tasks(store, clock):
    return StoredTasks(store, clock)


async def _ids(executions, **chosen):
    found = await executions.executions(
        ExecutionSelection(**{"namespaces": None, **chosen}), after=None, limit=100
    )
    return [one.report.execution_id for one in found]


async def test_an_execution_is_kept_whole_and_stamped(executions):
    told = report(steps=[step("a", model="m", receipt_ids=["r1", "r2"]), step("b")], tokens=7)
    assert await executions.take([told], SENDER) == [Taken.NEW]
    stored = await executions.execution("team-a", "e-1")
    assert stored.report == told
    assert (stored.namespace, stored.pod_uid) == ("team-a", "pod-1")
    assert (stored.pod_name, stored.workload) == ("agent-1", "agents")
    assert stored.received_unix_nano
    assert await executions.execution("team-b", "e-1") is None


async def test_lists_have_counts_instead_of_steps(executions):
    steps = [
        step("a", pb.STEP_STATUS_COMPLETED),
        step("b", pb.STEP_STATUS_FAILED),
        step("c", pb.STEP_STATUS_RUNNING),
        step("d", pb.STEP_STATUS_WAITING),
    ]
    await executions.take([report(steps=steps)], SENDER)
    (listed,) = await executions.executions(EVERYTHING, after=None, limit=10)
    assert not listed.report.steps
    assert listed.report.workflow == "research"
    assert listed.step_counts == pb.StepCounts(steps=4, ended=2, failed=1, running=1)


async def test_reports_in_any_order_and_any_number_come_to_the_last(executions):
    told = [report(revision=number, tokens=number) for number in range(1, 9)] * 2
    random.Random(4).shuffle(told)  # noqa: S311 - for tests
    became = []
    for one in told:
        became += await executions.take([one], SENDER)
    stored = await executions.execution("team-a", "e-1")
    assert (stored.report.revision, stored.report.tokens) == (8, 8)
    assert became.count(Taken.KNOWN) >= 8


async def test_one_batch_may_hold_several_reports_of_one_execution(executions):
    batch = [report(revision=2), report(revision=1), report(revision=3, status=COMPLETED)]
    assert await executions.take(batch, SENDER) == [Taken.NEW, Taken.KNOWN, Taken.NEW]
    assert (await executions.execution("team-a", "e-1")).report.status == COMPLETED


async def test_nobody_speaks_of_another_pods_execution(executions):
    await executions.take([report()], SENDER)
    assert await executions.take([report(revision=9)], NEIGHBOUR) == [Taken.CLASHES]
    assert await executions.take([report(revision=9)], FOREIGNER) == [Taken.NEW]
    assert (await executions.execution("team-a", "e-1")).report.revision == 1


FILTERS = {
    "all": ({}, ["e-3", "e-2", "e-1"]),
    "a namespace": ({"namespaces": frozenset({"team-b"})}, ["e-3"]),
    "two namespaces": ({"namespaces": frozenset({"team-a", "team-b"})}, ["e-3", "e-2", "e-1"]),
    "no namespace": ({"namespaces": frozenset()}, []),
    "a status": ({"statuses": frozenset({ExecutionStatus.FAILED})}, ["e-2"]),
    "two statuses": (
        {"statuses": frozenset({ExecutionStatus.FAILED, ExecutionStatus.RUNNING})},
        ["e-3", "e-2", "e-1"],
    ),
    "a workflow": ({"workflow": "write"}, ["e-2"]),
    "a task": ({"task_id": "t-1"}, ["e-1"]),
    "a session": ({"session_id": "s" * 600}, ["e-2"]),
    "an agent": ({"agent_id": "planner"}, ["e-3"]),
    "since": ({"since_unix_ns": 2_000}, ["e-3", "e-2"]),
}


@pytest.mark.parametrize(("chosen", "expected"), FILTERS.values(), ids=FILTERS)
async def test_executions_are_found_by_what_they_are(executions, chosen, expected):
    await executions.take(
        [report(1), report(2, status=FAILED, workflow="write", session_id="s" * 600)], SENDER
    )
    await executions.take([report(3, agent_id="planner")], FOREIGNER)
    assert await _ids(executions, **chosen) == expected


async def test_pages_follow_each_other_without_gap_or_repetition(executions):
    same_time = [report(number, began_unix_nano=5) for number in range(7)]
    await executions.take(same_time, SENDER)
    await executions.take(same_time[:4], FOREIGNER)
    found, after = [], None
    while page := await executions.executions(EVERYTHING, after=after, limit=3):
        found += [(one.namespace, one.report.execution_id) for one in page]
        last = page[-1]
        place = ExecutionPlace(
            last.report.began_unix_nano, last.namespace, last.report.execution_id
        )
        after = place_of(cursor_of(place))
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 11


@pytest.mark.parametrize(
    "cursor", ["e", "e1", "x1", "e1/a", "e-1/a/b", "e1/a/b/c", "eg/a/b", "e01/a/b", "é"]
)
def test_a_foreign_cursor_is_refused(cursor):
    with pytest.raises(BadRequest, match="none of this aggregator's"):
        place_of(cursor)


async def test_changes_are_told_once_each_in_their_order(executions):
    begin = await executions.last_cursor()
    await executions.take([report(1), report(2)], SENDER)
    await executions.take([report(3)], FOREIGNER)
    await executions.take([report(1, 2, steps=[step()])], SENDER)
    everywhere = await executions.changes(begin, namespaces=None, limit=10)
    ids = [one.stored.report.execution_id for one in everywhere.executions]
    assert ids == ["e-2", "e-3", "e-1"]
    here = await executions.changes(begin, namespaces=frozenset({"team-a"}), limit=1)
    assert [one.stored.report.execution_id for one in here.executions] == ["e-2"]
    rest = await executions.changes(here.cursor, namespaces=frozenset({"team-a"}), limit=10)
    assert [one.stored.report.execution_id for one in rest.executions] == ["e-1"]
    nothing = await executions.changes(rest.cursor, namespaces=None, limit=10)
    assert (nothing.executions, nothing.cursor) == ([], everywhere.cursor)


async def test_changes_of_one_execution_have_its_steps(executions):
    begin = await executions.last_cursor()
    await executions.take([report(1, steps=[step("a")]), report(2, steps=[step("b")])], SENDER)
    changes = await executions.changes(begin, namespaces=None, execution_id="e-2", limit=10)
    assert [
        [one.step_id for one in changed.stored.report.steps] for changed in changes.executions
    ] == [["b"]]


@pytest.mark.parametrize("cursor", ["", "x", "x-1", "c1", "xg", "x01", "x" + "f" * 17])
async def test_a_foreign_cursor_of_changes_is_refused(executions, cursor):
    with pytest.raises(BadRequest, match="none of this aggregator's"):
        await executions.changes(cursor, namespaces=None, limit=1)


async def test_whoever_follows_is_woken(store, executions):
    async with store.followed() as woken:
        await executions.take([report()], SENDER)
        async with asyncio.timeout(SOON_S):
            await woken.wait()


TASKS = {
    "running": (pb.EXECUTION_STATUS_RUNNING, State.RUNNING),
    "paused": (pb.EXECUTION_STATUS_PAUSED, State.RUNNING),
    "completed": (COMPLETED, State.COMPLETED),
    "failed": (FAILED, State.FAILED),
    "cancelled": (pb.EXECUTION_STATUS_CANCELLED, State.CANCELLED),
    "out of budget": (pb.EXECUTION_STATUS_BUDGET_EXCEEDED, State.BUDGET_EXCEEDED),
}


@pytest.mark.parametrize(("status", "state"), TASKS.values(), ids=TASKS)
async def test_the_task_that_is_there_for_an_execution_goes_with_it(
    executions, tasks, status, state
):
    await executions.take([report(owns_task=True)], SENDER)
    begun = (await tasks.task(TaskKey("team-a", "t-1"))).task
    assert (begun.state, begun.title, begun.by.name) == (State.RUNNING, "research", SENDER.name)
    await executions.take([report(revision=2, owns_task=True, status=status)], SENDER)
    task = (await tasks.task(TaskKey("team-a", "t-1"))).task
    assert task.state is state


async def test_an_execution_whose_first_report_is_its_last_makes_its_task(executions, tasks):
    await executions.take([report(owns_task=True, status=FAILED, error_code="NO_MODEL")], SENDER)
    task = (await tasks.task(TaskKey("team-a", "t-1"))).task
    assert (task.state, task.title) == (State.FAILED, "research")
    assert [change.after for change in task.history] == [State.RUNNING, State.FAILED]
    assert task.reason == "its workflow 'research' failed (NO_MODEL)"


async def test_a_task_that_is_shared_is_left_alone(executions, tasks):
    await executions.take([report(status=COMPLETED)], SENDER)
    assert await tasks.task(TaskKey("team-a", "t-1")) is None


async def test_a_late_report_moves_no_task(executions, tasks):
    await executions.take([report(revision=2, owns_task=True, status=COMPLETED)], SENDER)
    await executions.take([report(revision=1, owns_task=True)], SENDER)
    task = (await tasks.task(TaskKey("team-a", "t-1"))).task
    assert (task.state, task.by.kind) == (State.COMPLETED, ActorKind.CALLER)


async def test_a_task_is_written_only_where_it_changes(executions, tasks):
    await executions.take([report(owns_task=True)], SENDER)
    before = (await tasks.task(TaskKey("team-a", "t-1"))).task
    await executions.take([report(revision=2, owns_task=True, tokens=5)], SENDER)
    assert (await tasks.task(TaskKey("team-a", "t-1"))).task == before


async def test_old_executions_go_with_old_records(store, executions, clock):
    await executions.take([report(1)], SENDER)
    stored = await executions.execution("team-a", "e-1")
    keep = Retention(facts_ns=DAY_NS)
    backend: Backend = store.backend
    at = stored.received_unix_nano
    await store.write_with(lambda: shed_totals(backend, keep, at + DAY_NS))
    assert await _ids(executions) == ["e-1"]
    await store.write_with(lambda: shed_totals(backend, keep, at + DAY_NS + 1))
    assert await _ids(executions) == []


PURGES = {
    "a session": ({"session_id": "s1"}, ["e-3", "e-2"]),
    "a task": ({"task_id": "t-2"}, ["e-3", "e-1"]),
    "what began before": ({"before_unix_ns": 2_000}, ["e-3", "e-2"]),
    "the namespace": ({}, ["e-3"]),
}


@pytest.mark.parametrize(("meant", "left"), PURGES.values(), ids=PURGES)
async def test_executions_are_purged_with_the_records_of_their_calls(
    store, executions, meant, left
):
    await executions.take([report(1, session_id="s1"), report(2)], SENDER)
    await executions.take([report(3, session_id="s1")], FOREIGNER)
    doomed = Doomed(namespace="team-a", **meant)
    assert [one async for one in Purging(store).remove(doomed)][-1].is_done
    assert await _ids(executions) == left


async def test_executions_outlive_a_restart(open_store, clock):
    async with open_store() as store:
        await StoredExecutions(store, clock).take([report(steps=[step()])], SENDER)
        cursor = await StoredExecutions(store, clock).last_cursor()
    async with open_store() as store:
        executions = StoredExecutions(store, clock)
        assert (await executions.execution("team-a", "e-1")).report.steps
        assert await executions.last_cursor() == cursor
