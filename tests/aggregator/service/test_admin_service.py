"""AdminService on a real aggregator: who may purge, what that takes, and what is written down."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.aggregator.service.gated import gated
from tests.sdk.cli.asking import START_NS, record, report

from remora.client.admin import AdminClient, Purged, PurgeScope
from remora.client.records import RecordClient
from remora.client.target import AggregatorTarget
from remora.client.tasks import TaskClient
from remora.errors import BadRequest
from remora.testing.clock import ManualClock
from remora_aggregator.service.audit import AuditEntry
from remora_aggregator.service.audit_file import AuditFile
from remora_aggregator.service.audit_reading import AuditQuestion, AuditReader
from remora_aggregator.store.retention import SLICE_RECORDS
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import admin_pb2, records_pb2, records_pb2_grpc

TOKENS = """\
member-token-0123456789 team-a
reader-token-0123456789 team-a,team-b reader
admin-a-token-0123456789 team-a admin ann
admin-b-token-0123456789 team-b admin bob
root-token-0123456789 * admin root
"""
SECOND_NS = 10**9
PURGE = "/remora.v1.AdminService/Purge"


@pytest.fixture
async def aggregator(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(TOKENS)
    async with temporary_aggregator(
        listen=f"unix:{tmp_path}/socket", token_file=file, data_dir=tmp_path / "data"
    ) as running:
        yield running


def _target(aggregator, who):
    """The aggregator as somebody of the token file."""
    folder = Path(aggregator.address.removeprefix("unix:")).parent
    file = folder / f"{who}.token"
    file.write_text(f"{who}-token-0123456789\n")
    return AggregatorTarget(aggregator.address, file)


async def _as(aggregator, who, ask, client=AdminClient):
    def run():
        with client(_target(aggregator, who)) as asked:
            return ask(asked)

    return await asyncio.to_thread(run)


def _of(number, **who):
    return record(number, attribution=records_pb2.Attribution(**who))


async def _fill(aggregator):
    """Store five calls in team-a, as its member."""
    target = _target(aggregator, "member")
    calls = [
        _of(1, session_id="s1", task_id="t1"),
        _of(2, session_id="s1", task_id="t2"),
        _of(3, session_id="s2", task_id="t1"),
        _of(4, session_id="s2", task_id="t3"),
        _of(5, session_id="s3", task_id="t3"),
    ]

    async def requests():
        yield records_pb2.ReportRequest(hello={"pod_uid": "pod-1"})
        entries = [{"sequence": n, "record": call} for n, call in enumerate(calls)]
        yield records_pb2.ReportRequest(entries=entries)

    async with target.aio_channel() as channel:
        async for answer in records_pb2_grpc.RecordServiceStub(channel).Report(requests()):
            assert list(answer.refused) == []


async def _left(aggregator):
    def ask(client):
        return [int(stored.record.call_id, 16) for stored in client.query()]

    return await _as(aggregator, "member", ask, RecordClient)


async def _tasks(aggregator):
    def ask(client):
        return {task.task_id for task in client.list()}

    return await _as(aggregator, "member", ask, TaskClient)


@pytest.mark.parametrize(
    ("scope", "left", "tasks"),
    [
        ({"session_id": "s1"}, [3, 4, 5], {"t1", "t2", "t3"}),
        ({"task_id": "t1"}, [2, 4, 5], {"t2", "t3"}),
        ({"before_unix_ns": START_NS + 3 * SECOND_NS}, [3, 4, 5], {"t1", "t2", "t3"}),
        ({"whole_namespace": True}, [], set()),
        ({"session_id": "nobody"}, [1, 2, 3, 4, 5], {"t1", "t2", "t3"}),
    ],
    ids=["session", "task", "before", "namespace", "nothing"],
)
@pytest.mark.parametrize("who", ["admin-a", "root"])
async def test_an_admin_purges_what_it_counted(aggregator, who, scope, left, tasks):
    await _fill(aggregator)
    wanted = PurgeScope(namespace="team-a", **scope)
    counted = await _as(aggregator, who, lambda client: client.count(wanted))
    assert counted == Purged("team-a", 5 - len(left), 3 - len(tasks), is_done=True)
    assert await _left(aggregator) == [1, 2, 3, 4, 5]
    *_, last = await _as(aggregator, who, lambda client: list(client.purge(wanted)))
    assert last == counted
    assert (await _left(aggregator), await _tasks(aggregator)) == (left, tasks)


@pytest.mark.parametrize("who", ["member", "reader", "admin-b"])
async def test_nobody_else_may_purge_or_read_what_was_done(aggregator, who):
    await _fill(aggregator)
    scope = PurgeScope(namespace="team-a", whole_namespace=True)
    with pytest.raises(BadRequest) as refused:
        await _as(aggregator, who, lambda client: list(client.purge(scope)))
    assert refused.value.status == 403
    assert len(await _left(aggregator)) == 5
    if who != "admin-b":
        with pytest.raises(BadRequest, match="may not read the audit log"):
            await _as(aggregator, who, lambda client: list(client.audit()))


@pytest.mark.parametrize(
    ("scope", "who", "said"),
    [
        (PurgeScope(), "admin-a", "say what is to go"),
        (PurgeScope(namespace="team-a"), "admin-a", "say what is to go"),
        (PurgeScope(session_id="s", task_id="t"), "admin-a", "not both"),
        (PurgeScope(session_id="s", whole_namespace=True), "admin-a", "say what is to go"),
        (PurgeScope(session_id="s"), "root", "say which namespace is meant"),
        (PurgeScope(before_unix_ns=1), "root", "say which namespace is meant"),
    ],
    ids=["nothing", "a namespace by oversight", "both", "all and a part", "where", "where before"],
)
async def test_what_is_not_said_clearly_removes_nothing(aggregator, scope, who, said):
    await _fill(aggregator)
    with pytest.raises(BadRequest, match=said) as refused:
        await _as(aggregator, who, lambda client: list(client.purge(scope)))
    assert refused.value.status == 400
    assert len(await _left(aggregator)) == 5


async def test_the_audit_log_says_who_purged_how_much_and_who_was_refused(aggregator):
    await _fill(aggregator)
    scope = PurgeScope(namespace="team-a", task_id="t1")
    await _as(aggregator, "admin-a", lambda client: list(client.purge(scope)))
    with pytest.raises(BadRequest):
        await _as(aggregator, "member", lambda client: list(client.purge(scope)))
    refused, done = await _as(aggregator, "root", lambda client: list(client.audit()))
    assert (done.who, done.role, done.what, done.outcome, done.count) == (
        "ann", "admin", "AdminService/Purge", "OK", 3,
    )  # fmt: skip
    assert done.asked == {"namespace": "team-a", "task_id": "t1"}
    assert (refused.role, refused.outcome, refused.count) == ("member", "NOT_ALLOWED", 0)


async def test_an_admin_sees_what_was_done_by_and_to_its_namespaces(aggregator):
    def pause(task_id):
        return lambda client: client.pause(task_id, namespace="team-a", create=True)

    await _as(aggregator, "admin-a", pause("one"), TaskClient)
    await _as(aggregator, "root", pause("two"), TaskClient)
    scope = PurgeScope(whole_namespace=True)
    await _as(aggregator, "admin-b", lambda client: list(client.purge(scope)))

    def whats(client):
        return [(entry.who, entry.what) for entry in client.audit()]

    by_ann, by_root = ("ann", "TaskService/Pause"), ("root", "TaskService/Pause")
    by_bob = ("bob", "AdminService/Purge")
    assert await _as(aggregator, "admin-a", whats) == [by_root, by_ann]
    assert await _as(aggregator, "admin-b", whats) == [by_bob]
    assert await _as(aggregator, "root", whats) == [by_bob, by_root, by_ann]


async def test_a_purge_that_is_broken_off_is_written_down_with_what_it_removed():
    request = admin_pb2.PurgeRequest(namespace="team-a", whole_namespace=True)
    dry = admin_pb2.PurgeRequest(namespace="team-a", whole_namespace=True, dry_run=True)
    async with gated() as served:
        await _reported(served, 20 * SLICE_RECORDS)
        call = served.call(PURGE, request, admin_pb2.PurgeResponse, "admin", streams="us")
        assert not (await call.read()).done
        call.cancel()
        await served.until_nobody_calls()
        left = served.call(PURGE, dry, admin_pb2.PurgeResponse, "admin", streams="us")
        removed = 20 * SLICE_RECORDS - (await left.read()).records
        await served.until_nobody_calls()
    entry, counted = served.audit.entries
    assert (entry.outcome, entry.asked) == (
        "CANCELLED", {"namespace": "team-a", "whole_namespace": True},
    )  # fmt: skip
    assert SLICE_RECORDS <= entry.count <= removed < 20 * SLICE_RECORDS
    assert (counted.outcome, counted.count) == ("OK", 0)


async def _reported(served, count):
    """Have so many records stored in team-a."""

    async def requests():
        yield records_pb2.ReportRequest(hello={"pod_uid": "pod-1"})
        entries = [
            {"sequence": number, "record": {"call_id": f"{number:032x}"}} for number in range(count)
        ]
        yield records_pb2.ReportRequest(entries=entries)

    path, answer = "/remora.v1.RecordService/Report", records_pb2.ReportResponse
    call = served.call(path, requests(), answer, "admin", streams="ss")
    told = [len(one.acknowledged) async for one in call]
    assert told == [0, count]


# Reading the file again.


def _entry(number, **fields):
    at = {"at_unix_ns": number * SECOND_NS, "name": "ann", "role": "admin", "namespace": "team-a"}
    return AuditEntry(**(at | {"peer": "unix:", "what": f"Thing/{number}", "count": 1} | fields))


async def _file(path, *entries, piece_bytes=1 << 20):
    file = AuditFile(path, piece_bytes=piece_bytes)
    for entry in entries:
        await file.keep(entry)


async def _newest(path, limit=100, namespaces=None, **asked):
    question = AuditQuestion(namespaces, limit, **asked)
    entries, more = await AuditReader(path).newest(question)
    return [entry.at_unix_ns // SECOND_NS for entry in entries], more


async def test_what_was_put_away_is_read_as_well(tmp_path):
    path = tmp_path / "audit.jsonl"
    await _file(path, *map(_entry, range(1, 8)), piece_bytes=500)
    assert len(list(tmp_path.iterdir())) > 2
    assert await _newest(path) == ([7, 6, 5, 4, 3, 2, 1], False)
    assert await _newest(path, limit=3) == ([7, 6, 5], True)
    assert await _newest(path, since_unix_ns=4 * SECOND_NS) == ([7, 6, 5, 4], False)
    assert await _newest(path, until_unix_ns=4 * SECOND_NS) == ([3, 2, 1], False)
    assert await _newest(path, limit=1, until_unix_ns=4 * SECOND_NS) == ([3], True)


@pytest.mark.parametrize(
    ("entry", "namespaces", "is_seen"),
    [
        (_entry(1), None, True),
        (_entry(1), {"team-a"}, True),
        (_entry(1), {"team-b"}, False),
        (_entry(1, namespace="", asked={"namespace": "team-b"}), {"team-b"}, True),
        (_entry(1, namespace="", asked={}), {"team-b"}, False),
        (_entry(1, namespace="", asked={}), set(), False),
    ],
    ids=["all", "its own", "another's", "done to it", "of no namespace", "sees nothing"],
)
async def test_entries_are_seen_by_their_namespaces(tmp_path, entry, namespaces, is_seen):
    await _file(tmp_path / "a", entry)
    seen = None if namespaces is None else frozenset(namespaces)
    assert (await _newest(tmp_path / "a", namespaces=seen))[0] == ([1] if is_seen else [])


async def test_an_entry_is_read_as_it_was_written(tmp_path):
    written = _entry(1, asked={"reason": "say \u202e\n", "cut": True}, outcome="X", count=None)
    await _file(tmp_path / "a", written)
    (read,), _ = await AuditReader(tmp_path / "a").newest(AuditQuestion(None, 1))
    assert read == written


async def test_lines_that_are_none_are_passed_over(tmp_path):
    path = tmp_path / "audit.jsonl"
    await _file(path, _entry(1))
    good = path.read_bytes()
    odd = [b'{"at_unix_ns": 1', b"[]", b"7", b"\xff", b'{"at_unix_ns": "soon"}', b""]
    path.write_bytes(b"\n".join([*odd, good.strip(), json.dumps({"who": 1}).encode()]))
    assert await _newest(path) == ([1], False)


async def test_where_nothing_was_done_there_is_nothing(tmp_path):
    assert await _newest(tmp_path / "audit.jsonl") == ([], False)
    await _file(tmp_path / "audit.jsonl.1", _entry(3))
    assert await _newest(tmp_path / "audit.jsonl") == ([3], False)


async def test_pages_of_entries_are_whole(tmp_path):
    clock = ManualClock()
    async with temporary_aggregator(clock=clock) as running:
        target = AggregatorTarget(running.address)
        await report(running.address, [record(1)])

        def ask():
            with TaskClient(target) as tasks:
                for number in range(5):
                    clock.advance(1)
                    tasks.pause(f"t{number}", create=True)
            with AdminClient(target, page_size=2) as admin:
                return [list(admin.audit(limit=limit)) for limit in (None, 3, 0)]

        every, some, none = await asyncio.to_thread(ask)
    assert [entry.asked["task_id"] for entry in every] == ["t4", "t3", "t2", "t1", "t0"]
    assert (some, none) == (every[:3], [])
