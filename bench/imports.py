"""What `remora sidecar` imports until it listens, beside the libraries that it can't do without."""

import os
import subprocess
import sys
import time

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
            "imports at the start, of those of the libraries alone",
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
    """Run code in a fresh interpreter; returns milliseconds of wall clock and of CPU."""
    command = [sys.executable, "-P", "-c", code]
    with on_core(PROXY_CORE):
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=clean_environment())
        _, status, used = os.wait4(process.pid, 0)
        wall_ms = (time.perf_counter() - begun) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return wall_ms, (used.ru_utime + used.ru_stime) * 1000
