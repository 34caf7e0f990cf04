"""The second and third level: what happens in sessions, and what it says of answers."""

import logging
import threading

import pytest

from remora.errors import Unavailable
from remora.feedback import following
from remora.feedback.classifier import Label
from remora.feedback.classifier.second_opinion import Dimension, Opinion
from remora.feedback.conversation import EXPIRES_S
from remora.feedback.doors import Wanted
from remora.feedback.kinds import ACTIONS
from remora.feedback.sending import ASKS_AGAIN_S

ONE, OTHER = "0190b5a1c0de70008000000000000001", "0190b5a1c0de70008000000000000002"
PROMPT = "Write a short summary of the annual report of our company, please"
OUTPUT = "The company grew by ten percent in a difficult year, and has plans for more"
GUESSED = "I guess"


def answer(stage, session_id="chat", call_id=ONE, goal="summaries"):
    return stage.feedback.report_pipeline(
        session_id, goal, PROMPT, OUTPUT, "gpt-4o", call_id=call_id
    )


def turn(stage, message, session_id="chat"):
    stage.feedback.report_user_turn(session_id, message)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Thanks, that is perfect!", "turn_accepted"),
        ("Great, exactly what I needed", "turn_accepted"),
        ("No, that's wrong. Try again.", "turn_rejected"),
        ("This is not what I asked for", "turn_rejected"),
        ("Danke, das ist perfekt!", "turn_accepted"),
        ("Das ist falsch, versuch es noch einmal", "turn_rejected"),
        ("Gracias, perfecto", "turn_accepted"),
    ],
)
def test_a_turn_says_what_its_user_thinks_of_the_answer(stage, message, kind):
    answer(stage)
    turn(stage, message)
    (signal,) = stage.sent()
    assert (signal.call_id, signal.kind) == (ONE, kind)
    assert 0.6 <= signal.confidence <= 1
    assert signal.strength == (1.0 if kind == "turn_accepted" else 0.0)
    assert (signal.goal, signal.session_id) == ("summaries", "chat")
    assert signal.failure_category == ("user_unsatisfied" if kind == "turn_rejected" else "")


def test_a_correction_is_a_rejection_of_a_part(stage):
    answer(stage)
    turn(stage, "Good, but make it shorter please")
    (signal,) = stage.sent()
    assert (signal.kind, signal.strength) == ("turn_rejected", 0.25)


def test_a_new_question_says_nothing(stage):
    answer(stage)
    turn(stage, "What is the capital of France?")
    assert stage.sent() == []


def test_a_turn_is_about_the_latest_answer(stage):
    answer(stage)
    answer(stage, call_id=OTHER)
    turn(stage, "Thanks, that is perfect!")
    assert stage.said() == [(OTHER, "turn_accepted")]


def test_sessions_do_not_mix(stage):
    answer(stage, "one", ONE)
    answer(stage, "other", OTHER)
    turn(stage, "Thanks, that is perfect!", "one")
    turn(stage, "No, that's wrong. Try again.", "other")
    assert stage.said() == [(ONE, "turn_accepted"), (OTHER, "turn_rejected")]


def test_a_turn_of_an_unknown_session_sends_nothing(stage):
    turn(stage, "Thanks, that is perfect!")
    assert stage.sent() == []


def test_an_answer_whose_call_is_not_known_says_so_once(stage, caplog):
    assert answer(stage, call_id=None) == ""
    assert answer(stage, call_id=None) == ""
    turn(stage, "Thanks, that is perfect!")
    assert stage.sent() == []
    assert caplog.text.count("is not known, so nothing is told") == 1


def test_the_tracked_run_is_the_sessions_answer(stage):
    stage.feedback.track_run(ONE)
    assert answer(stage, call_id=None) == ONE
    turn(stage, "Thanks, that is perfect!")
    assert stage.said() == [(ONE, "turn_accepted")]


def test_a_run_is_the_answer_of_one_session_only(stage):
    """A thread of a pool serves one user after the other."""
    stage.feedback.track_run(ONE)
    assert answer(stage, "alice", call_id=None) == ONE
    assert answer(stage, "bob", call_id=None) == ""


def test_the_latest_call_of_the_context_is_the_sessions_answer(stage):
    stage.feedback.track_run(ONE)
    following.note({"remora-call-id": OTHER})
    assert answer(stage, call_id=None) == OTHER


def test_an_output_that_tells_its_call_is_what_counts(stage):
    stage.feedback.track_run(ONE)
    output = {"remora-call-id": OTHER}
    found = stage.feedback.report_pipeline("chat", "", PROMPT, output)
    assert found == OTHER


@pytest.mark.parametrize("call_id", ["", "x", "../" + ONE])
def test_a_call_id_that_is_none_is_an_error_of_the_program(stage, call_id):
    with pytest.raises(ValueError, match="call_id"):
        answer(stage, call_id=call_id)


