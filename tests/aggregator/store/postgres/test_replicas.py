"""Several aggregators on one database: each thread or store here stands for one of them."""

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from tests.aggregator.store.calls import STAMP, calls

from remora.errors import Unavailable
from remora_aggregator.store.committing import Batch, Verdict, commit
from remora_aggregator.store.cursor import place_of
from remora_aggregator.store.postgres.backend import PostgresBackend, opened
from remora_aggregator.store.postgres.connections import Limits, Login
from remora_aggregator.store.postgres.listening import Listening
from remora_aggregator.store.postgres.turns import COMMITTED
from remora_aggregator.store.questions import usage_question
from remora_aggregator.store.selection import selection
from remora_aggregator.store.sql import Statement
from remora_proto.v1 import records_pb2 as pb

EVERYTHING = selection(pb.RecordFilter(), ("local",))
SOON_S = 20


def _write_shuffled(dsn, records, seed):
    """Report each record twice, in an order of one's own; count what became of them."""
    backend = PostgresBackend(Login(dsn))
    given = [*records, *records]
    random.Random(seed).shuffle(given)  # noqa: S311 - for tests
    outcomes = []
    for at in range(0, len(given), 7):
        batch = Batch(STAMP, given[at : at + 7])
        commit(backend, [batch])
        outcomes += [outcome.verdict for outcome in batch.outcomes]
    backend.close()
    return outcomes


def _follow(dsn, is_over):
    """Read on from the last position that was seen, as fast as can be."""
    seen, last = [], 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            was_over = is_over.is_set()
            rows = connection.execute(
                "select position, call_id from records where position > %s order by position",
                (last,),
            ).fetchall()
            seen += rows
            if rows:
                last = rows[-1][0]
            elif was_over:
                return seen


@pytest.mark.parametrize("seed", range(3))
def test_the_same_calls_by_two_at_once_are_stored_once_and_seen_by_who_follows(postgres_dsn, seed):
    records = calls(seed, 60)
    is_over = threading.Event()
    with ThreadPoolExecutor(5) as threads:
        following = [threads.submit(_follow, postgres_dsn, is_over) for _ in range(2)]
        writing = [
            threads.submit(_write_shuffled, postgres_dsn, records, 10 * seed + number)
            for number in range(3)
        ]
        outcomes = [verdict for each in writing for verdict in each.result()]
        is_over.set()
        seen, seen_too = [each.result() for each in following]
    assert outcomes.count(Verdict.STORED) == 60
    assert outcomes.count(Verdict.KNOWN) == 300
    assert sorted(call_id for _, call_id in seen) == sorted(one.call_id for one in records)
    assert seen == seen_too
    positions = [position for position, _ in seen]
    assert positions == sorted(set(positions))


async def test_two_sum_up_as_one_would(postgres_dsn, new_database):
    records = calls(7, 200)
    async with opened(postgres_dsn) as one, opened(postgres_dsn) as other:
        for at in range(0, 200, 20):
            stores = (one, other) if at % 40 else (other, one)
            parts = (records[at : at + 10], records[at + 10 : at + 20])
            await asyncio.gather(
                *(store.write(part, STAMP) for store, part in zip(stores, parts, strict=True))
            )
        assert one.outcomes["stored"] + other.outcomes["stored"] == 200
        of_two = [await _usage(store, dimension) for store in (one, other) for dimension in (1, 3)]
    async with opened(new_database()) as alone:
        await alone.write(records, STAMP)
        of_one = [await _usage(alone, dimension) for dimension in (1, 3)]
    assert of_two == [*of_one, *of_one]


async def _usage(store, dimension):
    request = pb.UsageRequest(group_by=[dimension], quantiles=[0.5])
    groups = await store.usage(usage_question(request, EVERYTHING))
    return {
        keys: (
            [round(one, 6) if isinstance(one, float) else one for one in totals.sums],
            totals.spreads,
        )
        for keys, totals in groups
    }


async def test_a_commit_of_one_wakes_who_follows_another(postgres_dsn):
    async with (
        opened(postgres_dsn) as one,
        opened(postgres_dsn) as other,
        other.followed() as woken,
    ):
        await asyncio.wait_for(woken.wait(), SOON_S)  # the first time when it begins to listen
        woken.clear()
        after = await other.last_position()
        await one.write(calls(1, 3), STAMP)
        await asyncio.wait_for(woken.wait(), SOON_S)
        pages = other.pages(EVERYTHING, after=place_of(f"r{after:x}"))
        assert [len(page.records) async for page in pages] == [3]


