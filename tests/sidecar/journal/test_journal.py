"""The journal: what came is there for queries, in order, bounded, whatever becomes of its file."""

import asyncio
import gzip
from contextlib import asynccontextmanager
from dataclasses import replace

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import Unavailable
from remora.record_wire import from_message
from remora.records import Attribution, Body, CacheVerdict, CallRecord, Usage
from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.journal.entry import entry_of
from remora_sidecar.journal.journal import PAGE_BYTES, PAGE_CALLS, Journal
from remora_sidecar.journal.plain_bodies import make_bodies_plain
from remora_sidecar.journal.selection import JournalSelection
from remora_sidecar.journal.table import SMALLEST_LIMIT_BYTES, JournalTable

ALL = JournalSelection()
TRACKER = "trk_" + "1" * 32


def call(number, **fields):
    whose = {
        name: fields.pop(name) for name in ("session_id", "data_id", "combo_id") if name in fields
    }
    usual = {
        "call_id": f"{number:032x}",
        "started_unix_ns": number,
        "sent_model": "m",
        "status_code": 200,
        "attribution": Attribution(**{"session_id": "sess_1", **whose}),
        "usage": Usage(10, 5),
    }
    return CallRecord(**{**usual, **fields})


def body(size):
    return Body(b"x" * size, size)


@asynccontextmanager
async def opened(folder, limit_bytes=64 * 1024 * 1024):
    loop = asyncio.get_running_loop()
    journal = Journal(folder / "journal.db", limit_bytes, loop.call_later)
    try:
        yield journal
    finally:
        await journal.aclose()


async def pages(journal, selection=ALL):
    """Read all, a page at a time."""
    found, above = [], 0
    while page := await journal.page(selection, above=above):
        found.append(page)
        above = page[-1].number
    return found


async def read(journal, selection=ALL):
    return [from_message(call.message) for page in await pages(journal, selection) for call in page]


async def ids(journal, selection=ALL):
    return [int(record.call_id, 16) for record in await read(journal, selection)]


async def test_what_came_before_a_query_is_part_of_its_answer(tmp_path):
    async with opened(tmp_path) as journal:
        for number in range(3):
            journal.take(call(number), TRACKER)
        assert await ids(journal) == [0, 1, 2]
        journal.take(call(3), TRACKER)
        assert await ids(journal) == [0, 1, 2, 3]


async def test_it_is_there_after_a_restart_and_numbers_go_on(tmp_path):
    async with opened(tmp_path) as journal:
        journal.take(call(1), TRACKER)
    async with opened(tmp_path) as journal:
        journal.take(call(2), TRACKER)
        (first, second) = await journal.page(ALL)
        assert (first.number, second.number) == (1, 2)
        assert second.change > first.change


async def test_records_come_back_whole(tmp_path):
    record = call(
        1,
        request_body=body(10),
        response_body=body(20),
        notes=("a note",),
        cache=CacheVerdict("hit", age_s=1.0),
    )
    async with opened(tmp_path) as journal:
        journal.take(record, TRACKER)
        assert await read(journal) == [record]
        (bare,) = await journal.page(ALL, has_bodies=False)
        assert not bare.message.HasField("request_body")


async def test_a_revised_record_keeps_its_number_and_comes_again_by_change(tmp_path):
    async with opened(tmp_path) as journal:
        journal.take(call(1, usage=None), TRACKER)
        journal.take(call(2), TRACKER)
        seen = await journal.page(ALL, by="change")
        journal.take(call(1, revision=1), TRACKER)
        (again,) = await journal.page(ALL, by="change", above=seen[-1].change)
        assert (again.number, again.message.revision) == (seen[0].number, 1)
        assert await ids(journal) == [1, 2]
        assert await journal.usage(ALL) == {"m": (20, 10)}


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        pytest.param(ALL, [1, 2, 3, 4], id="all"),
        pytest.param(JournalSelection(data_id="a"), [1, 2], id="data"),
        pytest.param(JournalSelection(data_id="a", combo_id="x"), [2], id="both"),
        pytest.param(JournalSelection(session_id="sess_2"), [3], id="session"),
        pytest.param(JournalSelection(tracker_id=TRACKER), [2, 3], id="tracker"),
        pytest.param(JournalSelection(sessions_only=True), [1, 2, 3], id="sessions only"),
        pytest.param(JournalSelection(data_id="a' OR 1=1 --"), [], id="quotes are only text"),
    ],
)
async def test_selections_hold_all_their_conditions(tmp_path, selection, found):
    async with opened(tmp_path) as journal:
        journal.take(call(1, data_id="a"), "")
        journal.take(call(2, data_id="a", combo_id="x"), TRACKER)
        journal.take(call(3, session_id="sess_2"), TRACKER)
        journal.take(call(4, session_id="default"), "")
        assert await ids(journal, selection) == found


async def test_sums_are_by_model_and_of_cached_answers_by_what_they_took_once(tmp_path):
    hit = CacheVerdict("hit", original_latency_s=2.5)
    async with opened(tmp_path) as journal:
        journal.take(call(1, sent_model="z", latency_s=1.0), TRACKER)
        journal.take(call(2, sent_model="a"), TRACKER)
        journal.take(call(3, sent_model="z", cached=True, cache=hit, latency_s=0.001), TRACKER)
        assert list((await journal.usage(ALL)).items()) == [("z", (20, 10)), ("a", (10, 5))]
        assert await journal.cached_latency_s(ALL) == 2.5