@pytest.mark.parametrize("session_id", ["", "s" * 257, "a\x00b", "a\nb", "\ud800"])
def test_an_id_that_is_none_is_an_error_of_the_program(stage, session_id):
    with pytest.raises(ValueError, match="session_id"):
        turn(stage, "hello", session_id)
    with pytest.raises(ValueError, match="session_id"):
        stage.feedback.report_session_end(session_id)
    with pytest.raises(ValueError, match="session_id"):
        stage.feedback.report_action(session_id, "copied")


def test_texts_that_are_none_are_errors_of_the_program(stage):
    with pytest.raises(TypeError, match="user_message"):
        turn(stage, None)
    with pytest.raises(TypeError, match="prompt"):
        stage.feedback.report_pipeline("chat", "", None, OUTPUT)
    with pytest.raises(ValueError, match="goal"):
        stage.feedback.report_pipeline("chat", "g" * 129, PROMPT, OUTPUT)


# Second opinions.


def test_what_is_a_guess_is_not_sent(stage):
    answer(stage)
    turn(stage, GUESSED)
    assert stage.sent() == []
    assert stage.door.questions == []


def test_where_policy_wants_it_a_guess_gets_a_second_opinion(stage):
    stage.door.wants = Wanted(opinion=True)
    stage.door.gives = Opinion(Label.REJECTED, 0.99, (Dimension.TONE,))
    answer(stage)
    turn(stage, GUESSED)
    (signal,) = stage.sent()
    assert (signal.kind, signal.dimension, signal.confidence) == ("turn_rejected", "tone", 0.9)
    assert stage.door.questions == [("chat", "summaries", GUESSED, OUTPUT)]


@pytest.mark.parametrize(
    "opinion",
    [None, Opinion(Label.NEUTRAL, 0.9, ()), Opinion(Label.REJECTED, 0.5, ())],
    ids=["none", "neutral", "unsure"],
)
def test_an_opinion_that_says_nothing_sends_nothing(stage, opinion):
    stage.door.wants, stage.door.gives = Wanted(opinion=True), opinion
    answer(stage)
    turn(stage, GUESSED)
    assert stage.sent() == []
    assert len(stage.door.questions) == 1


def test_who_has_no_opinion_is_not_asked_again_for_a_minute(stage):
    stage.door.wants = Wanted(opinion=True, opinion_below=1.0)
    answer(stage)
    turn(stage, GUESSED)
    turn(stage, GUESSED)
    stage.sent()
    assert len(stage.door.questions) == 1
    stage.later(ASKS_AGAIN_S + 1)
    turn(stage, GUESSED)
    stage.sent()
    assert len(stage.door.questions) == 2


def test_what_is_sure_needs_no_second_opinion(stage):
    stage.door.wants = Wanted(opinion=True)
    answer(stage)
    turn(stage, "Thanks, that is perfect!")
    stage.sent()
    assert stage.door.questions == []


def test_policy_says_how_sure_is_sure_enough(stage):
    stage.door.wants = Wanted(opinion=True, opinion_below=1.0)
    stage.door.gives = Opinion(Label.REJECTED, 0.8, ())
    answer(stage)
    turn(stage, "Thanks, that is perfect!")
    (signal,) = stage.sent()
    assert (signal.kind, signal.confidence) == ("turn_rejected", 0.8)


def test_what_is_sure_stands_where_the_second_opinion_says_nothing(stage):
    stage.door.wants, stage.door.gives = Wanted(opinion=True, opinion_below=1.0), None
    answer(stage)
    turn(stage, "Thanks, that is perfect!")
    (signal,) = stage.sent()
    assert signal.kind == "turn_accepted"
    assert len(stage.door.questions) == 1


# How sessions end.


def test_a_session_that_was_praised_again_and_again_closes_well(stage):
    answer(stage)
    for message in ("Thanks, that is perfect!", "Great, thank you!", "Perfect, thanks a lot!"):
        turn(stage, message)
    stage.feedback.report_session_end("chat")
    assert stage.said()[-1] == (ONE, "session_closing")


def test_a_session_of_complaints_widens(stage):
    answer(stage)
    for message in ("No, that's wrong. Try again.", "Still wrong, this is useless!"):
        turn(stage, message)
    stage.feedback.report_session_end("chat")
    assert stage.said()[-1] == (ONE, "session_widening")


def test_a_session_of_one_message_tells_nothing_at_its_end(stage):
    answer(stage)
    turn(stage, "Thanks, that is perfect!")
    stage.feedback.report_session_end("chat")
    assert stage.said() == [(ONE, "turn_accepted")]


def test_the_end_of_a_session_is_told_once(stage):
    answer(stage)
    stage.feedback.report_session_end("chat")
    stage.feedback.report_session_end("chat")
    assert stage.said() == [(ONE, "silence")]


def test_an_answer_that_nobody_reacts_to_is_silence_once_the_session_expires(stage):
    answer(stage)
    assert stage.said() == []
    stage.later(EXPIRES_S + 1)
    assert stage.said() == [(ONE, "silence")]
    stage.later(EXPIRES_S + 1)
    assert stage.said() == [(ONE, "silence")]


