"""Speed of calls: throughput, latency, first byte, new connections; each side by side."""

from collections.abc import Callable, Sequence

from bench import load
from bench.asking import Ask
from bench.figure import (
    Better,
    Figure,
    Rounds,
    Target,
    interleaved,
    median_difference,
    median_ratio,
    medians,
)
from bench.process import cpu_seconds
from bench.scale import Scale
from bench.servers import Bench, Side


def _rounds(
    sides: Sequence[Side], measure: Callable[[Side], float], rounds: int
) -> dict[str, list[float]]:
    for side in sides:
        measure(side)  # warms caches and connections; not counted
    return interleaved(sides, lambda side: side.name, measure, rounds)


def _against_stock(rounds: Rounds) -> float:
    return median_ratio(rounds, "remora", "stock")


def throughput(bench: Bench, scale: Scale) -> list[Figure]:
    """Requests per second over kept-alive connections, and the CPU that each took."""
    rounds, cpu_ms = _rates(bench, load.PLAIN, scale)
    figure = Figure(
        "calls_per_second",
        "requests/s, 16 connections",
        "/s",
        Target(Better.MORE, 2.2, aim=3.5, unit="x"),
        values=medians(rounds),
        rounds=rounds,
        verdict=_against_stock(rounds),
        verdict_unit="x",
        note="direct is the most that client and double reach on the core they share",
    )
    return [figure, _cpu_per_call(cpu_ms)]


def kept(bench: Bench, scale: Scale) -> list[Figure]:
    """The same where each call is looked for in the cache, not found, and its answer kept."""
    rounds, _ = _rates(bench, load.KEPT, scale)
    return [
        Figure(
            "kept_calls_per_second",
            "… each looked for in the cache and kept",
            "/s",
            None,
            values=medians(rounds),
            rounds=rounds,
            verdict=_against_stock(rounds),
            verdict_unit="x",
            note="the dearest call there is: key, memory, disk, single flight, kept on both; "
            "mitmdump looks for nothing and keeps nothing",
        )
    ]


def _rates(bench: Bench, ask: Ask, scale: Scale) -> tuple[Rounds, Rounds]:
    """Calls per second of each round, and the CPU of each in milliseconds."""
    cpu_ms: dict[str, list[float]] = {"remora": [], "stock": []}

    def measure(side: Side) -> float:
        before = cpu_seconds(side.pid) if side.pid else 0.0
        rate = load.calls_per_second(side.route, ask, connections=16, seconds=scale.seconds)
        if side.pid:
            spent = cpu_seconds(side.pid) - before
            cpu_ms[side.name].append(spent * 1000 / (rate * scale.seconds))
        return rate

    sides = [bench.sidecar(), bench.stock(), bench.direct]
    return _rounds(sides, measure, scale.rounds), cpu_ms


def _cpu_per_call(rounds: Rounds) -> Figure:
    return Figure(
        "cpu_ms_per_call",
        "CPU per request, 16 connections",
        "ms",
        None,
        values=medians(rounds),
        rounds=rounds,
        verdict=_against_stock(rounds),
        verdict_unit="x",
        note="holds on a busy machine too; recording, spool and reports included",
    )


def latency(bench: Bench, scale: Scale) -> list[Figure]:
    """Time of one call on a quiet proxy."""
    rounds = _latencies(bench, load.PLAIN, scale)
    figure = Figure(
        "call_ms",
        "p50, 1 connection",
        "ms",
        Target(Better.LESS, 0.65, aim=0.45, unit="x"),
        values=medians(rounds),
        rounds=rounds,
        verdict=_against_stock(rounds),
        verdict_unit="x",
    )
    return [figure]


def _latencies(bench: Bench, ask: Ask, scale: Scale) -> Rounds:
    sides = [bench.sidecar(), bench.stock(), bench.direct]
    return _rounds(
        sides, lambda side: load.call_ms(side.route, ask, count=scale.calls), scale.rounds
    )


def first_byte(bench: Bench, scale: Scale) -> list[Figure]:
    """What the sidecar adds to the time to a stream's first byte."""

    def measure(side: Side) -> float:
        return load.first_content_ms(side.route, count=scale.calls // 4)

    rounds = _rounds([bench.sidecar(), bench.direct], measure, scale.rounds)
    figure = Figure(
        "first_content_ms",
        "time to a stream's first byte, added to direct, p50",
        "ms",
        Target(Better.LESS, 1.5, unit=" ms"),
        values=medians(rounds),
        rounds=rounds,
        verdict=median_difference(rounds, "remora", "direct"),
        verdict_unit=" ms",
        note="stock mitmdump is left out: it buffers answers whole",
    )
    return [figure]


def new_connections(bench: Bench, scale: Scale) -> list[Figure]:
    """New TLS connections per second, one call on each."""

    def measure(side: Side) -> float:
        return load.connections_per_second(side.route, clients=8, seconds=scale.seconds)

    rounds = _rounds([bench.sidecar(), bench.stock(), bench.direct], measure, scale.rounds)
    figure = Figure(
        "connections_per_second",
        "new TLS connections/s, 8 clients",
        "/s",
        Target(Better.MORE, 2.0, unit="x"),
        values=medians(rounds),
        rounds=rounds,
        verdict=_against_stock(rounds),
        verdict_unit="x",
    )
    return [figure]
