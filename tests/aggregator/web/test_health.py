"""Who reports, how much is stored, and what is wrong."""

from hypothesis import given
from hypothesis import strategies as st

from remora.policy.quantities import Duration, Quantity
from remora.testing.clock import ManualClock
from remora_aggregator.service.sidecar_news import SidecarNews, Waiting
from remora_aggregator.store.committing import Batch, Outcome, Verdict
from remora_aggregator.store.facts import Stamp
from remora_aggregator.web.metrics import SidecarFigures
from remora_aggregator.web.roster import (
    LATELY_NS,
    SILENT_NS,
    PolicySeen,
    Roster,
    Sidecar,
    SidecarKey,
    sidecar_of,
)
from remora_proto.v1 import records_pb2 as pb

READER = {"Authorization": "Bearer reader-token-0123456789"}
ORIGIN = pb.Origin(pod_name="web-1", workload="web", node="n1", sidecar_version="0.1.0")


def reported(call, number, version="v1"):
    receipt = pb.Receipt(policy="team-a/research", policy_version=version)
    return call(number, origin=ORIGIN, receipt=receipt)


async def put(api, *records, pod, received_ns, skew_s=None, namespace="local"):
    await api.store.write(list(records), Stamp(namespace, pod, received_ns, skew_s))


async def test_a_sidecar_is_known_by_its_last_record(open_api, call):
    clock = ManualClock()
    async with open_api(clock=clock) as api:
        now = clock.now_unix_ns()
        ended = call(1, origin=ORIGIN, latency_s=2.0, started_unix_nano=now - 5 * 10**9)
        ended.receipt.CopyFrom(pb.Receipt(policy="p", policy_version="v2"))
        await put(api, reported(call, 2), pod="a", received_ns=now - 9 * 10**9)
        await put(api, ended, pod="a", received_ns=now, skew_s=1.0)
        await put(api, call(3), pod="b", received_ns=now - 10**9)
        answer = (await api.get("/v1/health")).json
    first, second = answer["sidecars"]
    assert first == {
        "namespace": "local", "pod_uid": "a", "pod_name": "web-1", "workload": "web", "node": "n1",
        "version": "0.1.0", "last_seen_at": answer["now"], "waiting": None,
        "last_record_at": answer["now"], "delay_s": 4.0, "clock_skew_s": 1.0,
        "policies": [{"name": "p", "version": "v2"}, {"name": "team-a/research", "version": "v1"}],
    }  # fmt: skip
    assert (second["pod_uid"], second["version"], second["policies"]) == ("b", None, [])
    assert (answer["problems"], answer["more"]) == ([], False)


async def test_what_is_stored_and_for_how_long_is_told(open_api, call):
    keep = {"keep_bodies": Duration.parse("12h"), "records_size": Quantity.parse("1Gi")}
    async with open_api(**keep) as api:
        empty = (await api.get("/v1/health")).json
        assert empty["stock"]["oldest_record_at"] is None
        assert empty["sidecars"] == []
    async with open_api(**keep) as api:
        await api.put(call(1, request_body=pb.Body(content=b"red apples" * 100)))
        answer = (await api.get("/v1/health")).json
    assert answer["stock"]["records_bytes"] > 0
    assert answer["stock"]["bodies_bytes"] > 0
    assert answer["stock"]["oldest_record_at"] == "2025-10-09T08:53:21.000000Z"
    assert answer["stock"]["oldest_body_at"] == "2025-10-09T08:53:21.000000Z"
    assert answer["retention"] == {
        "records_s": 400 * 86_400, "bodies_s": 43_200, "daily_sums_s": None,
        "records_bytes": 2**30, "bodies_bytes": None,
    }  # fmt: skip


async def test_sidecars_that_reported_before_the_aggregator_was_started_are_known(open_api, call):
    clock = ManualClock()
    async with open_api(clock=clock) as api:
        await put(api, reported(call, 1), pod="a", received_ns=clock.now_unix_ns())
    async with open_api(clock=clock) as api:
        answer = (await api.get("/v1/health")).json
    assert [one["pod_uid"] for one in answer["sidecars"]] == ["a"]


async def test_a_reader_hears_of_its_namespaces_only(open_api, token_file, call):
    clock = ManualClock()
    async with open_api(clock=clock, token_file=token_file) as api:
        now = clock.now_unix_ns()
        await put(api, reported(call, 1), pod="a", received_ns=now, namespace="team-a")
        await put(api, reported(call, 2), pod="b", received_ns=now, namespace="team-b")
        answer = (await api.get("/v1/health", headers=READER)).json
        assert (await api.get("/v1/health")).status == 401
    assert [one["pod_uid"] for one in answer["sidecars"]] == ["a"]


async def test_no_more_sidecars_are_told_than_are_asked_for(open_api, call):
    clock = ManualClock()
    async with open_api(clock=clock) as api:
        for number in range(3):
            at = clock.now_unix_ns() - number
            await put(api, reported(call, number), pod=f"p{number}", received_ns=at)
        answer = (await api.get("/v1/health?limit=2")).json
    assert [one["pod_uid"] for one in answer["sidecars"]] == ["p0", "p1"]
    assert answer["more"] is True


