"""TaskService over a Unix socket: what callers see of tasks, and what they may do."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from remora.errors import BadRequest
from remora.testing.clock import ManualClock
from remora_aggregator.service.caller import Caller
from remora_aggregator.service.permissions import Role
from remora_aggregator.service.task_sweep import TaskSweep
from remora_aggregator.tasks.conclusions import QuietRules
from remora_aggregator.tasks.task import TaskKey
from remora_aggregator.tasks.totals import TaskCall
from remora_aggregator.testing_tasks import temporary_tasks
from remora_proto.v1 import records_pb2, tasks_pb2_grpc
from remora_proto.v1 import tasks_pb2 as pb

CODE = grpc.StatusCode
WITHIN_S = 2.0
CALLERS = {
    "pod": Caller("team-a", Role.REPORTER, "pod/one"),
    "other-pod": Caller("team-a", Role.REPORTER, "pod/two"),
    "member": Caller("team-a", Role.MEMBER, "cy"),
    "neighbour": Caller("team-b", Role.REPORTER, "pod/three"),
    "reader": Caller("team-a", Role.READER, "bob", frozenset({"team-c"})),
    "admin": Caller("ops", Role.ADMIN, "ann", None),
}


class ByName:
    """Callers say who they are: for tests of what each may do."""

    def caller(self, metadata):
        name = dict(metadata).get("name", "pod")
        if name not in CALLERS:
            raise BadRequest("nobody", status=401)
        return CALLERS[name]


class ListedRecords:
    """Records of calls by task, in their order."""

    def __init__(self):  # noqa: D107
        self.stored = []

    def add(self, key, number):
        record = records_pb2.CallRecord(call_id=f"{number:032x}")
        record.receipt.policy = "research"
        self.stored.append((key, records_pb2.StoredRecord(record=record, cursor=f"r{number}")))

    async def records_of(self, key, *, cursor, limit):
        found = [stored for one, stored in self.stored if one == key]
        after = [stored.cursor for stored in found].index(cursor) + 1 if cursor else 0
        return found[after : after + limit]


class Served:
    """A running service, its stub, and what is behind it."""

    def __init__(self, stub, store, records, clock):  # noqa: D107
        self.stub = stub
        self.store = store
        self.records = records
        self.clock = clock

    def called(self, task_id, *, namespace="team-a", **fields):
        now = self.clock.now_unix_ns()
        self.store.count(TaskKey(namespace, task_id), TaskCall("pod-1", now, now, **fields))

    async def __call__(self, method, request, who="pod"):
        return await getattr(self.stub, method)(request, metadata=[("name", who)])

    async def refused(self, method, request, who="pod"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self(method, request, who)
        return refused.value.code(), refused.value.details()

    def watch(self, who="pod", **fields):
        return self.stub.Watch(pb.WatchTasksRequest(**fields), metadata=[("name", who)])


@asynccontextmanager
async def serving(folder, **how):
    clock, records = ManualClock(), ListedRecords()
    listen = f"unix:{folder}/tasks.sock"
    running = temporary_tasks(listen, clock=clock, callers=ByName(), records=records, **how)
    async with running as tasks, grpc.aio.insecure_channel(tasks.address) as channel:
        yield Served(tasks_pb2_grpc.TaskServiceStub(channel), tasks.store, records, clock)


@pytest.fixture
async def served(tmp_path):
    async with serving(tmp_path) as running:
        yield running


def on(task_id="t", namespace="", **fields):
    return {"task_id": task_id, "namespace": namespace, **fields}


async def test_a_task_is_given_with_its_sums_and_history(served):
    served.called("t", cost_picousd=25 * 10**10, input_tokens=7)
    served.clock.advance(5)
    await served("Pause", pb.PauseTaskRequest(**on(reason="audit")))
    task = (await served("Get", pb.GetTaskRequest(**on()))).task

    assert (task.namespace, task.task_id, task.state) == ("team-a", "t", pb.TASK_STATE_PAUSED)
    assert task.control == pb.TASK_CONTROL_PAUSED
    totals = task.totals
    assert (totals.calls, totals.cost_usd, totals.input_tokens) == (1, "0.25", 7)
    assert list(totals.pod_uids) == ["pod-1"]
    begun, paused = task.history
    assert (begun.from_state, begun.to_state) == (0, pb.TASK_STATE_RUNNING)
    assert begun.by.kind == pb.TaskActor.KIND_CALL
    assert (paused.by.kind, paused.by.name) == (pb.TaskActor.KIND_CALLER, "pod/one")
    assert paused.reason == "audit"
    assert paused.at_unix_nano == task.changed_unix_nano == task.created_unix_nano + 5 * 10**9


async def test_receipts_come_page_by_page(served):
    served.called("t")
    for number in range(5):
        served.records.add(TaskKey("team-a", "t"), number)
    served.records.add(TaskKey("team-b", "t"), 9)
    seen, cursor = [], ""
    for _ in range(3):
        page = await served("Get", pb.GetTaskRequest(**on(records=2, cursor=cursor)))
        seen += [stored.record.call_id[-1] for stored in page.records]
        assert all(stored.record.receipt.policy == "research" for stored in page.records)
        cursor = page.next_cursor

    assert (seen, cursor) == (["0", "1", "2", "3", "4"], "")
    assert not (await served("Get", pb.GetTaskRequest(**on()))).records


async def test_lists_are_filtered_and_paged(served):
    for number in range(5):
        served.called(f"a-{number}")
        served.clock.advance(1)
    served.called("b-1")
    served.called("a-9", namespace="team-b")
    await served("Pause", pb.PauseTaskRequest(**on("a-3")))
    listed, cursor = [], ""
    while not listed or cursor:
        request = pb.ListTasksRequest(
            filter=pb.TaskFilter(task_id_glob="a-*"), limit=2, cursor=cursor
        )
        page = await served("List", request)
        listed += [task.task_id for task in page.tasks]
        cursor = page.next_cursor
    paused = pb.ListTasksRequest(filter=pb.TaskFilter(states=[pb.TASK_STATE_PAUSED]))

    assert listed == ["a-4", "a-3", "a-2", "a-1", "a-0"]
    assert [task.task_id for task in (await served("List", paused)).tasks] == ["a-3"]


async def test_a_life_that_a_program_tells(served):
    budget = pb.BudgetAmount(cost_usd="2.5")
    made = await served("Create", pb.CreateTaskRequest(**on(budget=budget, title="Report")))
    assert (made.state, made.budget, made.title) == (pb.TASK_STATE_PENDING, budget, "Report")
    assert not made.budget.HasField("tokens")

    for state in (pb.TASK_STATE_PLANNING, pb.TASK_STATE_RUNNING, pb.TASK_STATE_COMPLETED):
        task = await served("Update", pb.UpdateTaskRequest(**on(state=state)))
        assert task.state == state
    code, reason = await served.refused("Cancel", pb.CancelTaskRequest(**on()))
    assert code is CODE.FAILED_PRECONDITION
    assert reason == "the task 't' is completed by pod/one and can't become cancelled"


async def test_a_task_that_spent_its_own_budget_is_stopped_until_that_is_raised(served):
    budget = pb.BudgetAmount(cost_usd="1")
    await served("Create", pb.CreateTaskRequest(**on(budget=budget)))
    served.called("t", cost_picousd=10**12)
    task = (await served("Get", pb.GetTaskRequest(**on()))).task
    assert task.state == pb.TASK_STATE_BUDGET_EXCEEDED
    assert task.control == pb.TASK_CONTROL_BUDGET_EXCEEDED

    raised = pb.UpdateTaskRequest(**on(budget=pb.BudgetAmount(cost_usd="2")))
    assert (await served("Update", raised)).control == pb.TASK_CONTROL_OPEN
    none = await served("Update", pb.UpdateTaskRequest(**on(budget=pb.BudgetAmount())))
    assert not none.HasField("budget")


@pytest.mark.parametrize(
    ("method", "request_type"),
    [("Cancel", pb.CancelTaskRequest), ("Pause", pb.PauseTaskRequest)],
    ids=["cancel", "pause"],
)
async def test_a_task_that_nobody_called_for_is_held_only_if_that_is_said(
    served, method, request_type
):
    code, reason = await served.refused(method, request_type(**on()))
    assert (code, "nobody called for it yet" in reason) == (CODE.NOT_FOUND, True)

    held = await served(method, request_type(**on(create=True)))
    assert held.control in (pb.TASK_CONTROL_CANCELLED, pb.TASK_CONTROL_PAUSED)
    served.called("t", is_refused=True)
    assert (await served("Get", pb.GetTaskRequest(**on()))).task.state == held.state


NOT_ALLOWED = {
    "a reader does not pause": ("Pause", pb.PauseTaskRequest(**on()), "reader"),
    "a reader does not cancel": ("Cancel", pb.CancelTaskRequest(**on()), "reader"),
    "a reader does not resume": ("Resume", pb.ResumeTaskRequest(**on()), "reader"),
    "a pod does not resume": ("Resume", pb.ResumeTaskRequest(**on()), "pod"),
    "a reader does not create": ("Create", pb.CreateTaskRequest(**on()), "reader"),
    "a reader does not update": ("Update", pb.UpdateTaskRequest(**on()), "reader"),
    "a reader takes no lease": ("Lease", pb.LeaseRequest(), "reader"),
    "a neighbour does not look": ("Get", pb.GetTaskRequest(**on(namespace="team-a")), "neighbour"),
    "a neighbour does not cancel": (
        "Cancel", pb.CancelTaskRequest(**on(namespace="team-a")), "neighbour",
    ),
    "a neighbour does not list": (
        "List", pb.ListTasksRequest(filter=pb.TaskFilter(namespace="team-a")), "neighbour",
    ),
    "a reader sees its own": ("Get", pb.GetTaskRequest(**on(namespace="team-b")), "reader"),
}  # fmt: skip


@pytest.mark.parametrize(("method", "request_", "who"), NOT_ALLOWED.values(), ids=NOT_ALLOWED)
async def test_what_callers_may_not_do(served, method, request_, who):
    served.called("t")
    code, _ = await served.refused(method, request_, who)

    assert code is CODE.PERMISSION_DENIED
    assert (await served.store.task(TaskKey("team-a", "t"))).task.older_changes == 0
    assert len((await served.store.task(TaskKey("team-a", "t"))).task.history) == 1


async def test_who_is_unknown_may_nothing(served):
    for method, request in (("Get", pb.GetTaskRequest()), ("Lease", pb.LeaseRequest())):
        assert (await served.refused(method, request, "nobody"))[0] is CODE.UNAUTHENTICATED


async def test_each_sees_what_it_may(served):
    for namespace in ("team-a", "team-b", "team-c"):
        served.called("t", namespace=namespace)
    seen = {
        who: {task.namespace for task in (await served("List", pb.ListTasksRequest(), who)).tasks}
        for who in CALLERS
    }

    assert seen == {
        "pod": {"team-a"},
        "other-pod": {"team-a"},
        "member": {"team-a"},
        "neighbour": {"team-b"},
        "reader": {"team-a", "team-c"},
        "admin": {"team-a", "team-b", "team-c"},
    }


async def test_an_admin_may_act_in_every_namespace(served):
    served.called("t")
    await served("Cancel", pb.CancelTaskRequest(**on(namespace="team-a")), "admin")

    assert (await served("Get", pb.GetTaskRequest(**on()))).task.history[-1].by.name == "ann"


BAD = {
    "no id": ("Get", pb.GetTaskRequest()),
    "a long id": ("Create", pb.CreateTaskRequest(task_id="x" * 257)),
    "a control character": ("Create", pb.CreateTaskRequest(task_id="a\nb")),
    "an unknown state": ("Update", pb.UpdateTaskRequest(task_id="t", state=99)),
    "a state of its own kind": (
        "Update", pb.UpdateTaskRequest(task_id="t", state=pb.TASK_STATE_CANCELLED),
    ),
    "a filter by an unknown state": (
        "List", pb.ListTasksRequest(filter=pb.TaskFilter(states=[99])),
    ),
    "a foreign cursor": ("List", pb.ListTasksRequest(cursor="r1")),
    "a budget that is none": (
        "Create", pb.CreateTaskRequest(task_id="t", budget=pb.BudgetAmount(cost_usd="much")),
    ),
    "a budget below nothing": (
        "Update", pb.UpdateTaskRequest(task_id="t", budget=pb.BudgetAmount(tokens=-1)),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("method", "request_"), BAD.values(), ids=BAD)
async def test_what_can_not_be_read_is_refused(served, method, request_):
    served.called("t")

    assert (await served.refused(method, request_))[0] is CODE.INVALID_ARGUMENT


async def test_a_watch_brings_what_is_held_then_what_changes(served):
    for task_id in ("a", "b", "c"):
        served.called(task_id)
    await served("Pause", pb.PauseTaskRequest(**on("b", reason="audit")))
    watch = served.watch(controls_only=True)
    held, ready = await watch.read(), await watch.read()
    assert (held.control.task_id, held.control.control) == ("b", pb.TASK_CONTROL_PAUSED)
    assert (held.control.by, held.control.reason) == ("pod/one", "audit")
    assert ready.HasField("ready")

    served.called("news-to-nobody")
    await served("Resume", pb.ResumeTaskRequest(**on("b")), "member")
    await served("Cancel", pb.CancelTaskRequest(**on("a", cut_streams=True)))
    async with asyncio.timeout(WITHIN_S):
        resumed, cancelled = await watch.read(), await watch.read()
    assert (resumed.control.task_id, resumed.control.control) == ("b", pb.TASK_CONTROL_OPEN)
    assert resumed.control.revision > held.control.revision
    assert (cancelled.control.task_id, cancelled.control.cut_streams) == ("a", True)
    watch.cancel()


async def test_a_watch_brings_nothing_of_neighbours(served):
    served.called("t", namespace="team-b")
    watch = served.watch(controls_only=True)
    assert (await watch.read()).HasField("ready")
    await served("Cancel", pb.CancelTaskRequest(**on()), "neighbour")
    await served("Cancel", pb.CancelTaskRequest(**on("mine", create=True)))
    async with asyncio.timeout(WITHIN_S):
        assert (await watch.read()).control.task_id == "mine"
    watch.cancel()


async def test_a_watch_of_tasks_goes_on_where_it_was_without_gap_or_repetition(served):
    watch = served.watch()
    ready = await watch.read()
    for task_id in ("a", "b", "c"):
        served.called(task_id)
    async with asyncio.timeout(WITHIN_S):
        first = [await watch.read() for _ in range(3)]
    watch.cancel()
    assert [event.task.task_id for event in first] == ["a", "b", "c"]
    assert first[0].task.totals.calls == 1

    again = served.watch(cursor=first[1].cursor)
    events = [await again.read(), await again.read()]
    assert events[0].HasField("ready")
    assert events[1].task.task_id == "c"
    again.cancel()
    assert ready.cursor != first[2].cursor


async def test_a_watch_beats_where_nothing_happens(tmp_path):
    async with serving(tmp_path, beat_s=0.01) as served:
        watch = served.watch(controls_only=True)
        assert (await watch.read()).ready.beat_s == 0.01
        assert (await watch.read()).HasField("beat")
        watch.cancel()


async def test_a_watch_of_controls_takes_no_cursor(served):
    watch = served.watch(controls_only=True, cursor="m1")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await watch.read()

    assert refused.value.code() is CODE.INVALID_ARGUMENT


def ask(lease_id="a", *, wanted="0.5", spent="0", **fields):
    values = {
        "lease_id": lease_id,
        "budget": "per-task",
        "per": pb.BUDGET_PER_TASK,
        "key": "t",
        "limit": pb.BudgetAmount(cost_usd="1"),
        "spent": pb.BudgetAmount(cost_usd=spent),
        "wanted": pb.BudgetAmount(cost_usd=wanted),
    }
    return pb.LeaseRequest.Ask(**(values | fields))


async def lease(served, *asks, who="pod", number=0):
    grants = (await served("Lease", pb.LeaseRequest(asks=asks, number=number), who)).grants
    return [grant.granted.cost_usd for grant in grants]


async def test_pods_of_a_namespace_share_a_budget_and_others_do_not(served):
    assert await lease(served, ask(wanted="0.7")) == ["0.7"]
    assert await lease(served, ask(wanted="0.7"), who="other-pod") == ["0.3"]
    assert await lease(served, ask(wanted="0.7"), who="neighbour") == ["0.7"]


async def test_a_namespace_is_who_the_server_says_whatever_a_sidecar_calls_it(served):
    of = {"per": pb.BUDGET_PER_NAMESPACE}
    assert await lease(served, ask(wanted="0.7", key="team-a", **of)) == ["0.7"]
    assert await lease(served, ask(wanted="0.7", key="other", **of), who="other-pod") == ["0.3"]


async def test_the_first_lease_of_a_task_makes_it_known_and_says_what_becomes_of_it(served):
    request = pb.LeaseRequest(asks=[ask()])
    [grant] = (await served("Lease", request)).grants
    assert grant.task_control == pb.TASK_CONTROL_OPEN
    task = (await served("Get", pb.GetTaskRequest(**on()))).task
    assert (task.state, task.revision) == (pb.TASK_STATE_RUNNING, grant.task_revision)

    paused = await served("Pause", pb.PauseTaskRequest(**on()))
    [grant] = (await served("Lease", request)).grants
    assert grant.task_control == pb.TASK_CONTROL_PAUSED
    assert grant.task_revision == paused.revision


@pytest.mark.parametrize(
    "asked",
    [ask(wanted="0"), ask(key="x\ny" * 9), ask(per=pb.BUDGET_PER_SESSION)],
    ids=["returned", "no id of a task", "a session's"],
)
async def test_other_leases_make_no_task_known(served, asked):
    if "\n" in asked.key:
        code, _ = await served.refused("Lease", pb.LeaseRequest(asks=[asked]))
        assert code is CODE.INVALID_ARGUMENT
    else:
        await lease(served, asked)

    assert not (await served("List", pb.ListTasksRequest())).tasks


HOSTILE = {
    "money that is none": ask(wanted="NaN"),
    "money below nothing": ask(spent="-1"),
    "money without end": ask(wanted="1" * 100),
    "tokens below nothing": ask(limit=pb.BudgetAmount(tokens=-5)),
    "no lease id": ask(lease_id=""),
    "a long lease id": ask(lease_id="x" * 65),
    "an id with a newline": ask(lease_id="a\nb"),
    "no budget": ask(budget=""),
    "a long budget": ask(budget="b" * 201),
    "a long key": ask(key="k" * 257),
    "per pod": ask(per=0),
    "per something new": ask(per=99),
    "a window past all time": ask(window_start_unix_nano=1 << 63, window_ns=1 << 63),
}


@pytest.mark.parametrize("asked", HOSTILE.values(), ids=HOSTILE)
async def test_asks_that_can_not_be_read_are_refused_with_their_place(served, asked):
    code, reason = await served.refused("Lease", pb.LeaseRequest(asks=[ask(), asked]))

    assert (code, reason.split(":")[0]) == (CODE.INVALID_ARGUMENT, "asks[1]")
    assert served.store.books == {}


async def test_too_many_asks_at_once_are_refused(served):
    code, reason = await served.refused("Lease", pb.LeaseRequest(asks=[ask()] * 1_001))

    assert (code, "at most 1000" in reason) == (CODE.INVALID_ARGUMENT, True)


async def test_absurd_amounts_are_bounded_and_hurt_nobody_else(served):
    await lease(served, ask(key="absurd", spent="1e999999", wanted="1e999999"))

    assert await lease(served, ask(wanted="0.7"), who="other-pod") == ["0.7"]


async def test_an_ask_that_was_overtaken_takes_nothing_back(served):
    assert await lease(served, ask(wanted="0.9"), number=2) == ["0.9"]
    assert await lease(served, ask(wanted="0.1"), number=1) == ["0.9"]
    assert await lease(served, ask(wanted="0.9"), who="other-pod", number=1) == ["0.1"]


async def test_quiet_tasks_are_paused_completed_and_begin_again(served):
    rules = QuietRules(pause_after_s=60, complete_after_s=600)
    sweep = TaskSweep(served.store, rules, served.clock)
    served.called("t")
    states = []
    for seconds in (59, 2, 599, 2):
        served.clock.advance(seconds)
        await sweep.sweep()
        states.append((await served("Get", pb.GetTaskRequest(**on()))).task.state)
    served.clock.advance(1)
    served.called("t")
    states.append((await served("Get", pb.GetTaskRequest(**on()))).task.state)

    assert states == [
        pb.TASK_STATE_RUNNING,
        pb.TASK_STATE_PAUSED,
        pb.TASK_STATE_PAUSED,
        pb.TASK_STATE_COMPLETED,
        pb.TASK_STATE_RUNNING,
    ]


async def test_a_sweep_changes_all_that_are_due_however_many(served):
    for number in range(450):
        served.called(f"t-{number}")
    served.clock.advance(61)
    sweep = TaskSweep(served.store, QuietRules(60, None), served.clock)

    assert await sweep.sweep() == 450
    assert await sweep.sweep() == 0


def spend(budget, *, key="t", per=pb.BUDGET_PER_TASK, **fields):
    """Ask for some of a budget of a dollar."""
    amounts = {"limit": "1", "wanted": "0.25", "spent": "0.5", **fields}
    ask = pb.LeaseRequest.Ask(lease_id="a" * 32, budget=budget, per=per, key=key)
    for name, usd in amounts.items():
        getattr(ask, name).cost_usd = usd
    return pb.LeaseRequest(asks=[ask])


async def test_what_is_spent_and_leased_of_a_budget_is_told(served):
    await served("Lease", spend("daily", per=pb.BUDGET_PER_NAMESPACE, key="anything"))
    [budget] = (await served("Budgets", pb.BudgetsRequest())).budgets
    assert (budget.namespace, budget.budget, budget.key) == ("team-a", "daily", "")
    assert budget.per == pb.BUDGET_PER_NAMESPACE
    amounts = (budget.limit, budget.spent, budget.leased)
    assert [amount.cost_usd for amount in amounts] == ["1", "0.5", "0.25"]
    assert not any(amount.HasField("tokens") for amount in amounts)
    assert budget.asked_unix_nano == served.clock.now_unix_ns()


@pytest.mark.parametrize(
    ("who", "namespace", "seen"),
    [
        ("pod", "", ["team-a"]),
        ("neighbour", "", ["team-b"]),
        ("reader", "", ["team-a"]),
        ("admin", "", ["team-a", "team-b"]),
        ("admin", "team-b", ["team-b"]),
        ("reader", "team-b", None),
        ("neighbour", "team-a", None),
    ],
)
async def test_everybody_sees_the_budgets_of_its_namespaces_alone(served, who, namespace, seen):
    await served("Lease", spend("b"), "pod")
    await served("Lease", spend("b"), "neighbour")
    request = pb.BudgetsRequest(filter=pb.BudgetFilter(namespace=namespace))
    if seen is None:
        code, _ = await served.refused("Budgets", request, who)
        assert code is CODE.PERMISSION_DENIED
        return
    found = (await served("Budgets", request, who)).budgets
    assert [budget.namespace for budget in found] == seen


async def test_budgets_are_filtered_and_paged(served):
    for number in range(5):
        await served("Lease", spend(f"b{number}", key=f"t{number}"))
    await served("Lease", spend("other", per=pb.BUDGET_PER_AGENT))
    seen, cursor = [], ""
    for _ in range(3):
        wanted = pb.BudgetFilter(budget_glob="b*", key_glob="t?", per=[pb.BUDGET_PER_TASK])
        request = pb.BudgetsRequest(filter=wanted, limit=2, cursor=cursor)
        page = await served("Budgets", request)
        seen += [budget.budget for budget in page.budgets]
        cursor = page.next_cursor
    assert (seen, cursor) == ([f"b{number}" for number in range(5)], "")


@pytest.mark.parametrize(
    "request_",
    [
        pb.BudgetsRequest(cursor="nonsense"),
        pb.BudgetsRequest(filter=pb.BudgetFilter(per=[9])),
        pb.BudgetsRequest(filter=pb.BudgetFilter(key_glob="x" * 300)),
    ],
    ids=["cursor", "per", "glob"],
)
async def test_a_question_about_budgets_that_makes_no_sense_is_refused(served, request_):
    code, _ = await served.refused("Budgets", request_)
    assert code is CODE.INVALID_ARGUMENT
