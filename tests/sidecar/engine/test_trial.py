"""What is held of an answer before it is known to be one: every wire format, every cut."""

import asyncio
import gzip
from dataclasses import dataclass, field
from itertools import pairwise

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from remora.errors import UpstreamError
from remora.testing.double_answer import RandomCuts
from remora.testing.recorded_calls import CORPUS_DIALECTS
from remora.testing.streamed_answers import STREAMED_ANSWERS
from remora.testing.virtual_loop import VirtualTimeLoop
from remora_sidecar.dialects.registry import DIALECTS, dialect_for
from remora_sidecar.engine.trial import HELD_BYTES, HELD_EVENTS, Trial
from remora_sidecar.engine.upstream import Answer
from remora_sidecar.model.exchange import RequestHead
from remora_sidecar.policy.failures import Failure

ANSWERS = pytest.mark.parametrize("said", STREAMED_ANSWERS.values(), ids=STREAMED_ANSWERS)


@dataclass
class Body:
    """An answer's body as a provider sends it: pieces, and then an end, a cut or silence."""

    pieces: list[bytes]
    then: str = "end"
    read: list[bytes] = field(default_factory=list)

    def at_eof(self):
        return not self.pieces and self.then == "end"

    def read_nowait(self):
        return self._next() if self.pieces or self.then == "cut" else b""

    async def readany(self):
        if not self.pieces and self.then == "silence":
            await asyncio.get_running_loop().create_future()
        return self._next() if self.pieces or self.then == "cut" else b""

    def _next(self):
        if not self.pieces:
            raise aiohttp.ClientPayloadError("cut")
        self.read.append(piece := self.pieces.pop(0))
        return piece

    def follow(self, follower):
        raise AssertionError("nobody follows what is held")


def pieces_of(content, cuts=()):
    bounds = sorted({0, len(content), *(cut for cut in cuts if 0 < cut < len(content))})
    return [content[start:end] for start, end in pairwise(bounds)]


def answer_of(body, *, status=200, content_type="", encoding=""):
    fields = {"Content-Type": content_type, "Content-Encoding": encoding}
    fields = {name: value for name, value in fields.items() if value}
    raw = tuple((name.encode(), value.encode()) for name, value in fields.items())
    message = aiohttp.http.RawResponseMessage(
        aiohttp.HttpVersion11, status, "", CIMultiDict(fields), raw, False, None, False, True
    )
    return Answer(message, body)


def head_of(said):
    path, _, query = said.target.partition("?")
    return RequestHead("POST", said.host, path, query, [])


def trial(said, content, *, then="end", cuts=(), status=200, idle_s=None, stream=True, **head):
    """A trial of an answer to the call, and the body that it reads."""
    body = Body(pieces_of(content, cuts), then)
    dialect = DIALECTS[said.dialect]
    request = dialect.read_request(head_of(said), said.asked)
    assert request.stream or not stream
    head.setdefault("content_type", said.content_type)
    return Trial(answer_of(body, status=status, **head), dialect, request, idle_s), body


async def rest_of(answer):
    """All that the agent would get, and whether it would be cut."""
    got = b""
    try:
        while not answer.content.at_eof():
            got += await answer.content.readany()
    except aiohttp.ClientError:
        return got, True
    return got, False


def every_event(said):
    """Cuts between all events up to the first output."""
    at = [0]
    for event in (*said.start, said.output):
        at.append(at[-1] + len(event))
    return at


@ANSWERS
async def test_an_answer_is_held_until_the_model_says_something_and_no_longer(said):
    judged, body = trial(said, said.whole, cuts=every_event(said))
    verdict = await judged.verdict()

    assert verdict.failure is None
    assert b"".join(body.read) == said.until_output
    assert await rest_of(verdict.answer) == (said.whole, False)


@ANSWERS
async def test_an_answer_that_comes_byte_by_byte_is_let_go_with_its_first_output(said):
    judged, body = trial(said, said.whole, cuts=range(len(said.whole)))
    verdict = await judged.verdict()

    assert verdict.failure is None
    held = len(b"".join(body.read))
    assert len(said.before_output) < held <= len(said.until_output) + 4
    assert await rest_of(verdict.answer) == (said.whole, False)


@ANSWERS
@pytest.mark.parametrize("cutting", [False, True], ids=["at once", "byte by byte"])
async def test_an_error_before_the_first_output_is_a_failure(said, cutting):
    content = said.before_output + said.error
    judged, _ = trial(said, content, cuts=range(len(content)) if cutting else ())
    verdict = await judged.verdict()

    assert verdict.failure is Failure(said.failure)
    assert verdict.error is not None
    assert await rest_of(verdict.answer) == (content, False)


@ANSWERS
async def test_an_error_is_known_before_the_provider_has_ended(said):
    judged, _ = trial(said, said.before_output + said.error, then="silence")
    async with asyncio.timeout(5):
        verdict = await judged.verdict()
    assert verdict.failure is Failure(said.failure)
    assert not verdict.is_whole


