import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from tests.aggregator.store.calls import STAMP, calls

from remora.errors import ConfigError
from remora_aggregator.store.postgres import migrations
from remora_aggregator.store.postgres.backend import PostgresBackend, opened
from remora_aggregator.store.postgres.connections import Login


@pytest.fixture
def bare(postgres):
    """An empty database, of one's own making."""
    made = []

    def make(options=""):
        name = f"bare_{len(made)}"
        made.append(name)
        admin.execute(f"create database {name} {options}")
        return postgres.dsn(name)

    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        yield make
        for name in made:
            admin.execute(f"drop database {name} with (force)")


def _asked(dsn, sql):
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(sql).fetchall()


def test_aggregators_that_start_at_once_make_the_schema_once(bare):
    dsn = bare()
    with ThreadPoolExecutor(4) as threads:
        backends = list(threads.map(lambda _: PostgresBackend(Login(dsn)), range(4)))
    for backend in backends:
        backend.close()
    steps = _asked(dsn, "select name from remora_migrations order by applied_at")
    assert steps == [(name,) for name in migrations.STEPS]
    assert _asked(dsn, "select name, bytes from stock order by name") == [
        ("bodies", 0),
        ("facts", 0),
    ]


async def test_a_store_of_a_newer_version_is_refused(postgres_dsn):
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("insert into remora_migrations (name) values ('9999_future')")
    with pytest.raises(ConfigError, match=r"REMORA_AGGREGATOR_DATABASE: .*9999_future"):
        async with opened(postgres_dsn):
            pass


async def test_a_step_that_fails_leaves_the_store_as_it_was(postgres_dsn, monkeypatch):
    async with opened(postgres_dsn) as store:
        await store.write(calls(1, 3), STAMP)

    def half_done(connection):
        connection.execute("drop table calls")
        connection.execute("select 1 / 0")

    monkeypatch.setitem(migrations.STEPS, "9000_half_done", half_done)
    with pytest.raises(ConfigError, match="division by zero"):
        async with opened(postgres_dsn):
            pass
    monkeypatch.undo()
    async with opened(postgres_dsn) as store:
        await store.write(calls(1, 3), STAMP)
        assert store.outcomes == {"known": 3}


async def test_a_new_step_is_taken_while_an_older_aggregator_runs(postgres_dsn, monkeypatch):
    async with opened(postgres_dsn) as older:
        await older.write(calls(1, 3), STAMP)
        monkeypatch.setitem(
            migrations.STEPS,
            "9000_more",
            lambda connection: connection.execute("alter table records add column more text"),
        )
        async with opened(postgres_dsn) as newer:
            await asyncio.gather(older.write(calls(2, 9), STAMP), newer.write(calls(3, 12), STAMP))
    steps = _asked(postgres_dsn, "select name from remora_migrations order by name")
    assert [name for (name,) in steps] == list(migrations.STEPS)
    assert _asked(postgres_dsn, "select count(*) from records") == [(12,)]


async def test_a_database_in_another_encoding_is_refused(bare):
    dsn = bare("template template0 encoding latin1")
    with pytest.raises(ConfigError, match="UTF8, not LATIN1"):
        async with opened(dsn):
            pass


async def test_a_user_who_may_not_make_tables_is_told(postgres, bare):
    bare()
    with psycopg.connect(postgres.dsn("bare_0"), autocommit=True) as connection:
        connection.execute("create role nobody_much login")
    with pytest.raises(ConfigError, match="permission denied for schema public"):
        async with opened(postgres.dsn("bare_0", user="nobody_much")):
            pass


async def test_a_server_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=f"database records at {tmp_path}") as refusal:
        async with opened(f"host={tmp_path} dbname=records"):
            pass
    assert "No such file" in str(refusal.value)
    assert "\n" not in str(refusal.value)
