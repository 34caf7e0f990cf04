"""What answers say and how they end, in every dialect, whole and streamed."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.testing.transcripts import find_corpus, load_transcripts
from remora_sidecar.dialects.answer_text import AnswerText
from remora_sidecar.dialects.said_text import LIMIT_CHARACTERS
from remora_sidecar.model.exchange import AnswerHead
from remora_sidecar.workflow_runs.heard import Heard

CORPUS = find_corpus(os.environ.get("REMORA_CORPUS", ""), Path(__file__).parents[3])
DONE = b"data: [DONE]\n\n"


def heard(dialect, body, *, status=200, step=0):
    """Read an answer whole, or in steps of so many bytes."""
    reader = Heard(AnswerHead(status, []), dialect)
    for at in range(0, len(body), step or len(body) or 1):
        reader.feed(body[at : at + (step or len(body))])
    return reader.finish()


def events(*values):
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def chat(text, reason="stop"):
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}


def chat_stream(*texts, reason="stop"):
    pieces = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    return events(*pieces, last) + DONE


def claude(text, reason="end_turn"):
    content = [{"type": "text", "text": text}]
    return {"type": "message", "content": content, "stop_reason": reason}


def claude_stream(*texts, reason="end_turn"):
    return events(
        {"type": "message_start", "message": {"type": "message", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
          for text in texts),
        {"type": "message_delta", "delta": {"stop_reason": reason}},
        {"type": "message_stop"},
    )  # fmt: skip


def gemini(text, reason="STOP"):
    content = {"parts": [{"text": text}]}
    return {"candidates": [{"index": 0, "content": content, "finishReason": reason}]}


def dumped(value):
    return json.dumps(value).encode()


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize(
    ("dialect", "body", "was_cut", "is_refused"),
    [
        ("openai-chat", dumped(chat("Hi there")), False, False),
        ("openai-chat", dumped(chat("Hi there", "length")), True, False),
        ("openai-chat", dumped(chat("Hi there", "content_filter")), False, True),
        ("openai-chat", chat_stream("Hi ", "there"), False, False),
        ("openai-chat", chat_stream("Hi ", "there", reason="length"), True, False),
        ("openai-chat", chat_stream("Hi ", "there", reason="model_length"), True, False),
        ("anthropic-messages", dumped(claude("Hi there")), False, False),
        ("anthropic-messages", dumped(claude("Hi there", "max_tokens")), True, False),
        ("anthropic-messages", dumped(claude("Hi there", "refusal")), False, True),
        ("anthropic-messages", claude_stream("Hi ", "there"), False, False),
        ("anthropic-messages", claude_stream("Hi ", "there", reason="max_tokens"), True, False),
        ("gemini-generate", dumped(gemini("Hi there", "MAX_TOKENS")), True, False),
        ("gemini-generate", events(gemini("Hi there", "SAFETY")), False, True),
    ],
)
def test_an_answer_is_heard_with_how_it_ended(dialect, body, was_cut, is_refused, step):
    said = heard(dialect, body, step=step)
    assert (said.text, said.problem) == ("Hi there", "")
    assert (said.was_cut, said.is_refused) == (was_cut, is_refused)


@pytest.mark.parametrize(
    ("dialect", "body", "status", "problem"),
    [
        ("openai-chat", chat_stream("Hi")[: -len(DONE) - 70], 200, "broke off"),
        ("anthropic-messages", claude_stream("Hi")[:-150], 200, "broke off"),
        ("openai-chat", dumped(chat("Hi"))[:-3], 200, "broke off"),
        ("openai-chat", b"", 200, "broke off"),
        ("openai-chat", b"<html>", 200, "broke off"),
        ("openai-chat", dumped({"error": {"message": "secret"}}), 500, "status 500"),
        ("openai-chat", events({"error": {"message": "secret"}}) + DONE, 200, "an error"),
        (
            "anthropic-messages",
            events({"type": "error", "error": {"message": "secret"}}),
            200,
            "an error",
        ),
        ("gemini-generate", dumped(gemini("", "MALFORMED_FUNCTION_CALL")), 200, "malformed"),
    ],
)
def test_an_answer_that_can_not_be_used_says_why_and_quotes_nothing(dialect, body, status, problem):
    said = heard(dialect, body, status=status)
    assert problem in said.problem
    assert "secret" not in said.problem + repr(said)


def test_a_stream_that_said_why_it_ended_is_whole_without_its_last_mark():
    assert heard("openai-chat", chat_stream("Hi")[: -len(DONE)]).problem == ""


def test_an_answer_without_a_bound_is_given_up():
    reader = Heard(AnswerHead(200, []), "openai-chat")
    piece = events({"choices": [{"index": 0, "delta": {"content": "x" * 65_536}}]})
    fed = 0
    while not reader.is_too_long:
        reader.feed(piece)
        fed += 1
        assert fed < 100
    reader.feed(piece)
    said = reader.finish()
    assert str(LIMIT_CHARACTERS) in said.problem
    assert len(said.text) <= LIMIT_CHARACTERS


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>\nhm\n</think>\n\nHi", "Hi"),
        ("\n<think></think>Hi", "Hi"),
        ("<think>hm", "<think>hm"),
        ("Say <think>x</think>", "Say <think>x</think>"),
    ],
)
def test_thoughts_that_stand_before_an_answer_are_no_part_of_it(text, left):
    """Local servers without a parser for reasoning leave them in the text."""
    assert heard("openai-chat", chat_stream(text)).text == left


def test_what_was_said_is_not_shown_in_a_log():
    assert "Hi" not in repr(heard("openai-chat", chat_stream("Hi")))


@given(st.lists(st.text(max_size=8), max_size=8), st.integers(1, 40), st.booleans())
def test_however_an_answer_is_cut_into_pieces_it_says_the_same(texts, step, is_claude):
    dialect = "anthropic-messages" if is_claude else "openai-chat"
    stream = claude_stream(*texts) if is_claude else chat_stream(*texts)
    said = heard(dialect, stream, step=step)
    assert said == heard(dialect, stream)
    if not "".join(texts).lstrip().startswith("<think>"):
        assert (said.text, said.problem) == ("".join(texts), "")


@given(st.sampled_from(["openai-chat", "anthropic-messages", "gemini-generate"]), st.binary())
def test_no_bytes_make_hearing_fail(dialect, body):
    assert isinstance(heard(dialect, body).problem, str)


@pytest.mark.skipif(CORPUS is None, reason="there are no recorded exchanges: set REMORA_CORPUS")
@pytest.mark.parametrize("dialect", ["openai-chat", "anthropic-messages", "gemini-generate"])
def test_recorded_answers_are_heard_as_the_dialect_reads_them(dialect):
    known = {"length", "max_tokens", "MAX_TOKENS"}
    count = 0
    for transcript in load_transcripts(CORPUS, dialect):
        if transcript.status != 200 or transcript.expect.get("error"):
            continue
        fields = [(k.encode(), v.encode()) for k, v in transcript.response_headers]
        text = AnswerText(AnswerHead(200, fields), dialect, stream=True)
        text.feed(transcript.response_body)
        reader = Heard(AnswerHead(200, fields), dialect)
        for at in range(0, len(transcript.response_body), 997):
            reader.feed(transcript.response_body[at : at + 997])
        said = reader.finish()
        wanted = text.finish().text
        assert said.text == wanted or wanted.lstrip().startswith("<think>"), transcript.id
        if transcript.expect.get("finish_reason"):
            count += 1
            assert said.was_cut is (transcript.expect["finish_reason"] in known), transcript.id
            assert said.problem == "" or not transcript.expect["complete"], transcript.id
    assert count > 30
