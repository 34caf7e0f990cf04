"""What every back end does with records; `store` is each of them in turn."""

import asyncio
import random

import pytest
from tests.aggregator.store.calls import BEGIN_NS, DAY_NS, STAMP, call, calls

from remora_aggregator.store.committing import Verdict
from remora_aggregator.store.cursor import place_of
from remora_aggregator.store.facts import Stamp
from remora_aggregator.store.selection import selection
from remora_aggregator.store.sql import Order
from remora_proto.v1 import records_pb2 as pb

LOCAL = ("local",)


async def read(store, wanted=None, *, namespaces=LOCAL, size=0, limit=0, order=None, bodies=False):
    """Read all records that match, in pages of a size, each begun by the cursor of the last."""
    chosen = selection(wanted or pb.RecordFilter(), namespaces)
    found, after = [], None
    while True:
        pages = store.pages(
            chosen, after=after, order=order or Order(), limit=size or limit, bodies=bodies
        )
        taken = [stored async for page in pages for stored in page.records]
        found += taken
        if not size or len(taken) < size:
            return found
        after = place_of(taken[-1].cursor)


def ids(found):
    return [int((getattr(one, "record", one)).call_id, 16) for one in found]


async def test_what_is_stored_is_read_as_it_came(store):
    records = calls(1, 50)
    records[3].MergeFromString(b"\xd2\x3f\x03new")  # a field that nobody knows yet
    outcomes = await store.write(records, STAMP)
    assert {outcome.verdict for outcome in outcomes} == {Verdict.STORED}
    found = await read(store)
    assert [stored.record for stored in found] == records
    assert b"new" in found[3].record.SerializeToString()
    assert {(stored.namespace, stored.pod_uid, stored.clock_skew_s) for stored in found} == {
        ("local", "pod-1", 0.25)
    }


async def test_a_record_that_comes_again_is_stored_once(store):
    (record,) = calls(2, 1)
    for _ in range(3):
        await store.write([record, record], STAMP)
    assert len(await read(store)) == 1
    assert store.outcomes == {"stored": 1, "known": 5}


@pytest.mark.parametrize("seed", range(3))
async def test_however_revisions_arrive_the_highest_of_each_call_stays(store, seed):
    chance = random.Random(seed)  # noqa: S311 - for tests
    made = calls(seed, 4)
    expected = {}
    for _ in range(12):
        batch = []
        for _ in range(chance.randrange(1, 6)):
            number, revision = chance.randrange(4), chance.randrange(4)
            record = pb.CallRecord()
            record.CopyFrom(made[number])
            record.revision = revision
            batch.append(record)
            expected[number] = max(revision, expected.get(number, 0))
        await store.write(batch, STAMP)
    found = await read(store)
    assert {int(one.record.call_id, 16): one.record.revision for one in found} == expected


async def test_a_revision_is_seen_by_whoever_follows(store):
    first, second = calls(3, 2)
    await store.write([first, second], STAMP)
    seen = await store.last_position()
    first.revision = 1
    await store.write([first], STAMP)
    pages = store.pages(selection(pb.RecordFilter(), LOCAL), after=place_of(f"r{seen:x}"))
    assert ids([one async for page in pages for one in page.records]) == ids([first])
    assert ids(await read(store)) == ids([second, first])


async def test_another_call_under_the_same_id_is_a_clash(store):
    (record,) = calls(4, 1)
    await store.write([record], STAMP)
    record.started_unix_nano += 1
    (outcome,) = await store.write([record], STAMP)
    assert outcome.is_refused
    assert "another call" in outcome.reason


async def test_another_pods_revision_is_a_clash_and_its_own_call_is_not(store):
    (record,) = calls(5, 1)
    other = Stamp("local", "pod-2", STAMP.received_unix_ns)
    await store.write([record], STAMP)
    (own,) = await store.write([record], other)
    assert own.verdict is Verdict.STORED
    third = Stamp("local", "pod-3", STAMP.received_unix_ns)
    record.revision = 1
    (outcome,) = await store.write([record], third)
    assert "another sidecar" in outcome.reason


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("newest_first", [False, True], ids=["oldest", "newest"])
async def test_pages_by_cursor_are_the_whole_cut_into_pieces(store, size, newest_first):
    records = calls(6, 60)
    await store.write(records, STAMP)
    found = await read(store, size=size, order=Order(descending=newest_first))
    assert ids(found) == ids(reversed(records) if newest_first else records)


