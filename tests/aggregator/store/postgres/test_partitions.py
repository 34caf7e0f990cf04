from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.aggregator.store.calls import STAMP, calls

from remora_aggregator.store.committing import Batch, commit, new_record
from remora_aggregator.store.port import CallKey
from remora_aggregator.store.postgres.backend import PostgresBackend, opened
from remora_aggregator.store.postgres.connections import Login
from remora_aggregator.store.postgres.partitions import WEEK_US, name_of, week_of
from remora_aggregator.store.selection import selection
from remora_aggregator.store.sql import Order
from remora_proto.v1 import records_pb2 as pb

EVERYTHING = selection(pb.RecordFilter(), ("local",))


@given(position=st.integers(WEEK_US, 1 << 55))
def test_each_position_lies_in_one_week_that_begins_on_a_monday(position):
    week = week_of(position)
    assert week <= position < week + WEEK_US == week_of(week + WEEK_US)
    named = datetime.strptime(name_of("records", week), "records_%Y%m%d")
    assert named.weekday() == 0
    assert named.replace(tzinfo=UTC).timestamp() * 1_000_000 == week


@pytest.fixture
def backend(postgres_dsn):
    backend = PostgresBackend(Login(postgres_dsn))
    yield backend
    backend.close()


@pytest.fixture
def asked(postgres_dsn):
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        yield lambda *words: connection.execute(*words).fetchall()


def _go_on_at(asked, position):
    asked("select setval('positions', %s)", (position,))


def _last(asked):
    return asked("select last_value from positions")[0][0]


def _write(backend, seed, count=3):
    records = calls(seed, count)
    for record in records:
        record.call_id = f"{seed:016x}{int(record.call_id, 16):016x}"
        record.request_body.content = b'{"p": "some words"}'
    commit(backend, [Batch(STAMP, records)])


def _partitions(asked, table="records"):
    rows = asked(
        f"select tableoid::regclass::text, count(*) from {table} group by 1 order by 1"  # noqa: S608
    )
    return dict(rows)


def _there(asked, table="records"):
    return {name for (name,) in asked(
        "select inhrelid::regclass::text from pg_inherits where inhparent = to_regclass(%s)",
        (table,),
    )}  # fmt: skip


def test_positions_are_times_of_commits_and_their_weeks_are_made_ahead(backend, asked):
    before = datetime.now(UTC).timestamp() * 1_000_000
    _write(backend, 1)
    last = _last(asked)
    assert before <= last <= datetime.now(UTC).timestamp() * 1_000_000
    week = week_of(last)
    ahead = {name_of("records", week + number * WEEK_US) for number in range(3)}
    assert _there(asked) == ahead
    assert _partitions(asked) == {name_of("records", week): 3}


def test_a_clock_that_goes_back_does_not_turn_positions_back(backend, asked):
    future = _last(asked) + 10 * WEEK_US + 5_000_000_000_000_000
    _go_on_at(asked, future)
    _write(backend, 1)
    _write(backend, 2)
    positions = [position for (position,) in asked("select position from records order by 1")]
    assert positions == list(range(future + 1, future + 7))


async def test_each_week_is_written_to_its_own_partition_and_read_in_order(postgres_dsn, asked):
    async with opened(postgres_dsn) as store:
        expected = []
        for week in range(4):
            records = calls(week, 5)
            for record in records:
                record.call_id = f"{week:016x}{int(record.call_id, 16):016x}"
            await store.write(records, STAMP)
            expected += [record.call_id for record in records]
            _go_on_at(asked, week_of(_last(asked)) + WEEK_US)
        assert list(_partitions(asked).values()) == [5, 5, 5, 5]
        for order in (Order(), Order(descending=True)):
            pages = store.pages(EVERYTHING, after=None, order=order)
            found = [stored.record.call_id async for page in pages for stored in page.records]
            assert found == (expected[::-1] if order.descending else expected)


def test_a_transaction_may_cross_into_the_next_week(backend, asked):
    _write(backend, 1)
    next_week = week_of(_last(asked)) + 5 * WEEK_US
    _go_on_at(asked, next_week - 3)
    _write(backend, 2, count=4)
    assert sorted(_partitions(asked).values()) == [2, 2, 3]
    assert sorted(_partitions(asked, "bodies").values()) == [2, 2, 3]


def test_partitions_of_a_transaction_that_failed_are_made_again(backend, asked):
    _go_on_at(asked, _last(asked) + WEEK_US * 3000)
    before = _there(asked)
    with pytest.raises(ZeroDivisionError), backend.transaction() as writing:
        _insert_and_fail(writing)
    assert _there(asked) == before
    _write(backend, 2)
    assert sum(_partitions(asked).values()) == 3


def _insert_and_fail(writing):
    writing.insert([new_record(record, STAMP) for record in calls(9, 2)])
    raise ZeroDivisionError


def test_a_call_is_stored_once_whatever_week_it_is_reported_in(backend, asked):
    _write(backend, 1)
    _go_on_at(asked, _last(asked) + 8 * WEEK_US)
    _write(backend, 1)
    assert asked("select count(*) from records") == [(3,)]
    (key,) = asked("select namespace, call_id, pod_uid from calls limit 1")
    with backend.transaction() as writing:
        assert set(writing.known([CallKey(*key)])) == {CallKey(*key)}


def test_tidying_drops_empty_weeks_that_are_past_and_no_others(backend, asked):
    _write(backend, 1)
    first = week_of(_last(asked))
    for week in (4, 8):
        _go_on_at(asked, first + week * WEEK_US)
        _write(backend, week)
    with backend.transaction() as writing:
        positions = asked("select position from records where position < %s", (first + WEEK_US,))
        writing.delete([position for (position,) in positions])
    while backend.tidy():
        pass
    kept = {name_of("records", first + week * WEEK_US) for week in (4, 8, 9, 10)}
    assert _there(asked) == kept
    assert len(_there(asked, "bodies")) == 4
    _write(backend, 12)
    assert asked("select count(*) from records") == [(9,)]


def test_tidying_waits_for_nobody_who_reads(backend, asked, postgres_dsn):
    _write(backend, 0)
    with backend.transaction() as writing:
        writing.delete([position for (position,) in asked("select position from records")])
    _go_on_at(asked, _last(asked) + 4 * WEEK_US)
    _write(backend, 1)
    before = _there(asked)
    with psycopg.connect(postgres_dsn) as reader:
        reader.execute("select count(*) from records, bodies")
        assert not backend.tidy()
        assert _there(asked) == before
    assert backend.tidy()
    _write(backend, 2)


def test_what_is_kept_is_counted_and_what_is_gone_is_not(backend, asked):
    empty = backend.stock()
    assert (empty.facts_bytes, empty.bodies_bytes, empty.oldest_received_unix_ns) == (0, 0, None)
    _write(backend, 1, count=5)
    some = backend.stock()
    assert some.facts_bytes > 5_000
    assert some.bodies_bytes == asked("select sum(length(packed)) from bodies")[0][0]
    assert some.oldest_received_unix_ns == some.oldest_body_received_unix_ns
    positions = [position for (position,) in asked("select position from records")]
    with backend.transaction() as writing:
        writing.delete_bodies(positions[:2])
        writing.delete(positions)
        writing.delete(positions)
    assert backend.stock() == empty


def test_damage_is_seen(backend, asked, postgres_dsn):
    _write(backend, 1)
    assert backend.damage() == ""
    with psycopg.connect(postgres_dsn, autocommit=True) as other:
        other.execute("delete from records where position in (select min(position) from records)")
    assert "2 records, and 3 calls" in backend.damage()
