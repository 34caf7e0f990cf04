"""The audit log on PostgreSQL: every replica writes it, every replica reads all of it."""

import asyncio
import logging
from contextlib import AsyncExitStack

import psycopg
import pytest
from tests.sdk.cli.asking import run

from remora.client.admin import AdminClient
from remora.client.target import AggregatorTarget
from remora.client.tasks import TaskClient
from remora_aggregator.service.audit import AuditEntry, line_of
from remora_aggregator.service.audit_reading import AuditQuestion
from remora_aggregator.service.audit_table import StoredAudit
from remora_aggregator.store.postgres.audit_table import AuditTable
from remora_aggregator.store.postgres.backend import opened
from remora_aggregator.testing import temporary_aggregator

SECOND_NS = 10**9
MUCH = 10**9


def entry(number, **fields):
    made = {"namespace": "team-a", "asked": {"namespace": "team-a"}, "count": number, **fields}
    return AuditEntry(
        number * SECOND_NS, "ann", "admin", peer="unix:", what="TaskService/Cancel", **made
    )


@pytest.fixture
async def table(postgres_dsn):
    async with opened(postgres_dsn) as store:
        yield AuditTable(store, kept_bytes=MUCH)


@pytest.fixture
async def audit(table):
    return StoredAudit(table)


async def newest(audit, **asked):
    entries, more = await audit.newest(
        AuditQuestion(**({"namespaces": None, "limit": 100} | asked))
    )
    return [one.count for one in entries], more


async def test_an_entry_is_read_as_it_was_written(audit):
    odd = {"namespace": "a\0b\u2028", "reason": "say \u202e\n\U0001f988", "cut": True}
    written = entry(1, asked=odd, outcome="NOT_ALLOWED", count=None)
    await audit.keep(written)
    assert await audit.newest(AuditQuestion(None, 1)) == ([written], False)


async def test_the_newest_come_first_between_two_times_and_it_is_said_if_there_are_older(audit):
    for number in range(1, 6):
        await audit.keep(entry(number))
    assert await newest(audit) == ([5, 4, 3, 2, 1], False)
    assert await newest(audit, limit=5) == ([5, 4, 3, 2, 1], False)
    assert await newest(audit, limit=2) == ([5, 4], True)
    assert await newest(audit, since_unix_ns=4 * SECOND_NS) == ([5, 4], False)
    assert await newest(audit, until_unix_ns=3 * SECOND_NS, limit=1) == ([2], True)


@pytest.mark.parametrize(
    ("one", "namespaces", "is_seen"),
    [
        (entry(1), None, True),
        (entry(1), {"team-a"}, True),
        (entry(1), {"team-b", "team-c"}, False),
        (entry(1, namespace="", asked={"namespace": "team-b"}), {"team-b"}, True),
        (entry(1, namespace="", asked={"namespace": 7}), {"team-b", "7"}, False),
        (entry(1, namespace="", asked={}), {"team-b"}, False),
        (entry(1, namespace="", asked={}), set(), False),
    ],
    ids=["all", "its own", "another's", "done to it", "no name", "of no namespace", "sees nothing"],
)
async def test_entries_are_seen_by_their_namespaces(audit, one, namespaces, is_seen):
    await audit.keep(one)
    seen = None if namespaces is None else frozenset(namespaces)
    assert await newest(audit, namespaces=seen) == ([1] if is_seen else [], False)


async def test_the_oldest_go_once_there_are_too_many_bytes(postgres_dsn):
    size = len(line_of(entry(10))) + 64
    async with opened(postgres_dsn) as store:
        audit = StoredAudit(AuditTable(store, kept_bytes=3 * size))
        for number in range(10, 30):
            await audit.keep(entry(number))
        assert await newest(audit) == ([29, 28, 27], False)


async def test_replicas_that_write_at_once_number_their_entries_one_after_the_other(postgres_dsn):
    async with opened(postgres_dsn) as one, opened(postgres_dsn) as other:
        audits = [StoredAudit(AuditTable(store, kept_bytes=MUCH)) for store in (one, other)]
        await asyncio.gather(*(audits[n % 2].keep(entry(n)) for n in range(40)))
        found = [await newest(audit) for audit in audits]
    assert found[0] == found[1]
    assert sorted(found[0][0]) == list(range(40))


async def test_what_can_not_be_written_is_said_and_the_log_has_it(postgres_dsn, audit, caplog):
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("drop table audit")
    with caplog.at_level(logging.INFO, "remora_aggregator.service"):
        await audit.keep(entry(1))
    first, *_, last = caplog.records
    assert first.getMessage() == f"audit {line_of(entry(1))}"
    assert last.levelname == "ERROR"
    assert "the audit log of the database can't be written" in last.getMessage()


async def test_what_was_done_at_one_aggregator_is_read_at_another_and_after_a_restart(postgres_dsn):
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(temporary_aggregator(database=postgres_dsn))
            for _ in range(2)
        ]

        def act():
            with TaskClient(AggregatorTarget(one.address)) as tasks:
                tasks.pause("t", create=True, reason="too dear")
            with AdminClient(AggregatorTarget(other.address)) as admin:
                return list(admin.audit())

        (done,) = await asyncio.to_thread(act)
        shown = await asyncio.to_thread(run, "aggregator", "audit", "--aggregator", other.address)
    assert (done.what, done.outcome) == ("TaskService/Pause", "OK")
    assert done.asked["reason"] == "too dear"
    assert shown.code == 0
    assert "TaskService/Pause" in shown.out
    async with temporary_aggregator(database=postgres_dsn) as third:
        again = await asyncio.to_thread(run, "aggregator", "audit", "--aggregator", third.address)
    assert again.out == shown.out
