"""The shipped model follows from the data and the code; what judges it was not trained with."""

import json
import re
from collections import Counter

import pytest
from bench.machine import CHECKOUT
from bench.signal_classifier import judged, with_context, with_keywords
from training.signals.examples import Maker, wording_key
from training.signals.fit import Effort, fit
from training.signals.judging import (
    Judged,
    accuracy,
    calibration_error,
    confusion,
    f1,
    macro_f1,
    reliability,
)
from training.signals.keywords import by_keywords
from training.signals.labelled import (
    DEVELOPMENT,
    HELD_OUT,
    TRAINING,
    Message,
    grammar,
    languages,
    messages,
)
from training.signals.train import MODEL, inputs_digest, material, train

from remora.feedback.classifier import Label, Verdict, classify
from remora.feedback.classifier.model import Model, as_text, parse, shipped_model

SOME = ("it", "tr", "zh")


@pytest.fixture(scope="module")
def held_out() -> list[Message]:
    return messages(HELD_OUT)


@pytest.mark.slow
def test_training_again_gives_the_shipped_model_to_the_last_digit() -> None:
    assert as_text(train()) == MODEL.read_text(encoding="utf-8")


def test_the_model_says_what_it_was_trained_from() -> None:
    assert shipped_model().trained_from == inputs_digest(), (
        "data or code changed: run python -m training.signals.train, then "
        "python -m bench.signal_classifier"
    )


def test_training_on_a_part_is_repeatable_and_learns_something() -> None:
    made = [
        m for name in SOME for m in Maker(grammar(TRAINING / f"{name}.txt"), frozenset()).alone()
    ]
    effort = Effort(epochs=3, most_features=3_000)
    first, second = (fit(made, effort, "a part") for _ in range(2))
    assert as_text(first) == as_text(second)
    right = [classify(one.text, model=first).label is one.label for one in made]
    assert sum(right) / len(right) > 0.9


def test_nothing_that_judges_is_trained_with() -> None:
    kept = {wording_key(one.text) for folder in (DEVELOPMENT, HELD_OUT) for one in messages(folder)}
    made = {wording_key(one.text) for one in material().training}
    assert not kept & made


def test_every_language_is_trained_and_judged() -> None:
    assert languages(TRAINING) == languages(DEVELOPMENT) == languages(HELD_OUT)
    for name in languages(HELD_OUT):
        own = Counter(one.label for one in messages(HELD_OUT) if one.language == name)
        assert set(own) == set(Label)


@pytest.mark.parametrize("name", languages(TRAINING))
def test_a_grammar_knows_every_slot_it_names(name: str) -> None:
    own = grammar(TRAINING / f"{name}.txt")
    named = re.findall(r"\{(\w*)\}", json.dumps([*own.slots.values(), *own.templates.values()]))
    assert set(named) - {"quote"} <= set(own.slots)
    assert all(len(templates) >= 60 for templates in own.templates.values())


def test_the_model_beats_keywords_by_far(held_out: list[Message]) -> None:
    trained, simple = judged(held_out, with_context), judged(held_out, with_keywords)
    assert accuracy(trained) > accuracy(simple) + 0.25
    assert macro_f1(trained) > macro_f1(simple) + 0.25


def test_the_page_has_the_numbers_of_the_shipped_model(held_out: list[Message]) -> None:
    page = (CHECKOUT / "docs" / "signals-classifier.md").read_text(encoding="utf-8")
    found = judged(held_out, with_context)
    cells = f"| trained model | {accuracy(found) * 100:.1f} % | {macro_f1(found):.3f} |"
    assert cells in page, "run python -m bench.signal_classifier"


def test_keywords_fall_for_what_the_model_does_not() -> None:
    assert by_keywords("I know").label is Label.REJECTED
    assert by_keywords("change nothing").confidence == pytest.approx(0.9)
    assert by_keywords("what time is it?").label is Label.NEUTRAL
    assert by_keywords("perfect, thanks").label is Label.ACCEPTED


def test_a_model_is_the_same_after_writing_and_reading() -> None:
    model = Model({"a\tb": (1, -2, 3, 0), "": (0, 0, 0, 1)}, 0.25, 0.7, "x")
    assert parse(as_text(model)) == model


def test_a_model_of_other_labels_is_refused() -> None:
    text = as_text(Model({}, 1.0, 1.0, "x")).replace("neutral", "other")
    with pytest.raises(ValueError, match="other"):
        parse(text)


def test_the_shipped_model_is_small() -> None:
    assert MODEL.stat().st_size < 450_000


def _judged(truth: Label, said: Label, confidence: float) -> Judged:
    return Judged(truth, Verdict(said, confidence, {}), "en")


def test_judging_counts_as_by_hand() -> None:
    yes, no = Label.ACCEPTED, Label.REJECTED
    found = [_judged(yes, yes, 0.9), _judged(yes, no, 0.9), _judged(no, no, 0.55)]
    assert accuracy(found) == pytest.approx(2 / 3)
    assert f1(found, yes) == pytest.approx(2 / 3)
    assert macro_f1(found) == pytest.approx((2 / 3 + 2 / 3) / 4)
    assert confusion(found)[yes, no] == 1
    assert [one.count for one in reliability(found)] == [1, 2]
    assert calibration_error(found) == pytest.approx((0.45 * 1 + 0.4 * 2) / 3)
