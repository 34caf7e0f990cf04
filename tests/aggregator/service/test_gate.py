"""Behind the gate: whose records and tasks one reaches, how many, and what is written down."""

import asyncio

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from tests.aggregator.service.gated import as_, gated

from remora_aggregator.service.caller import Caller, Role
from remora_aggregator.service.entrance import EntranceRates
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc
from remora_proto.v1 import tasks_pb2, tasks_pb2_grpc

CODE = grpc.StatusCode


@pytest.fixture
async def served():
    async with gated() as running:
        yield running


def _hello(pod_uid="pod-1"):
    return pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid=pod_uid))


def _entries(*records):
    entries = [
        pb.ReportRequest.Entry(sequence=number, record=record)
        for number, record in enumerate(records)
    ]
    return pb.ReportRequest(entries=entries)


async def _report(served, who, *messages):
    async def requests():
        for message in messages:
            yield message

    stub = pb_grpc.RecordServiceStub(served.channel)
    return [answer async for answer in stub.Report(requests(), metadata=as_(who))]


async def _query(served, who, **wanted):
    stub = pb_grpc.RecordServiceStub(served.channel)
    request = pb.QueryRequest(filter=pb.RecordFilter(**wanted))
    return [answer.stored async for answer in stub.Query(request, metadata=as_(who))]


async def _usage(served, who, **wanted):
    stub = pb_grpc.RecordServiceStub(served.channel)
    request = pb.UsageRequest(filter=pb.RecordFilter(**wanted))
    return sum(row.calls for row in (await stub.Usage(request, metadata=as_(who))).rows)


async def _failure(coroutine):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await coroutine
    return failure.value


PODS = {"pod": "pod-1", "neighbour": "pod-2", "foreigner": "pod-3", "static reporter": "vm"}


@pytest.fixture
async def reported(served, make_record):
    """One record of each pod; ids are numbers in the order of `PODS`."""
    for number, (who, pod_uid) in enumerate(PODS.items()):
        await _report(served, who, _hello(pod_uid), _entries(make_record(number)))
    return served


async def test_who_writes_is_stamped_by_what_was_proved(reported):
    stamped = {(one.namespace, one.pod_uid) for one in await _query(reported, "admin of all")}
    assert stamped == {
        ("team-a", "pod-1"), ("team-a", "pod-2"), ("team-b", "pod-3"), ("team-a", "vm"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ("pod", {"pod-1"}),
        ("neighbour", {"pod-2"}),
        ("foreigner", {"pod-3"}),
        ("member", {"pod-1", "pod-2", "vm"}),
        ("reader", {"pod-1", "pod-2", "vm"}),
        ("reader of two", {"pod-1", "pod-2", "pod-3", "vm"}),
        ("admin", {"pod-1", "pod-2", "vm"}),
        ("admin of all", {"pod-1", "pod-2", "pod-3", "vm"}),
    ],
)
async def test_each_reads_its_part_and_the_sums_of_it(reported, who, seen):
    assert {one.pod_uid for one in await _query(reported, who)} == seen
    assert await _usage(reported, who) == len(seen)
    stub = pb_grpc.RecordServiceStub(reported.channel)
    watch = stub.Watch(pb.WatchRequest(cursor="r0"), metadata=as_(who))
    await watch.read()
    watched = {(await watch.read()).stored.pod_uid for _ in seen}
    watch.cancel()
    assert watched == seen


async def test_a_pod_finds_no_other_pod_by_asking_for_it(reported):
    assert await _query(reported, "pod", pod_uid="pod-2") == []
    assert await _usage(reported, "pod", pod_uid="pod-2") == 0
    assert len(await _query(reported, "pod", namespace="team-a")) == 1


@pytest.mark.parametrize("who", ["pod", "member", "reader", "admin"])
async def test_nobody_reads_a_namespace_that_is_not_given_to_it(reported, who):
    failure = await _failure(_query(reported, who, namespace="team-b"))
    assert failure.code() is CODE.PERMISSION_DENIED


async def test_a_reporter_that_proved_no_pod_reads_nothing(reported):
    failure = await _failure(_query(reported, "static reporter"))
    assert (failure.code(), "bound to no pod" in failure.details()) == (
        CODE.PERMISSION_DENIED,
        True,
    )


async def test_a_pod_does_not_report_as_another(served, make_record):
    both = _entries(make_record(1))
    both.hello.pod_uid = "pod-2"
    failure = await _failure(_report(served, "pod", both))
    assert (failure.code(), "pod-1" in failure.details()) == (CODE.PERMISSION_DENIED, True)
    assert await _query(served, "admin of all") == []


