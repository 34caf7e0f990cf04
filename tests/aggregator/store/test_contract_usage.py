"""How every back end sums calls up; `store` is each of them in turn."""

import random

import pytest
from tests.aggregator.store.calls import BEGIN_NS, DAY_NS, HOUR_NS, STAMP, calls, rounded, sums

from remora_aggregator.store import spread
from remora_aggregator.store.questions import usage_question
from remora_aggregator.store.selection import selection
from remora_proto.v1 import records_pb2 as pb

LOCAL = ("local",)
MODEL, PROVIDER, SESSION = 1, 2, 3
TASK, OPERATION, WORKLOAD, STATUS = 7, 9, 11, 16

COLUMNS = {
    MODEL: "model",
    PROVIDER: "provider",
    SESSION: "session_id",
    TASK: "task_id",
    OPERATION: "operation",
    WORKLOAD: "workload",
    STATUS: "status_code",
}


async def usage(store, namespaces=LOCAL, **fields):
    request = pb.UsageRequest(**fields)
    question = usage_question(request, selection(request.filter, namespaces))
    return await store.usage(question)


async def told(store, **fields):
    return {keys: rounded(totals.sums) for keys, totals in await usage(store, **fields)}


def _session(record):
    return record.attribution.session_id == "s1"


def _between(begin, end):
    return lambda record: begin <= record.started_unix_nano < end


ODD_BEGIN = BEGIN_NS + HOUR_NS + 12_345
ODD_END = BEGIN_NS + 3 * DAY_NS + 5 * HOUR_NS + 99

QUESTIONS = {
    "by model": ({}, [MODEL], None),
    "by four": ({}, [MODEL, PROVIDER, OPERATION, WORKLOAD], None),
    "by session": ({}, [SESSION], None),
    "by session and model": (
        {"conditions": [pb.Condition(field="session_id", operator=9)]},
        [SESSION, MODEL],
        lambda r: bool(r.attribution.session_id),
    ),
    "by task": ({}, [TASK], None),
    "by status": ({}, [STATUS], None),
    "of a session": ({"session_id": "s1"}, [MODEL], _session),
    "of a session and provider": (
        {"session_id": "s1", "provider": "openai"},
        [MODEL],
        lambda r: _session(r) and r.provider == "openai",
    ),
    "of a session by workload": ({"session_id": "s1"}, [WORKLOAD], _session),
    "of a provider": ({"provider": "openai"}, [MODEL], lambda r: r.provider == "openai"),
    "of no provider": (
        {"conditions": [pb.Condition(field="provider", operator=10)]},
        [MODEL],
        lambda r: not r.provider,
    ),
    "of a glob": (
        {"conditions": [pb.Condition(field="model", operator=7, values=["gpt*"])]},
        [PROVIDER],
        lambda r: (r.sent_model or r.requested_model).startswith("gpt"),
    ),
    "of a model": (
        {"model": "gpt-4o"},
        [PROVIDER],
        lambda r: "gpt-4o" in (r.requested_model, r.sent_model),
    ),
    "of whole days": (
        {"since_unix_nano": BEGIN_NS + DAY_NS, "until_unix_nano": BEGIN_NS + 3 * DAY_NS},
        [MODEL],
        _between(BEGIN_NS + DAY_NS, BEGIN_NS + 3 * DAY_NS),
    ),
    "of ragged days": (
        {"since_unix_nano": ODD_BEGIN, "until_unix_nano": ODD_END},
        [MODEL],
        _between(ODD_BEGIN, ODD_END),
    ),
    "of a ragged while": (
        {"since_unix_nano": ODD_BEGIN},
        [MODEL],
        lambda r: r.started_unix_nano >= ODD_BEGIN,
    ),
    "until a ragged end": (
        {"until_unix_nano": ODD_END},
        [MODEL],
        lambda r: r.started_unix_nano < ODD_END,
    ),
    "within an hour": (
        {"since_unix_nano": BEGIN_NS + 5, "until_unix_nano": BEGIN_NS + HOUR_NS - 5},
        [MODEL],
        _between(BEGIN_NS + 5, BEGIN_NS + HOUR_NS - 5),
    ),
    "of hours of one day": (
        {"since_unix_nano": BEGIN_NS + 2 * HOUR_NS, "until_unix_nano": BEGIN_NS + 9 * HOUR_NS},
        [MODEL],
        _between(BEGIN_NS + 2 * HOUR_NS, BEGIN_NS + 9 * HOUR_NS),
    ),
    "by the message": (
        {"conditions": [pb.Condition(field="origin.labels.app", operator=1, values=["a"])]},
        [MODEL],
        lambda r: r.origin.labels["app"] == "a",
    ),
}


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("interval_s", [0, 86_400, 3_600, 1_000], ids=["", "days", "hours", "odd"])
async def test_sums_are_those_of_the_calls_one_by_one(store, name, interval_s):
    fields, dimensions, fits = QUESTIONS[name]
    records = calls(1, 300)
    await store.write(records, STAMP)
    chosen = [record for record in records if fits is None or fits(record)]
    columns = tuple(COLUMNS[number] for number in dimensions)
    found = await told(
        store, filter=pb.RecordFilter(**fields), group_by=dimensions, interval_s=interval_s
    )
    assert chosen
    assert found == sums(chosen, columns, interval_s * 10**9)


