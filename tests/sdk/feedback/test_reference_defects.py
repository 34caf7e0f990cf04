"""What goes wrong in the published client's feedback, each as a test of ours."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from remora.feedback.classifier import Label
from remora.feedback.classifier.second_opinion import Opinion
from remora.feedback.doors import Wanted
from remora.feedback.kinds import ACTIONS, TURNS, SignalKind
from remora.learning.signals import MEANINGS

ONE, OTHER = "0190b5a1c0de70008000000000000001", "0190b5a1c0de70008000000000000002"
GUESSED = "I guess"
PROMPT = "Write a short summary of the annual report of our company, please"
OUTPUT = "The company grew by ten percent in a difficult year, and has plans for more"

FALSE_POSITIVES = [
    "I know",
    "nothing",
    "now",
    "another one",
    "change nothing",
    "Now translate it into French",
    "I know the answer is in chapter two",
    "Another one for tomorrow, about cats",
    "Do you know a good notebook?",
]


@pytest.fixture
def session(stage):
    stage.feedback.report_pipeline("chat", "summaries", PROMPT, OUTPUT, "gpt-4o", ONE)
    return stage


def test_there_is_one_list_of_kinds():
    """Its classifier says "rejection" where its sender knows "user_rejected" alone."""
    assert {kind.value for kind in SignalKind} == set(MEANINGS)
    assert set(TURNS) == set(Label) - {Label.NEUTRAL}
    assert set(ACTIONS.values()) == {kind for kind in SignalKind if kind.startswith("output_")}


@pytest.mark.parametrize("label", Label)
def test_what_a_language_model_says_becomes_a_signal(session, label):
    """There, nothing that the language model says is ever sent."""
    session.door.wants, session.door.gives = Wanted(opinion=True), Opinion(label, 0.8, ())
    session.feedback.report_user_turn("chat", GUESSED)
    expected = [] if label is Label.NEUTRAL else [(ONE, TURNS[label].value)]
    assert session.said() == expected
    assert len(session.door.questions) == 1


@pytest.mark.parametrize("message", FALSE_POSITIVES)
def test_parts_of_words_are_no_rejection(session, message):
    session.feedback.report_user_turn("chat", message)
    assert "turn_rejected" not in [kind for _, kind in session.said()]


def test_to_ask_for_a_change_is_no_rejection_of_all(session):
    session.feedback.report_user_turn("chat", "prefix it")
    assert [one.strength for one in session.sent()] == [0.25]


@pytest.mark.parametrize(
    "message",
    ["Das ist falsch, versuch es noch einmal", "Non, c'est faux", "違います"],
    ids=["German", "French", "Japanese"],
)
def test_other_languages_than_english_are_understood(session, message):
    session.feedback.report_user_turn("chat", message)
    assert session.said() == [(ONE, "turn_rejected")]


def test_a_session_file_is_no_path_and_holds_no_prompt(make_stage, tmp_path):
    stage = make_stage(session_dir=tmp_path / "inner" / "sessions")
    stage.feedback.report_pipeline("../../../x", "", PROMPT, OUTPUT, "m", ONE)
    assert stage.feedback.flush(30)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in files} == {tmp_path / "inner" / "sessions"}
    assert not [path for path in files if b"annual report" in path.read_bytes()]


def test_the_id_of_the_call_is_the_id_of_its_signals(session):
    """There, a session makes up an id of its own."""
    session.feedback.report_user_turn("chat", "Thanks, that is perfect!")
    session.feedback.report_action("chat", "copied")
    assert {call_id for call_id, _ in session.said()} == {ONE}


def test_the_documented_form_of_tracking_works(stage):
    """`track_run(router.completion(...))` raises AttributeError there."""
    assert stage.feedback.track_run(SimpleNamespace(kalibr_trace_id=ONE)) == ONE
    assert stage.feedback.user_accepted()


def test_the_last_run_is_not_everybodys(stage):
    stage.feedback.track_run(ONE, user="alice")
    thread = threading.Thread(target=stage.feedback.track_run, args=(OTHER, "bob"))
    thread.start()
    thread.join()
    stage.feedback.user_accepted(user="alice")
    stage.feedback.user_accepted()
    assert [call_id for call_id, _ in stage.said()] == [ONE, ONE]


def test_every_rejection_has_a_category(session):
    session.feedback.track_run(ONE)
    session.feedback.user_rejected()
    session.feedback.report_user_turn("chat", "No, that's wrong. Try again.")
    assert [one.failure_category for one in session.sent()] == ["user_unsatisfied"] * 2


def test_reasons_and_edits_are_not_sent_as_they_are(session):
    session.feedback.track_run(ONE)
    session.feedback.user_rejected("my password is 1234")
    session.feedback.report_action("chat", "edited", (OUTPUT, "my password is 1234"))
    assert "1234" not in repr(session.sent())


def test_to_be_unable_to_send_is_visible(make_stage, caplog):
    """There, without a key everything is silently a no-op."""
    stage = make_stage(find=lambda near: None)
    stage.feedback.track_run(ONE)
    stage.feedback.user_accepted()
    stage.feedback.flush(30)
    assert stage.feedback.counts.dropped == 1
    assert "signals go nowhere" in caplog.text


def test_an_import_starts_patches_and_prints_nothing():
    program = """
import os, sys, threading
import httpx, requests
before = httpx.Client.send, requests.Session.send
files = set(os.listdir(os.path.expanduser("~")))
import remora.feedback
from remora.feedback import report_action, report_pipeline, track_run, user_accepted
assert (httpx.Client.send, requests.Session.send) == before
assert threading.active_count() == 1
assert set(os.listdir(os.path.expanduser("~"))) == files
for heavy in ("aiohttp", "mitmproxy", "openai", "sqlite_utils", "numpy"):
    assert heavy not in sys.modules, heavy
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
