"""What it costs to read a streamed event, by dialect: no sockets, no engine.

Recorded streams where they are, else the bench's own; each event is fed alone, as it would
arrive. Reading is all that the dialect does for it: framing, JSON, meaning.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.asking import CHAT_PATH, GEMINI_PATH
from bench.figure import Better, Figure, Target
from bench.machine import CHECKOUT
from bench.report import number
from bench.samples import EVENTS
from bench.scale import Scale
from bench.servers import Bench
from remora.testing.transcripts import Transcript, find_corpus, load_transcripts
from remora_sidecar.dialects.base import CallRequest, Dialect
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.model.exchange import AnswerHead, RequestHead

_LIMIT_US = 20.0
_RECORDED_AS = {"cohere-chat": "cohere", "ollama-chat": "other"}
"""What the corpus calls a dialect, where it differs."""
_MANY_EVENTS = 2_000
"""Few recorded events are read again and again, up to so many a round."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer to be read: its head, what was asked, and its body event by event."""

    head: AnswerHead
    request: CallRequest
    events: tuple[bytes, ...]


def dialect_cost(_: Bench, scale: Scale) -> list[Figure]:
    """Read all streams of each dialect, dialects in turns; the dearest dialect counts."""
    streams = {name: found for name in DIALECTS if (found := streams_of(DIALECTS[name]))}
    rounds: dict[str, list[float]] = {name: [] for name in streams}
    for _round in range(scale.rounds):
        for name, found in streams.items():
            rounds[name].append(_us_per_event(DIALECTS[name], found))
    values = {name: median(times) for name, times in rounds.items()}
    dearest = max(values, key=values.__getitem__)
    return [_dearest(values, rounds, dearest), *(_one(n, values, rounds) for n in values)]


def _dearest(
    values: Mapping[str, float], rounds: Mapping[str, Sequence[float]], name: str
) -> Figure:
    return Figure(
        "dialect_event_us",
        f"reading a streamed event, dearest dialect ({name})",
        "µs",
        Target(Better.LESS, _LIMIT_US, unit=" µs"),
        values={"remora": values[name]},
        rounds={"remora": rounds[name]},
        verdict=values[name],
        verdict_unit=" µs",
        note=", ".join(f"{each} {number(value)}" for each, value in values.items()),
    )


def _one(name: str, values: Mapping[str, float], rounds: Mapping[str, Sequence[float]]) -> Figure:
    return Figure(
        f"dialect_event_us_{name.replace('-', '_')}",
        f"… {name}",
        "µs",
        None,
        values={"remora": values[name]},
        rounds={"remora": rounds[name]},
        verdict=values[name],
        verdict_unit=" µs",
    )


def _us_per_event(dialect: Dialect, streams: Sequence[Stream]) -> float:
    """Feed every event once or more; readers are made and finished outside of the time."""
    events = sum(len(stream.events) for stream in streams)
    times = max(1, _MANY_EVENTS // events)
    taken_ns = sum(_feed_ns(dialect, stream) for _ in range(times) for stream in streams)
    return taken_ns / 1000 / (events * times)


def _feed_ns(dialect: Dialect, stream: Stream) -> int:
    reader = dialect.answer_reader(stream.head, stream.request)
    feed = reader.feed
    begun = time.thread_time_ns()
    for event in stream.events:
        feed(event)
    taken = time.thread_time_ns() - begun
    reader.finish()
    return taken


# What is read.


def streams_of(dialect: Dialect) -> list[Stream]:
    """Return the recorded streams of a dialect, else the built-in ones; none for some."""
    folder = find_corpus(os.environ.get("REMORA_CORPUS", ""), CHECKOUT)
    if folder is None:
        return _built_in(dialect)
    try:
        found = load_transcripts(folder, _RECORDED_AS.get(dialect.name, dialect.name))
    except FileNotFoundError:
        return _built_in(dialect)
    return [_stream(dialect, each) for each in found if _is_its_stream(dialect, each)]


def _is_its_stream(dialect: Dialect, transcript: Transcript) -> bool:
    return transcript.stream and transcript.status == 200 and dialect.claims(_head(transcript))


def _head(transcript: Transcript) -> RequestHead:
    host = transcript.host.partition(":")[0]
    fields = _fields(transcript.request_headers)
    return RequestHead(transcript.method, host, transcript.path, transcript.query, fields)


def _fields(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


def _stream(dialect: Dialect, transcript: Transcript) -> Stream:
    head = AnswerHead(transcript.status, _fields(transcript.response_headers))
    request = dialect.read_request(_head(transcript), transcript.request_body)
    content_type = dict(transcript.response_headers).get("content-type", "")
    return Stream(head, request, tuple(cut_events(transcript.response_body, content_type)))


def _built_in(dialect: Dialect) -> list[Stream]:
    if (events := EVENTS.get(dialect.name)) is None:
        return []
    path = GEMINI_PATH if dialect.name == "gemini-generate" else CHAT_PATH
    asked = b'{"stream":true,"stream_options":{"include_usage":true}}'
    request = dialect.read_request(RequestHead("POST", "", path, "alt=sse", ()), asked)
    head = AnswerHead(200, [(b"content-type", b"text/event-stream")])
    return [Stream(head, request, events)]


# Where events end.


def cut_events(body: bytes, content_type: str) -> Iterator[bytes]:
    """Cut the body of a stream after each of its events; together they are the body."""
    yield from _cutter(body, content_type)(body)


def _cutter(body: bytes, content_type: str) -> Callable[[bytes], Iterator[bytes]]:
    if content_type.startswith("application/vnd.amazon.eventstream"):
        return _frames
    if body.lstrip()[:1] == b"[":
        return _elements
    return _lines if body.lstrip()[:1] == b"{" else _blocks


def _blocks(body: bytes) -> Iterator[bytes]:
    return _after(body, re.compile(rb"\r\n\r\n|\n\n|\r\r"))


def _lines(body: bytes) -> Iterator[bytes]:
    return _after(body, re.compile(rb"\n"))


def _after(body: bytes, end: re.Pattern[bytes]) -> Iterator[bytes]:
    at = 0
    for found in end.finditer(body):
        yield body[at : found.end()]
        at = found.end()
    if at < len(body):
        yield body[at:]


def _frames(body: bytes) -> Iterator[bytes]:
    """AWS's frames begin with their length as four bytes, big-endian."""
    at = 0
    while at < len(body):
        end = at + max(4, int.from_bytes(body[at : at + 4]))
        yield body[at:end]
        at = end


def _elements(body: bytes) -> Iterator[bytes]:
    """The elements of one array, each with what stands before it."""
    text, decoder = body.decode(), json.JSONDecoder()
    at, begun = text.index("[") + 1, 0
    while (found := re.compile(r"[\s,]*(?=\{)").match(text, at)) is not None:
        _, at = decoder.raw_decode(text, found.end())
        yield text[begun:at].encode()
        begun = at
    yield text[begun:].encode()
