"""Beside LiteLLM's proxy, which agents are pointed at, where the sidecar needs no pointing."""

from collections.abc import Callable

from bench import litellm, load
from bench.connection import UnexpectedAnswerError
from bench.figure import Figure, interleaved, median_ratio, medians
from bench.scale import Scale
from bench.servers import Bench, Side

_CONNECTIONS = 16
_MOST_CALLS = 200
"""Of a round that times single calls: the other proxy takes long for each."""

_RATE = Figure("litellm_calls_per_second", "requests/s beside LiteLLM's proxy", "/s", None)
_CALL = Figure("litellm_call_ms", "p50, 1 connection, beside LiteLLM's proxy", "ms", None)


def beside_litellm(bench: Bench, scale: Scale) -> list[Figure]:
    """Ask the same double for the same through both, in turns; left out where it won't run."""
    try:
        version = litellm.installed()
        folder = bench.folder / "litellm"
        with litellm.running(folder, bench.address, bench.provider_ca) as other:
            return _measured([bench.sidecar(), other], scale, version)
    except (litellm.NoLiteLLM, UnexpectedAnswerError) as error:
        why = " ".join(str(error).split())[:300]
        return [_left_out(figure, why) for figure in (_RATE, _CALL)]


def _left_out(figure: Figure, why: str) -> Figure:
    return Figure(figure.name, figure.title, figure.unit, None, why_not=why)


def _measured(sides: list[Side], scale: Scale, version: str) -> list[Figure]:
    note = (
        f"LiteLLM {version}: one worker, no database, its endpoint without TLS, the same double "
        "behind it by TLS; the sidecar has TLS on both sides and keeps a record of each call"
    )
    count = min(scale.calls, _MOST_CALLS)
    return [
        _compared(
            _RATE,
            sides,
            lambda side: load.calls_per_second(
                side.route, connections=_CONNECTIONS, seconds=scale.seconds
            ),
            scale.rounds,
            note,
        ),
        _compared(
            _CALL, sides, lambda side: load.call_ms(side.route, count=count), scale.rounds, note
        ),
    ]


def _compared(
    figure: Figure, sides: list[Side], measure: Callable[[Side], float], rounds: int, note: str
) -> Figure:
    for side in sides:
        measure(side)  # warms caches and connections; not counted
    found = interleaved(sides, lambda side: side.name, measure, rounds)
    return Figure(
        figure.name,
        figure.title,
        figure.unit,
        None,
        values=medians(found),
        rounds=found,
        verdict=median_ratio(found, "remora", "LiteLLM"),
        verdict_unit="x",
        note=note,
    )
