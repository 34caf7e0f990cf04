"""How long the webhook's answer to an AdmissionReview takes: `python -m bench.admission`.

Reads the recorded reviews of REMORA_CORPUS, answers each some times in random order, and prints
what the answers took: first the pure function, bytes in and bytes out, then the whole server over
TLS in a process of its own, asked on kept connections. The bar: 99 of 100 within 10 ms, over one
connection; on a busy machine the time on the CPU says more.
"""

import gzip
import http.client
import json
import os
import random
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bench.admission_server import NAME
from bench.machine import CHECKOUT
from bench.process import cpu_seconds
from remora.testing.server_process import ServerProcess
from remora_operator.inject import InjectionConfig, Namespace
from remora_operator.webhook.review import answer

BAR_MS = 10.0
_CONNECTIONS = (1, 4)
_NAMESPACE = Namespace("bench", {"remora.dev/injection": "enabled"})


@dataclass(frozen=True)
class Spread:
    """What answers took, in milliseconds."""

    count: int
    median_ms: float
    p99_ms: float
    longest_ms: float


@dataclass(frozen=True)
class Served:
    """What answers of the server took.

    Attributes:
        spread: By the client's wall clock, from sending to the last byte.
        cpu_ms: CPU time of the server for one answer, all threads.
    """

    spread: Spread
    cpu_ms: float


def recorded_bodies(folder: Path) -> list[bytes]:
    """Read the bodies of the recorded requests."""
    lines = [
        line
        for file in sorted(folder.glob("*.jsonl.gz"))
        for line in gzip.decompress(file.read_bytes()).splitlines()
    ]
    return [json.dumps(json.loads(line)["review"]).encode() for line in lines]


def spread_of(took_ms: Sequence[float]) -> Spread:
    """Sum up what answers took."""
    took_ms = sorted(took_ms)
    p99_ms = took_ms[int(0.99 * len(took_ms))]
    return Spread(len(took_ms), statistics.median(took_ms), p99_ms, took_ms[-1])


def _shuffled(bodies: Sequence[bytes], rounds: int) -> list[bytes]:
    order = list(bodies) * rounds
    random.Random(1).shuffle(order)  # noqa: S311 - an order, no secret
    return order


def measured(bodies: Sequence[bytes], rounds: int, clock: Callable[[], int]) -> Spread:
    """Answer every body so many times.

    Args:
        bodies: AdmissionReviews.
        rounds: How often each is answered.
        clock: Nanoseconds, of the wall or of this thread.
    """
    config, took_ms = InjectionConfig(), []
    for body in _shuffled(bodies, rounds):
        began_ns = clock()
        answer(body, lambda _: _NAMESPACE, config)
        took_ms.append((clock() - began_ns) / 1e6)
    return spread_of(took_ms)


def served(bodies: Sequence[bytes], rounds: int, connections: int) -> Served:
    """Ask a server every body so many times, over so many connections at once."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-m", "bench.admission_server"]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        with ServerProcess("webhook", command, environment, Path(folder) / "log") as server:
            context = ssl.create_default_context(cadata=server.ready["root"])
            host, _, port = server.ready["address"].rpartition(":")
            _asked(host, int(port), context, bodies[:50])
            order, took_ms = _shuffled(bodies, rounds), list[float]()
            began_s = cpu_seconds(server.pid)
            threads = [
                threading.Thread(
                    target=lambda part: took_ms.extend(_asked(host, int(port), context, part)),
                    args=(order[first::connections],),
                )
                for first in range(connections)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            cpu_ms = (cpu_seconds(server.pid) - began_s) * 1e3 / len(order)
    return Served(spread_of(took_ms), cpu_ms)


class _Connection(http.client.HTTPSConnection):
    """Knows the server by its certificate's name, wherever it listens."""

    def connect(self) -> None:
        """Connect to the address, and check the name."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=NAME)

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Take where it is."""
        super().__init__(host, port, context=context)
        self._tls = context


def _asked(host: str, port: int, context: ssl.SSLContext, bodies: Sequence[bytes]) -> list[float]:
    """Ask one after the other on one connection; returns milliseconds."""
    connection, took_ms = _Connection(host, port, context), []
    connection.connect()
    for body in bodies:
        began_ns = time.perf_counter_ns()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/inject/pod?timeout=5s", body, headers)
        said = connection.getresponse()
        said.read()
        took_ms.append((time.perf_counter_ns() - began_ns) / 1e6)
        if said.status != http.client.OK:
            raise click.ClickException(f"the server answered {said.status}")
    connection.close()
    return took_ms


def _said(what: str, spread: Spread) -> str:
    return (
        f"{what}: {spread.count} answers, median {spread.median_ms:.2f} ms, "
        f"p99 {spread.p99_ms:.2f} ms, longest {spread.longest_ms:.2f} ms"
    )


@click.command()
@click.option("--rounds", default=20, show_default=True, help="How often each is answered.")
def main(rounds: int) -> None:
    """Print what answers to the recorded AdmissionReviews take."""
    root = Path(os.environ.get("REMORA_CORPUS") or CHECKOUT.parent / "shared" / "corpus")
    bodies = recorded_bodies(root / "admission")
    if not bodies:
        raise click.ClickException(f"no recorded reviews in {root / 'admission'}")
    clocks = {"wall clock": time.perf_counter_ns, "CPU": time.thread_time_ns}
    for name, clock in clocks.items():
        click.echo(_said(f"function, {name}", measured(bodies, rounds, clock)))
    results = {n: served(bodies, rounds, n) for n in _CONNECTIONS}
    for connections, result in results.items():
        what = f"server over TLS, {connections} at once, wall clock"
        click.echo(f"{_said(what, result.spread)}; CPU {result.cpu_ms:.2f} ms an answer")
    raise SystemExit(results[1].spread.p99_ms > BAR_MS)


if __name__ == "__main__":
    main()
