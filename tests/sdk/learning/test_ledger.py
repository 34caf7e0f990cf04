from hypothesis import given
from hypothesis import strategies as st

from remora.learning import Evidence, Ledger, Source, Trial
from remora.learning.counts import Counts
from remora.learning.ledger import ledger_of

NOW_MS = 1_000_000
TRIALS = [Trial(f"call-{n}", "summaries", ["a/x", "b/y"][n % 2], n * 7_000) for n in range(6)]

signals = st.tuples(
    st.sampled_from([trial.call_id for trial in TRIALS]),
    st.builds(
        Evidence,
        source=st.sampled_from(Source),
        strength=st.sampled_from([0.0, 0.3, 1.0]),
        confidence=st.sampled_from([0.4, 1.0]),
        at_ms=st.integers(0, 3),
        signal_id=st.sampled_from("ab"),
        reporter=st.sampled_from(["", "ann", "bob"]),
    ),
)
told = st.lists(st.one_of(st.sampled_from(TRIALS), signals), max_size=25)


def tell(ledger: Ledger, what) -> None:
    if isinstance(what, Trial):
        ledger.try_arm(what)
    else:
        ledger.signal(*what)


def totals(ledger: Ledger) -> dict:
    found = {}
    for place, by_reporter in ledger.sums.items():
        for reporter, series in by_reporter.items():
            series.pack(NOW_MS)
            if len(series):
                found[place, reporter] = dict(series.buckets())
    return found


@given(told, st.randoms(use_true_random=False))
def test_late_duplicate_and_shuffled_news_come_to_the_same(news, chance):
    one, other = Ledger(), Ledger()
    for what in news:
        tell(one, what)
    for what in chance.sample(news * 2, len(news) * 2):
        tell(other, what)
    assert totals(other) == totals(one)


@given(told, told)
def test_replicas_that_saw_different_news_merge_to_one_truth(mine, yours):
    one, left, right = Ledger(), Ledger(), Ledger()
    for what in [*mine, *yours]:
        tell(one, what)
    for ledger, news in ((left, mine), (right, yours)):
        for what in news:
            tell(ledger, what)
    left.merge(right)
    left.merge(right)
    assert totals(left) == totals(one)


@given(told)
def test_sums_can_be_made_again_from_what_was_judged(news):
    ledger = Ledger()
    for what in news:
        tell(ledger, what)
    assert totals(ledger_of(ledger.judgements())) == totals(ledger)


def rejection(strength: float = 0.0, source: Source = Source.EXPLICIT) -> Evidence:
    return Evidence(source, strength, 1.0, 5, "s", reporter="ann")


def test_a_signal_that_comes_before_its_call_waits_for_it():
    ledger = Ledger()
    assert not ledger.signal("call-0", rejection())
    assert totals(ledger) == {}
    ledger.try_arm(TRIALS[0])
    assert ledger.sums["summaries", "a/x"]["ann"].total == Counts(0, 1_000_000)


def test_a_failed_try_is_its_own_arms_and_signals_are_about_the_answer():
    ledger = Ledger()
    failed, answered = Trial("c", "g", "a/x", 0), Trial("c", "g", "b/y", 0)
    ledger.try_arm(failed, answered=False)
    ledger.judge(failed, Evidence(Source.INFERRED, 0.0, 1.0, 0, "error"))
    ledger.try_arm(answered)
    assert ledger.signal("c", rejection(1.0))
    assert ledger.sums["g", "a/x"][""].total == Counts(0, 1_000_000)
    assert ledger.sums["g", "b/y"]["ann"].total == Counts(1_000_000, 0)


def test_evidence_of_a_better_source_moves_from_one_reporter_to_the_other():
    ledger = Ledger()
    ledger.try_arm(TRIALS[0])
    ledger.signal("call-0", rejection())
    ledger.signal("call-0", Evidence(Source.DOWNSTREAM, 1.0, 1.0, 9, "d", reporter="bob"))
    sums = ledger.sums["summaries", "a/x"]
    assert sums["ann"].total == Counts()
    assert sums["bob"].total == Counts(1_000_000, 0)