@pytest.mark.parametrize("column", ["latency_s", "ttft_s", "started_unix_ns", "cost_usd"])
@pytest.mark.parametrize("descending", [False, True], ids=["least first", "most first"])
async def test_pages_in_an_order_hold_every_record_once(store, column, descending):
    records = calls(7, 60)
    await store.write(records, STAMP)
    value = {
        "latency_s": lambda one: one.latency_s,
        "ttft_s": lambda one: one.ttft_s if one.HasField("ttft_s") else None,
        "started_unix_ns": lambda one: one.started_unix_nano,
        "cost_usd": lambda one: float(one.cost.total_usd) if one.cost.total_usd else None,
    }[column]
    order = Order(column, is_money=column == "cost_usd", descending=descending)
    found = await read(store, size=7, order=order)
    values = [value(one.record) for one in found]
    stated = [one for one in values if one is not None]
    assert stated == sorted(stated, reverse=descending)
    assert values[: len(stated)] == stated  # what is not stated comes last
    assert sorted(ids(found)) == list(range(60))


async def test_pages_are_stable_while_records_come(store):
    chance = random.Random(8)  # noqa: S311 - for tests
    await store.write(calls(8, 20), STAMP)
    chosen, after, found = selection(pb.RecordFilter(), LOCAL), None, []
    for number in range(100, 110):
        page = await store.page(chosen, after=after, order=Order(), most=3, bodies=False)
        found += page.records
        after = page.last
        await store.write([call(chance, number)], STAMP)
    assert len(ids(found)) == len(set(ids(found))) == 29
    assert ids(found) == [*range(20), *range(100, 109)]


def _condition(field, operator, *values):
    return pb.RecordFilter(conditions=[pb.Condition(field=field, operator=operator, values=values)])


def _model(record):
    return record.response_model or record.sent_model or record.requested_model


