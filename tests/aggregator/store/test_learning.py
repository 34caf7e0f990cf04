"""How every back end keeps signals, trials and sums; `store` is each of them in turn."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from tests.aggregator.store.learned import (
    BEGIN_MS,
    BEGIN_NS,
    BIG,
    GOAL,
    MINI,
    call_id,
    inferred,
    record,
    signal,
    stamp,
    trial,
)

from remora.errors import BadRequest
from remora.learning.arms import Arm
from remora.learning.counts import Counts
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.settings import LearningSettings
from remora.testing.clock import ManualClock
from remora_aggregator.signals.ports import (
    GoalKey,
    Judged,
    LogSelection,
    SignalSelection,
    TakenSignal,
    VersionBook,
)
from remora_aggregator.store.learning_score_store import StoredScores
from remora_aggregator.store.learning_signal_store import StoredSignals
from remora_proto.v1 import records_pb2 as pb

KEY = GoalKey("local", GOAL)
NEW, JOINED = TakenSignal(is_known=False, is_waiting=True), TakenSignal(False, False)


@pytest.fixture
def clock():
    return ManualClock(BEGIN_NS + 3_600 * 10**9)


@pytest.fixture
def signals(store):
    return StoredSignals(store)


@pytest.fixture
def scores(store, clock):
    return StoredScores(store, clock)


async def _counts(scores, goal=GOAL, namespace="local"):
    """What is known of each arm: evidence, calls, cost, and how many were timed."""
    return {
        one.arm.model: (
            sum(s.total.good_millionths for s in one.by_reporter.values()),
            sum(s.total.bad_millionths for s in one.by_reporter.values()),
            one.calls,
            one.spending.cost_usd,
            sum(one.spending.timed.values()),
        )
        for one in await scores.sums(goal, frozenset({namespace}))
    }


async def _states(signals, **chosen):
    page = await signals.signals(SignalSelection(**chosen), after="", limit=100)
    return {kept.signal.signal_id: (kept.state, kept.arm) for kept in page.signals}


async def test_a_record_with_a_goal_is_a_trial_with_cost_and_latency(store, scores, signals):
    await store.write([record(1)], stamp())
    assert await _counts(scores) == {"mini": (0, 0, 1, Decimal("0.001"), 1)}
    (found,) = await signals.trials("local", call_id(1))
    assert (found.trial.goal, found.trial.workload, found.trial.arm) == (GOAL, "app", MINI)
    assert found.trial.at_ms == BEGIN_MS + 1_000
    assert found.evidence is None
    (goal,) = await scores.goals(None)
    assert (goal.key, goal.last_ms) == (KEY, BEGIN_MS + 1_000)


async def test_a_record_without_a_goal_counts_only_once_a_signal_comes(store, scores, signals):
    await store.write([record(1, goal="")], stamp())
    assert await signals.trials("local", call_id(1)) == []
    assert await signals.take([signal(1)]) == [JOINED]
    assert await _counts(scores, "") == {"mini": (850_000, 150_000, 1, Decimal("0.001"), 1)}
    assert await scores.goals(None) == []
    assert await scores.evidence(None, "", 0, 2 * BEGIN_MS) == {
        ("openai", "mini"): Counts(850_000, 150_000)
    }


@pytest.mark.parametrize("goal", ["", GOAL], ids=["no goal", "goal"])
async def test_a_signal_that_comes_first_waits_for_its_record(store, scores, signals, goal):
    assert await signals.take([signal(1)]) == [NEW]
    assert await _states(signals) == {"user_accepted-1": ("waiting", "")}
    assert await _counts(scores, goal) == {}
    await store.write([record(1, goal=goal)], stamp())
    assert await _counts(scores, goal) == {"mini": (850_000, 150_000, 1, Decimal("0.001"), 1)}
    assert await _states(signals) == {"user_accepted-1": ("counted", "openai/mini")}


async def test_a_signal_that_comes_again_counts_once(store, scores, signals):
    await store.write([record(1)], stamp())
    again = TakenSignal(is_known=True, is_waiting=False)
    assert await signals.take([signal(1), signal(1)]) == [JOINED, again]
    assert await signals.take([signal(1)]) == [again]
    assert (await _counts(scores))["mini"][:2] == (850_000, 150_000)


async def test_one_that_waits_and_comes_again_waits_on(signals):
    await signals.take([signal(1)])
    assert await signals.take([signal(1)]) == [TakenSignal(is_known=True, is_waiting=True)]


async def test_a_better_source_takes_the_place_of_a_worse_one(store, scores, signals):
    await store.write([record(1)], stamp())
    await signals.take([signal(1, "user_accepted"), signal(1, "output_discarded")])
    await signals.take([signal(1, "turn_accepted")])
    assert (await _counts(scores))["mini"][:2] == (0, 1_000_000)
    assert {name: state for name, (state, _) in (await _states(signals)).items()} == {
        "user_accepted-1": "overruled",
        "output_discarded-1": "counted",
        "turn_accepted-1": "overruled",
    }


async def test_a_goal_of_a_signal_counts_for_a_call_that_has_none(store, scores, signals):
    await store.write([record(1, goal=""), record(2)], stamp())
    await signals.take([signal(1, goal="plan"), signal(2, goal="plan")])
    assert (await _counts(scores, "plan"))["mini"][2] == 1
    assert (await _counts(scores))["mini"][2] == 1
    assert await _counts(scores, "") == {}


async def test_of_two_goals_of_signals_that_of_the_earlier_signal_counts(store, scores, signals):
    await store.write([record(1, goal="")], stamp())
    await signals.take([signal(1, "retry", goal="later", after_ms=2_000)])
    assert "mini" in await _counts(scores, "later")
    await signals.take([signal(1, goal="sooner", after_ms=1_000)])
    assert await _counts(scores, "later") == {}
    assert (await _counts(scores, "sooner"))["mini"][:3] == (850_000, 150_000, 1)


async def test_a_revised_record_takes_the_one_before_back(store, scores, signals):
    await store.write([record(1)], stamp())
    await signals.take([signal(1, "silence")])
    revised = record(1, revision=1, sent_model="big", cost=pb.Cost(total_usd="0.25"))
    await store.write([revised], stamp())
    assert await _counts(scores) == {"big": (60_000, 40_000, 1, Decimal("0.25"), 1)}
    assert await _states(signals) == {"silence-1": ("counted", "openai/big")}


async def test_a_revised_outcome_takes_the_one_before_back_even_if_it_is_less_sure(store, scores):
    failed = pb.Outcome(kind="check_failed", strength=0.0, confidence=0.6)
    passed = pb.Outcome(kind="check_passed", strength=0.8, confidence=0.3)
    await store.write([record(1, outcome=failed)], stamp())
    assert (await _counts(scores))["mini"][:2] == (0, 600_000)
    await store.write([record(1, revision=1, outcome=passed)], stamp())
    assert (await _counts(scores))["mini"][:2] == (240_000, 60_000)


async def test_a_failed_attempt_is_a_bad_answer_of_its_arm(store, scores, signals):
    attempts = [
        pb.Attempt(provider="openai", model="big", status_code=529, failure="overloaded",
                   cost=pb.Cost(total_usd="0.5")),
        pb.Attempt(provider="openai", model="mini", status_code=200, duration_s=0.25),
    ]  # fmt: skip
    await store.write([record(1, attempts=attempts)], stamp())
    await signals.take([signal(1)])
    assert await _counts(scores) == {
        "big": (0, 1_000_000, 1, Decimal("0.5"), 0),
        "mini": (850_000, 150_000, 1, Decimal("0.001"), 1),
    }
    assert await scores.failures(KEY, 0) == {"provider_error": 1}


async def test_another_pods_record_of_a_call_changes_nothing(store, scores):
    await store.write([record(1)], stamp())
    await store.write([record(1, sent_model="big")], stamp(pod="pod-2"))
    assert set(await _counts(scores)) == {"mini"}


async def test_two_namespaces_never_mix(store, scores, signals):
    await store.write([record(1)], stamp("team-a"))
    await store.write([record(1)], stamp("team-b"))
    await signals.take([signal(1, namespace="team-a")])
    assert (await _counts(scores, namespace="team-a"))["mini"][:2] == (850_000, 150_000)
    assert (await _counts(scores, namespace="team-b"))["mini"][:2] == (0, 0)
    assert await _states(signals, namespaces=frozenset({"team-b"})) == {}
    assert await _states(signals, namespaces=frozenset()) == {}
    assert {goal.key.namespace for goal in await scores.goals(frozenset({"team-b"}))} == {"team-b"}


async def test_a_refused_call_has_no_trial_and_its_signals_wait_for_nothing(store, signals):
    await signals.take([signal(1)])
    await store.write([record(1, end_reason=pb.END_REASON_REFUSED)], stamp())
    assert await signals.take([signal(1, "silence")]) == [JOINED]
    assert await _states(signals) == {
        "user_accepted-1": ("overruled", ""),
        "silence-1": ("overruled", ""),
    }
    assert await signals.trials("local", call_id(1)) == []


async def test_trials_of_programs_are_judged_like_others(scores, signals):
    await signals.take([signal(1)])
    told = trial(1, cost_usd=Decimal("0.1"), inferred=inferred(0.8, 0.3))
    await signals.take_trials("local", [told, trial(2, BIG)])
    await signals.take_trials("local", [told])
    assert await _counts(scores) == {
        "mini": (850_000, 150_000, 1, Decimal("0.1"), 0),
        "big": (0, 0, 1, Decimal(0), 0),
    }
    assert (await signals.trials("local", call_id(1)))[0].trial == told
    assert await signals.take([signal(2)]) == [JOINED]


async def test_a_record_takes_the_place_of_what_a_program_told(store, scores, signals):
    await signals.take_trials("local", [trial(1), trial(1, BIG)])
    await signals.take([signal(1)])
    await store.write([record(1)], stamp())
    await signals.take_trials("local", [trial(1, cost_usd=Decimal(9))])
    assert await _counts(scores) == {
        "mini": (850_000, 150_000, 1, Decimal("0.001"), 1),
        "big": (0, 0, 1, Decimal(0), 0),
    }


async def test_too_many_that_wait_push_out_the_oldest(store):
    signals = StoredSignals(store, most_waiting=3)
    await signals.take([signal(9, namespace="other")])
    await signals.take([signal(number, received_unix_ns=BEGIN_NS + number) for number in range(5)])
    assert signals.shed == 2
    kept = await _states(signals, namespaces=frozenset({"local"}))
    assert set(kept) == {f"user_accepted-{number}" for number in (2, 3, 4)}
    assert len(await _states(signals)) == 4
    await store.write([record(3)], stamp())
    await signals.take([signal(5)])
    assert signals.shed == 2


@pytest.mark.parametrize("first", ["record", "signal"])
@pytest.mark.parametrize("capture", ["full", "redacted", "metadata"])
async def test_text_is_kept_only_where_bodies_are_captured_in_full(store, signals, first, capture):
    async def tell():
        await store.write([record(1, capture=capture)], stamp())

    async def send():
        await signals.take([signal(1, text="not what I meant")])

    for step in (tell, send) if first == "record" else (send, tell):
        await step()
    (kept,) = (await signals.signals(SignalSelection(), after="", limit=9)).signals
    assert kept.signal.text == ("not what I meant" if capture == "full" else "")


async def test_text_of_one_that_waits_is_not_shown(signals):
    await signals.take([signal(1, text="not what I meant")])
    (kept,) = (await signals.signals(SignalSelection(), after="", limit=9)).signals
    assert kept.signal.text == ""


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"call_id": call_id(3)}, [3]),
        ({"session_id": "s2"}, [4, 2]),
        ({"goal": GOAL}, [3, 2, 1]),
        ({"kind": "retry"}, [5]),
        ({"since_unix_ns": BEGIN_NS + 3, "until_unix_ns": BEGIN_NS + 5}, [4, 3]),
        ({"namespaces": frozenset({"other"})}, []),
    ],
    ids=["all", "call", "session", "goal", "kind", "time", "namespace"],
)
async def test_signals_are_found_by_what_they_are(store, signals, chosen, found):
    await store.write([record(1), record(2), record(3)], stamp())
    await signals.take([
        signal(number, "retry" if number == 5 else "silence", signal_id=str(number),
               received_unix_ns=BEGIN_NS + number, session_id="s2" if number % 2 == 0 else "s1")
        for number in range(1, 6)
    ])  # fmt: skip
    page = await signals.signals(SignalSelection(**chosen), after="", limit=100)
    assert [int(kept.signal.signal_id) for kept in page.signals] == found


async def test_pages_of_signals_leave_none_out(signals):
    await signals.take([signal(n, received_unix_ns=BEGIN_NS + n // 3) for n in range(20)])
    seen, cursor = [], ""
    while True:
        page = await signals.signals(SignalSelection(), after=cursor, limit=3)
        seen += [kept.signal.signal_id for kept in page.signals]
        cursor = page.next_cursor
        if not cursor:
            break
    assert sorted(seen) == sorted(f"user_accepted-{n}" for n in range(20))


@pytest.mark.parametrize("cursor", ["x", "bm8=", "WzEsMiwzLDRd", "é"])
async def test_a_cursor_of_others_is_refused(signals, cursor):
    with pytest.raises(BadRequest):
        await signals.signals(SignalSelection(), after=cursor, limit=3)


async def test_changes_have_numbers_that_grow(store, scores, signals):
    first = await scores.changes(0)
    await store.write([record(1), record(2, goal="plan"), record(3, goal="")], stamp())
    second = await scores.changes(first.last)
    assert second.goals == {KEY, GoalKey("local", "plan")}
    await signals.take([signal(1), signal(3)])
    third = await scores.changes(second.last)
    assert third.goals == {KEY}
    assert third.last > second.last > first.last
    await signals.take([signal(1)])
    assert await scores.changes(third.last) == (frozenset(), third.last)


async def test_who_waits_for_a_change_is_woken(scores, store):
    last = (await scores.changes(0)).last
    waiting = asyncio.create_task(scores.changed(last))
    await store.write([record(1, goal="")], stamp())
    assert not waiting.done()
    await store.write([record(2)], stamp())
    async with asyncio.timeout(30):
        await waiting


async def test_decisions_are_read_the_oldest_first(store, scores, signals):
    receipt = pb.Receipt(
        rule="chat",
        propensity=0.25,
        candidates=[pb.CandidateReceipt(provider="openai", model=model) for model in "ab"],
    )
    records = [record(number, receipt=receipt) for number in (3, 1, 2)]
    await store.write([*records, record(4), record(5, receipt=receipt)], stamp())
    await signals.take([signal(number) for number in (1, 2, 3, 4)])
    pages = [page async for page in scores.log(LogSelection())]
    judged = [one for page in pages for one in page]
    assert [int(one.trial.call_id, 16) for one in judged] == [1, 2, 3]
    assert judged[0].trial.propensity == 0.25
    assert judged[0].trial.arms == ("openai/a", "openai/b")
    assert judged[0].trial.rule == "chat"
    assert judged[0].evidence.strength == 0.85
    some = LogSelection(goal=GOAL, since_ms=BEGIN_MS + 2_000, until_ms=BEGIN_MS + 3_000)
    assert [int(o.trial.call_id, 16) async for page in scores.log(some) for o in page] == [2]
    assert [len(page) async for page in scores.log(LogSelection(), limit=2)] == [2]
    nobody = LogSelection(namespaces=frozenset({"other"}))
    assert [page async for page in scores.log(nobody)] == []


async def test_sums_and_evidence_are_of_a_span_of_time(store, scores, signals):
    await store.write([record(number) for number in (1, 1801)], stamp())
    await signals.take([signal(1), signal(1801, "user_rejected")])
    (one,) = await scores.sums(GOAL, None, since_ms=BEGIN_MS + 1_700_000)
    assert one.by_reporter[""].total == Counts(0, 1_000_000)
    early = await scores.evidence(None, GOAL, BEGIN_MS, BEGIN_MS + 600_000)
    assert early == {("openai", "mini"): Counts(850_000, 150_000)}


async def test_reporters_are_summed_up_by_slots(store, scores, signals):
    await store.write([record(1), record(2), record(3)], stamp())
    await signals.take([signal(1, reporter="aa"), signal(2, reporter="bb"), signal(3)])
    (one,) = await scores.sums(GOAL, None)
    assert len(one.by_reporter) == 3
    assert "" in one.by_reporter
    assert all(len(slot) in (0, 2) for slot in one.by_reporter)


async def test_the_key_of_reporters_outlives_the_store(open_store):
    async with open_store() as store:
        key = await StoredSignals(store).reporter_key()
    async with open_store() as store:
        assert await StoredSignals(store).reporter_key() == key
    assert len(key) == 32


async def test_settings_are_kept_and_are_a_change(store, scores):
    await store.write([record(1)], stamp())
    last = (await scores.changes(0)).last
    mine = LearningSettings(band=0.2, half_life_ms=5_000)
    assert await scores.settings(KEY) is None
    await scores.put_settings(KEY, mine)
    assert await scores.settings(KEY) == mine
    changed = await scores.changes(last)
    assert changed.goals == {KEY}
    await scores.put_settings(GoalKey("local", "*"), LearningSettings())
    assert (await scores.changes(changed.last)).goals == {KEY}
    assert await scores.settings(GoalKey("other", "*")) is None


async def test_who_shares_is_kept_and_is_a_change(store, scores):
    await store.write([record(1)], stamp())
    await store.write([record(1)], stamp("other"))
    await scores.share("local", shares=True)
    last = (await scores.changes(0)).last
    await scores.share("local", shares=True)
    assert (await scores.changes(last)).last == last
    await scores.share("other", shares=True)
    assert await scores.sharing() == {"local", "other"}
    assert len((await scores.changes(last)).goals) == 2
    await scores.share("local", shares=False)
    assert await scores.sharing() == {"other"}


async def test_versions_that_are_left_as_they_are_are_no_change(store, scores):
    await store.write([record(1)], stamp())
    last = (await scores.changes(0)).last
    book = await scores.change_versions("local", lambda known, _: known)
    assert book == VersionBook()
    assert (await scores.changes(last)).last == last


async def test_what_is_learned_outlives_the_store(open_store, clock):
    async with open_store() as store:
        await store.write([record(1)], stamp())
        await StoredSignals(store).take([signal(1), signal(2)])
    async with open_store() as store:
        assert (await _counts(StoredScores(store, clock)))["mini"][0] == 850_000
        await store.write([record(2)], stamp())
        assert (await _counts(StoredScores(store, clock)))["mini"][0] == 1_700_000


@pytest.mark.parametrize("text", ["x" * 5_000, "a\0b", "é" * 600], ids=["long", "nul", "wide"])
async def test_names_of_any_form_are_kept(store, scores, signals, text):
    made = record(
        1, sent_model=text, attempts=[pb.Attempt(model=text, parameters='{"a": "\\u0000"}')]
    )
    made.origin.workload = made.attribution.session_id = made.requested_model = text
    await store.write([made], stamp())
    await signals.take([signal(1)])
    again = record(1, revision=1, sent_model="mini")
    await store.write([again], stamp())
    assert await _counts(scores) == {"mini": (850_000, 150_000, 1, Decimal("0.001"), 1)}


async def test_arms_of_one_model_are_told_apart_by_their_parameters(store, scores):
    for number, parameters in enumerate(('{"t": 0.5}', '{"t": 1}', "", '{"t": 0.5}')):
        attempt = pb.Attempt(provider="openai", model="mini", parameters=parameters)
        await store.write([record(number, attempts=[attempt])], stamp())
    found = {one.arm.key: one.calls for one in await scores.sums(GOAL, None)}
    assert found == {
        "openai/mini": 1,
        Arm("openai", "mini", {"t": 0.5}).key: 2,
        Arm("openai", "mini", {"t": 1}).key: 1,
    }


async def test_versions_are_kept_as_they_were_decided(store, scores, open_store, clock):
    await store.write([record(1)], stamp())
    last = (await scores.changes(0)).last
    goals = {GOAL: GoalScores(GOAL, (ArmScore(MINI, samples=3),))}

    def propose(book, now_ms):
        history = book.history.proposed(goals, now_ms, "why")
        number = history.versions[-1].number
        judged = Judged("accepted", "better", 0.25, (0.125, 0.5))
        history = history.activated(number) if number != 2 else history
        return VersionBook(history, {**book.verdicts, number: judged}, now_ms, goes_back=number > 2)

    for _ in range(3):
        book = await scores.change_versions("local", propose)
    assert await scores.versions("local") == book
    assert (book.history.in_force, book.history.steps) == (3, (1,))
    assert [one.digest for one in book.history.versions] == [
        one.digest for one in (await scores.versions("local")).history.versions
    ]
    assert (await scores.changes(last)).goals == {KEY}
    assert await scores.versions("other") == VersionBook()

    def prune(book, _):
        kept = replace(book.history, versions=book.history.versions[1:], steps=())
        return replace(book, history=kept, verdicts={3: book.verdicts[3]})

    pruned = await scores.change_versions("local", prune)
    assert await scores.versions("local") == pruned
    assert [version.number for version in pruned.history.versions] == [2, 3]


async def test_versions_are_decided_about_one_after_the_other(scores):
    def propose(book, now_ms):
        return replace(book, history=book.history.proposed({}, now_ms))

    await asyncio.gather(*[scores.change_versions("local", propose) for _ in range(8)])
    history = (await scores.versions("local")).history
    assert [version.number for version in history.versions] == [*range(1, 9)]
