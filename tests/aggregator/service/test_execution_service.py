"""WorkflowService behind the gate: what is taken, refused and told, and to whom."""

import asyncio

import grpc
import pytest
from tests.aggregator.service.gated import as_, gated
from tests.aggregator.store.executions import report, step

from remora_aggregator.service.entrance import EntranceRates
from remora_proto.v1 import workflows_pb2 as pb
from remora_proto.v1 import workflows_pb2_grpc as pb_grpc

CODE = grpc.StatusCode
PODS = {"pod": "pod-1", "neighbour": "pod-2", "foreigner": "pod-3"}
SOON_S = 30


class Asking:
    """Calls the service as somebody."""

    def __init__(self, served):
        """Take the server."""
        self.stub = pb_grpc.WorkflowServiceStub(served.channel)

    async def report(self, *reports, who="pod", pod_uid=None, **said):
        request = pb.ReportExecutionsRequest(
            pod_uid=PODS.get(who, "vm") if pod_uid is None else pod_uid, reports=reports, **said
        )
        return await self.stub.Report(request, metadata=as_(who))

    async def get(self, execution_id="e-1", who="pod", namespace=""):
        request = pb.GetExecutionRequest(namespace=namespace, execution_id=execution_id)
        return await self.stub.Get(request, metadata=as_(who))

    async def list(self, who="pod", limit=0, cursor="", **chosen):
        asked = pb.ExecutionFilter(**chosen)
        request = pb.ListExecutionsRequest(filter=asked, limit=limit, cursor=cursor)
        return await self.stub.List(request, metadata=as_(who))

    def watch(self, who="pod", **asked):
        return self.stub.Watch(pb.WatchExecutionsRequest(**asked), metadata=as_(who))


@pytest.fixture
async def asking():
    async with gated() as served:
        yield Asking(served)


async def _refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details()


async def test_what_is_acknowledged_can_be_read(asking):
    answer = await asking.report(report(1), report(2), report(1), pod_name="a-1", workload="a")
    assert (answer.accepted, answer.known, list(answer.refused)) == (3, 1, [])
    stored = await asking.get()
    assert (stored.namespace, stored.pod_uid) == ("team-a", "pod-1")
    assert (stored.pod_name, stored.workload) == ("a-1", "a")
    assert [one.report.execution_id for one in (await asking.list()).executions] == ["e-2", "e-1"]


REFUSED = {
    "no id": ({"execution_id": ""}, "execution_id is not"),
    "id with a slash": ({"execution_id": "a/b"}, "execution_id is not"),
    "long id": ({"execution_id": "x" * 129}, "execution_id is not"),
    "no status": ({"status": 0}, "needs a status"),
    "no revision": ({"revision": 0}, "needs a status and a revision"),
    "too many steps": ({"steps": [step()] * 1_001}, "1001 steps"),
    "a task of its own without id": ({"owns_task": True, "task_id": ""}, "owns_task needs"),
    "long task": ({"task_id": "x" * 257}, "task_id has more than 256"),
    "controls": ({"workflow": "a\nb"}, "workflow holds control"),
    "controls in a step": ({"steps": [step("a\x00")]}, "step_id holds control"),
    "controls in a receipt": ({"steps": [step(receipt_ids=["\n"])]}, "receipt_ids holds control"),
    "money": ({"known_cost_usd": "1e999999"}, "no decimal amount"),
    "a step's money": ({"steps": [pb.StepReport(known_cost_usd="x")]}, "no decimal amount"),
    "a budget's money": ({"budget": {"max_cost_usd": "NaN"}}, "no decimal amount"),
    "a time": ({"began_unix_nano": 1 << 63}, "out of range"),
    "a step's figure": ({"steps": [step(tokens=1 << 63)]}, "out of range"),
}


@pytest.mark.parametrize(("fields", "reason"), REFUSED.values(), ids=REFUSED)
async def test_what_can_never_be_taken_is_refused_and_the_others_are_taken(asking, fields, reason):
    bad = report(2)
    for name in fields:
        bad.ClearField(name)
    bad.MergeFrom(pb.ExecutionReport(**fields))
    answer = await asking.report(report(1), bad, report(3))
    assert answer.accepted == 2
    ((index, said),) = [(one.index, one.reason) for one in answer.refused]
    assert index == 1
    assert reason in said
    listed = (await asking.list()).executions
    assert [one.report.execution_id for one in listed] == ["e-3", "e-1"]