async def test_many_calls_come_in_pages_and_none_twice(tmp_path):
    count = 2 * PAGE_CALLS + 1
    async with opened(tmp_path) as journal:
        for number in range(count):
            journal.take(call(number), TRACKER)
        sizes = list(map(len, await pages(journal)))
        assert sizes == [PAGE_CALLS, PAGE_CALLS, 1]
        assert await ids(journal) == list(range(count))


async def test_what_is_forgotten_is_gone_and_the_rest_stays(tmp_path):
    async with opened(tmp_path) as journal:
        journal.take(call(1), TRACKER)
        journal.take(call(2), "")
        assert await journal.forget(JournalSelection(tracker_id=TRACKER)) == 1
        assert await ids(journal) == [2]


async def test_a_file_that_is_none_is_moved_aside(tmp_path):
    (tmp_path / "journal.db").write_bytes(b"no database" * 1000)
    async with opened(tmp_path) as journal:
        journal.take(call(1), TRACKER)
        assert await ids(journal) == [1]
    assert (tmp_path / "journal.db.broken").exists()


async def test_where_no_file_can_be_queries_say_so_and_calls_are_counted(tmp_path):
    (tmp_path / "journal.db").mkdir()
    async with opened(tmp_path) as journal:
        journal.take(call(1), TRACKER)
        with pytest.raises(Unavailable, match=r"journal\.db"):
            await journal.page(ALL)
        assert journal.missed_total == 1
        assert journal.problem


async def test_it_is_written_without_a_query_too(tmp_path):
    async with opened(tmp_path) as journal:
        journal.take(call(1), TRACKER)
    table = JournalTable(tmp_path / "journal.db", 1 << 30)
    assert table.count() == 1
    table.close()


async def test_a_closed_journal_takes_nothing_and_says_so(tmp_path):
    async with opened(tmp_path) as journal:
        pass
    journal.take(call(1), TRACKER)
    assert journal.missed_total == 1
    with pytest.raises(Unavailable, match="closed"):
        await journal.page(ALL)


def test_bodies_of_the_oldest_calls_go_first_and_then_the_oldest_calls(tmp_path):
    table = JournalTable(tmp_path / "journal.db", SMALLEST_LIMIT_BYTES)
    for number in range(400):
        table.write([entry_of(call(number, request_body=body(8000)), TRACKER)])
    calls = table.page(ALL, by="number", above=0, limit=1000, has_bodies=True)
    assert len(calls) == 400
    have = [one.message.HasField("request_body") for one in calls]
    assert have == sorted(have)
    assert 0 < sum(have) < 400
    given_up = [
        table.write([entry_of(call(number, notes=("n" * 400,)), TRACKER)])
        for number in range(400, 4000)
    ]
    assert sum(one.calls for one in given_up) == 4000 - table.count() > 0
    calls = table.page(ALL, by="number", above=0, limit=10_000, has_bodies=True)
    numbers = [one.number for one in calls]
    assert numbers == list(range(numbers[0], 4001))
    assert table.used_bytes <= SMALLEST_LIMIT_BYTES
    table.close()


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["a", "b"]), st.integers(0, 100)), max_size=30
    )
)
def test_it_agrees_with_a_dictionary(tmp_path_factory, writes):
    table = JournalTable(tmp_path_factory.mktemp("journal") / "journal.db", 1 << 30)
    known = {}
    for revision, (number, model, tokens) in enumerate(writes):
        record = call(number, sent_model=model, usage=Usage(tokens, 1), revision=revision)
        table.write([entry_of(record, TRACKER)])
        known[number] = record
    sums = {}
    for record in known.values():
        sent, made = sums.get(record.sent_model, (0, 0))
        sums[record.sent_model] = (sent + record.usage.input_tokens, made + 1)
    assert table.usage(ALL) == sums
    found = table.page(ALL, by="number", above=0, limit=100, has_bodies=True)
    assert [int(one.message.call_id, 16) for one in found] == list(known)
    by_change = table.page(ALL, by="change", above=0, limit=100, has_bodies=True)
    assert {one.change for one in by_change} == {one.change for one in found}
    table.close()


@pytest.mark.parametrize("text", ["\ud800", "é", ""], ids=["surrogate", "letter", "empty"])
def test_any_text_of_an_agent_can_be_kept(tmp_path, text):
    table = JournalTable(tmp_path / "journal.db", 1 << 30)
    record = call(1, data_id=text)
    table.write([entry_of(replace(record, sent_model=text or "m"), TRACKER)])
    assert table.count() == 1
    table.close()


async def test_a_page_ends_before_it_is_too_large_to_hold(tmp_path):
    async with opened(tmp_path) as journal:
        for number in range(6):
            journal.take(call(number, request_body=body(3 * 1024 * 1024 - 1000)), TRACKER)
        sizes = list(map(len, await pages(journal)))
        assert sum(sizes) == 6
        assert max(sizes) <= PAGE_BYTES // (3 * 1024 * 1024) + 1


@pytest.mark.parametrize(
    "encode",
    [bytes, gzip.compress, brotli.compress, zstandard.ZstdCompressor().compress],
    ids=["plain", "gzip", "brotli", "zstd"],
)
def test_bodies_come_as_json_whatever_they_were_on_the_wire(encode):
    content = b'{"model": "gpt-4o"}'
    record = pb.CallRecord(request_body=pb.Body(content=encode(content)))
    make_bodies_plain(record)
    assert record.request_body.content == content
    assert not record.HasField("response_body")


@given(st.binary(max_size=200))
def test_bodies_that_are_nothing_stay_as_they_are(content):
    record = pb.CallRecord(response_body=pb.Body(content=content, truncated=True))
    make_bodies_plain(record)
    assert record.response_body.content == content
    make_bodies_plain(pb.CallRecord(response_body=pb.Body(content=content)))
