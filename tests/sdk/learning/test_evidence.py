from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.learning.counts import Counts, counts_of
from remora.learning.evidence import Evidence, Source, best, better, settle
from remora.learning.signals import MEANINGS, edit_strength

pieces = st.builds(
    Evidence,
    source=st.sampled_from(Source),
    strength=st.floats(0, 1),
    confidence=st.floats(0, 1),
    at_ms=st.integers(0, 5),
    signal_id=st.sampled_from("abc"),
    kind=st.sampled_from(["", "user_rejected"]),
    reporter=st.sampled_from(["", "ann"]),
)


def piece(source: Source, **facts: object) -> Evidence:
    known = {"strength": 1.0, "confidence": 1.0, "at_ms": 0, "signal_id": "a"}
    return Evidence(source=source, **(known | facts))


def test_each_source_beats_those_below_it_whatever_they_say():
    sources = [Source.INFERRED, Source.CLASSIFIED, Source.EXPLICIT, Source.DOWNSTREAM]
    for low, high in pairwise(sources):
        loud = piece(low, confidence=1.0, at_ms=99)
        quiet = piece(high, confidence=0.1, at_ms=0)
        assert better(loud, quiet) == quiet


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        (
            piece(Source.CLASSIFIED, confidence=0.9),
            piece(Source.CLASSIFIED, confidence=0.8, at_ms=9),
        ),
        (piece(Source.INFERRED, confidence=0.4), piece(Source.INFERRED, confidence=0.3, at_ms=9)),
        (piece(Source.EXPLICIT, confidence=0.8, at_ms=9), piece(Source.EXPLICIT, confidence=0.9)),
        (piece(Source.DOWNSTREAM, strength=0.0, at_ms=9), piece(Source.DOWNSTREAM)),
        (piece(Source.EXPLICIT, signal_id="b"), piece(Source.EXPLICIT, signal_id="a")),
    ],
    ids=["surer guess", "surer inference", "later word", "later act", "at one time by id"],
)
def test_of_one_source_one_piece_counts(winner, loser):
    assert better(winner, loser) == better(loser, winner) == winner


@given(st.lists(pieces, min_size=1, max_size=5))
def test_the_order_of_arrival_never_matters(many):
    ends = set()
    for order in permutations(many):
        known, total = None, Counts()
        for each in (*order, *order):  # and everything comes twice
            settlement = settle(known, each)
            known = settlement.counted
            total = total.minus(settlement.taken_back).plus(settlement.added)
        ends.add((known, total))
    assert ends == {(best(many), best(many).counts)}


def test_a_better_source_replaces_and_never_adds():
    first = settle(None, piece(Source.CLASSIFIED, strength=0.0, confidence=0.8))
    second = settle(first.counted, piece(Source.EXPLICIT, strength=0.85))
    assert first.added == Counts(0, 800_000)
    assert (second.taken_back, second.added) == (Counts(0, 800_000), Counts(850_000, 150_000))


def test_a_worse_source_changes_nothing():
    known = piece(Source.DOWNSTREAM)
    settlement = settle(known, piece(Source.EXPLICIT, strength=0.0, at_ms=9))
    assert not settlement.changes
    assert settlement.counted == known


@pytest.mark.parametrize(
    ("strength", "confidence", "counts"),
    [(1, 1, (1, 0)), (0, 1, (0, 1)), (0.4, 0.5, (0.2, 0.3)), (0.5, 0, (0, 0))],
)
def test_confidence_is_the_weight_and_strength_divides_it(strength, confidence, counts):
    found = counts_of(strength, confidence)
    assert (found.good, found.bad) == pytest.approx(counts)
    assert found.weight == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("strength", "confidence"), [(-0.1, 1), (1.1, 1), (1, 2), (float("nan"), 1)]
)
def test_what_is_no_share_is_refused(strength, confidence):
    with pytest.raises(ValueError, match="from 0 to 1"):
        counts_of(strength, confidence)


def test_every_kind_of_signal_is_worth_counting():
    for meaning in MEANINGS.values():
        assert 0 < counts_of(meaning.strength, meaning.confidence).weight <= 1


def test_momentum_and_silence_are_weak_evidence():
    for kind in ("session_closing", "session_widening", "silence", "abandonment", "retry"):
        assert MEANINGS[kind].source is Source.INFERRED
        assert MEANINGS[kind].confidence <= 0.4


def test_the_more_was_edited_the_worse_was_the_answer():
    strengths = [edit_strength(share / 10) for share in range(11)]
    assert strengths == sorted(strengths, reverse=True)
    assert (strengths[0], strengths[-1]) == (MEANINGS["output_copied"].strength, 0.0)
    assert edit_strength(1 / 3) == pytest.approx(MEANINGS["output_edited"].strength)
    with pytest.raises(ValueError, match="changed_share"):
        edit_strength(1.5)
