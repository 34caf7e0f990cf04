"""What a tracker knows of its calls: each once, in order, found by any of its ids."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.tracker.call_record import CallRecord
from remora.tracker.ledger import RecordFilter, RecordLedger, cached_latency_s, usage_of
from remora.tracker.link import RecordPage

IDS = st.sampled_from([None, "a", "b"])


def record(number, data_id=None, combo_id=None, **more):
    return CallRecord(
        data_id, combo_id, None, "m", 3, 2, 0.5, "https://api.openai.com/v1", call_id=str(number),
        session_id="sess_1", **more,
    )  # fmt: skip


def pages_of(records, size):
    """Serve records as a sidecar does, so many at a time."""

    def read(_tracker_id, after):
        part = records[after : after + size]
        end = after + len(part)
        return RecordPage(tuple(part), end, end < len(records))

    return read


@given(
    st.lists(st.tuples(IDS, IDS), min_size=6, max_size=6),
    st.lists(st.integers(0, 5), max_size=30),
    st.integers(1, 7),
    IDS,
    IDS,
)
def test_it_finds_what_a_look_at_every_record_finds(ids, writes, size, data_id, combo_id):
    records = [record(number, *ids[number]) for number in writes]
    ledger = RecordLedger()
    ledger.add_source("trk_1")
    for end in range(len(records) + 1):
        ledger.read(pages_of(records[:end], size))
    known = {one.call_id: one for one in records}
    wanted = RecordFilter(data_id=data_id, combo_id=combo_id)
    assert ledger.select(wanted) == [one for one in known.values() if wanted.takes(one)]
    assert ledger.select(RecordFilter()) == list(known.values())


def test_without_a_source_nothing_is_read():
    ledger = RecordLedger()
    ledger.read(lambda *_: pytest.fail("nobody is to be asked"))
    assert ledger.select(RecordFilter()) == []


def test_what_is_cleared_does_not_come_again():
    ledger = RecordLedger()
    ledger.add_source("trk_1")
    ledger.read(pages_of([record(1)], 10))
    ledger.clear()
    ledger.read(pages_of([record(1), record(2)], 10))
    assert [one.call_id for one in ledger.select(RecordFilter(session_id="sess_1"))] == ["2"]


def test_sums_count_each_model_and_only_cached_answers_time():
    records = [record(1), replace(record(2), model="n"), replace(record(3), cached=True)]
    assert usage_of(records) == {"m": (6, 4), "n": (3, 2)}
    assert cached_latency_s(records) == 0.5
