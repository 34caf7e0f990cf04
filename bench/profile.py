"""Where the CPU time of a call goes, room by room: `python -m bench profile`."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from bench import asking, load
from bench.asking import AT_ONCE, Ask
from bench.process import cpu_seconds, cpu_seconds_by_thread
from bench.report import number
from bench.servers import Bench, Side

OTHER_THREADS = "other threads (gRPC, SQLite)"
_CONNECTIONS = 16
_FUNCTIONS_SHOWN = 25


@dataclass(frozen=True, slots=True)
class Profile:
    """What one call costs.

    Attributes:
        calls: How many were made.
        cpu_us_per_call: All CPU time of the sidecar, by call.
        rooms: Share of it by room, greatest first.
        functions: Share of it by function that was at work itself, greatest first.
    """

    calls: int
    cpu_us_per_call: float
    rooms: Mapping[str, float]
    functions: Mapping[str, float]


KINDS: Mapping[str, Ask] = MappingProxyType(
    {
        "plain": load.PLAIN,
        "kept": load.KEPT,
        "cached": replace(asking.chat("Known?"), expected=b"remora-cache: "),
        "stream": asking.chat(asking.numbered(AT_ONCE), stream=True, temperature=0.2),
    }
)
"""What calls can be sampled: as agents make them; looked for in the cache and kept; answered
from it; streams of a dozen events."""


def profile(bench: Bench, calls: int, ask: Ask = load.PLAIN) -> Profile:
    """Make calls through a sidecar that samples itself."""
    out = bench.folder / "samples.json"
    command = [sys.executable, "-m", "bench.sampled_sidecar", str(out)]
    side = bench.fresh_sidecar(command)
    load.make_calls(side.route, ask, connections=_CONNECTIONS, count=calls // 10)
    os.kill(side.pid, signal.SIGUSR2)
    total, main_share = _spent(side, ask, calls)
    assert side.process is not None
    side.process.stop()
    counts = json.loads(out.read_text())
    rooms = _shares(counts["rooms"], main_share, sum(counts["rooms"].values()))
    functions = _shares(counts["functions"], main_share, sum(counts["rooms"].values()))
    rooms = _sorted({**rooms, OTHER_THREADS: 1 - main_share})
    return Profile(
        calls, total * 1e6 / calls, rooms, dict(list(functions.items())[:_FUNCTIONS_SHOWN])
    )


def _spent(side: Side, ask: Ask, calls: int) -> tuple[float, float]:
    """Make the calls; returns all CPU seconds and the main thread's share of them."""
    before, main_before = cpu_seconds(side.pid), cpu_seconds_by_thread(side.pid)[side.pid]
    load.make_calls(side.route, ask, connections=_CONNECTIONS, count=calls)
    total = cpu_seconds(side.pid) - before
    return total, (cpu_seconds_by_thread(side.pid)[side.pid] - main_before) / total


def _shares(counts: Mapping[str, int], of: float, total: int) -> dict[str, float]:
    return _sorted({name: count / total * of for name, count in counts.items()})


def _sorted(shares: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def as_markdown(found: Profile, date: str) -> str:
    """Write the rooms as a table."""
    rows = [
        f"| {room} | {share:.1%} | {number(share * found.cpu_us_per_call)} |"
        for room, share in found.rooms.items()
    ]
    title = (
        f"Sampled {date} over {found.calls:,} calls on {_CONNECTIONS} connections; "
        f"{found.cpu_us_per_call:,.0f} µs of CPU a call, sampling included."
    )
    return "\n".join([title, "", "| room | share | µs a call |", "|---|--:|--:|", *rows])


def as_json(found: Profile, date: str) -> str:
    """Write all of it."""
    facts = {
        "date": date,
        "calls": found.calls,
        "cpu_us_per_call": round(found.cpu_us_per_call, 1),
        "rooms": {name: round(share, 4) for name, share in found.rooms.items()},
        "functions": {name: round(share, 4) for name, share in found.functions.items()},
    }
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def write(found: Profile, date: str, folder: Path) -> None:
    """Keep a profile."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "profile.json").write_text(as_json(found, date))