@ANSWERS
async def test_an_error_as_the_first_event_is_a_failure(said):
    error = b"[" + said.error[3:] if said.content_type == "application/json" else said.error
    verdict = await trial(said, error)[0].verdict()
    assert verdict.failure is Failure(said.failure)


@ANSWERS
async def test_an_error_after_the_first_output_passes(said):
    content = said.until_output + said.error
    verdict = await trial(said, content)[0].verdict()

    assert verdict.failure is None
    assert await rest_of(verdict.answer) == (content, False)


@ANSWERS
async def test_a_cut_before_the_first_output_is_a_failure(said):
    content = said.before_output
    verdict = await trial(said, content, then="cut")[0].verdict()

    assert verdict.failure is Failure.DISCONNECTED
    assert verdict.error.type == "provider_cut"
    assert await rest_of(verdict.answer) == (content, True)


@ANSWERS
async def test_a_cut_before_the_first_event_is_a_failure(said):
    verdict = await trial(said, b"", then="cut")[0].verdict()
    assert verdict.failure is Failure.DISCONNECTED


@ANSWERS
async def test_an_end_before_the_first_output_that_is_none_of_the_format_is_a_failure(said):
    verdict = await trial(said, said.before_output)[0].verdict()
    assert verdict.failure is Failure.DISCONNECTED


@ANSWERS
async def test_a_whole_answer_in_which_the_model_says_nothing_is_an_answer(said):
    content = said.before_output + said.rest
    verdict = await trial(said, content)[0].verdict()

    assert verdict.failure is None
    assert await rest_of(verdict.answer) == (content, False)


@ANSWERS
async def test_a_cut_after_the_first_output_is_the_agents_to_see(said):
    verdict = await trial(said, said.until_output, then="cut")[0].verdict()

    assert verdict.failure is None
    assert await rest_of(verdict.answer) == (said.until_output, True)


@ANSWERS
async def test_what_a_failed_answer_had_stated_of_usage_is_told(said):
    verdict = await trial(said, said.before_output + said.error)[0].verdict()
    usage = verdict.facts.usage
    stated = None if usage is None else (usage.input_tokens, usage.output_tokens)
    assert stated == said.usage_in_start


@ANSWERS
async def test_a_compressed_answer_is_read_and_given_on_as_it_came(said):
    content = gzip.compress(said.before_output + said.error, mtime=0)
    verdict = await trial(said, content, cuts=range(0, 999, 7), encoding="gzip")[0].verdict()
    assert verdict.failure is Failure(said.failure)

    whole = gzip.compress(said.whole, mtime=0)
    verdict = await trial(said, whole, cuts=range(0, 999, 7), encoding="gzip")[0].verdict()
    assert verdict.failure is None
    assert await rest_of(verdict.answer) == (whole, False)


@ANSWERS
@pytest.mark.parametrize("encoding", ["gzip", "made-up"], ids=["not what it says", "unknown"])
async def test_what_can_not_be_decoded_is_let_go_at_once(said, encoding):
    judged, body = trial(said, said.whole, cuts=(40, 80), encoding=encoding)
    verdict = await judged.verdict()

    assert verdict.failure is None
    assert len(body.read) == 1
    assert await rest_of(verdict.answer) == (said.whole, False)


PLAIN = [name for name in STREAMED_ANSWERS if not name.startswith("bedrock")]


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("cutting", [False, True], ids=["at once", "byte by byte"])
async def test_a_plain_error_with_status_200_in_the_place_of_a_stream_is_a_failure(name, cutting):
    said = STREAMED_ANSWERS[name]
    content = b'{"error": {"type": "overloaded_error", "message": "no"}}\n'
    judged, _ = trial(
        said,
        content,
        cuts=range(len(content)) if cutting else (),
        content_type="application/json",
    )
    verdict = await judged.verdict()

    assert verdict.failure is Failure.OVERLOADED
    assert await rest_of(verdict.answer) == (content, False)


@pytest.mark.parametrize("status", [429, 500, 503])
@ANSWERS
async def test_a_failed_status_is_a_failure_whose_body_is_held_whole(said, status):
    content = b'{"error":{"type":"server_error","message":"no"},"message":"no"}'
    judged, body = trial(
        said, content, status=status, cuts=(9, 20), content_type="application/json"
    )
    verdict = await judged.verdict()

    assert verdict.failure is not None
    assert verdict.is_whole
    assert not body.pieces
    assert await rest_of(verdict.answer) == (content, False)


@ANSWERS
def test_silence_ends_in_a_timeout_however_long_the_answer_has_been_coming(said):
    async def judged():
        begun, _ = trial(said, said.before_output, then="silence", idle_s=30.0)
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamError) as caught:
            await begun.verdict()
        return caught.value.kind, asyncio.get_running_loop().time() - began_s, begun.facts()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        kind, passed_s, facts = runner.run(judged())
    assert kind == "idle_timeout"
    assert passed_s == pytest.approx(30.0)
    assert (facts.usage is not None) == (said.usage_in_start is not None)


