"""What the shipped model says of messages, and that it says it whatever their case and width."""

# ruff: noqa: RUF001 - letters that look alike are what is tested

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.feedback.classifier import STRENGTHS, Context, Label, classify
from remora.feedback.classifier.context import context_features
from remora.feedback.classifier.features import features
from remora.feedback.classifier.wording import READ_CHARACTERS, SPOKEN_CHARACTERS, read

ANY_TEXT = st.text(max_size=400)
LETTERS = st.text(alphabet="abcdefghijklmnopqrstuvwxyzäöüéñçабвгджзиклмнопрстуф ,.!?'", max_size=80)
EARLIER = st.lists(st.sampled_from(Label), max_size=6).map(tuple)

# What keywords take for complaints: none of these is one.
NO_REJECTIONS = {
    "I know": {Label.NEUTRAL},
    "I know that": {Label.NEUTRAL},
    "nothing": {Label.NEUTRAL},
    "now": {Label.NEUTRAL},
    "another one": {Label.NEUTRAL},
    "prefix it": {Label.CORRECTED},
    "change nothing": {Label.ACCEPTED},
    "not bad": {Label.ACCEPTED},
    "not bad at all": {Label.ACCEPTED},
    "nothing wrong with it": {Label.ACCEPTED},
    "no problem": {Label.ACCEPTED, Label.NEUTRAL},
    "no problems here, thanks": {Label.ACCEPTED},
    "no worries": {Label.NEUTRAL},
    'translate "this is wrong, try again" into German': {Label.NEUTRAL},
    "> this is wrong\nthanks, perfect": {Label.ACCEPTED},
}
EVERYDAY = {
    "thanks, that works perfectly": Label.ACCEPTED,
    "👍": Label.ACCEPTED,
    "no, that's wrong": Label.REJECTED,
    "it still doesn't work": Label.REJECTED,
    "this isnt good": Label.REJECTED,
    "make it shorter": Label.CORRECTED,
    "replace the title with something friendlier": Label.CORRECTED,
    "what is a monad?": Label.NEUTRAL,
    "danke, passt perfekt": Label.ACCEPTED,
    "das ist leider falsch": Label.REJECTED,
    "ça ne marche toujours pas": Label.REJECTED,
    "hazlo un poco más corto": Label.CORRECTED,
    "это неправильно": Label.REJECTED,
    "谢谢，非常好": Label.ACCEPTED,
    "もっと短くしてください": Label.CORRECTED,
    "çalışmıyor": Label.REJECTED,
}


@pytest.mark.parametrize("text", NO_REJECTIONS)
def test_what_only_looks_like_a_complaint_is_none(text: str) -> None:
    assert classify(text).label in NO_REJECTIONS[text]


@pytest.mark.parametrize("text", EVERYDAY)
def test_everyday_messages_are_understood(text: str) -> None:
    assert classify(text).label is EVERYDAY[text]


def test_the_same_question_again_is_a_complaint() -> None:
    question = "How do I sort a dictionary by its values in Python?"
    again = "how do I sort a dictionary by its values in python??"
    assert classify(again).label is Label.NEUTRAL
    assert classify(again, Context(previous=question)).label is Label.REJECTED


def test_the_answer_with_a_word_changed_is_a_correction() -> None:
    answer = "The meeting of the board is on Monday at nine in the large room."
    edited = "The meeting of the board is on Friday at nine in the large room."
    assert classify(edited, Context(answer=answer)).label is Label.CORRECTED


def test_an_unhappy_session_makes_a_bare_word_more_likely_a_complaint() -> None:
    calm = classify("again").probabilities[Label.REJECTED]
    upset = Context(earlier=(Label.REJECTED, Label.REJECTED))
    assert classify("again", upset).probabilities[Label.REJECTED] > calm


def test_a_neutral_message_is_no_evidence() -> None:
    verdict = classify("what is a monad?")
    assert verdict.strength is None
    assert verdict.weight == 0