@pytest.mark.parametrize("reaction", ["turn", "action"])
def test_an_answer_with_a_reaction_is_no_silence(stage, reaction):
    answer(stage)
    if reaction == "turn":
        turn(stage, "What is the capital of France?")
    else:
        stage.feedback.report_action("chat", "copied")
    stage.later(EXPIRES_S + 1)
    assert "silence" not in [kind for _, kind in stage.said()]


def test_a_session_that_goes_on_does_not_expire(stage):
    answer(stage)
    stage.later(EXPIRES_S - 60)
    turn(stage, "What is the capital of France?")
    stage.later(EXPIRES_S - 60)
    turn(stage, "Thanks, that is perfect!")
    assert stage.said() == [(ONE, "turn_accepted")]


def test_a_message_that_comes_too_late_is_of_a_new_session(stage):
    answer(stage)
    stage.later(EXPIRES_S + 1)
    turn(stage, "Thanks, that is perfect!")
    assert stage.said() == [(ONE, "silence")]


# Actions.


@pytest.mark.parametrize(("name", "kind"), ACTIONS.items())
def test_actions_are_known_by_short_and_by_long_names(stage, name, kind):
    answer(stage)
    stage.feedback.report_action("chat", name)
    stage.feedback.report_action("chat", kind.value)
    assert stage.said() == [(ONE, kind.value)] * 2
    assert [one.strength for one in stage.sent()] == [None, None]


def test_an_unknown_action_is_an_error_of_the_program(stage):
    with pytest.raises(ValueError, match="verbatim, copied, edited, discarded"):
        stage.feedback.report_action("chat", "eaten")
    with pytest.raises(ValueError, match="no action"):
        stage.feedback.report_action("chat", "user_accepted")


@pytest.mark.parametrize(
    ("edit", "strength"),
    [
        ((OUTPUT, OUTPUT), 0.9),
        ((OUTPUT, ""), 0.0),
        (("one two three four", "one two three five"), 0.50625),
        ("@@ -1 +1 @@\n-The company\n+Our company\n", 0.791),
        ("I made it shorter", None),
        (None, None),
    ],
    ids=["same", "emptied", "a word of four", "a diff", "no diff", "unsaid"],
)
def test_an_edit_is_worth_what_is_left_of_the_answer(stage, edit, strength):
    answer(stage)
    stage.feedback.report_action("chat", "edited", edit)
    (signal,) = stage.sent()
    expected = None if strength is None else pytest.approx(strength, abs=0.001)
    assert signal.strength == expected


def test_an_action_may_name_its_call(stage):
    stage.feedback.report_action("chat", "copied", call_id=OTHER)
    assert stage.said() == [(OTHER, "output_copied")]


def test_an_action_about_nothing_says_so_once(stage, caplog):
    stage.feedback.report_action("chat", "copied")
    stage.feedback.report_action("chat", "copied")
    assert stage.sent() == []
    assert caplog.text.count("about no known answer") == 1


# What leaves, and what does not.


def test_no_text_leaves_where_policy_does_not_want_it(stage):
    answer(stage)
    turn(stage, "No, that's wrong. Try again.")
    stage.feedback.report_action("chat", "edited", (OUTPUT, "a secret of mine"))
    assert [one.text for one in stage.sent()] == ["", ""]
    assert "secret" not in repr(stage.sent())


def test_texts_go_along_where_policy_wants_them(stage):
    stage.door.wants = Wanted(text=True)
    answer(stage)
    turn(stage, "No, that's wrong. Try again.")
    stage.feedback.report_action("chat", "edited", (OUTPUT, "another text"))
    said, edited = stage.sent()
    assert said.text == "No, that's wrong. Try again."
    assert "+another text" in edited.text
    assert PROMPT not in repr(stage.sent())


def test_nothing_that_anybody_wrote_is_in_a_log(stage, caplog):
    caplog.set_level(logging.DEBUG)
    stage.door.is_away = True
    answer(stage, session_id="id-of-alice")
    turn(stage, "No, my secret is wrong. Try again.", "id-of-alice")
    stage.feedback.flush(0.1)
    assert "nobody is there" in caplog.text
    for text in ("secret", "alice", PROMPT, OUTPUT):
        assert text not in caplog.text
    stage.door.is_away = False


def test_a_door_that_hangs_holds_up_no_caller(stage):
    stage.door.holds = threading.Event()
    answer(stage)
    turn(stage, "Thanks, that is perfect!")
    for number in range(100):
        answer(stage, f"chat {number}")
        turn(stage, "Thanks, that is perfect!", f"chat {number}")
    assert stage.door.signals == []
    stage.door.holds.set()
    assert len(stage.sent()) == 101


def test_a_second_opinion_that_fails_says_nothing_of_the_message(stage, caplog):
    stage.door.wants = Wanted(opinion=True)

    def fail(*_):
        raise Unavailable("the sidecar is gone")

    stage.door.opinion = fail
    answer(stage)
    turn(stage, GUESSED)
    assert stage.sent() == []
    assert "the sidecar is gone" in caplog.text
    assert GUESSED not in caplog.text
