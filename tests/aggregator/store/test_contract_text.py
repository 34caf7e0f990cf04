"""What agents may write into their records, on every back end; `store` is each of them in turn."""

import pytest
from tests.aggregator.store.calls import STAMP, calls

from remora_aggregator.store.facts import MOST_TEXT_BYTES, column_text
from remora_aggregator.store.questions import usage_question
from remora_aggregator.store.selection import selection
from remora_proto.v1 import records_pb2 as pb

LOCAL = ("local",)
ODD = {
    "nul": "a\0b",
    "only nul": "\0",
    "very long": "long-" * 20_000,
    "long in bytes": "ä🦈" * 300,
    "quotes": 'it\'s "quoted" \\ back',
    "marks of statements": "100% ? %s $1 :name {}",
    "wild": "*?[a]_%",
    "controls": "\t\r\n\x1b\x7f\u202e",
    "not characters": "\uffff\ufdd0",
}


def _record(number, text):
    record = calls(number, 1)[0]
    record.call_id = f"{number:032x}"
    record.MergeFrom(
        pb.CallRecord(
            attribution=pb.Attribution(
                session_id=text, task_id=text, data_id=text, combo_id=text, agent_id=text
            ),
            origin=pb.Origin(workload=text, pod_name=text, labels={text: text}),
            provider=text,
            dialect=text,
            operation=text,
            requested_model=text,
            sent_model=text,
            response_model=text,
            error=pb.CallError(type=text, message=text),
            receipt=pb.Receipt(rule=text),
            cache=pb.CacheVerdict(result=text),
            request_body=pb.Body(content=text.encode()),
        )
    )
    return record


async def _found(store, **wanted):
    chosen = selection(pb.RecordFilter(**wanted), LOCAL)
    pages = store.pages(chosen, after=None, bodies=True)
    return [stored.record async for page in pages for stored in page.records]


def _equal(path, text):
    return pb.Condition(field=path, operator=pb.Condition.OPERATOR_EQUAL, values=[text])


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
async def test_odd_text_is_stored_as_it_came_and_found_by_itself(store, text):
    record = _record(1, text)
    await store.write([record, _record(2, "other")], STAMP)
    ways = (
        {"session_id": text},
        {"model": text},
        {"provider": text},
        {"conditions": [_equal("origin.workload", text), _equal("error.type", text)]},
        {"conditions": [_equal("error.message", text)]},
    )
    for wanted in ways:
        assert await _found(store, **wanted) == [record]
    assert len(await _found(store)) == 2


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
async def test_odd_text_is_summed_up_and_taken_back(store, text):
    record = _record(1, text)
    await store.write([record], STAMP)
    record.revision = 1
    record.usage.input_tokens = 77
    await store.write([record], STAMP)
    for dimension in (pb.USAGE_DIMENSION_MODEL, pb.USAGE_DIMENSION_WORKLOAD):
        ((keys, totals),) = await _usage(store, group_by=[dimension])
        assert keys == (column_text(text), 0)
        assert totals.sums[0] == 1
    ((keys, totals),) = await _usage(
        store, group_by=[pb.USAGE_DIMENSION_SESSION], filter=pb.RecordFilter(session_id=text)
    )
    assert (keys, totals.sums[0]) == ((column_text(text), 0), 1)


async def _usage(store, **fields):
    request = pb.UsageRequest(**fields)
    return await store.usage(usage_question(request, selection(request.filter, LOCAL)))


def test_long_texts_that_begin_alike_stay_apart():
    one, other = ("x" * 1000 + end for end in "ab")
    assert column_text(one) != column_text(other)
    assert column_text(one).startswith("x" * 400)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_a_column_holds_what_an_index_takes_and_once_is_enough(text):
    held = column_text(text)
    assert len(held.encode()) <= MOST_TEXT_BYTES
    assert "\0" not in held
    assert column_text(held) == held


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("team/*", ["team/a", "TEAM/B"]),
        ("te?m/a", ["team/a"]),
        ("100%", ["100%"]),
        ("a_b", ["a_b"]),
        ("a?b", ["a_b", "axb"]),
        ("[x]*", ["[x]y"]),
        ("*\\*", ["back\\slash"]),
    ],
)
async def test_globs_mean_their_own_two_signs_and_no_others(store, glob, found):
    names = ["team/a", "TEAM/B", "100%", "1000", "a_b", "axb", "[x]y", "xy", "back\\slash"]
    await store.write([_record(number, name) for number, name in enumerate(names)], STAMP)
    condition = pb.Condition(field="session_id", operator=pb.Condition.OPERATOR_GLOB, values=[glob])
    records = await _found(store, conditions=[condition])
    assert [record.attribution.session_id for record in records] == found


TEXT = {
    "one": "The quick brown fox, call_the_tool(argument=17) at https://example.com/a-b?c=d",
    "two": "Größe und Élève déjà 3.14",
    "three": "e\u0301te\u0301 Привет 你好",
}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("quick", ["one"]),
        ("QUICK fox", ["one"]),
        ("quick 3", []),
        ("call_the_tool", ["one"]),
        ("tool argument 17", ["one"]),
        ("example.com", ["one"]),
        ("exampl", []),
        ("eleve", ["two"]),
        ("élève", ["two"]),
        ("GRÖSSE", []),
        ("größe", ["two"]),
        ("3.14", ["two"]),
        ("été", ["three"]),
        ("привет 你好", ["three"]),
        ("and or not near", []),
        ("'quick' & !fox | (brown):*", ["one"]),
    ],
)
async def test_words_are_found_whatever_their_case_and_accents(store, words, found):
    records = []
    for number, text in enumerate(TEXT.values()):
        (record,) = calls(number, 1)
        record.call_id = f"{number:032x}"
        record.request_body.content = text.encode()
        records.append(record)
    await store.write(records, STAMP)
    names = dict(zip((record.call_id for record in records), TEXT, strict=True))
    assert [names[record.call_id] for record in await _found(store, text=words)] == found


HUGE = str(10**30)


@pytest.mark.parametrize(
    ("field", "operator", "value", "count"),
    [
        ("status_code", "LESS", HUGE, 3),
        ("status_code", "GREATER", HUGE, 0),
        ("status_code", "GREATER", f"-{HUGE}", 3),
        ("status_code", "EQUAL", HUGE, 0),
        ("status_code", "LESS", "200.5", 3),
        ("latency_s", "GREATER", "-1", 3),
        ("latency_s", "LESS", "1e308", 3),
        ("cost.total_usd", "GREATER_OR_EQUAL", "0.000000000001", 3),
        ("cost.total_usd", "LESS", "0.000000000001", 0),
        ("usage.input_tokens", "LESS", HUGE, 3),
        ("is_error", "EQUAL", "false", 3),
    ],
)
async def test_numbers_of_any_size_compare(store, field, operator, value, count):
    records = [_record(number, "plain") for number in range(3)]
    for record in records:
        record.ClearField("error")
        record.status_code = 200
        record.usage.input_tokens = 5
        record.cost.total_usd = "0.000000000001"
    await store.write(records, STAMP)
    condition = pb.Condition(
        field=field, operator=getattr(pb.Condition, f"OPERATOR_{operator}"), values=[value]
    )
    assert len(await _found(store, conditions=[condition])) == count