async def test_a_store_that_is_broken_or_damaged_is_said(api):
    api.http.front.damage = lambda: "page 7 is torn"
    api.store.backend.writer.execute("drop table records")
    answer = await api.get("/v1/health")
    assert answer.status == 200
    assert answer.json["stock"] is None
    assert any("no such table: records" in problem for problem in answer.json["problems"])
    assert (
        "the store is damaged: page 7 is torn; restore it from a backup" in answer.json["problems"]
    )


def sidecar(pod, received_unix_ns, version="v"):
    policies = (PolicySeen("p", version),)
    key = SidecarKey("n", pod)
    return Sidecar(key, "", "", "", "", received_unix_ns, received_unix_ns, 0.0, None, policies)


def news(pod, at, waiting=None, **fields):
    said = None if waiting is None else Waiting(waiting, 100 * waiting, 1_000)
    return SidecarNews("n", pod, at, None, waiting=said, **fields)


@given(st.lists(st.tuples(st.integers(1, 50), st.none() | st.integers(0, 9)), max_size=30))
def test_in_whatever_order_a_sidecar_is_heard_the_last_that_it_said_of_its_spool_counts(heard):
    roster = Roster()
    last = {}
    for at, waiting in heard:
        roster.hear(news("a", at, waiting))
        if waiting is not None:
            last.setdefault(at, set()).add(waiting)
    for one in roster.lately(50, lambda _: True):
        assert one.seen_unix_ns == max(at for at, _ in heard)
        said = None if one.waiting is None else one.waiting.records
        assert said in (last[max(last)] if last else {None})


def test_a_record_takes_nothing_from_what_a_sidecar_said_nor_the_other_way_round():
    roster = Roster()
    roster.hear(news("a", 3, 7, version="2", pod_name="web-1", policy=("p", "v9")))
    roster.note(sidecar("a", 5, "v8"))
    roster.hear(news("a", 6))
    (found,) = roster.lately(9, lambda _: True)
    assert (found.seen_unix_ns, found.record_unix_ns, found.waiting_unix_ns) == (6, 5, 3)
    assert (found.version, found.pod_name, found.waiting.records) == ("2", "web-1", 7)
    assert [policy.version for policy in found.policies] == ["v8", "v9"]


def test_figures_count_what_waits_with_those_that_are_still_heard_of():
    roster = Roster()
    now = SILENT_NS + 10
    roster.hear(news("gone", 5, 9))
    roster.hear(news("here", now, 2))
    roster.note(sidecar("old", now))
    assert roster.figures(now) == SidecarFigures(2, 1, 2, 200)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=30))
def test_whatever_order_records_come_in_the_last_says_what_a_sidecar_is(seen):
    roster = Roster()
    for pod, at in seen:
        roster.note(sidecar(pod, at))
    found = {one.key.pod_uid: one.seen_unix_ns for one in roster.lately(50, lambda _: True)}
    assert found == {pod: max(at for other, at in seen if other == pod) for pod, _ in seen}


def test_sidecars_are_forgotten_after_a_day_and_the_oldest_where_there_are_too_many():
    roster = Roster(most=2)
    for at, pod in enumerate("abc"):
        roster.note(sidecar(pod, at))
    assert [one.key.pod_uid for one in roster.lately(9, lambda _: True)] == ["c", "b"]
    assert [one.key.pod_uid for one in roster.lately(LATELY_NS + 2, lambda _: True)] == ["c"]


def test_policies_that_a_sidecar_had_are_told_newest_first_and_not_all():
    roster = Roster()
    for at, version in enumerate(["v1", "v2", "v2", "v3", "v4"]):
        roster.note(sidecar("a", at, version))
    (found,) = roster.lately(9, lambda _: True)
    assert [policy.version for policy in found.policies] == ["v4", "v3", "v2"]


def test_a_batch_is_known_by_its_last_record_that_was_stored():
    roster, stamp = Roster(), Stamp("n", "p", 7)
    stored = pb.CallRecord(origin=pb.Origin(pod_name="good"))
    refused = pb.CallRecord(origin=pb.Origin(pod_name="bad"))
    outcomes = [Outcome(Verdict.STORED), Outcome(Verdict.UNFIT, "x")]
    roster.count_commit([Batch(stamp, [stored, refused], outcomes)], 0.0)
    roster.count_commit([Batch(stamp, [refused], [Outcome(Verdict.CLASH)])], 0.0)
    assert [one.pod_name for one in roster.lately(9, lambda _: True)] == ["good"]


def test_a_record_from_the_future_has_no_delay():
    stored = pb.StoredRecord(record=pb.CallRecord(started_unix_nano=10**18), received_unix_nano=5)
    assert sidecar_of(stored).delay_s == 0.0