async def test_a_second_hello_does_not_change_the_pod(served, make_record):
    both = _entries(make_record(2))
    both.hello.pod_uid = "pod-2"
    failure = await _failure(_report(served, "pod", _hello(), _entries(make_record(1)), both))
    assert failure.code() is CODE.PERMISSION_DENIED
    assert [one.pod_uid for one in await _query(served, "admin of all")] == ["pod-1"]


async def test_an_admin_of_no_one_namespace_reports_nothing(served):
    failure = await _failure(_report(served, "admin of all", _hello()))
    assert (failure.code(), "no one namespace" in failure.details()) == (
        CODE.PERMISSION_DENIED,
        True,
    )


def _tasks(served):
    return tasks_pb2_grpc.TaskServiceStub(served.channel)


async def _paused(served, who, reason=""):
    request = tasks_pb2.PauseTaskRequest(task_id="t", reason=reason, create=True)
    return await _tasks(served).Pause(request, metadata=as_(who))


async def test_an_agent_may_pause_its_task_and_a_person_resumes_it(served):
    await _paused(served, "pod")
    request = tasks_pb2.ResumeTaskRequest(task_id="t")
    failure = await _failure(_tasks(served).Resume(request, metadata=as_("pod")))
    assert failure.code() is CODE.PERMISSION_DENIED
    task = await _tasks(served).Resume(request, metadata=as_("member"))
    assert task.control == tasks_pb2.TASK_CONTROL_OPEN


async def test_what_people_do_is_written_down_and_what_pods_do_is_not(served):
    await _paused(served, "pod")
    await _paused(served, "admin", "too costly\nby far")
    request = tasks_pb2.CancelTaskRequest(task_id="none")
    await _failure(_tasks(served).Cancel(request, metadata=as_("member")))
    resume = tasks_pb2.ResumeTaskRequest(task_id="t")
    await _failure(_tasks(served).Resume(resume, metadata=as_("pod")))
    await _failure(_tasks(served).Resume(resume, metadata=as_("reader")))
    written = [
        (entry.name, entry.what, entry.outcome, entry.count) for entry in served.audit.entries
    ]
    assert written == [
        ("ann", "TaskService/Pause", "OK", 1),
        ("team-a", "TaskService/Cancel", "NOT_FOUND", 0),
        ("agent-1/pod-1", "TaskService/Resume", "NOT_ALLOWED", 0),
        ("board", "TaskService/Resume", "NOT_ALLOWED", 0),
    ]
    assert served.audit.entries[0].asked == {
        "task_id": "t", "reason": "too costly\nby far", "create": True,
    }  # fmt: skip


async def test_garbage_is_said_to_be_the_callers(served):
    call = served.channel.unary_unary("/remora.v1.RecordService/Usage")
    failure = await _failure(call(b"\xff\xff\xff", metadata=as_("pod")))
    assert (failure.code(), "can't be read" in failure.details()) == (CODE.INVALID_ARGUMENT, True)


async def test_a_call_without_its_message_is_refused(served):
    call = served.channel.stream_unary("/remora.v1.RecordService/Usage")

    async def nothing():
        for never in ():
            yield never

    failure = await _failure(call(nothing(), metadata=as_("pod")))
    assert (failure.code(), "no message" in failure.details()) == (CODE.INVALID_ARGUMENT, True)


async def test_a_bug_of_ours_tells_nobody_anything(served, monkeypatch, caplog):
    def fail(self, caller, act):
        raise ValueError("secret words")

    monkeypatch.setattr("remora_aggregator.service.entrance.Entrance.opened", fail)
    failure = await _failure(_usage(served, "pod"))
    assert (failure.code(), "secret" in failure.details()) == (CODE.INTERNAL, False)
    assert "secret words" in caplog.text


