"""Sessions that processes share: what their files are called, and what is in them."""

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.feedback.classifier import Label
from remora.feedback.conversation import EXPIRES_S, Conversation, from_rest
from remora.feedback.feedback import Feedback
from remora.feedback.momentum import Delta, Sketch
from remora.feedback.session_files import SessionFiles

ONE = "0190b5a1c0de70008000000000000001"
WORDS = ("confidential", "merger", "bankruptcy", "secretly", "acquisition", "tomorrow")
PROMPT = f"tell me about the {' '.join(WORDS)}"
SHARES = st.floats(0, 1)


def used(make_stage, folder, session_id="chat"):
    stage = make_stage(session_dir=folder)
    stage.feedback.report_pipeline(
        session_id, "deals", PROMPT, f"the {' '.join(WORDS)} is", "m", ONE
    )
    stage.feedback.report_user_turn(session_id, f"no, the {' '.join(WORDS)} is wrong, try again")
    stage.sent()
    return stage


def session_files(folder):
    return sorted(folder.glob("*.session"))


def test_nothing_that_anybody_wrote_is_in_a_file(make_stage, tmp_path):
    used(make_stage, tmp_path / "sessions", "id of alice")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(session_files(tmp_path / "sessions")) == 1
    for path in files:
        content = path.read_text()
        assert not [word for word in (*WORDS, "alice") if word in content or word in path.name]


@pytest.mark.parametrize(
    "session_id",
    ["../../../evil", "/etc/passwd", "..", ".", "a/b", "C:\\x", "x" * 256, "~", "é", "con"],
)
def test_ids_are_never_paths(make_stage, tmp_path, session_id):
    folder = tmp_path / "a" / "b" / "sessions"
    used(make_stage, folder, session_id)
    (path,) = session_files(folder)
    assert path.stem.isalnum()
    assert len(path.stem) == 64
    outside = [one for one in tmp_path.rglob("*") if one.is_file() and one.parent != folder]
    assert outside == []


def test_files_are_their_owners_alone(make_stage, tmp_path):
    used(make_stage, tmp_path / "sessions")
    assert stat.S_IMODE((tmp_path / "sessions").stat().st_mode) == 0o700
    for path in (tmp_path / "sessions").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_process_knows_the_session(make_stage, tmp_path):
    used(make_stage, tmp_path)
    other = make_stage(session_dir=tmp_path)
    other.feedback.report_user_turn("chat", "Thanks, that is perfect!")
    other.feedback.report_action("chat", "copied")
    assert other.said() == [(ONE, "turn_accepted"), (ONE, "output_copied")]


def test_momentum_builds_up_over_processes(make_stage, tmp_path):
    used(make_stage, tmp_path)
    for message in ("Still wrong, this is useless!", "No, that's wrong. Try again."):
        stage = make_stage(session_dir=tmp_path)
        stage.feedback.report_user_turn("chat", message)
        assert [kind for _, kind in stage.said()] == ["turn_rejected"]
    last = make_stage(session_dir=tmp_path)
    last.feedback.report_session_end("chat")
    assert last.said() == [(ONE, "session_widening")]


def test_an_ended_session_leaves_no_file(make_stage, tmp_path):
    stage = used(make_stage, tmp_path)
    stage.feedback.report_session_end("chat")
    stage.sent()
    assert session_files(tmp_path) == []


def test_an_expired_session_leaves_no_file(make_stage, tmp_path):
    used(make_stage, tmp_path)
    other = make_stage(session_dir=tmp_path)
    other.clock.ahead_s = EXPIRES_S + 1
    other.feedback.report_user_turn("another", "hello")
    other.sent()
    assert len(session_files(tmp_path)) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "7", '{"sketch": 7}', "\x00"])
