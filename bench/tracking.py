"""What the tracker adds to a call, beside a client that is told the proxy, and what sessions cost.

The tracker runs in this process, at the sidecar of the run, which is its gateway.
"""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import httpx
import httpx2
import requests

from bench.asking import OPENAI
from bench.figure import Better, Figure, Target, interleaved, median_ratio, medians
from bench.process import resident_mb
from bench.scale import Scale
from bench.servers import Bench, Side
from remora import LLMTracker
from remora.tracker.active import ActiveSession, within

_URL = f"https://{OPENAI}/v1/chat/completions"
_KEY = {"authorization": "Bearer sk-bench-0123456789abcdef"}
_SESSIONS = 10_000
_SHARE = 3
"""A third of a round's calls go by each client and side."""

_numbers = itertools.count()

type Call = Callable[[], None]


def tracking(bench: Bench, scale: Scale) -> list[Figure]:
    """Time calls and sessions of a tracker."""
    side = bench.fresh_sidecar()
    with _gateway(side), LLMTracker() as tracker, tracker.track() as session:
        figures = [_overhead(client, session.active, scale) for client in _CLIENTS]
        with within(None):
            figures += [_opening(tracker, scale), _left_behind(tracker, side)]
        tracker.close()
    return figures


@contextmanager
def _gateway(side: Side) -> Iterator[None]:
    assert side.process is not None
    os.environ["REMORA_GATEWAY_URL"] = f"http://{side.process.ready['control']}"
    try:
        yield
    finally:
        del os.environ["REMORA_GATEWAY_URL"]


def _body() -> dict[str, Any]:
    question = f"What do remoras eat? ({next(_numbers)})"
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": question}]}


@contextmanager
def _httpx(session: ActiveSession | None, module: Any = httpx) -> Iterator[Call]:
    told: dict[str, Any] = {} if session is None else _told(session)
    with module.Client(**told) as client:

        def call() -> None:
            assert client.post(_URL, json=_body(), headers=_KEY).status_code == 200

        yield call


def _told(session: ActiveSession) -> dict[str, Any]:
    return {"proxy": session.proxy_url, "verify": session.sidecar.tls}


@contextmanager
def _httpx2(session: ActiveSession | None) -> Iterator[Call]:
    with _httpx(session, httpx2) as call:
        yield call


@contextmanager
def _requests(session: ActiveSession | None) -> Iterator[Call]:
    with requests.Session() as client:
        client.trust_env = False
        if session is not None:
            client.proxies = {"https": session.proxy_url}
            client.verify = session.sidecar.ca_file

        def call() -> None:
            assert client.post(_URL, json=_body(), headers=_KEY).status_code == 200

        yield call


@contextmanager
def _aiohttp(session: ActiveSession | None) -> Iterator[Call]:
    async def opened() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    with asyncio.Runner() as runner, ExitStack() as ends:
        client = runner.run(opened())
        ends.callback(lambda: runner.run(client.close()))
        told = {} if session is None else {"proxy": session.proxy_url, "ssl": session.sidecar.tls}

        async def ask() -> None:
            async with client.post(_URL, json=_body(), headers=_KEY, **told) as answer:
                assert answer.status == 200
                await answer.read()

        yield lambda: runner.run(ask(), context=copy_context())


_CLIENTS = (_httpx, _httpx2, _requests, _aiohttp)


def _overhead(client: Callable[..., Any], session: ActiveSession, scale: Scale) -> Figure:
    """Compare a client that knows nothing, within a session, with one that is told the proxy."""
    name = client.__name__.strip("_")
    with client(None) as tracked, client(session) as told:
        calls = {"tracked": tracked, "told": told}
        contexts = {"tracked": session, "told": None}

        def timed(side: str) -> float:
            with within(contexts[side]):
                return _p50_ms(calls[side], scale.calls // _SHARE)

        for side in calls:
            timed(side)
        rounds = interleaved(list(calls), str, timed, scale.rounds)
    return Figure(
        f"tracker_{name}",
        f"a call by {name} in a tracker's session, beside one told the proxy",
        "ms",
        Target(Better.LESS, 1.2, unit="x"),
        values=medians(rounds),
        rounds=rounds,
        verdict=median_ratio(rounds, "tracked", "told"),
        verdict_unit="x",
        note="p50; the same sidecar, the client's own proxy support against the tracker's",
    )


def _p50_ms(call: Call, count: int) -> float:
    times_s = []
    for _ in range(count):
        begun_s = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - begun_s)
    return median(times_s) * 1000


def _opening(tracker: LLMTracker, scale: Scale) -> Figure:
    opening_ms: list[float] = []
    for number in range(scale.calls):
        tracking = tracker.track(data_id=f"q{number}")
        begun_s = time.perf_counter()
        tracking.__enter__()
        opening_ms.append((time.perf_counter() - begun_s) * 1000)
        tracking.__exit__(None, None, None)
    return Figure(
        "tracker_session_ms",
        "opening a tracker's session",
        "ms",
        Target(Better.LESS, 2.0, unit=" ms"),
        values={"remora": median(opening_ms)},
        rounds={"remora": [median(opening_ms)]},
        verdict=median(opening_ms),
        verdict_unit=" ms",
        note="p50 of `tracker.track(…).__enter__()`, over the control listener",
    )


def _left_behind(tracker: LLMTracker, side: Side) -> Figure:
    """Open and end many sessions; what grew in either process, once warm."""
    _many(tracker, _SESSIONS // 5)
    before = _holdings(side)
    _many(tracker, _SESSIONS)
    after = _holdings(side)
    for what in ("threads here", "files here", "threads there", "files there"):
        assert after[what] <= before[what], f"{what}: {before[what]} became {after[what]}"
    grown = {
        "remora": after["MB there"] - before["MB there"],
        "tracker": after["MB here"] - before["MB here"],
    }
    return Figure(
        "tracker_sessions_mb",
        f"… growth over {_SESSIONS:,} sessions, once warm",
        "MB",
        Target(Better.LESS, 5, unit=" MB"),
        values=grown,
        rounds={name: [value] for name, value in grown.items()},
        verdict=max(grown.values()),
        verdict_unit=" MB",
        note="of the sidecar and of the tracker's process; neither has a thread or open file more",
    )


def _many(tracker: LLMTracker, count: int) -> None:
    for number in range(count):
        with tracker.track(data_id=f"q{number}"):
            pass


def _holdings(side: Side) -> dict[str, float]:
    found: dict[str, float] = {"threads here": threading.active_count()}
    for where, pid in (("here", os.getpid()), ("there", side.pid)):
        found[f"files {where}"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        found[f"MB {where}"] = resident_mb(pid)
    found["threads there"] = len(list(Path(f"/proc/{side.pid}/task").iterdir()))
    return found
