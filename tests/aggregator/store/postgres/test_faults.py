"""What becomes of records and questions when the server goes away, or comes back."""

import asyncio
import threading

import psycopg
import pytest
from tests.aggregator.store.calls import STAMP, calls

from remora.errors import BadRequest, Unavailable
from remora.testing.postgres_server import postgres_server, why_not
from remora_aggregator.store.postgres.backend import opened
from remora_aggregator.store.postgres.connections import Limits
from remora_aggregator.store.reading import PAGE_BYTES
from remora_aggregator.store.selection import selection
from remora_aggregator.store.sql import Statement
from remora_proto.v1 import records_pb2 as pb

EVERYTHING = selection(pb.RecordFilter(), ("local",))
SOON_S = 20
_ENDLESS = Statement("select pg_sleep(1000) where 1 % 2 = 1")


@pytest.fixture
def server():
    """One that may be killed."""
    if why_not():
        pytest.skip(why_not())
    with postgres_server() as running:
        yield running


async def _read(store):
    pages = store.pages(EVERYTHING, after=None)
    return [stored.record.call_id async for page in pages for stored in page.records]


async def until(holds):
    async with asyncio.timeout(SOON_S):
        while not holds():  # noqa: ASYNC110 - another process or thread does it
            await asyncio.sleep(0.01)


async def _until_it_works(work):
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                return await work()
            except Unavailable:
                await asyncio.sleep(0.02)


async def test_a_server_killed_in_the_middle_of_commits_loses_nothing_acknowledged(server):
    records = calls(1, 600)
    acknowledged = []
    async with opened(server.dsn()) as store:

        async def report(number):
            for at in range(number, 600, 60):
                batch = records[at : at + 20]
                await _until_it_works(lambda batch=batch: store.write(batch, STAMP))
                acknowledged.extend(record.call_id for record in batch)

        reporting = asyncio.gather(*(report(number) for number in (0, 20, 40)))
        for round_number in range(1, 4):
            await until(lambda enough=120 * round_number: len(acknowledged) >= enough)
            await asyncio.to_thread(server.kill)
            known = set(acknowledged)
            await asyncio.to_thread(server.start)
            assert known <= set(await _until_it_works(lambda: _read(store)))
        await reporting
        found = await _read(store)
        assert sorted(found) == [record.call_id for record in records]
    async with opened(server.dsn()) as store:
        assert sorted(await _read(store)) == [record.call_id for record in records]
        assert await asyncio.to_thread(store.backend.damage) == ""


async def test_a_server_that_was_started_anew_is_not_noticed(server):
    async with opened(server.dsn()) as store:
        await store.write(calls(1, 3), STAMP)
        assert len(await _read(store)) == 3
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        await store.write(calls(2, 5), STAMP)
        assert len(await _read(store)) == 5


async def test_while_the_server_is_away_that_is_said_and_then_healed(server):
    async with opened(server.dsn()) as store:
        await asyncio.to_thread(server.stop)
        with pytest.raises(Unavailable, match="can't be written"):
            await store.write(calls(1, 1), STAMP)
        assert store.problem
        with pytest.raises(Unavailable, match="can't be read"):
            await _read(store)
        await asyncio.to_thread(server.start)
        await store.write(calls(1, 1), STAMP)
        assert store.problem == ""
        assert len(await _read(store)) == 1


async def test_commits_of_others_are_heard_of_again_after_the_server_came_back(server):
    async with (
        opened(server.dsn()) as one,
        opened(server.dsn()) as other,
        other.followed() as woken,
    ):
        await asyncio.wait_for(woken.wait(), SOON_S)
        await asyncio.to_thread(server.kill)
        woken.clear()
        await asyncio.to_thread(server.start)
        # When it listens again, whatever was missed has to be looked for.
        await asyncio.wait_for(woken.wait(), SOON_S)
        woken.clear()
        await one.write(calls(1, 1), STAMP)
        await asyncio.wait_for(woken.wait(), SOON_S)


