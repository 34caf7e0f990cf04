"""Starts what a run needs: the provider, an aggregator, the sidecar, stock mitmdump."""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench.asking import OPENAI
from bench.connection import Route, parse_address, trusting
from bench.cores import OTHERS_CORE, PROXY_CORE, on_core
from bench.policies import ALWAYS_ANOTHER, policy
from remora.testing.server_process import ServerProcess, part_command
from remora.trust import CA_FILE

AUTHORITY = f"{OPENAI}:443"
RELAYED = "download.example:80"
"""A host that is no provider's."""

POLICY = policy(routes=20, router=ALWAYS_ANOTHER)
"""Active in all that is measured."""
"""Of all measured sidecars: the cache is on, so that each call is looked up and kept."""


def clean_environment() -> dict[str, str]:
    """What servers inherit: nothing that was set for Remora or for Python's debugging."""
    dropped = ("REMORA_", "PYTHON")
    return {k: v for k, v in os.environ.items() if not k.startswith(dropped)}


@dataclass(frozen=True)
class Side:
    """One proxy that runs, or none for the direct way.

    Attributes:
        name: How figures call it.
        route: The way to the provider through it.
        pid: Its process; 0 for the direct way.
        process: What was started; None for the direct way.
    """

    name: str
    route: Route
    pid: int = 0
    process: ServerProcess | None = None

    def to(self, host: str) -> Route:
        """The way to another provider."""
        return replace(self.route, tunnel=f"{host}:443") if self.route.tunnel else self.route


class Bench:
    """The servers of one run, started as they are asked for, in one temporary folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Start the provider.

        Args:
            folder: Everything that the servers write goes here.
            stack: Stops them.
        """
        self.folder = folder
        self._stack = stack
        self._started = 0
        self.provider_ca = folder / "provider-ca.pem"
        command = [sys.executable, "-m", "bench.provider", str(self.provider_ca)]
        self.provider = self._server("provider", command, {}, OTHERS_CORE)
        self.address: str = self.provider.ready["address"]

    def _server(
        self, name: str, command: Sequence[str], settings: Mapping[str, str], core: int
    ) -> ServerProcess:
        with on_core(core):
            environment = {**clean_environment(), **settings}
            started = ServerProcess(name, command, environment, self.folder / f"{name}.log")
        return self._stack.enter_context(started)

    def _fresh(self, name: str) -> Path:
        self._started += 1
        made = self.folder / f"{name}-{self._started}"
        made.mkdir()
        return made

    @property
    def direct(self) -> Side:
        """The provider without anything between."""
        tls = trusting(self.provider_ca)
        return Side("direct", Route(parse_address(self.address), tls=tls))

    @functools.cached_property
    def aggregator(self) -> str:
        """The address of the aggregator of all sidecars."""
        settings = {
            "REMORA_AGGREGATOR_LISTEN": "127.0.0.1:0",
            "REMORA_AGGREGATOR_DATA_DIR": str(self._fresh("aggregator")),
        }
        command = part_command("aggregator", "--ready-json")
        started = self._server("aggregator", command, settings, OTHERS_CORE)
        address: str = started.ready["address"]
        return address

    @functools.cache  # noqa: B019 - one bench lives as long as its run
    def sidecar(self) -> Side:
        """The sidecar that paired measurements share."""
        return self.fresh_sidecar()

    @functools.cache  # noqa: B019 - one bench lives as long as its run
    def stock(self) -> Side:
        """The mitmdump that paired measurements share."""
        return self.fresh_stock()

    def fresh_sidecar(
        self, command: Sequence[str] = (), *, address: str = "", ca_file: Path | None = None
    ) -> Side:
        """Start a sidecar in explicit mode, which caches, records, spools and reports.

        Args:
            command: What to run instead of `remora sidecar`.
            address: Of a provider of its own, as ``host:port``.
            ca_file: The root of that.
        """
        folder = self._fresh("sidecar")
        connect_to = f"::{address or self.address}"
        settings = sidecar_settings(
            folder, ca_file or self.provider_ca, connect_to, self.aggregator
        )
        command = command or part_command("sidecar", "--ready-json")
        started = self._server("sidecar", command, settings, PROXY_CORE)
        tls = trusting(Path(started.ready["trust_dir"]) / CA_FILE)
        route = Route(parse_address(started.ready["proxy"]), AUTHORITY, tls)
        return Side("remora", route, started.pid, started)

    def fresh_stock(self, addon: str = "stock_addon") -> Side:
        """Start mitmdump with an addon: one of the modules here."""
        folder = self._fresh("stock")
        settings = {"BENCH_PROVIDER": self.address, "BENCH_SERVER_NAME": OPENAI}
        command = stock_command(folder, self.provider_ca, addon)
        started = self._server("mitmdump", command, settings, PROXY_CORE)
        tls = trusting(folder / "mitmproxy-ca-cert.pem")
        route = Route(parse_address(started.ready["proxy"]), AUTHORITY, tls)
        return Side("stock", route, started.pid, started)


def sidecar_settings(
    folder: Path, provider_ca: Path, connect_to: str, aggregator: str
) -> dict[str, str]:
    """The environment of a sidecar that reaches nothing but the provider double."""
    folder.mkdir(exist_ok=True)
    policy = folder / "bench-policy.yaml"
    policy.write_text(POLICY)
    return {
        "REMORA_POLICY": str(policy),
        "REMORA_MODE": "explicit",
        "REMORA_LISTEN": "127.0.0.1:0",
        "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
        "REMORA_STATUS_LISTEN": "127.0.0.1:0",
        "REMORA_DATA_DIR": str(folder),
        "REMORA_AGGREGATOR": aggregator,
        "REMORA_UPSTREAM_CA": str(provider_ca),
        "REMORA_CONNECT_TO": connect_to,
        "REMORA_LOG_LEVEL": "warning",
    }


def stock_command(folder: Path, provider_ca: Path, addon: str) -> list[str]:
    """The command line of stock mitmdump, with the options of a fair run."""
    options = {
        "confdir": folder,
        "connection_strategy": "lazy",
        "upstream_cert": "false",
        "ssl_verify_upstream_trusted_ca": provider_ca,
    }
    command = [str(Path(sys.executable).with_name("mitmdump")), "--quiet"]
    command += ["--listen-host", "127.0.0.1", "--listen-port", "0"]
    command += ["--scripts", str(Path(__file__).with_name(f"{addon}.py"))]
    for name, value in options.items():
        command += ["--set", f"{name}={value}"]
    return command


@contextlib.contextmanager
def started_bench(folder: Path) -> Iterator[Bench]:
    """Run a provider, and stop everything that was started with it."""
    with ExitStack() as stack:
        yield Bench(folder, stack)