class TestBounds:
    """Of what is held, whatever it is made of."""

    def repeated(self, said, count):
        """Start-up events, many times over."""
        if said.content_type == "application/json":
            first = said.start[-1]
            return first + b"".join(b",\r\n" + first[1:] for _ in range(count - 1))
        return said.start[-1] * count

    @ANSWERS
    async def test_more_events_than_the_bound_are_let_go(self, said):
        content = self.repeated(said, HELD_EVENTS * 2)
        judged, body = trial(said, content, cuts=range(0, len(content), 100), then="silence")
        async with asyncio.timeout(5):
            verdict = await judged.verdict()

        assert verdict.failure is None
        held = len(b"".join(body.read))
        one = len(content) / (HELD_EVENTS * 2)
        assert HELD_EVENTS * one <= held + 200
        assert held <= (HELD_EVENTS + 2) * one + 200

    @ANSWERS
    async def test_fewer_events_than_the_bound_are_held(self, said):
        content = self.repeated(said, HELD_EVENTS - 4)
        judged, _ = trial(said, content, cuts=range(0, len(content), 100), then="silence")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await judged.verdict()

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
    async def test_comments_count_with_every_line_end(self, end):
        said = STREAMED_ANSWERS["openai-chat"]
        content = f": ping{end}{end}".encode() * (HELD_EVENTS + 1)
        verdict = await trial(said, content, cuts=range(len(content)), then="silence")[0].verdict()
        assert verdict.failure is None

    @ANSWERS
    async def test_more_bytes_than_the_bound_are_let_go(self, said):
        content = said.start[0][:20] + b" " * (2 * HELD_BYTES)
        judged, body = trial(said, content, cuts=range(0, len(content), 4096), then="silence")
        async with asyncio.timeout(5):
            verdict = await judged.verdict()

        assert verdict.failure is None
        assert HELD_BYTES < len(b"".join(body.read)) <= HELD_BYTES + 8192

    async def test_a_long_plain_answer_is_let_go(self):
        said = STREAMED_ANSWERS["openai-chat"]
        content = b'{"choices":[{"message":{"content":"' + b"x" * (2 * HELD_BYTES)
        judged, body = trial(
            said,
            content,
            cuts=range(0, len(content), 4096),
            then="silence",
            content_type="application/json",
        )
        async with asyncio.timeout(5):
            verdict = await judged.verdict()
        assert verdict.failure is None
        assert len(b"".join(body.read)) <= HELD_BYTES + 4096

    async def test_a_body_that_expands_without_bound_is_let_go(self):
        said = STREAMED_ANSWERS["openai-chat"]
        content = gzip.compress(b": " + b" " * (64 * HELD_BYTES))
        judged, _ = trial(
            said, content, cuts=range(0, len(content), 64), then="silence", encoding="gzip"
        )
        async with asyncio.timeout(5):
            assert (await judged.verdict()).failure is None


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(list(STREAMED_ANSWERS)),
    st.sampled_from(["whole", "error", "late error", "cut", "garbage"]),
    st.lists(st.integers(0, 3000), max_size=40),
    st.binary(max_size=200),
)
def test_bytes_out_are_bytes_in_whatever_comes(name, kind, cuts, garbage):
    said = STREAMED_ANSWERS[name]
    content = {
        "whole": said.whole,
        "error": said.before_output + said.error,
        "late error": said.until_output + said.error,
        "cut": said.until_output,
        "garbage": garbage,
    }[kind]
    then = "cut" if kind == "cut" else "end"

    async def judged():
        verdict = await trial(said, content, cuts=cuts, then=then)[0].verdict()
        return await rest_of(verdict.answer)

    assert asyncio.run(judged()) == (content, kind == "cut")


@pytest.mark.parametrize("corpus", [c for c in CORPUS_DIALECTS if c != "openai-embeddings"])
async def test_recorded_streams_are_held_until_they_say_something_and_pass_unchanged(
    recorded, corpus
):
    problems = []
    streams = [one for one in recorded(corpus) if one.stream and one.status == 200]
    for number, transcript in enumerate(streams):
        problems += [f"{transcript.id}: {p}" for p in await _problems(transcript, number)]
    assert problems == []


async def _problems(transcript, seed):
    fields = [(name.encode(), value.encode()) for name, value in transcript.request_headers]
    head = RequestHead("POST", transcript.host, transcript.path, transcript.query, fields)
    dialect = dialect_for(DIALECTS, head)
    content = transcript.response_body
    cuts = RandomCuts(seed, 200).offsets(len(content))
    types = [v for n, v in transcript.response_headers if n.lower() == "content-type"]
    body = Body(pieces_of(content, cuts))
    request = dialect.read_request(head, transcript.request_body)
    verdict = await Trial(
        answer_of(body, content_type=types[0] if types else ""), dialect, request
    ).verdict()
    expected = transcript.expect
    if expected.get("complete") and not expected.get("error") and verdict.failure is not None:
        return [f"a good answer counts as {verdict.failure}"]
    held = len(b"".join(body.read))
    passed = await rest_of(verdict.answer)
    return [] if passed == (content, False) and held <= 2 * HELD_BYTES else ["bytes changed"]