class TestRates:
    """How much one may ask for."""

    @staticmethod
    def _retry_after_s(failure):
        trailing = dict(failure.trailing_metadata())
        (detail,) = Status.FromString(trailing["grpc-status-details-bin"]).details
        info = RetryInfo()
        assert detail.Unpack(info)
        assert int(trailing["grpc-retry-pushback-ms"]) == info.retry_delay.ToMilliseconds()
        return info.retry_delay.ToMilliseconds() / 1e3

    async def test_too_many_questions_are_refused_with_the_time_to_come_again(self):
        async with gated(rates=EntranceRates(queries=0.2)) as served:
            for _ in range(2):
                await _usage(served, "reader")
            failure = await _failure(_usage(served, "reader"))
            assert await _usage(served, "reader of two") == 0
        assert failure.code() is CODE.RESOURCE_EXHAUSTED
        assert 0 < self._retry_after_s(failure) <= 5

    async def test_who_reports_too_much_is_read_more_slowly(self, make_record):
        records = [make_record(number) for number in range(60)]
        async with gated(rates=EntranceRates(records=50)) as served:
            began = asyncio.get_running_loop().time()
            first = [make_record(number + 100) for number in range(480)]
            await _report(served, "pod", _hello(), _entries(*first), _entries(*records), _hello())
            assert asyncio.get_running_loop().time() - began > 0.5
            assert await _usage(served, "pod") == 540

    async def test_who_owes_for_too_long_is_turned_away_and_nothing_is_stored(self, make_record):
        records = [make_record(number) for number in range(200)]
        async with gated(rates=EntranceRates(records=10)) as served:
            stub = pb_grpc.RecordServiceStub(served.channel)
            first = stub.Report(metadata=as_("pod"))
            await first.write(_hello())
            await first.write(_entries(*records))
            assert [len((await first.read()).acknowledged) for _ in range(2)] == [0, 200]
            late = _report(served, "pod", _hello())
            failure = await _failure(late)
            assert await _usage(served, "pod") == 200
            await _report(served, "neighbour", _hello("pod-2"), _entries(make_record(500)))
            first.cancel()
        assert failure.code() is CODE.RESOURCE_EXHAUSTED
        assert 5 < self._retry_after_s(failure) <= 10

    async def test_only_so_many_calls_are_under_way_for_one(self):
        async with gated(calls_each=2) as served:
            stub = pb_grpc.RecordServiceStub(served.channel)
            open_ = [stub.Watch(pb.WatchRequest(), metadata=as_("reader")) for _ in range(2)]
            for watch in open_:
                await watch.read()
            failure = await _failure(_usage(served, "reader"))
            assert failure.code() is CODE.RESOURCE_EXHAUSTED
            assert await _usage(served, "member") == 0
            for watch in open_:
                watch.cancel()
            await served.until_nobody_calls()
            assert await _usage(served, "reader") == 0


async def test_one_pod_reports_on_a_few_streams_at_once(served):
    stub = pb_grpc.RecordServiceStub(served.channel)
    reports = [stub.Report(metadata=as_("pod")) for _ in range(4)]
    for report in reports:
        await report.write(_hello())
        await report.read()
    failure = await _failure(_report(served, "pod", _hello()))
    assert failure.code() is CODE.RESOURCE_EXHAUSTED
    assert await _usage(served, "pod") == 0
    await _report(served, "neighbour", _hello("pod-2"))
    for report in reports:
        report.cancel()


async def test_a_call_that_never_sends_its_message_ends():
    async with gated(first_message_s=0.1) as served:
        stub = pb_grpc.RecordServiceStub(served.channel)
        report = stub.Report(metadata=as_("pod"))
        failure = await _failure(report.read())
        assert (failure.code(), served.entrance.open_calls) == (CODE.DEADLINE_EXCEEDED, 0)


async def test_a_stream_may_be_silent_after_its_first_message(make_record):
    async with gated(first_message_s=0.1) as served:
        stub = pb_grpc.RecordServiceStub(served.channel)
        report = stub.Report(metadata=as_("pod"))
        await report.write(_hello())
        await report.read()
        await asyncio.sleep(0.2)
        await report.write(_entries(make_record(1)))
        assert list((await report.read()).acknowledged) == [0]
        report.cancel()


NEW = {
    "gone": None,
    "another": Caller("team-b", Role.REPORTER, "agent-1/pod-1", pod_uid="pod-1"),
}


@pytest.mark.parametrize("now", NEW.values(), ids=NEW)
async def test_who_counts_no_more_is_cut_off_before_the_next_message(make_record, now):
    async with gated(recheck_s=0.0) as served:
        stub = pb_grpc.RecordServiceStub(served.channel)
        report = stub.Report(metadata=as_("pod"))
        await report.write(_hello())
        await report.read()
        served.who.known["pod"] = now
        if now is None:
            del served.who.known["pod"]
        await report.write(_entries(make_record(1)))
        failure = await _failure(report.read())
        assert failure.code() is CODE.UNAUTHENTICATED
        assert await _query(served, "admin of all") == []


async def test_who_counts_no_more_is_shown_nothing_that_comes_later(make_record):
    async with gated(recheck_s=0.0) as served:
        stub = pb_grpc.RecordServiceStub(served.channel)
        watch = stub.Watch(pb.WatchRequest(), metadata=as_("reader"))
        await watch.read()
        del served.who.known["reader"]
        await _report(served, "pod", _hello(), _entries(make_record(1)))
        assert (await _failure(watch.read())).code() is CODE.UNAUTHENTICATED
