"""What `remora sidecar` imports until it listens, beside the libraries that it can't do without."""

import subprocess
import sys

from bench.cores import PROXY_CORE, on_core
from bench.figure import Better, Figure, Target, interleaved, median_ratio, medians
from bench.scale import Scale
from bench.servers import Bench, clean_environment

LIBRARIES = """
from mitmproxy import connection, options
from mitmproxy.net import tls
from mitmproxy.platform import linux
from mitmproxy.proxy import commands, context, events, layer, mode_specs, server, server_hooks
from mitmproxy.proxy.layers import tcp
from mitmproxy.proxy.layers import tls as tls_layers
import aiohttp, aiohttp.web, grpc, grpc.aio, pydantic, genai_prices
"""
"""The modules of mitmproxy that the interceptor uses, and the four others, alone."""

SIDECAR = """
from remora_sidecar.commands.sidecar import import_parts
import_parts()
"""
"""What the command imports before it listens; a test holds it to what a running sidecar has."""

_CODE = {"remora": SIDECAR, "alone": LIBRARIES}
_LEAST_ROUNDS = 15
_TIMED = """
import os, time
_wall, _cpu = time.perf_counter(), time.process_time()
{code}
print((time.perf_counter() - _wall) * 1000, (time.process_time() - _cpu) * 1000, flush=True)
os._exit(0)
"""


def imports(_: Bench, scale: Scale) -> list[Figure]:
    """Import each in a fresh interpreter, in turns."""
    cpu_ms: dict[str, list[float]] = {name: [] for name in _CODE}

    def measure(name: str) -> float:
        wall_ms, spent_ms = import_ms(_CODE[name])
        cpu_ms[name].append(spent_ms)
        return wall_ms

    for name in _CODE:
        import_ms(_CODE[name])  # writes bytecode, fills the page cache; not counted
    rounds = interleaved(list(_CODE), str, measure, max(_LEAST_ROUNDS, scale.rounds))
    return [
        Figure(
            "import_ms",
            "imports at the start, beside those of its libraries alone",
            "ms",
            Target(Better.LESS, 1.3, unit="x"),
            values=medians(rounds),
            rounds=rounds,
            verdict=median_ratio(rounds, "remora", "alone"),
            verdict_unit="x",
            note=f"libraries alone: {medians(rounds)['alone']:,.0f} ms for mitmproxy's modules "
            "that we use, aiohttp, grpc, pydantic and genai-prices",
        ),
        Figure(
            "import_cpu_ms",
            "… CPU",
            "ms",
            None,
            values=medians(cpu_ms),
            rounds=cpu_ms,
            verdict=median_ratio(cpu_ms, "remora", "alone"),
            verdict_unit="x",
            note="holds on a busy machine too",
        ),
    ]


def import_ms(code: str) -> tuple[float, float]:
    """Run code in a fresh interpreter; returns milliseconds of wall clock and of CPU.

    Timed in there: how long the interpreter takes to start and to end is the same for all.
    """
    command = [sys.executable, "-P", "-c", _TIMED.format(code=code)]
    with on_core(PROXY_CORE):
        done = subprocess.run(
            command, env=clean_environment(), capture_output=True, text=True, check=True
        )
    wall_ms, cpu_ms = map(float, done.stdout.split())
    return wall_ms, cpu_ms
