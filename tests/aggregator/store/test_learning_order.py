"""In whatever order records and signals come, on whichever replica, the sums are the ledger's."""

import itertools
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.aggregator.store.learned import BEGIN_MS, BEGIN_NS, call_id, record, signal, stamp

from remora.learning.ledger import Ledger, Trial
from remora.learning.series import Series
from remora.testing.clock import ManualClock
from remora_aggregator.signals.record_trials import trials_of
from remora_aggregator.signals.reporters import slot_of
from remora_aggregator.store.learning_score_store import StoredScores
from remora_aggregator.store.learning_signal_store import StoredSignals
from remora_aggregator.store.learning_upkeep import LearningUpkeep
from remora_aggregator.store.retention import Retention
from remora_proto.v1 import records_pb2 as pb

CALLS = 3
NUMBERS = itertools.count()
NOW_NS = BEGIN_NS + 3_600 * 10**9

RECORDS = st.fixed_dictionaries(
    {
        "number": st.integers(0, CALLS - 1),
        "revision": st.integers(0, 3),
        "sent_model": st.sampled_from(["mini", "big"]),
        "outcome": st.sampled_from([None, (0.0, 0.6), (0.8, 0.3), (1.0, 1.0)]),
        "failed": st.booleans(),
    }
)
SIGNALS = st.fixed_dictionaries(
    {
        "number": st.integers(0, CALLS - 1),
        "kind": st.sampled_from(["user_accepted", "user_rejected", "silence", "output_edited"]),
        "after_ms": st.sampled_from([0, 1_000, 9_000]),
        "reporter": st.sampled_from(["", "ab", "cd"]),
    }
)


class Step(NamedTuple):
    """Something that comes, and to which replica; or upkeep, if it is neither."""

    replica: int
    record: dict | None = None
    signal: dict | None = None


STEPS = st.lists(
    st.builds(Step, st.integers(0, 1), RECORDS, st.none())
    | st.builds(Step, st.integers(0, 1), st.none(), SIGNALS)
    | st.builds(Step, st.integers(0, 1), st.none(), st.none()),
    max_size=25,
)
GOALS = st.lists(st.sampled_from(["", "write", "plan"]), min_size=CALLS, max_size=CALLS)


def _record(goals, number, revision, sent_model, outcome, failed):
    attempts = [pb.Attempt(provider="openai", model=sent_model, status_code=200)]
    if failed:
        attempts.insert(0, pb.Attempt(provider="openai", model="odd", failure="timeout"))
    made = record(
        number, goal=goals[number], revision=revision, sent_model=sent_model, attempts=attempts
    )
    if outcome is not None:
        made.outcome.MergeFrom(pb.Outcome(kind="check", strength=outcome[0], confidence=outcome[1]))
    return made


def _signal(namespace, goals, number, kind, after_ms, reporter):
    return signal(
        number, kind, namespace=namespace, after_ms=after_ms, reporter=reporter,
        signal_id=f"{number}-{kind}-{after_ms}-{reporter}", goal=f"of-{number}",
    )  # fmt: skip


def _expected(goals, steps):
    """What one ledger knows that is told the last record of each call, and all signals."""
    ledger, records, judged = Ledger(), {}, set()
    for step in steps:
        if step.record is not None:
            made = _record(goals, **step.record)
            known = records.setdefault(made.call_id, made)
            if made.revision > known.revision:
                records[made.call_id] = made
        elif step.signal is not None:
            ledger.signal(
                call_id(step.signal["number"]), _signal("", goals, **step.signal).evidence
            )
            judged.add(call_id(step.signal["number"]))
    for made in records.values():
        goal = made.attribution.goal or f"of-{int(made.call_id, 16)}"
        if not made.attribution.goal and made.call_id not in judged:
            continue
        for told in trials_of(made, NOW_NS):
            trial = Trial(made.call_id, goal, told.arm.key, told.at_ms)
            ledger.try_arm(trial, answered=told.is_answer)
            if told.inferred is not None:
                ledger.judge(trial, told.inferred)
    return {key: _by_slot(by_reporter) for key, by_reporter in ledger.sums.items()}


def _by_slot(by_reporter):
    found = {}
    for reporter, series in by_reporter.items():
        found.setdefault(slot_of(reporter), Series()).merge(series)
    for series in found.values():
        series.pack(NOW_NS // 10**6)
    return {slot: series for slot, series in found.items() if len(series)}


async def _sums(scores, namespace):
    found = {}
    for goal in {"", "write", "plan", *(f"of-{number}" for number in range(CALLS))}:
        for one in await scores.sums(goal, frozenset({namespace})):
            found[goal, one.arm.key] = one.by_reporter
    return found


@pytest.fixture
async def replicas(request, open_store):
    """Two aggregators that share a database; of SQLite, which is shared by nobody, the same."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_store())
        is_shared = request.node.callspec.params["new_store"] == "postgres"
        second = await stack.enter_async_context(open_store()) if is_shared else first
        yield first, second


@given(goals=GOALS, steps=STEPS)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
async def test_any_order_on_any_replica_comes_to_the_ledgers_sums(replicas, goals, steps):
    namespace, clock = f"n{next(NUMBERS)}", ManualClock(NOW_NS)
    stores = [StoredSignals(replica) for replica in replicas]
    for step in steps:
        replica = replicas[step.replica]
        if step.record is not None:
            await replica.write([_record(goals, **step.record)], stamp(namespace))
        elif step.signal is not None:
            await stores[step.replica].take([_signal(namespace, goals, **step.signal)])
        else:
            await LearningUpkeep(replica, Retention(), clock).shed()
    found = await _sums(StoredScores(replicas[0], clock), namespace)
    assert {key: sums for key, sums in found.items() if sums} == _expected(goals, steps)
    assert await _sums(StoredScores(replicas[1], clock), namespace) == found


@given(goals=GOALS, steps=STEPS)
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
async def test_what_comes_together_is_what_comes_one_by_one(replicas, goals, steps):
    """All records at once, then all signals at once; each of them twice."""
    namespace, clock = f"n{next(NUMBERS)}", ManualClock(NOW_NS)
    records = [_record(goals, **step.record) for step in steps if step.record is not None]
    sent = [_signal(namespace, goals, **step.signal) for step in steps if step.signal is not None]
    for _ in range(2):
        await replicas[0].write(records, stamp(namespace))
        await StoredSignals(replicas[1]).take(sent)
    found = await _sums(StoredScores(replicas[0], clock), namespace)
    assert {key: sums for key, sums in found.items() if sums} == _expected(goals, steps)


async def test_calls_and_costs_are_counted_once_whatever_comes(replicas):
    scores = StoredScores(replicas[0], ManualClock(NOW_NS))
    made = [
        record(number, goal="write", revision=revision)
        for number in (1, 2)
        for revision in (0, 2, 1)
    ]
    for at, one in enumerate(made):
        await replicas[at % 2].write([one], stamp())
    (one,) = await scores.sums("write", None)
    assert (one.calls, str(one.spending.cost_usd)) == (2, "0.002")
    assert one.namespace == "local"
    assert BEGIN_MS > 0
