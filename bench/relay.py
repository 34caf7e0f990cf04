"""Speed of what is no provider's: large downloads relayed over loopback and a shaped link."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

from bench.asking import download
from bench.connection import Connection, Route, parse_address
from bench.cores import OTHERS_CORE, PROXY_CORE, on_core
from bench.figure import Better, Figure, Target, interleaved, median_ratio, medians
from bench.process import cpu_seconds
from bench.scale import Scale
from bench.servers import RELAYED, Bench, Side, clean_environment, sidecar_settings
from remora.testing.network import INTERNET_IPV4, Namespace, simulated_network, why_not
from remora.testing.server_process import ServerProcess, part_command

_PORT = 8080
_SHAPE = "tbf rate 1gbit burst 256kb latency 20ms"


def download_mb_per_s(route: Route, size: int) -> float:
    """Download so many bytes once; returns MB (10^6 bytes) per second."""
    with Connection(route) as connection:
        begun = time.perf_counter()
        connection.send(download(f"/bytes/{size}", RELAYED))
        connection.discard(connection.read_download_head())
        return size / 1e6 / (time.perf_counter() - begun)


def relay(bench: Bench, scale: Scale) -> list[Figure]:
    """Download over loopback, through the sidecar's core."""
    sidecar = bench.sidecar()
    through = Side("remora", Route(sidecar.route.address, RELAYED), sidecar.pid)
    direct = Side("direct", Route(bench.direct.route.address))
    cpu_before = cpu_seconds(sidecar.pid)
    rounds = interleaved(
        [through, direct],
        lambda side: side.name,
        lambda side: download_mb_per_s(side.route, scale.bulk_bytes),
        scale.rounds,
    )
    cpu = cpu_seconds(sidecar.pid) - cpu_before
    per_core = scale.bulk_bytes * scale.rounds / 1e6 / max(cpu, 0.01)
    return [
        Figure(
            "relay_mb_per_s",
            "relayed download, loopback, one core",
            "MB/s",
            Target(Better.MORE, 500, unit=" MB/s"),
            values=medians(rounds),
            rounds=rounds,
            verdict=medians(rounds)["remora"],
            verdict_unit=" MB/s",
            note=f"{per_core:,.0f} MB per second of the sidecar's CPU",
        )
    ]


def shaped_relay(bench: Bench, scale: Scale) -> list[Figure]:
    """Download over a link of 1 Gbit/s between two network namespaces."""
    base = Figure(
        "shaped_relay_mb_per_s",
        "relayed download, link of 1 Gbit/s",
        "MB/s",
        Target(Better.MORE, 0.95, unit="x"),
    )
    if reason := why_not():
        return [_unmeasured(base, reason)]
    try:
        rounds = _over_link(bench.folder, scale)
    except OSError as error:
        return [_unmeasured(base, str(error))]
    verdict = median_ratio(rounds, "remora", "direct")
    return [
        Figure(
            base.name,
            base.title,
            base.unit,
            base.target,
            values=medians(rounds),
            rounds=rounds,
            verdict=verdict,
            verdict_unit="x",
            note="of direct",
        )
    ]


def _unmeasured(figure: Figure, reason: str) -> Figure:
    return Figure(figure.name, figure.title, figure.unit, figure.target, why_not=reason)


def _over_link(parent: Path, scale: Scale) -> dict[str, list[float]]:
    folder = parent / "link"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(simulated_network())
        _shape(network.internet)
        ca_file = folder / "provider-ca.pem"
        command = [sys.executable, "-m", "bench.provider", str(ca_file), INTERNET_IPV4, str(_PORT)]
        with on_core(OTHERS_CORE):
            stack.enter_context(_server(network.internet, "provider", command, {}, folder))
        far = f"{INTERNET_IPV4}:{_PORT}"
        settings = sidecar_settings(folder / "sidecar", ca_file, f"::{far}", "none")
        command = part_command("sidecar", "--ready-json")
        with on_core(PROXY_CORE):
            sidecar = stack.enter_context(
                _server(network.pod, "sidecar", command, settings, folder)
            )
        ways = {"remora": (sidecar.ready["proxy"], RELAYED), "direct": (far, "")}
        return interleaved(
            list(ways.items()),
            lambda way: way[0],
            lambda way: _downloaded_in(network.pod, *way[1], scale.shaped_bytes),
            scale.rounds,
        )


def _shape(internet: Namespace) -> None:
    command = ["tc", "qdisc", "add", "dev", "eth0", "root", *_SHAPE.split()]
    done = internet.run(command)
    if done.returncode != 0:
        raise OSError(f"tc: {done.stderr.strip()}")


def _server(
    where: Namespace, name: str, command: list[str], settings: dict[str, str], folder: Path
) -> ServerProcess:
    environment = {**clean_environment(), **settings}
    return ServerProcess(name, where.argv(command), environment, folder / f"{name}.log")


def _downloaded_in(pod: Namespace, address: str, tunnel: str, size: int) -> float:
    command = [sys.executable, "-m", "bench.relay", address, str(size), tunnel]
    done = pod.run(command, timeout_s=120)
    if done.returncode != 0:
        raise subprocess.SubprocessError(done.stderr)
    found: float = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    # In the pod's namespace, where this module runs itself.
    _address, _size, _tunnel = sys.argv[1:]
    print(json.dumps(download_mb_per_s(Route(parse_address(_address), _tunnel), int(_size))))