FILTERS = {
    "session": (pb.RecordFilter(session_id="s1"), lambda r: r.attribution.session_id == "s1"),
    "task and provider": (
        pb.RecordFilter(task_id="t1", provider="openai"),
        lambda r: r.attribution.task_id == "t1" and r.provider == "openai",
    ),
    "model": (
        pb.RecordFilter(model="gpt-4o"),
        lambda r: "gpt-4o" in (r.requested_model, r.sent_model),
    ),
    "since and until": (
        pb.RecordFilter(since_unix_nano=BEGIN_NS + DAY_NS, until_unix_nano=BEGIN_NS + 2 * DAY_NS),
        lambda r: BEGIN_NS + DAY_NS <= r.started_unix_nano < BEGIN_NS + 2 * DAY_NS,
    ),
    "errors": (
        pb.RecordFilter(outcome=pb.RecordFilter.OUTCOME_ERROR),
        lambda r: r.status_code >= 400,
    ),
    "one of": (
        _condition("status_code", 1, "429", "500"),
        lambda r: r.status_code in (429, 500),
    ),
    "not": (_condition("provider", 2, "openai"), lambda r: r.provider != "openai"),
    "not stated": (_condition("provider", 1, ""), lambda r: not r.provider),
    "stated or not": (
        _condition("provider", 1, "", "openai"),
        lambda r: r.provider in ("", "openai"),
    ),
    "stated": (_condition("provider", 9), lambda r: bool(r.provider)),
    "absent": (_condition("ttft_s", 10), lambda r: not r.HasField("ttft_s")),
    "range": (_condition("latency_s", 6, "0.5"), lambda r: r.latency_s >= 0.5),
    "money": (
        _condition("cost.total_usd", 4, "0.0005"),
        lambda r: r.cost.total_usd and float(r.cost.total_usd) <= 0.0005,
    ),
    "glob": (_condition("model", 7, "GPT-*mini"), lambda r: _model(r).endswith("mini")),
    "not glob": (_condition("model", 8, "gpt-*"), lambda r: not _model(r).startswith("gpt-")),
    "truth": (_condition("cached", 1, "true"), lambda r: r.cached),
    "label": (_condition("origin.labels.app", 1, "a"), lambda r: r.origin.labels["app"] == "a"),
    "by the message": (
        _condition("usage.input_tokens", 5, "500"),
        lambda r: r.usage.input_tokens > 500,
    ),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_a_filter_finds_what_it_says(store, name):
    wanted, fits = FILTERS[name]
    records = calls(9, 80)
    await store.write(records, STAMP)
    expected = [number for number, record in enumerate(records) if fits(record)]
    assert 0 < len(expected) < 80
    assert ids(await read(store, wanted, size=9)) == expected
    assert ids(await read(store, wanted, limit=2)) == expected[:2]


@pytest.mark.parametrize("letter", "%_[]\\^?*'\"üé")
async def test_only_stars_and_question_marks_are_wild(store, letter):
    names = [f"a{letter}b", "axb"]
    records = [pb.CallRecord(call_id=f"{n:032x}", provider=name) for n, name in enumerate(names)]
    await store.write(records, STAMP)
    found = ids(await read(store, _condition("provider", 7, f"a{letter}b")))
    assert found == ([0, 1] if letter in "?*" else [0])


async def test_namespaces_see_their_own_records_alone(store):
    (record,) = calls(10, 1)
    for namespace in ("a", "b", "c"):
        await store.write([record], Stamp(namespace, "pod", 1))
    for namespaces in (("a",), ("a", "b"), (), None):
        found = {stored.namespace for stored in await read(store, namespaces=namespaces)}
        assert found == set(("a", "b", "c") if namespaces is None else namespaces)


async def test_bodies_are_kept_apart_and_given_when_asked_for(store):
    bodies = [b'{"content": "x"}' * 300, bytes(range(256)) * 4]
    record = pb.CallRecord(
        call_id="1" * 32,
        request_body=pb.Body(content=bodies[0], original_bytes=9),
        response_body=pb.Body(content=bodies[1], truncated=True),
    )
    await store.write([record], STAMP)
    (bare,) = await read(store)
    assert not bare.record.HasField("request_body")
    (whole,) = await read(store, bodies=True)
    assert whole.record == record


async def test_captured_text_is_found_by_its_words(store):
    def of(number, text):
        return pb.CallRecord(call_id=f"{number:032x}", request_body=pb.Body(content=text.encode()))

    await store.write(
        [of(1, '{"content": "The quick brown fox"}'), of(2, '{"content": "Quick thinking"}'),
         of(3, "nothing"), pb.CallRecord(call_id=f"{4:032x}")],
        STAMP,
    )  # fmt: skip
    assert ids(await read(store, pb.RecordFilter(text="QUICK"))) == [1, 2]
    assert ids(await read(store, pb.RecordFilter(text="fox quick"))) == [1]
    assert ids(await read(store, pb.RecordFilter(text='" OR brown* NEAR('))) == []
    revised = of(1, '{"content": "something else"}')
    revised.revision = 1
    await store.write([revised], STAMP)
    assert ids(await read(store, pb.RecordFilter(text="quick"))) == [2]
    assert ids(await read(store, pb.RecordFilter(text="else"))) == [1]


async def test_whoever_follows_is_woken_by_commits(store):
    async with store.followed() as woken:
        assert not woken.is_set()
        await store.write(calls(11, 1), STAMP)
        async with asyncio.timeout(10):
            await woken.wait()


async def test_odd_letters_are_kept(store):
    odd = 'nul\0, quote\', "double", ☃, \U0001f980, \\ %s ?'
    record = pb.CallRecord(call_id="2" * 32, provider=odd, notes=[odd])
    await store.write([record], STAMP)
    (stored,) = await read(store)
    assert stored.record == record


async def test_records_outlive_the_store(open_store):
    async with open_store() as store:
        await store.write(calls(12, 5), STAMP)
    async with open_store() as store:
        assert len(await read(store)) == 5
        await store.write(calls(13, 6), STAMP)  # the first five clash or are known
        assert len(await read(store)) == 6
