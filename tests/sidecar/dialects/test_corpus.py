"""Every recorded exchange, read as the provider double will cut, compress and break it."""

import gzip
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import brotli
import pytest
import zstandard

from remora.testing.transcripts import Transcript
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness, Dialect
from remora_sidecar.dialects.framing.decoding import Decoder
from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.dialects.registry import DIALECTS, dialect_for
from remora_sidecar.model.exchange import AnswerHead, Headers, RequestHead

_FIGURES = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip


def _fields(headers: tuple[tuple[str, str], ...]) -> Headers:
    return [(name.encode(), value.encode()) for name, value in headers]


def _request_head(transcript: Transcript) -> RequestHead:
    return RequestHead(
        transcript.method,
        transcript.host.partition(":")[0],
        transcript.path,
        transcript.query,
        _fields(transcript.request_headers),
    )


RECORDED = {"cohere-chat": "cohere", "ollama-chat": "other", "openai-images": "other"}
"""What the corpus calls a dialect, where it differs."""


UNRECORDED = {"openai-audio", "openai-moderations", "openai-realtime"}
"""Dialects of which the corpus has nothing."""


UNMARKED = {"gemini-generate"}
"""Dialects whose streams of events have no mark of their own end."""


@pytest.fixture(params=sorted(DIALECTS.keys() - UNRECORDED))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each dialect in turn."""
    return DIALECTS[request.param]


@pytest.fixture
def transcripts(
    dialect: Dialect, recorded: Callable[[str], Sequence[Transcript]]
) -> Sequence[Transcript]:
    """The recorded exchanges of the dialect."""
    found = recorded(name := RECORDED.get(dialect.name, dialect.name))
    return [t for t in found if name != "other" or dialect.claims(_request_head(t))]


def _request(dialect: Dialect, transcript: Transcript) -> CallRequest:
    return dialect.read_request(_request_head(transcript), transcript.request_body)


def _read(dialect: Dialect, transcript: Transcript, chunks: Iterable[bytes]) -> AnswerFacts:
    head = AnswerHead(transcript.status, _fields(transcript.response_headers))
    reader = dialect.answer_reader(head, _request(dialect, transcript))
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish()


def _stated(facts: AnswerFacts) -> dict[str, Any]:
    return {
        "model": facts.model,
        "finish_reason": facts.finish_reason,
        "error": facts.error is not None,
        "complete": facts.completeness is Completeness.WHOLE,
        **{name: getattr(facts.usage, name, None) for name in _FIGURES},
    }


def _assert_as_expected(transcript: Transcript, facts: AnswerFacts) -> None:
    expected = {name: value for name, value in transcript.expect.items() if value is not None}
    if "finish_reason" in expected:  # a number, where enumerations were asked for as such
        expected["finish_reason"] = str(expected["finish_reason"])
    stated = _stated(facts)
    assert {name: stated[name] for name in expected} == expected, transcript.id


def _bytes(body: bytes) -> Iterable[bytes]:
    return (body[i : i + 1] for i in range(len(body)))


def _cut(body: bytes, randomness: random.Random) -> Iterable[bytes]:
    at = 0
    while at < len(body):
        size = randomness.choice((1, 2, 3, 7, 50, 1000, 5000))
        yield body[at : at + size]
        at += size


def _randomness(transcript: Transcript) -> random.Random:
    return random.Random(transcript.id)  # noqa: S311  # cuts that repeat


def _streams(transcripts: list[Transcript]) -> list[Transcript]:
    return [transcript for transcript in transcripts if transcript.stream]


def _is_read(transcript: Transcript) -> bool:
    """A call that has no body to read, or has one that is whole: two were cut or left out."""
    if transcript.method != "POST":
        return True
    return isinstance(parse_json(transcript.request_body), dict) or not _is_json(transcript)


def _is_json(transcript: Transcript) -> bool:
    """Whether the body was to be JSON; forms are read by another part."""
    kinds = [value for name, value in transcript.request_headers if name.lower() == "content-type"]
    return not kinds or "json" in kinds[0]


def test_every_recorded_call_is_claimed_and_its_request_read(
    dialect: Dialect,
    transcripts: Sequence[Transcript],
) -> None:
    for transcript in transcripts:
        head = _request_head(transcript)
        assert dialect_for([dialect.name], head) is dialect, transcript.id
        request = _request(dialect, transcript)
        assert (request.problem == "") is _is_read(transcript), transcript.id
        assert request.model, transcript.id
        assert request.stream or not transcript.stream, transcript.id


def test_whole_answers_state_what_is_expected(
    dialect: Dialect, transcripts: Sequence[Transcript]
) -> None:
    for transcript in transcripts:
        _assert_as_expected(transcript, _read(dialect, transcript, [transcript.response_body]))


def test_no_figure_is_made_up(dialect: Dialect, transcripts: Sequence[Transcript]) -> None:
    for transcript in transcripts:
        stated = _stated(_read(dialect, transcript, [transcript.response_body]))
        made_up = [n for n in _FIGURES if transcript.expect[n] is None and stated[n] is not None]
        assert made_up == [], transcript.id


def test_usage_is_missing_only_where_nobody_asked_for_it(
    dialect: Dialect,
    transcripts: Sequence[Transcript],
) -> None:
    for transcript in transcripts:
        facts = _read(dialect, transcript, [transcript.response_body])
        if facts.usage is None and facts.error is None and not facts.pending:
            states_none = all(transcript.expect[name] is None for name in _FIGURES)
            assert transcript.stream or states_none, transcript.id
            was_blocked = "block_reason" in transcript.expect_extra
            assert was_blocked or not _request(dialect, transcript).states_usage, transcript.id
        assert facts.usage_problem == "", transcript.id


@pytest.mark.parametrize("cut", [_cut, lambda body, _: _bytes(body)], ids=["random", "bytes"])
def test_streams_read_in_pieces_state_the_same(
    dialect: Dialect,
    transcripts: Sequence[Transcript],
    cut: Callable[[bytes, random.Random], Iterable[bytes]],
) -> None:
    for transcript in _streams(transcripts):
        body = transcript.response_body
        facts = _read(dialect, transcript, cut(body, _randomness(transcript)))
        assert facts == _read(dialect, transcript, [body]), transcript.id


def test_json_answers_cut_at_random_state_the_same(
    dialect: Dialect, transcripts: Sequence[Transcript]
) -> None:
    for transcript in transcripts:
        if not transcript.stream:
            chunks = _cut(transcript.response_body, _randomness(transcript))
            _assert_as_expected(transcript, _read(dialect, transcript, chunks))


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", lambda body: gzip.compress(body, 1)),
        ("br", lambda body: brotli.compress(body, quality=1)),
        ("zstd", lambda body: zstandard.ZstdCompressor(1).compress(body)),
    ],
    ids=["gzip", "brotli", "zstd"],
)
def test_compressed_answers_state_the_same(
    dialect: Dialect,
    transcripts: Sequence[Transcript],
    encoding: str,
    encode: Callable[[bytes], bytes],
) -> None:
    for transcript in transcripts:
        decoder = Decoder(encoding)
        encoded = _cut(encode(transcript.response_body), _randomness(transcript))
        facts = _read(dialect, transcript, (piece for c in encoded for piece in decoder.feed(c)))
        decoder.finish()
        assert decoder.problem == ""
        _assert_as_expected(transcript, facts)


def test_streams_and_answers_that_were_cut_are_judged_cut(
    dialect: Dialect,
    transcripts: Sequence[Transcript],
) -> None:
    for transcript in transcripts:
        body = transcript.response_body.rstrip()
        randomness = _randomness(transcript)
        for _ in range(5):
            end = randomness.randrange(1, len(body) - (len(b"[DONE]") if transcript.stream else 0))
            facts = _read(dialect, transcript, [body[:end]])
            assert facts.completeness is Completeness.CUT, (transcript.id, end)


def test_a_whole_stream_has_ended_and_said_something(
    dialect: Dialect, transcripts: Sequence[Transcript]
) -> None:
    for transcript in _streams(transcripts):
        head = AnswerHead(transcript.status, _fields(transcript.response_headers))
        reader = dialect.answer_reader(head, _request(dialect, transcript))
        has_output = reader.feed(transcript.response_body)
        is_marked = dialect.name not in UNMARKED or transcript.response_body.startswith(b"[")
        assert reader.ended is (is_marked and transcript.expect["complete"]), transcript.id
        assert has_output or transcript.expect["error"], transcript.id
        assert not reader.finish().usage_problem


def test_damaged_answers_never_raise(dialect: Dialect, transcripts: Sequence[Transcript]) -> None:
    for transcript in transcripts:
        randomness = _randomness(transcript)
        body = bytearray(transcript.response_body)
        for _ in range(20):
            at = randomness.randrange(len(body))
            body[at : at + randomness.randrange(4)] = randomness.choice(
                (
                    b"",
                    b"\xff",
                    b'"',
                    b"{",
                    b"}",
                    b"[",
                    b"null",
                    b"1e400",
                    b"-1",
                    b'"\\ud800"',
                    b"\n\n",
                )
            )
        _read(dialect, transcript, [bytes(body)])
