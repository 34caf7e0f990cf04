"""The first level: which answer a verdict is about, and what is said of it."""

import asyncio
import logging
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from remora.feedback.kinds import SignalKind
from remora.feedback.reporters import reporter_of
from remora.feedback.runs import MOST_USERS, Runs

ONE, OTHER = "0190b5a1c0de70008000000000000001", "0190b5a1c0de70008000000000000002"


def test_an_acceptance_is_of_the_tracked_call(stage):
    assert stage.feedback.track_run(ONE) == ONE
    assert stage.feedback.user_accepted() is True
    (signal,) = stage.sent()
    assert (signal.call_id, signal.kind, signal.strength) == (ONE, "user_accepted", 0.85)
    assert signal.signal_id
    assert signal.at_unix_ns
    assert signal.reporter == ""


def test_a_rejection_has_a_category_always(stage):
    stage.feedback.track_run(ONE)
    stage.feedback.user_rejected()
    stage.feedback.user_rejected(category="hallucination_detected", dimension="factuality")
    first, second = stage.sent()
    assert (first.kind, first.failure_category) == ("user_rejected", "user_unsatisfied")
    assert second.failure_category == "hallucination_detected"
    assert second.dimension == "factuality"
    assert first.strength is None


def test_praise_has_a_score_of_its_own(stage):
    stage.feedback.track_run(ONE)
    stage.feedback.user_accepted(1.0)
    stage.feedback.user_accepted(0)
    assert [one.strength for one in stage.sent()] == [1.0, 0.0]


def test_several_verdicts_of_one_answer_are_several_signals(stage):
    stage.feedback.track_run(ONE)
    stage.feedback.user_accepted()
    stage.feedback.user_rejected()
    assert len({one.signal_id for one in stage.sent()}) == 2


def test_a_verdict_before_any_answer_says_so_once_and_sends_nothing(stage, caplog):
    assert stage.feedback.user_accepted() is False
    assert stage.feedback.user_rejected("bad") is False
    assert stage.sent() == []
    assert caplog.text.count("call track_run first") == 1


def test_the_answer_before_is_not_judged_for_one_that_does_not_tell_its_call(stage, caplog):
    stage.feedback.track_run(ONE)
    assert stage.feedback.track_run({"no": "id"}) == ""
    assert stage.feedback.user_accepted() is False
    assert "does not tell which call" in caplog.text


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan, math.inf])
def test_a_score_out_of_range_is_an_error_of_the_program(stage, score):
    stage.feedback.track_run(ONE)
    with pytest.raises(ValueError, match="score"):
        stage.feedback.user_accepted(score)


@pytest.mark.parametrize("score", ["0.5", None, True])
def test_a_score_that_is_no_number_is_an_error_of_the_program(stage, score):
    with pytest.raises(TypeError, match="score"):
        stage.feedback.user_accepted(score)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"category": "bad luck"}, ValueError),
        ({"dimension": "d" * 65}, ValueError),
        ({"dimension": "a\nb"}, ValueError),
        ({"reason": 7}, TypeError),
        ({"user": ""}, ValueError),
        ({"user": 7}, TypeError),
        ({"user": "u" * 257}, ValueError),
    ],
    ids=str,
)
def test_what_a_rejection_may_not_say_is_an_error_of_the_program(stage, given, error):
    with pytest.raises(error):
        stage.feedback.user_rejected(**given)


def test_users_do_not_mix(stage):
    stage.feedback.track_run(ONE, user="alice")
    stage.feedback.track_run(OTHER, user="bob")
    stage.feedback.user_accepted(user="alice")
    stage.feedback.user_rejected(user="bob")
    assert stage.said() == [(ONE, "user_accepted"), (OTHER, "user_rejected")]
    assert [one.reporter for one in stage.sent()] == [reporter_of("alice"), reporter_of("bob")]


def test_a_user_without_an_answer_does_not_judge_anothers(stage):
    stage.feedback.track_run(ONE, user="alice")
    assert stage.feedback.user_accepted(user="bob") is False
    assert stage.sent() == []


def test_a_users_verdict_may_come_in_another_thread(stage):
    stage.feedback.track_run(ONE, user="alice")
    thread = threading.Thread(target=stage.feedback.user_accepted, kwargs={"user": "alice"})
    thread.start()
    thread.join()
    assert stage.said() == [(ONE, "user_accepted")]


def test_threads_do_not_mix(stage):
    both = threading.Barrier(2)

    def work(call_id):
        stage.feedback.track_run(call_id)
        both.wait(30)
        stage.feedback.user_accepted()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (ONE, OTHER)))
    assert sorted(stage.said()) == [(ONE, "user_accepted"), (OTHER, "user_accepted")]


async def test_tasks_do_not_mix(stage):
    tracked = asyncio.Barrier(2)

    async def work(call_id):
        stage.feedback.track_run(call_id)
        await tracked.wait()
        stage.feedback.user_accepted()

    await asyncio.gather(work(ONE), work(OTHER))
    assert await stage.feedback.flush_async(30)
    assert sorted(stage.said()) == [(ONE, "user_accepted"), (OTHER, "user_accepted")]
    assert stage.feedback.user_accepted() is False


def test_no_id_of_a_user_leaves_the_program(stage):
    stage.feedback.track_run(ONE, user="alice@example.com")
    stage.feedback.user_accepted(user="alice@example.com")
    assert "alice" not in repr(stage.sent())


def test_a_reason_leaves_only_where_policy_wants_texts(stage):
    stage.feedback.track_run(ONE)
    stage.feedback.user_rejected("it told my secret")
    assert [one.text for one in stage.sent()] == [""]


def test_a_reason_goes_along_where_policy_wants_texts(stage):
    stage.door.wants = stage.door.wants._replace(text=True)
    stage.feedback.track_run(ONE)
    stage.feedback.user_rejected("too terse \ud800")
    assert [one.text for one in stage.sent()] == ["too terse ?"]


def test_nothing_that_users_wrote_is_in_a_log(stage, caplog):
    caplog.set_level(logging.DEBUG)
    stage.door.refuses = {SignalKind.USER_REJECTED: "no such call"}
    stage.feedback.track_run(ONE, user="alice")
    stage.feedback.user_rejected("it told my secret", user="alice")
    stage.sent()
    assert "a signal is refused: no such call" in caplog.text
    assert "secret" not in caplog.text
    assert "alice" not in caplog.text


def test_the_users_that_are_remembered_are_bounded():
    runs = Runs()
    for number in range(MOST_USERS + 5):
        runs.track(ONE, f"user {number}")
    assert runs.tracked("user 4") is None
    assert runs.tracked("user 5") is not None


def test_what_is_off_checks_and_sends_nothing(make_stage):
    stage = make_stage(is_on=False)
    stage.feedback.track_run(ONE)
    assert stage.feedback.user_accepted() is True
    with pytest.raises(ValueError, match="score"):
        stage.feedback.user_accepted(2)
    assert stage.sent() == []
    assert stage.feedback.counts == (0, 0, 0, 0)
