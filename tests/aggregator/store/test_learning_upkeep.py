"""What is forgotten, packed and purged of what is learned, on each back end; and what stays."""

import random

import pytest
from tests.aggregator.store.learned import (
    BEGIN_MS,
    BEGIN_NS,
    GOAL,
    call_id,
    record,
    signal,
    stamp,
    trial,
)

from remora.errors import Unavailable
from remora.learning.counts import Counts
from remora.learning.evidence import Evidence, Source
from remora.learning.series import Series
from remora.learning.settings import LearningSettings
from remora.testing.clock import ManualClock
from remora_aggregator.signals.ports import GoalKey, SignalSelection, TakenSignal
from remora_aggregator.store.learning_forgetting import LAG_MS, SLICE
from remora_aggregator.store.learning_score_store import StoredScores
from remora_aggregator.store.learning_signal_store import StoredSignals
from remora_aggregator.store.learning_upkeep import LearningUpkeep
from remora_aggregator.store.purging import Doomed, Purging
from remora_aggregator.store.retention import Retention
from remora_aggregator.store.sql import Statement

DAY_S = 86_400.0
DAY_NS = 86_400 * 10**9
KEEP = Retention(signals_ns=90 * DAY_NS, bodies_ns=30 * DAY_NS)


@pytest.fixture
def clock():
    return ManualClock(BEGIN_NS + 3_600 * 10**9)


@pytest.fixture
def signals(store):
    return StoredSignals(store)


@pytest.fixture
def scores(store, clock):
    return StoredScores(store, clock)


@pytest.fixture
def upkeep(store, clock):
    return LearningUpkeep(store, KEEP, clock)


async def _total(scores, goal=GOAL, namespace="local"):
    total = Counts()
    for one in await scores.sums(goal, frozenset({namespace})):
        for series in one.by_reporter.values():
            total = total.plus(series.total)
    return total


async def _ids(signals, **chosen):
    page = await signals.signals(SignalSelection(**chosen), after="", limit=1_000)
    return {kept.signal.signal_id for kept in page.signals}


async def _rows(store, sql):
    return await store.ask(Statement(sql), list)


async def test_sums_stay_when_signals_and_trials_are_forgotten(
    store, scores, signals, upkeep, clock
):
    await store.write([record(1)], stamp())
    await signals.take([signal(1)])
    await upkeep.shed()
    assert len(await signals.trials("local", call_id(1))) == 1
    clock.advance(91 * DAY_S)
    await upkeep.shed()
    assert await signals.trials("local", call_id(1)) == []
    assert await _ids(signals) == set()
    assert await _total(scores) == Counts(850_000, 150_000)


@pytest.mark.parametrize("goal", ["", GOAL], ids=["no goal", "goal"])
async def test_what_comes_of_a_forgotten_call_counts_no_second_time(
    store, scores, signals, upkeep, clock, goal
):
    await store.write([record(1, goal=goal)], stamp())
    await signals.take([signal(1)])
    clock.advance(91 * DAY_S)
    await upkeep.shed()
    late = signal(1, "output_discarded", received_unix_ns=clock.now_unix_ns())
    assert await signals.take([late]) == [TakenSignal(is_known=False, is_waiting=False)]
    await store.write([record(1, goal=goal, revision=1, sent_model="big")], stamp())
    assert await _total(scores, goal) == Counts(850_000, 150_000)
    (kept,) = (await signals.signals(SignalSelection(), after="", limit=9)).signals
    assert kept.state == "overruled"


async def test_a_revised_record_of_a_call_that_is_being_forgotten_takes_nothing_back(
    store, scores, signals
):
    await store.write([record(1), record(2)], stamp())
    await signals.take([signal(1), signal(2)])
    # A slice of one: the other trial is still there.
    assert await signals.forget(BEGIN_NS + 10**12, limit=1) == 1
    await store.write([record(n, revision=1, sent_model="big") for n in (1, 2)], stamp())
    assert await _total(scores) == Counts(1_700_000, 300_000)
    while await signals.forget(BEGIN_NS + 10**12, limit=1):
        pass
    assert await _total(scores) == Counts(1_700_000, 300_000)


async def test_what_waits_for_a_week_is_forgotten(signals, upkeep, clock):
    now = clock.now_unix_ns()
    await signals.take([signal(1, received_unix_ns=now - 8 * DAY_NS)])
    await signals.take([signal(2, received_unix_ns=now - 6 * DAY_NS)])
    await upkeep.shed()
    assert await _ids(signals) == {"user_accepted-2"}
    assert await _rows(signals._store, "select signals from waiting_signals") == [(1,)]


async def test_text_is_kept_as_long_as_bodies(store, signals, upkeep, clock):
    await store.write([record(1, capture="full")], stamp())
    await signals.take([signal(1, text="words", received_unix_ns=clock.now_unix_ns())])
    clock.advance(29 * DAY_S)
    await upkeep.shed()
    assert await _rows(store, "select text from signals") == [("words",)]
    clock.advance(2 * DAY_S)
    await upkeep.shed()
    assert await _rows(store, "select text from signals") == [("",)]