async def test_what_others_chose_is_made_fit_to_be_kept(asking):
    odd = step(note="n" * 900, error_code="a b", model="m\x1b[2J", provider="p" * 300)
    await asking.report(report(steps=[odd], error_code="no model: sorry", downgraded=["a\0"]))
    kept = (await asking.get()).report
    assert (kept.error_code, list(kept.downgraded)) == ("UNNAMED", ["a\ufffd"])
    (told,) = kept.steps
    assert (len(told.note), len(told.provider)) == (500, 256)
    assert (told.model, told.error_code) == ("m\ufffd[2J", "UNNAMED")


async def test_a_status_of_a_newer_sidecar_is_kept(asking):
    await asking.report(report(status=17, owns_task=True))
    assert (await asking.get()).report.status == 17


async def test_a_pods_execution_is_its_own(asking):
    await asking.report(report())
    answer = await asking.report(report(revision=2), report(5), who="neighbour")
    assert [(one.index, one.reason) for one in answer.refused] == [
        (0, "the execution is another pod's")
    ]
    assert answer.accepted == 1


async def test_a_pod_can_speak_for_no_other(asking):
    code, details = await _refusal(asking.report(report(), pod_uid="pod-2"))
    assert code is CODE.PERMISSION_DENIED
    assert "bound to 'pod-1'" in details
    code, details = await _refusal(asking.report(report(), pod_uid=""))
    assert (code, details) == (CODE.INVALID_ARGUMENT, "pod_uid must have 1 to 128 characters")


async def test_too_many_at_once_are_refused(asking):
    code, details = await _refusal(asking.report(*[report()] * 501))
    assert (code, details) == (
        CODE.INVALID_ARGUMENT, "501 reports are too many: send 500 at once",
    )  # fmt: skip


async def test_namespaces_see_their_own(asking):
    await asking.report(report(1))
    await asking.report(report(1), report(2), who="foreigner")
    assert len((await asking.list()).executions) == 1
    assert len((await asking.list("reader of two")).executions) == 3
    assert len((await asking.list("admin of all", namespace="team-b")).executions) == 2
    code, _ = await _refusal(asking.list(namespace="team-b"))
    assert code is CODE.PERMISSION_DENIED
    code, _ = await _refusal(asking.get(namespace="team-b"))
    assert code is CODE.PERMISSION_DENIED
    code, details = await _refusal(asking.get("e-2"))
    assert code is CODE.NOT_FOUND
    assert details == "namespace 'team-a' has no execution 'e-2': nobody reported it"


async def test_lists_come_in_pages(asking):
    await asking.report(*map(report, range(1, 6)))
    found, cursor = [], ""
    while True:
        page = await asking.list(limit=2, cursor=cursor)
        found += [one.report.execution_id for one in page.executions]
        cursor = page.next_cursor
        if not cursor:
            break
    assert found == ["e-5", "e-4", "e-3", "e-2", "e-1"]
    code, _ = await _refusal(asking.list(cursor="r1"))
    assert code is CODE.INVALID_ARGUMENT
    code, _ = await _refusal(asking.list(statuses=[17]))
    assert code is CODE.INVALID_ARGUMENT


async def _next(watch, kind="execution"):
    async with asyncio.timeout(SOON_S):
        while True:
            event = await watch.read()
            if event.WhichOneof("event") == kind:
                return event


async def test_a_watch_tells_what_changes_and_goes_on_after_a_cursor(asking):
    watch = asking.watch()
    begun = await _next(watch, "ready")
    await asking.report(report(1, steps=[step()]))
    await asking.report(report(9), who="foreigner")
    event = await _next(watch)
    assert (event.execution.report.execution_id, list(event.execution.report.steps)) == ("e-1", [])
    await asking.report(report(2))
    assert (await _next(watch)).execution.report.execution_id == "e-2"
    watch.cancel()
    again = asking.watch(cursor=begun.cursor)
    told = [(await _next(again)).execution.report.execution_id for _ in range(2)]
    assert told == ["e-1", "e-2"]
    again.cancel()


async def test_a_watch_of_one_execution_tells_its_steps(asking):
    watch = asking.watch(execution_id="e-2")
    await _next(watch, "ready")
    await asking.report(report(1), report(2, steps=[step("a")]))
    event = await _next(watch)
    assert [one.step_id for one in event.execution.report.steps] == ["a"]
    watch.cancel()
    code, _ = await _refusal(asking.watch(cursor="c1").read())
    assert code is CODE.INVALID_ARGUMENT


async def test_reports_count_against_the_rate_of_records():
    async with gated(rates=EntranceRates(records=1)) as served:
        asking = Asking(served)
        await asking.report(*map(report, range(1, 31)))
        code, details = await _refusal(asking.report(report(40)))
    assert code is CODE.RESOURCE_EXHAUSTED
    assert "too many records" in details
