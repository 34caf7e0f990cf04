"""What the sidecar adds to each event of a hundred streams, on one core."""

import contextlib
from collections.abc import Callable, Sequence
from statistics import median

from bench.cores import OTHERS_CORE, PROXY_CORE
from bench.disturbance import Calm, calm, stolen_s
from bench.figure import Better, Figure, Rounds, Target, median_difference, medians
from bench.process import cpu_seconds
from bench.scale import Scale
from bench.servers import Bench, Side
from bench.streaming import EVENT_BYTES, Delays, EventProvider, Load, measure_delays

_STREAMS = 100
_EVENTS_PER_S = 50.0
_Found = dict[str, list[Delays]]


def streams(bench: Bench, scale: Scale) -> list[Figure]:
    """Let events flow through the sidecar and directly, in turns, while the machine runs."""
    provider = EventProvider(bench.folder / "streams-ca.pem")
    load = Load(_STREAMS, _EVENTS_PER_S, scale.seconds)
    with contextlib.closing(provider):
        sidecar = bench.fresh_sidecar(address=provider.address, ca_file=provider.ca_file)
        sides = [sidecar, Side("direct", provider.route)]
        for side in sides:
            _delays(side, provider, Load(_STREAMS, _EVENTS_PER_S, 0.2, warm_s=0.1))
        kept = calm(
            lambda: {side.name: _delays(side, provider, load) for side in sides},
            scale.rounds,
            lambda: stolen_s({PROXY_CORE, OTHERS_CORE}),
        )
    return _figures(kept, [side.name for side in sides])


def _delays(side: Side, provider: EventProvider, load: Load) -> Delays:
    return measure_delays(
        side.route, provider, load, lambda: cpu_seconds(side.pid) if side.pid else 0.0
    )


def _figures(kept: Calm[dict[str, Delays]], sides: Sequence[str]) -> list[Figure]:
    found = {side: [delays[side] for delays in kept.rounds] for side in sides}
    limit = Target(Better.LESS, 5.0, unit=" ms")
    about = f"{_about_generator(found)}; {_about_rounds(kept)}"
    return [
        _added(found, "p99", limit, lambda delays: delays.p99_ms, about),
        _added(found, "p50", None, lambda delays: delays.p50_ms, about),
        _cost(found),
    ]


def _by_side(found: _Found, what: Callable[[Delays], float]) -> dict[str, list[float]]:
    return {side: [what(delays) for delays in all_of] for side, all_of in found.items()}


def _added(
    found: _Found,
    which: str,
    target: Target | None,
    what: Callable[[Delays], float],
    about: str,
) -> Figure:
    rounds: Rounds = _by_side(found, what)
    return Figure(
        f"stream_event_{which}_ms",
        f"delay added to a stream's event, {_STREAMS} streams of {_EVENTS_PER_S:g}/s, {which}",
        "ms",
        target,
        values=medians(rounds),
        rounds=rounds,
        verdict=median_difference(rounds, "remora", "direct"),
        verdict_unit=" ms",
        note=f"from the provider's write to the client's read; {about}",
    )


def _about_rounds(kept: Calm[dict[str, Delays]]) -> str:
    return (
        f"of {kept.measured} rounds these are the {len(kept.rounds)} of which the hypervisor took "
        f"least, at most {kept.most_stolen:.1%} of a core"
    )


def _about_generator(found: _Found) -> str:
    alone = found["direct"]
    share = median(delays.generator_share for delays in alone)
    late_ms = median(delays.late_p99_ms for delays in alone)
    rate = median(delays.events_per_s for delays in alone)
    return (
        f"alone, the generator wrote and read {rate:,.0f} events/s of {EVENT_BYTES} bytes "
        f"with {share:.0%} of its core, p99 {late_ms:.2f} ms late"
    )


def _cost(found: _Found) -> Figure:
    rounds = _by_side(found, lambda delays: delays.proxy_share / delays.events_per_s * 1e6)
    share = median(delays.proxy_share for delays in found["remora"])
    return Figure(
        "stream_event_cpu_us",
        "… CPU of each event",
        "µs",
        None,
        values={"remora": median(rounds["remora"])},
        rounds={"remora": rounds["remora"]},
        verdict=median(rounds["remora"]),
        verdict_unit=" µs",
        note=f"{share:.0%} of the sidecar's core",
    )