async def test_revised_calls_are_counted_as_they_were_revised(store):
    chance = random.Random(3)  # noqa: S311 - for tests
    records = calls(2, 60)
    await store.write(records, STAMP)
    revised = []
    for old, new in zip(records, calls(3, 60), strict=True):
        if chance.random() < 0.5:
            new.started_unix_nano = old.started_unix_nano
            new.revision = 1
            revised.append(new)
        else:
            revised.append(old)
    await store.write(revised, STAMP)
    for dimensions in ([MODEL], [PROVIDER, WORKLOAD], [STATUS]):
        columns = tuple(COLUMNS[number] for number in dimensions)
        assert await told(store, group_by=dimensions) == sums(revised, columns)
    for session in ("s1", "s2"):
        chosen = [one for one in revised if one.attribution.session_id == session]
        wanted = pb.RecordFilter(session_id=session)
        assert await told(store, filter=wanted) == sums(chosen, ("model",))


@pytest.mark.parametrize(
    "fields",
    [{}, {"session_id": "s1"}, {"since_unix_nano": ODD_BEGIN, "until_unix_nano": ODD_END}],
    ids=["all", "session", "ragged"],
)
async def test_quantiles_are_within_their_error(store, fields):
    records = calls(4, 400)
    await store.write(records, STAMP)
    session = fields.get("session_id", "")
    begin, end = fields.get("since_unix_nano", 0), fields.get("until_unix_nano", 1 << 63)
    chosen = [
        one
        for one in records
        if session in ("", one.attribution.session_id) and begin <= one.started_unix_nano < end
    ]
    wanted = pb.RecordFilter(**fields)
    ((_, totals),) = await usage(store, filter=wanted, group_by=[8], quantiles=[0.5, 0.99])
    latencies = [one.latency_s for one in chosen]
    ttfts = [one.ttft_s for one in chosen if one.HasField("ttft_s")]
    for values, counts in zip((latencies, ttfts), totals.spreads, strict=False):
        assert sum(count for _, count in counts.items()) == len(values)
        for part in (0.5, 0.99):
            true = sorted(values)[int(part * (len(values) - 1))]
            assert spread.quantile(counts, part) == pytest.approx(true, rel=spread.ERROR + 1e-6)


async def test_the_groups_with_most_calls_come_first_and_alone(store):
    records = calls(5, 100)
    await store.write(records, STAMP)
    found = await usage(store, group_by=[MODEL], limit=2)
    counted = [totals.sums[0] for _, totals in found]
    everything = sorted((one[0] for one in sums(records, ("model",)).values()), reverse=True)
    assert counted == everything[:2]


async def test_namespaces_are_summed_apart(store):
    (record,) = calls(6, 1)
    for namespace in ("a", "b"):
        await store.write([record], STAMP.__class__(namespace, "pod", 1))
    found = await usage(store, ("a",), group_by=[8])
    assert [keys for keys, _ in found] == [("a", 0)]
    assert {keys for keys, _ in await usage(store, None, group_by=[8])} == {("a", 0), ("b", 0)}


async def test_absurd_figures_do_not_end_all_sums(store):
    absurd = pb.Usage(input_tokens=(1 << 63) - 1, output_tokens=-(1 << 63))
    records = [
        pb.CallRecord(call_id=f"{number:032x}", usage=absurd, started_unix_nano=number)
        for number in range(3)
    ]
    await store.write(records, STAMP)
    for dimension in (MODEL, STATUS):
        ((_, totals),) = await usage(store, group_by=[dimension])
        assert totals.sums[7:9] == [3 << 40, -(3 << 40)]


async def test_money_is_summed_exactly(store):
    records = [
        pb.CallRecord(call_id=f"{number:032x}", started_unix_nano=number,
                      cost=pb.Cost(total_usd="0.1000000000000000000000000000000000000001"))
        for number in range(3)
    ]  # fmt: skip
    await store.write(records, STAMP)
    for dimension in (MODEL, STATUS):
        ((_, totals),) = await usage(store, group_by=[dimension])
        assert str(totals.sums[12]) == "0.3000000000000000000000000000000000000003"
