"""Speed of cached answers: ours from the cache, mitmdump's from an addon's memory."""

from dataclasses import replace

from bench import asking, load
from bench.figure import Better, Figure, Target, interleaved, median_ratio, medians
from bench.samples import CHAT_JSON
from bench.scale import Scale
from bench.servers import Bench, Side

_QUESTIONS = 64
_CONNECTIONS = 16
_MARKS = {"remora": b"remora-cache: hit; age=", "stock": b"x-bench-cache: hit", "direct": b""}
"""What the head of an answer says that did not come from the provider."""


def cached(bench: Bench, scale: Scale) -> list[Figure]:
    """Requests per second where every answer is known, by 64 questions in turn."""
    sides = [bench.sidecar(), bench.fresh_stock("stock_cache_addon"), bench.direct]
    for side in sides:
        _fill(side)
    rounds = interleaved(
        sides, lambda side: side.name, lambda side: _rate(side, scale.seconds), scale.rounds
    )
    return [
        Figure(
            "cached_calls_per_second",
            "cached answers/s, 16 connections",
            "/s",
            Target(Better.MORE, 4.0, aim=7.0, unit="x"),
            values=medians(rounds),
            rounds=rounds,
            verdict=median_ratio(rounds, "remora", "stock"),
            verdict_unit="x",
            note="ours with key, record and spool; mitmdump's addon answers from a dict; "
            "each answer's mark is checked; direct, which asks the double, is near the most "
            "that the client can do",
        )
    ]


def _fill(side: Side) -> None:
    """Ask each question once, so that it is known, and see that the answer is the provider's."""
    for number in range(_QUESTIONS):
        load.make_calls(side.route, _ask(number, CHAT_JSON), connections=1, count=1)


def _rate(side: Side, seconds: float) -> float:
    asks = [_ask(number, _MARKS[side.name]) for number in range(_QUESTIONS)]
    return load.calls_per_second(
        side.route, *asks, connections=_CONNECTIONS, seconds=seconds, first=10 * _CONNECTIONS
    )


def _ask(number: int, expected: bytes) -> asking.Ask:
    return replace(asking.chat(f"What do remoras eat? ({number})"), expected=expected)
