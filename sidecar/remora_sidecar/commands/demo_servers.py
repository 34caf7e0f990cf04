"""The three servers of the demo, as processes of their own on loopback."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from remora.testing.server_process import ServerProcess, part_command

PROVIDER_HOST = "api.openai.com"


@dataclass(frozen=True, slots=True)
class DemoServers:
    """Where the demo's servers are.

    Attributes:
        aggregator: ``host:port``.
        control: ``host:port`` of the sidecar's control listener.
        trust_dir: The trust files for agents.
    """

    aggregator: str
    control: str
    trust_dir: Path


@contextmanager
def demo_servers(folder: Path, environment: Mapping[str, str]) -> Iterator[DemoServers]:
    """Run an aggregator, a provider double and a sidecar between them.

    Args:
        folder: Everything that they write goes here.
        environment: What they inherit; REMORA_* variables in it are left out.

    Raises:
        Unavailable: One did not start; with what it said.
    """
    clean = {key: value for key, value in environment.items() if not key.startswith("REMORA_")}
    ca_file = folder / "provider-ca.pem"

    def server(name: str, command: list[str], settings: Mapping[str, str]) -> ServerProcess:
        log = folder / f"{name.split()[-1]}.log"
        return stack.enter_context(ServerProcess(name, command, {**clean, **settings}, log))

    with ExitStack() as stack:
        double = server("the provider double", _double_command(ca_file), {})
        command = part_command("aggregator", "--ready-json")
        aggregator = server("the aggregator", command, _aggregator(folder))
        settings = _sidecar(folder, ca_file, double.ready["address"], aggregator.ready["address"])
        sidecar = server("the sidecar", part_command("sidecar", "--ready-json"), settings)
        yield DemoServers(
            aggregator=aggregator.ready["address"],
            control=sidecar.ready["control"],
            trust_dir=Path(sidecar.ready["trust_dir"]),
        )


def _double_command(ca_file: Path) -> list[str]:
    options = ["--tls-name", PROVIDER_HOST, "--ca-out", str(ca_file), "--token-delay", "0.02"]
    return [sys.executable, "-P", "-m", "remora.testing.double_command", "--ready-json", *options]


def _aggregator(folder: Path) -> dict[str, str]:
    return {
        "REMORA_AGGREGATOR_LISTEN": "127.0.0.1:0",
        "REMORA_AGGREGATOR_DATA_DIR": str(folder / "aggregator"),
    }


def _sidecar(folder: Path, ca_file: Path, double: str, aggregator: str) -> dict[str, str]:
    return {
        "REMORA_MODE": "explicit",
        "REMORA_LISTEN": "127.0.0.1:0",
        "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
        "REMORA_STATUS_LISTEN": "127.0.0.1:0",
        "REMORA_DATA_DIR": str(folder / "sidecar"),
        "REMORA_AGGREGATOR": aggregator,
        "REMORA_UPSTREAM_CA": str(ca_file),
        "REMORA_CONNECT_TO": f"{PROVIDER_HOST}:443:{double}",
        "REMORA_LOG_LEVEL": "warning",
        "REMORA_PRESET": "tracker",
    }
