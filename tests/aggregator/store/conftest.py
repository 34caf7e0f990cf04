"""Stores on each database there is: whatever takes `store` or `open_store` runs on all of them."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import count
from pathlib import Path

import psycopg
import pytest

from remora.testing.postgres_server import PostgresServer, postgres_server, why_not
from remora_aggregator.store.postgres.backend import PostgresBackend
from remora_aggregator.store.postgres.backend import opened as postgres_opened
from remora_aggregator.store.postgres.connections import Login
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.sqlite.backend import opened as sqlite_opened

OpenStore = Callable[[], AbstractAsyncContextManager[RecordStore]]
NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer | None]:
    if why_not():
        yield None
        return
    with postgres_server(fsync=False) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(_postgres: PostgresServer | None) -> PostgresServer:
    """A running server, for all tests; skips, with the reason, where there is none."""
    if _postgres is None:
        pytest.skip(why_not())
    return _postgres


@pytest.fixture(scope="session")
def _template(postgres: PostgresServer) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Make a database with an empty store, to be copied: that is quicker than to make each."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("create database template_store")
        PostgresBackend(Login(postgres.dsn("template_store"))).close()
        yield connection


@pytest.fixture
def new_database(
    postgres: PostgresServer, _template: psycopg.Connection[tuple[object, ...]]
) -> Iterator[NewDatabase]:
    """Give what makes databases, each with an empty store, and tells how to connect."""
    made: list[str] = []

    def make() -> str:
        made.append(f"store_{len(made)}")
        _template.execute(f"create database {made[-1]} template template_store")
        return postgres.dsn(made[-1])

    yield make
    for name in made:
        _template.execute(f"drop database {name} with (force)")


@pytest.fixture
def postgres_dsn(new_database: NewDatabase) -> str:
    """Say how to connect to a database with an empty store."""
    return new_database()


@pytest.fixture(params=["sqlite", "postgres"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], OpenStore]:
    """Give what makes empty stores, of each kind; call what it gives to open that one."""
    if request.param == "postgres":
        new_database: NewDatabase = request.getfixturevalue("new_database")
        return lambda: partial(postgres_opened, new_database())
    numbers = count(1)
    return lambda: partial(sqlite_opened, tmp_path / f"records-{next(numbers)}.db")


@pytest.fixture
def open_store(new_store: Callable[[], OpenStore]) -> OpenStore:
    """Give what opens one and the same store, any number of times."""
    return new_store()


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[RecordStore]:
    """An empty store."""
    async with open_store() as opened:
        yield opened
