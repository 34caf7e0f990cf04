"""Memory of the sidecar: idle, under open streams, and over many calls."""

import contextlib
import selectors
import ssl
import time
from dataclasses import replace

from bench import asking, load
from bench.asking import AT_ONCE, ENDLESS, numbered
from bench.connection import Connection, Route
from bench.figure import Better, Figure, Target
from bench.process import resident_mb
from bench.scale import Scale
from bench.servers import Bench, Side

_STREAMS = 200
_SETTLE_S = 1.0
_STREAMING_S = 5.0
_WARM_SHARE = 5
"""A fifth of the calls fills pools and caches; growth is counted after it."""
_STEPS = 8


def memory(bench: Bench, scale: Scale) -> list[Figure]:
    """Measure a fresh sidecar, and a fresh mitmdump where it is comparable."""
    stock, side = bench.fresh_stock(), bench.fresh_sidecar()
    time.sleep(_SETTLE_S)
    idle = {"remora": resident_mb(side.pid), "stock": resident_mb(stock.pid)}
    streaming = _with_open_streams(side)
    steps = _over_calls(side, scale.flat_calls)
    return [
        _figure("idle_mb", "resident memory, idle", idle, 150),
        _figure("streams_mb", f"… with {_STREAMS} open streams", {"remora": streaming}, 250),
        _flat(steps, scale.flat_calls),
    ]


def _figure(name: str, title: str, values: dict[str, float], limit_mb: float) -> Figure:
    return Figure(
        name,
        title,
        "MB",
        Target(Better.LESS, limit_mb, unit=" MB"),
        values=values,
        rounds={side: [value] for side, value in values.items()},
        verdict=values["remora"],
        verdict_unit=" MB",
    )


def _flat(steps: list[float], calls: int) -> Figure:
    return Figure(
        "growth_mb",
        f"… growth over {calls:,} calls, once warm",
        "MB",
        Target(Better.LESS, 10, unit=" MB"),
        values={"remora": steps[-1]},
        rounds={"remora": steps},
        verdict=steps[-1] - steps[0],
        verdict_unit=" MB",
        note=f"warm after {calls // _WARM_SHARE:,} calls; chat, responses, messages and "
        "generateContent, whole and streamed, cached and not",
    )


def _with_open_streams(side: Side) -> float:
    with contextlib.ExitStack() as stack, selectors.EpollSelector() as selector:
        for _ in range(_STREAMS):
            connection = stack.enter_context(_endless(side.route))
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        _read_all(selector, _STREAMING_S)
        return resident_mb(side.pid)


def _endless(route: Route) -> Connection:
    connection = Connection(route)
    ask = asking.chat(numbered(f"{ENDLESS} Tell me everything about the sea."), stream=True)
    connection.send(ask.written())
    connection.read_first_content()
    connection.socket.setblocking(False)
    return connection


def _read_all(selector: selectors.BaseSelector, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for key, _ in selector.select(0.5):
            with contextlib.suppress(ssl.SSLWantReadError):
                key.data.read_some()
                key.data.drop_content()


def _over_calls(side: Side, calls: int) -> list[float]:
    warm = calls // _WARM_SHARE
    load.make_mixed_calls(_mix(side), warm)
    found = [resident_mb(side.pid)]
    for _ in range(_STEPS):
        load.make_mixed_calls(_mix(side), (calls - warm) // _STEPS)
        found.append(resident_mb(side.pid))
    return found


def _mix(side: Side) -> load.Clients:
    """Several dialects, whole and streamed; kept, kept anew, from the cache, and not kept."""
    question = f"What do remoras eat? {AT_ONCE}"
    anew, away = {"Cache-Control": "no-cache"}, {"Cache-Control": "no-store"}
    hit = replace(asking.chat(question), expected=b"remora-cache: hit")
    openai = (
        asking.chat(question, headers=anew),
        hit,
        asking.chat(numbered(AT_ONCE), stream=True, headers=away),
        asking.responses(question, headers=anew),
        asking.chat(numbered(AT_ONCE), headers=away),
        hit,
        asking.responses(numbered(AT_ONCE), headers=away),
    )
    anthropic = [
        asking.messages(question, headers=anew),
        asking.messages(numbered(AT_ONCE), headers=away),
        asking.messages(question),
    ]
    gemini = [
        asking.gemini(question, headers=anew),
        asking.gemini(numbered(AT_ONCE), headers=away),
        asking.gemini(question),
    ]
    return [
        *[(side.to(asking.OPENAI), openai)] * 8,
        *[(side.to(asking.ANTHROPIC), anthropic)] * 4,
        *[(side.to(asking.GOOGLE), gemini)] * 4,
    ]