async def test_a_store_closes_while_its_server_is_away(server):
    before = set(threading.enumerate())
    async with opened(server.dsn()) as store:
        await store.write(calls(1, 1), STAMP)
        await _read(store)
        await asyncio.to_thread(server.kill)
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not [name for name in left if name.startswith("store-")]


async def test_connections_that_somebody_ended_are_made_again(postgres_dsn):
    async with opened(postgres_dsn) as store:
        await store.write(calls(1, 1), STAMP)
        await _read(store)
        with psycopg.connect(postgres_dsn, autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        await store.write(calls(2, 2), STAMP)
        assert len(await _read(store)) == 2


async def test_a_transaction_that_fails_halfway_leaves_nothing(postgres_dsn):
    async with opened(postgres_dsn) as store:
        await store.write(calls(1, 1), STAMP)
        with pytest.raises(Unavailable, match="AttributeError"):
            await store.write(["no record"], STAMP)
        with psycopg.connect(postgres_dsn, autocommit=True) as admin:
            admin.execute("alter table span_totals rename to hidden")
            with pytest.raises(Unavailable, match="span_totals"):
                await store.write(calls(2, 9), STAMP)
            admin.execute("alter table hidden rename to span_totals")
        assert len(await _read(store)) == 1
        await store.write(calls(2, 9), STAMP)
        assert len(await _read(store)) == 9


async def test_who_refuses_within_a_transaction_keeps_the_connection(postgres_dsn):
    async with opened(postgres_dsn) as store:
        backend = store.backend
        before = backend._writer.info.backend_pid

        def refuse():
            with backend.transaction() as writing:
                writing.run(Statement("delete from stock"))
                raise BadRequest("no")

        with pytest.raises(BadRequest):
            await store.write_with(refuse)
        await store.write(calls(1, 1), STAMP)
        assert backend._writer.info.backend_pid == before
        assert backend.stock().facts_bytes > 0


def _at_work(admin):
    return admin.execute(
        "select count(*) from pg_stat_activity where datname = current_database() "
        "and state = 'active' and pid <> pg_backend_pid()"
    ).fetchone()[0]


async def _until_at_work(admin, count):
    await until(lambda: _at_work(admin) == count)


async def test_a_read_that_nobody_waits_for_ends_on_the_server(postgres_dsn):
    async with opened(postgres_dsn) as store:
        with psycopg.connect(postgres_dsn, autocommit=True) as admin:
            reads = [asyncio.ensure_future(store.ask(_ENDLESS, list)) for _ in range(6)]
            await _until_at_work(admin, 4)
            for read in reads:
                read.cancel()
            await _until_at_work(admin, 0)
        assert await store.ask(Statement("select 1"), list) == [(1,)]


async def test_a_read_that_takes_too_long_is_ended(postgres_dsn):
    async with opened(postgres_dsn, limits=Limits(read_s=0.1)) as store:
        with pytest.raises(Unavailable, match="statement timeout"):
            await store.ask(_ENDLESS, list)
        assert await store.ask(Statement("select 1"), list) == [(1,)]


async def test_reads_do_not_write(postgres_dsn):
    async with opened(postgres_dsn) as store:
        with pytest.raises(Unavailable, match="read-only"):
            await store.ask(Statement("delete from records returning position"), list)


async def test_of_large_bodies_no_more_are_read_than_fill_a_page(postgres_dsn):
    async with opened(postgres_dsn) as store:
        records = calls(1, 6)
        for record in records:
            record.request_body.content = bytes(PAGE_BYTES // 2)
        await store.write(records, STAMP)
        pages = [page async for page in store.pages(EVERYTHING, after=None, bodies=True)]
    assert [len(page.records) for page in pages if page.records] == [2, 2, 2]


async def test_a_server_that_need_not_wait_for_its_disk_is_told_to(postgres_dsn):
    with psycopg.connect(postgres_dsn, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f'alter database "{name}" set synchronous_commit = off')
    async with opened(postgres_dsn) as store:
        writer = store.backend._writer
        setting = await store.write_with(
            lambda: writer.execute("show synchronous_commit").fetchone()
        )
    assert setting == ("on",)