def test_other_messages_are_evidence_as_sure_as_the_verdict() -> None:
    verdict = classify("thanks, perfect")
    assert verdict.strength == STRENGTHS[Label.ACCEPTED] == 1
    assert verdict.weight == verdict.confidence


def test_who_guesses_says_so() -> None:
    assert classify("xyzzy plugh frotz quux").is_guess
    assert not classify("thanks, that works perfectly").is_guess


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, EARLIER)
def test_any_text_gets_probabilities_that_add_up(
    text: str, previous: str, answer: str, earlier: tuple[Label, ...]
) -> None:
    verdict = classify(text, Context(previous, answer, earlier))
    assert sum(verdict.probabilities.values()) == pytest.approx(1, abs=1e-12)
    assert verdict.confidence == max(verdict.probabilities.values())
    assert verdict.probabilities[verdict.label] == verdict.confidence


@given(ANY_TEXT)
def test_the_same_text_gets_the_same_verdict(text: str) -> None:
    assert classify(text) == classify(text)


@given(LETTERS)
def test_case_says_nothing(text: str) -> None:
    assert classify(text.upper()) == classify(text) == classify(text.title())


@given(LETTERS)
def test_width_says_nothing(text: str) -> None:
    wide = "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text)
    assert classify(wide) == classify(unicodedata.normalize("NFKC", wide))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ça ne marche pas", "ca ne marche pas"),
        ("don’t do that", "don't do that"),
        ("that isn't right", "that isnt right"),
        ("soooo goooood", "soo good"),
        ("👍🏽", "👍"),
        ("İYİ DEĞİL", "iyi değil"),
        ("ありがとう！", "ありがとう!"),
    ],
)
def test_ways_to_write_the_same_agree(one: str, other: str) -> None:
    assert classify(one) == classify(other)


def test_of_a_long_message_the_ends_are_read() -> None:
    filler = "lorem ipsum dolor sit amet " * 20_000
    assert read(f"wrong! {filler} thanks")[:2] == ("wrong", "!")
    assert read(f"wrong! {filler} thanks")[-1] == "thanks"
    assert "secret" not in read(f"{filler} secret {filler}")


@pytest.mark.parametrize(
    "text",
    [
        part * 10**5
        for part in (
            "a",
            "a_",
            "a@",
            '"',
            "`",
            "😀",
            "ﷺ",
            ">\n",
            "```",
            "nt ",
            "これ",
            "e\u0301",
            "\ud800",
        )
    ],
    ids=lambda text: ascii(text[:3]),
)
def test_what_is_looked_at_is_bounded(text: str) -> None:
    tokens = read(text)
    assert sum(map(len, tokens)) <= SPOKEN_CHARACTERS * len("<quote>") <= READ_CHARACTERS * 2
    assert len(features(tokens)) < 1_500
    assert len(context_features(tokens, Context(text, text, (Label.REJECTED,) * 99))) < 20


@given(st.text(min_size=READ_CHARACTERS + 1, max_size=READ_CHARACTERS * 2))
@settings(max_examples=20)
def test_what_stands_in_the_middle_of_a_long_message_changes_nothing(text: str) -> None:
    middle = READ_CHARACTERS * 3 // 4
    longer = text[:middle] + "no no wrong wrong" + text[middle:]
    if len(text) - middle >= READ_CHARACTERS // 4:
        assert classify(longer) == classify(text)


def test_another_process_says_the_same_to_the_last_digit() -> None:
    text = "pas mal du tout, but please change the second part: 速く!"
    program = f"from remora.feedback.classifier import classify; print(classify({text!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"},
    )
    assert done.stdout.strip() == str(classify(text))


def test_no_library_beyond_pythons_own_is_loaded() -> None:
    program = (
        "import sys, remora.feedback.classifier as c; c.classify('hi');"
        "print([name for name in ('numpy', 'sklearn', 'grpc', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_verdict_holds_nothing_of_the_text() -> None:
    secret = "zanzibar"
    verdict = classify(f"thanks {secret}", Context(secret, secret))
    assert secret not in repr(verdict)