async def test_old_sums_are_packed_as_series_are(store, scores, signals, upkeep, clock):
    chance, expected = random.Random(7), Series()  # noqa: S311 - for tests
    spans_ms = (10**3, 10**5, 10**7, 5 * 10**9)
    times = [BEGIN_MS - chance.randrange(chance.choice(spans_ms)) for _ in range(3 * SLICE)]
    trials = [
        trial(n, at_ms=at_ms, inferred=Evidence(Source.INFERRED, 1.0, 0.5, at_ms, ""))
        for n, at_ms in enumerate(times)
    ]
    await signals.take_trials("local", trials)
    for at_ms in times:
        expected.add(at_ms, Counts(500_000, 0))
    for _ in range(3):
        await upkeep.shed()
        now_ms = clock.now_unix_ns() // 10**6
        expected.pack(now_ms - LAG_MS)
        rows = await _rows(store, "select level, number, good, bad from score_sums")
        assert {(level, number): Counts(good, bad) for level, number, good, bad in rows} == dict(
            expected.buckets()
        )
        clock.advance(40_000)
    (one,) = await scores.sums(GOAL, None)
    expected.pack(clock.now_unix_ns() // 10**6)
    assert one.by_reporter == {"": expected}


async def test_what_is_taken_back_after_packing_leaves_nothing(store, scores, signals, clock):
    upkeep = LearningUpkeep(store, Retention(), clock)
    await store.write([record(1)], stamp())
    await signals.take([signal(1, "user_rejected")])
    clock.advance(3_600)
    await upkeep.shed()
    await signals.take([signal(1, "output_used_verbatim")])
    (one,) = await scores.sums(GOAL, None)
    assert [piece.counts for piece in one.by_reporter[""].pieces()] == [Counts(1_000_000, 0)]
    await upkeep.shed()
    rows = await _rows(store, "select good, bad from score_sums")
    assert rows == [(1_000_000, 0)]


async def test_a_failed_transaction_leaves_neither_record_nor_trial(store, scores, signals):
    await store.write([record(1)], stamp())
    broken = signal(2, text="x", dimension="d")
    object.__setattr__(broken, "received_unix_ns", 1 << 80)  # no column holds that
    with pytest.raises(Unavailable):
        await signals.take([signal(1), broken])
    assert await _total(scores) == Counts()
    assert await _ids(signals) == set()
    await signals.take([signal(1)])
    assert await _total(scores) == Counts(850_000, 150_000)


PURGES = {
    "session": ({"session_id": "s1"}, {3}),
    "task": ({"task_id": "t1"}, {2}),
    "before": ({"before_unix_ns": BEGIN_NS + 2_500_000_000}, {3}),
    "all": ({}, set()),
    "nobody": ({"session_id": "s9"}, {1, 2, 3}),
}


async def _purged(store, **doomed):
    return [purged async for purged in Purging(store).remove(Doomed(**doomed))]


def _call(number, **who):
    made = record(number)
    for name, value in who.items():
        setattr(made.attribution, name, value)
    return made


@pytest.mark.parametrize(("doomed", "left"), PURGES.values(), ids=PURGES)
async def test_a_purge_takes_signals_and_trials_and_of_a_namespace_all(
    store, scores, signals, doomed, left
):
    calls = [_call(1), _call(2, task_id="t2"), _call(3, session_id="s2")]
    for namespace in ("local", "other"):
        await store.write(calls, stamp(namespace))
        await signals.take([
            signal(number, namespace=namespace, received_unix_ns=BEGIN_NS + number * 10**9)
            for number in (1, 2, 3)
        ])  # fmt: skip
        key = GoalKey(namespace, GOAL)
        await scores.put_settings(key, LearningSettings())
        await scores.share(namespace, shares=True)
    before = (await scores.changes(0)).last
    await _purged(store, namespace="local", **doomed)
    found = await _ids(signals, namespaces=frozenset({"local"}))
    assert found == {f"user_accepted-{number}" for number in left}
    assert {n for n in (1, 2, 3) if await signals.trials("local", call_id(n))} == left
    assert len(await _ids(signals, namespaces=frozenset({"other"}))) == 3
    assert await _total(scores, namespace="other") == Counts(3 * 850_000, 3 * 150_000)
    assert await scores.settings(GoalKey("other", GOAL)) is not None
    is_whole = not doomed
    expected = Counts() if is_whole else Counts(3 * 850_000, 3 * 150_000)
    assert await _total(scores) == expected
    assert (await scores.settings(GoalKey("local", GOAL)) is None) == is_whole
    assert ("local" in await scores.sharing()) == (not is_whole)
    assert (GoalKey("local", GOAL) in (await scores.changes(before)).goals) == is_whole
    assert len(await scores.goals(frozenset({"local"}))) == (not is_whole)


async def test_a_purge_takes_what_waits(store, signals):
    await signals.take([signal(1, session_id="s1"), signal(2, session_id="s2")])
    await _purged(store, namespace="local", session_id="s1")
    assert await _ids(signals) == {"user_accepted-2"}
    assert await _rows(store, "select signals from waiting_signals") == [(1,)]
    await _purged(store, namespace="local")
    assert await _rows(store, "select signals from waiting_signals") == [(0,)]


async def test_a_namespace_learns_anew_after_its_purge(store, scores, signals):
    await store.write([record(1)], stamp())
    await _purged(store, namespace="local")
    await store.write([record(2)], stamp())
    await signals.take([signal(2)])
    assert await _total(scores) == Counts(850_000, 150_000)
