"""How long until a sidecar is ready."""

import time
from collections.abc import Callable

from bench.figure import Better, Figure, Target, interleaved, medians
from bench.scale import Scale
from bench.servers import Bench, Side


def startup(bench: Bench, scale: Scale) -> list[Figure]:
    """Start each side again and again, until it says that it listens."""
    starts: dict[str, Callable[[], Side]] = {
        "remora": bench.fresh_sidecar,
        "stock": bench.fresh_stock,
    }
    rounds = interleaved(
        list(starts.items()), lambda start: start[0], lambda start: _seconds(start[1]), scale.rounds
    )
    values = medians(rounds)
    return [
        Figure(
            "ready_s",
            "ready after",
            "s",
            Target(Better.LESS, 1.5, unit=" s"),
            values=values,
            rounds=rounds,
            verdict=values["remora"],
            verdict_unit=" s",
            note="first start: the sidecar also makes its CA, spool and trust files",
        )
    ]


def _seconds(start: Callable[[], Side]) -> float:
    begun = time.perf_counter()
    side = start()
    taken = time.perf_counter() - begun
    assert side.process is not None
    side.process.stop()
    return taken
