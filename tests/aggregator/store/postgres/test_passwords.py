"""Passwords open the database, and are told to nobody."""

import logging
import os

import psycopg
import pytest
from tests.aggregator.store.calls import STAMP, calls

from remora.errors import ConfigError, Unavailable
from remora.testing.postgres_server import GUARDED_USER
from remora.testing.server_process import ServerProcess, part_command
from remora_aggregator.server import STORE_FILE
from remora_aggregator.settings import AggregatorSettings, read_settings
from remora_aggregator.store.postgres.backend import opened
from remora_aggregator.store.postgres.connections import Login

PASSWORD = "hunter2-said-nobody"


@pytest.fixture
def guarded_dsn(postgres_dsn, postgres):
    """How to connect as somebody who is asked for a password, which is not in there."""
    with psycopg.connect(postgres_dsn, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f"drop role if exists {GUARDED_USER}")
        admin.execute(f"create role {GUARDED_USER} superuser login password '{PASSWORD}'")
    yield postgres.dsn(name, user=GUARDED_USER)
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        # A session's temporary tables are its role's until it is gone.
        admin.execute(
            "select pg_terminate_backend(pid, 20000) from pg_stat_activity where usename = %s",
            (GUARDED_USER,),
        )
        admin.execute(f"drop role {GUARDED_USER}")


async def test_a_password_may_stand_in_the_setting_or_in_a_file(guarded_dsn, tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    for dsn, path in ((f"{guarded_dsn} password={PASSWORD}", None), (guarded_dsn, file)):
        async with opened(dsn, password_file=path) as store:
            await store.write(calls(1, 1), STAMP)


async def test_a_wrong_password_is_said_but_not_which(guarded_dsn, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigError, match="password authentication failed") as refusal:
        async with opened(f"{guarded_dsn} password={PASSWORD}-no"):
            pass
    assert PASSWORD not in f"{refusal.value!r} {refusal.value} {caplog.text}"
    assert refusal.value.__cause__ is None


async def test_a_new_password_needs_no_restart(guarded_dsn, tmp_path, postgres_dsn, caplog):
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    with psycopg.connect(postgres_dsn, autocommit=True) as admin:
        async with opened(guarded_dsn, password_file=file) as store:
            admin.execute(f"alter role {GUARDED_USER} password 'another-one'")
            admin.execute(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = %s",
                (GUARDED_USER,),
            )
            with pytest.raises(Unavailable, match="authentication failed"):
                await store.write(calls(1, 1), STAMP)
            file.unlink()
            with pytest.raises(Unavailable, match="file can't be read: No such file"):
                await store.write(calls(1, 1), STAMP)
            file.write_text("another-one")
            await store.write(calls(1, 1), STAMP)
            assert store.problem == ""
    assert PASSWORD not in caplog.text
    assert "another-one" not in caplog.text


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        (f"postgresql://u:x@{PASSWORD}@h/db", "there is an @"),
        (f"postgresql://u:x/{PASSWORD}@h/db", "there is an @"),
        (f"postgresql://u:{PASSWORD}/db", "port is no number"),
        (f"postgresql://u:%zz{PASSWORD}@h/db", "libpq can read"),
        (f"postgresql:/u:{PASSWORD}@h/db", "libpq can read"),
        (f"host=h password=a {PASSWORD}", "libpq can read"),
        (f"host=h password='{PASSWORD}", "libpq can read"),
        (PASSWORD, "libpq can read"),
    ],
    ids=["two @", "slash", "no host", "percent", "one slash", "blank", "quote", "bare"],
)
def test_what_can_not_be_read_is_refused_without_a_word_of_it(monkeypatch, dsn, said):
    monkeypatch.setenv("REMORA_AGGREGATOR_DATABASE", dsn)
    with pytest.raises(ConfigError, match=said) as refusal:
        read_settings()
    assert PASSWORD not in repr(refusal.value) + str(refusal.value)
    assert "REMORA_AGGREGATOR_DATABASE" in str(refusal.value)


@pytest.mark.parametrize(
    ("dsn", "place"),
    [
        (f"postgresql://u:{PASSWORD}@db.example:5433/remora", "database remora at db.example:5433"),
        (f"postgresql://u:{PASSWORD}@a,b/remora", "database remora at a,b"),
        (f"host=/run/postgresql password={PASSWORD}", "the default database at /run/postgresql"),
        ("postgresql://u:a%40b%2Fc@h/db", "database db at h"),
    ],
)
def test_settings_tell_the_place_and_not_the_password(dsn, place):
    settings = AggregatorSettings(database=dsn)
    assert settings.place == f"PostgreSQL, {place}"
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert PASSWORD not in shown + repr(Login(dsn))


def test_a_password_file_without_a_database_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("REMORA_AGGREGATOR_DATABASE_PASSWORD_FILE", str(tmp_path / "p"))
    with pytest.raises(ConfigError, match="needs …_DATABASE"):
        read_settings()


def test_two_aggregators_share_a_database_and_keep_no_records_in_folders(guarded_dsn, tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "REMORA_AGGREGATOR_LISTEN": "127.0.0.1:0",
        "REMORA_AGGREGATOR_DATA_DIR": str(tmp_path / "data"),
        "REMORA_AGGREGATOR_DATABASE": f"{guarded_dsn} password={PASSWORD}",
    }
    log = tmp_path / "log"
    command = part_command("aggregator", "--ready-json")
    with (
        ServerProcess("one", command, environment, log) as one,
        ServerProcess("other", command, environment, log) as other,
    ):
        assert PASSWORD not in str(one.ready)
        assert (one.stop(), other.stop()) == (0, 0)
    there = {path.name for path in (tmp_path / "data").glob("*")}
    assert not there & {STORE_FILE, "lock"}
    assert log.read_text() == ""