def test_ones_own_commits_are_not_heard_of(postgres_dsn):
    heard = []
    again = threading.Semaphore(0)

    def hear():
        heard.append(1)
        again.release()

    with (
        psycopg.connect(postgres_dsn, autocommit=True) as own,
        psycopg.connect(postgres_dsn, autocommit=True) as others,
        closing(Listening(Login(postgres_dsn), lambda: own.info.backend_pid, hear)),
    ):
        assert again.acquire(timeout=SOON_S)  # once when it begins
        for _ in range(3):
            own.execute(f"notify {COMMITTED}")
        others.execute(f"notify {COMMITTED}")
        assert again.acquire(timeout=SOON_S)
    assert len(heard) == 2


@pytest.fixture
def hung(postgres_dsn):
    """One that does nothing any more in the middle of a transaction of its own."""
    backend = PostgresBackend(Login(postgres_dsn), Limits(idle_s=0.3, write_s=0.3))
    yield backend
    backend.close()


async def test_one_that_hangs_within_its_transaction_is_thrown_out(postgres_dsn, hung):
    transaction = hung.transaction()
    await asyncio.to_thread(transaction.__enter__)
    async with opened(postgres_dsn) as store:
        (outcome,) = await asyncio.wait_for(store.write(calls(1, 1), STAMP), SOON_S)
        assert outcome.verdict is Verdict.STORED
    with pytest.raises(psycopg.Error, match="idle-in-transaction"):
        transaction.__exit__(None, None, None)
    commit(hung, [Batch(STAMP, calls(2, 2))])  # and comes back


async def test_one_that_hangs_in_the_middle_of_a_copy_is_thrown_out(postgres_dsn, hung):
    """None of the server's own limits ends what waits for the rest of a message."""
    async with opened(postgres_dsn, limits=Limits(turn_s=0.5, hung_s=0.2)) as store:
        transaction = hung.transaction()
        await asyncio.to_thread(transaction.__enter__)
        hung._writer.pgconn.exec_(b"copy calls from stdin")
        with pytest.raises(Unavailable, match="took longer than"):
            await store.write(calls(1, 1), STAMP)
        (outcome,) = await asyncio.wait_for(store.write(calls(1, 1), STAMP), SOON_S)
        assert outcome.verdict is Verdict.STORED
        assert store.problem == ""
    with pytest.raises(psycopg.Error):
        transaction.__exit__(None, None, None)
    commit(hung, [Batch(STAMP, calls(2, 2))])


async def test_one_that_worked_for_long_and_pauses_for_a_moment_is_left_alone(postgres_dsn):
    """What counts is the pause, not how long ago the transaction began."""
    slow = await asyncio.to_thread(PostgresBackend, Login(postgres_dsn))
    transaction = slow.transaction()
    writing = await asyncio.to_thread(transaction.__enter__)
    await asyncio.to_thread(writing.run, Statement("select pg_sleep(3.2)"))
    async with opened(postgres_dsn, limits=Limits(turn_s=0.2, hung_s=3.0)) as store:
        with pytest.raises(Unavailable, match="longer than"):
            await store.write(calls(1, 1), STAMP)
        await asyncio.to_thread(transaction.__exit__, None, None, None)
        (outcome,) = await store.write(calls(1, 1), STAMP)
        assert outcome.verdict is Verdict.STORED
    slow.close()


async def test_one_that_works_for_long_is_left_alone(postgres_dsn):
    """Waiting is given up, and tried again; nobody is thrown out of an honest transaction."""
    begun, is_enough = threading.Event(), threading.Event()

    def work():
        with slow.transaction() as writing:
            begun.set()
            while not is_enough.is_set():
                writing.run(Statement("select pg_sleep(0.05)"))

    slow = await asyncio.to_thread(PostgresBackend, Login(postgres_dsn))
    async with opened(postgres_dsn, limits=Limits(turn_s=0.6, hung_s=1.0)) as store:
        working = asyncio.ensure_future(asyncio.to_thread(work))
        await asyncio.to_thread(begun.wait)
        for _ in range(3):
            with pytest.raises(Unavailable, match="longer than"):
                await store.write(calls(1, 1), STAMP)
        is_enough.set()
        await working
        (outcome,) = await store.write(calls(1, 1), STAMP)
        assert outcome.verdict is Verdict.STORED
    slow.close()