def test_a_file_that_can_not_be_read_is_begun_anew(make_stage, tmp_path, content, caplog):
    used(make_stage, tmp_path)
    (path,) = session_files(tmp_path)
    path.write_text(content)
    stage = make_stage(session_dir=tmp_path)
    stage.feedback.report_pipeline("chat", "", PROMPT, "an answer", "m", ONE)
    stage.feedback.report_user_turn("chat", "Thanks, that is perfect!")
    assert stage.said() == [(ONE, "turn_accepted")]
    assert "can't be read" in caplog.text


def test_a_folder_that_can_not_be_used_is_told_once_and_raises_nothing(
    make_stage, tmp_path, caplog
):
    (tmp_path / "taken").write_text("no folder")
    stage = make_stage(session_dir=tmp_path / "taken")
    stage.feedback.report_pipeline("chat", "", PROMPT, "an answer", "m", ONE)
    stage.feedback.report_user_turn("chat", "Thanks, that is perfect!")
    assert stage.sent() == []
    assert caplog.text.count("sessions can't be kept") == 1


def _add_labels(folder: str, times: int) -> None:
    store = SessionFiles(Path(folder))
    for _ in range(times):
        store.change("chat", lambda known: known.with_message("one two", Label.ACCEPTED, 1e12))
        store.change("count", _counted)


def _counted(known: Conversation) -> Conversation:
    return Conversation("count", answer_words=known.answer_words + 1, changed_s=1e12)


def test_processes_that_change_a_session_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add_labels, args=(str(tmp_path), 50)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    seen = []
    SessionFiles(tmp_path).change("count", lambda known: seen.append(known.answer_words))
    assert seen == [150]


def test_a_write_that_fails_leaves_what_was_there(make_stage, tmp_path, monkeypatch):
    used(make_stage, tmp_path)
    (path,) = session_files(tmp_path)
    before = path.read_text()

    def fail(self, target):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", fail)
    stage = make_stage(session_dir=tmp_path)
    stage.feedback.report_user_turn("chat", "hello")
    stage.sent()
    assert path.read_text() == before
    assert {one.suffix for one in tmp_path.iterdir()} == {".session", ".lock"}


CONVERSATIONS = st.builds(
    Conversation,
    session_id=st.text(max_size=20),
    goal=st.text(max_size=20),
    call_id=st.sampled_from(["", ONE]),
    changed_s=st.floats(0, 1e12),
    answer_words=st.integers(0, 10**6),
    has_reaction=st.booleans(),
    labels=st.lists(st.sampled_from(Label), max_size=4).map(tuple),
    sketch=st.builds(Sketch, st.lists(st.integers(0, 65535)).map(tuple), st.integers(0, 1000)),
    deltas=st.lists(
        st.builds(Delta, SHARES, st.floats(0, 100), st.sampled_from(["", *Label])), max_size=8
    ).map(tuple),
)


@given(CONVERSATIONS)
def test_what_is_written_is_read_again(conversation):
    assert from_rest(conversation.session_id, conversation.at_rest()) == conversation


@given(CONVERSATIONS, st.text(min_size=3), st.text(min_size=3))
def test_texts_are_never_written(conversation, prompt, output):
    changed = conversation.with_answer(ONE, "g", prompt=prompt, output=output, now_s=1.0)
    assert set(json.loads(changed.at_rest())) == {
        "goal",
        "call_id",
        "changed_s",
        "answer_words",
        "has_reaction",
        "labels",
        "sketch",
        "deltas",
    }
    assert from_rest("x", changed.at_rest()).asked == ""


@given(st.text())
def test_any_text_is_a_session_or_a_value_error(text):
    try:
        from_rest("x", text)
    except ValueError:
        return


def test_the_program_says_where_sessions_are(monkeypatch, tmp_path):
    from remora.feedback.settings import read_feedback_settings

    monkeypatch.setenv("REMORA_FEEDBACK_DIR", str(tmp_path))
    monkeypatch.setenv("REMORA_FEEDBACK", "off")
    settings = read_feedback_settings()
    assert (settings.feedback_dir, settings.feedback) == (tmp_path, "off")
    Feedback(session_dir=settings.feedback_dir).close()
