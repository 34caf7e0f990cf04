"""Aggregators that share a database tell each other of their sidecars."""

import psycopg
import pytest

from remora.errors import Unavailable
from remora.testing.clock import ManualClock
from remora_aggregator.service.sidecar_news import SidecarNews, Waiting
from remora_aggregator.store.postgres.backend import opened
from remora_aggregator.store.postgres.sidecar_table import SidecarRow, SidecarTable
from remora_aggregator.web.roster import LATELY_NS, PolicySeen, Roster
from remora_aggregator.web.roster_sharing import EVERY_S, RosterSharing

SECOND_NS = 10**9


class Side:
    """One aggregator's part of it."""

    def __init__(self, store, clock):  # noqa: D107
        self.roster, self.clock = Roster(), clock
        self.sharing = RosterSharing(SidecarTable(store), self.roster, clock)

    def hear(self, pod, waiting=None, **fields):
        said = None if waiting is None else Waiting(waiting, None, 100)
        self.roster.hear(
            SidecarNews("n", pod, self.clock.now_unix_ns(), None, waiting=said, **fields)
        )

    def known(self):
        found = self.roster.lately(self.clock.now_unix_ns(), lambda _: True)
        return {one.key.pod_uid: one.waiting and one.waiting.records for one in found}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def sides(postgres_dsn, clock):
    async with opened(postgres_dsn) as one, opened(postgres_dsn) as other:
        yield Side(one, clock), Side(other, clock)


def _count(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute("select count(*) from sidecars").fetchone()[0]


async def test_what_one_hears_the_other_knows_and_an_aggregator_that_starts_later(
    sides, postgres_dsn, clock
):
    one, other = sides
    one.hear("a", 7, version="2", pod_name="web-1", policy=("p", "v1"))
    other.hear("b")
    for side in (one, other, one):
        await side.sharing.exchange()
    assert one.known() == other.known() == {"a": 7, "b": None}
    async with opened(postgres_dsn) as store:
        clock.advance(3_600)
        late = Side(store, clock)
        await late.sharing.exchange()
        assert late.known() == {"a": 7, "b": None}
        (first,) = [
            one for one in late.roster.lately(clock.now_unix_ns(), lambda key: key[1] == "a")
        ]
    assert (first.version, first.pod_name) == ("2", "web-1")
    assert first.policies == (PolicySeen("p", "v1"),)


async def test_a_sidecar_that_goes_to_the_other_aggregator_is_known_by_what_it_says_there(
    sides, clock
):
    one, other = sides
    one.hear("a", 7)
    await one.sharing.exchange()
    clock.advance(60)
    other.hear("a", 0)
    await other.sharing.exchange()
    await one.sharing.exchange()
    assert one.known() == other.known() == {"a": 0}
    assert one.roster.take_changed() == other.roster.take_changed() == []


async def test_thousands_are_told_at_once_and_forgotten_after_a_day(sides, postgres_dsn, clock):
    one, other = sides
    for number in range(1_201):
        one.hear(f"pod-{number}", number)
    await one.sharing.exchange()
    await other.sharing.exchange()
    assert other.known() == {f"pod-{number}": number for number in range(1_201)}
    clock.advance(LATELY_NS // SECOND_NS + 1)
    other.hear("new", 1)
    await other.sharing.exchange()
    assert _count(postgres_dsn) == 1


async def test_what_could_not_be_told_is_told_later(sides, postgres_dsn):
    one, other = sides
    one.hear("a", 7)
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("alter table sidecars rename to gone")
        with pytest.raises(Unavailable):
            await one.sharing.exchange()
        connection.execute("alter table gone rename to sidecars")
    await one.sharing.exchange()
    await other.sharing.exchange()
    assert other.known() == {"a": 7}


async def test_a_row_of_another_version_is_passed_over(sides, clock):
    one, other = sides
    table = one.sharing._table
    now = clock.now_unix_ns()
    await table.put([SidecarRow("n", "odd", now, '{"later": 1}')], 0)
    one.hear("a", 7)
    await one.sharing.exchange()
    await other.sharing.exchange()
    assert other.known() == {"a": 7}


async def test_it_goes_on_each_half_minute_whatever_fails(sides, clock):
    one, _ = sides
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            raise StopAsyncIteration

    async def fail():
        raise Unavailable("away")

    sharing = RosterSharing(one.sharing._table, one.roster, clock, sleep)
    sharing.exchange = fail
    with pytest.raises(StopAsyncIteration):
        await sharing.run()
    assert slept == [EVERY_S] * 3
