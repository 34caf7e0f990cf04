"""A pod and an internet of their own on this machine, for tests and measurements as root.

Two network namespaces joined by a cable. In the *pod* every address is routed, names resolve
from a hosts file, and nftables rules touch nothing else on the machine. The *internet*
answers for every public address there is, IPv4 and IPv6, so a server that listens there on
all addresses is reachable from the pod under any name's address, and a port where nothing
listens refuses at once.
"""

import concurrent.futures
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POD_IPV4, INTERNET_IPV4 = "10.255.77.2", "10.255.77.1"
POD_IPV6, INTERNET_IPV6 = "2001:db8:77::2", "2001:db8:77::1"

DEFAULT_HOSTS: Mapping[str, Sequence[str]] = {
    "api.openai.com": ("203.0.113.10", "2001:db8:10::10"),
    "api.anthropic.com": ("203.0.113.20", "2001:db8:10::20"),
    "example.org": ("203.0.113.90", "2001:db8:10::90"),
}
"""Documentation addresses: nothing real answers if something goes astray."""

_NEEDED = ("ip", "nft", "setpriv")
_CONFIGURATION = Path("/etc/netns")
_NAMESPACES = Path("/run/netns")
_STOP_WAIT_S = 5


def why_not() -> str:
    """Say why namespaces can't be made here; empty if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (packages iproute2, nftables, util-linux)"
    probe = f"remora-{uuid.uuid4().hex[:8]}"
    made = _ip(f"netns add {probe}", check=False)
    entered = _ip(f"netns exec {probe} true", check=False)
    _ip(f"netns delete {probe}", check=False)
    return (made.stderr or entered.stderr).strip()


@dataclass(frozen=True)
class _End:
    """One end of the cable."""

    mac: str
    ipv4: str
    ipv6: str


_POD = _End("02:00:00:00:00:02", POD_IPV4, POD_IPV6)
_INTERNET = _End("02:00:00:00:00:01", INTERNET_IPV4, INTERNET_IPV6)


@dataclass(frozen=True)
class Namespace:
    """One network namespace.

    Attributes:
        name: As `ip netns` shows it.
    """

    name: str
    _started: list[subprocess.Popen[Any]] = field(default_factory=list, repr=False)

    def argv(self, command: Sequence[str], *, uid: int = 0, reads_all: bool = True) -> list[str]:
        """Return the command line that runs a command here, for any way to start processes.

        Args:
            command: What to run.
            uid: User and group to run it as; a user other than root has no groups and no
                capability that touches the network.
            reads_all: Whether that user may still read every file, as it must where Python
                or the checkout lies in root's home. Without it permissions are real.
        """
        prefix = ["ip", "netns", "exec", self.name]
        if uid == 0:
            return [*prefix, *command]
        capabilities = "-all,+dac_read_search" if reads_all else "-all"
        identity = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        inherited = [f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}"]
        return [
            *prefix,
            "setpriv",
            *identity,
            *inherited,
            "--bounding-set=-all,+dac_read_search",
            *command,
        ]

    def run(
        self,
        command: Sequence[str],
        *,
        uid: int = 0,
        reads_all: bool = True,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 30,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end and return its output.

        Args:
            command: What to run.
            uid: As for `argv`.
            reads_all: As for `argv`.
            stdin: What it reads.
            env: Its whole environment; None is this process's own.
            timeout_s: It is killed then, and TimeoutExpired raised.
            check: Raise CalledProcessError unless it exits with 0.
        """
        return subprocess.run(  # noqa: S603 - a test's own command
            self.argv(command, uid=uid, reads_all=reads_all),
            input=stdin,
            env=env,
            timeout=timeout_s,
            check=check,
            capture_output=True,
            text=True,
        )

    def start(
        self,
        command: Sequence[str],
        *,
        uid: int = 0,
        reads_all: bool = True,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Start a command here; it is stopped with the network, if not before.

        Args:
            command: What to run.
            uid: As for `argv`.
            reads_all: As for `argv`.
            env: Its whole environment; None is this process's own.
            **options: More arguments of ``subprocess.Popen``, such as ``stdout``.
        """
        argv = self.argv(command, uid=uid, reads_all=reads_all)
        process = subprocess.Popen(argv, env=env, **options)  # noqa: S603 - a test's own command
        self._started.append(process)
        return process

    def open_socket(self, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        """Make a socket of this process that lives here; its user is this process's."""
        return self._inside(lambda: socket.socket(family, kind))

    def listen(self, host: str, port: int) -> socket.socket:
        """Listen here from within this process, for ``loop.create_server(sock=…)`` and such.

        Args:
            host: Where; ``0.0.0.0`` or ``::`` in the internet is every public address.
            port: 0 takes a free one.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = self.open_socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen()
        return listener

    def _inside[T](self, act: Callable[[], T]) -> T:
        """Act in a thread of its own, so that the caller's stays where it is."""

        def enter() -> T:
            with (_NAMESPACES / self.name).open("rb") as namespace:
                os.setns(namespace.fileno(), os.CLONE_NEWNET)
            return act()

        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(enter).result()

    def _stop_all(self) -> None:
        """End what was started here, and what that left behind in this namespace."""
        for process in self._started:
            process.terminate()
        for process in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_WAIT_S)
        for pid in _ip(f"netns pids {self.name}", check=False).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for process in self._started:
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@dataclass(frozen=True)
class Network:
    """A pod and its internet.

    Attributes:
        pod: Where agents and the sidecar run and the rules are applied.
        internet: Where providers' doubles listen.
        hosts: Names that resolve in both, with their addresses.
    """

    pod: Namespace
    internet: Namespace
    hosts: Mapping[str, Sequence[str]]


@contextlib.contextmanager
def simulated_network(hosts: Mapping[str, Sequence[str]] = DEFAULT_HOSTS) -> Iterator[Network]:
    """Make a network and, whatever happens, take it down again with all that runs in it.

    Args:
        hosts: What resolves, by name; any public address will do.
    """
    tag = uuid.uuid4().hex[:8]
    network = Network(Namespace(f"remora-{tag}-pod"), Namespace(f"remora-{tag}-net"), hosts)
    try:
        _build(network)
        yield network
    finally:
        for namespace in (network.pod, network.internet):
            namespace._stop_all()
            _ip(f"netns delete {namespace.name}", check=False)
            shutil.rmtree(_CONFIGURATION / namespace.name, ignore_errors=True)


def _build(network: Network) -> None:
    pod, internet = network.pod.name, network.internet.name
    for namespace in (pod, internet):
        _ip(f"netns add {namespace}")
        _write_configuration(_CONFIGURATION / namespace, network.hosts)
        _ip(f"-n {namespace} link set lo up")
    _ip(f"link add eth0 netns {pod} type veth peer name eth0 netns {internet}")
    _plug_in(pod, _POD, peer=_INTERNET)
    _plug_in(internet, _INTERNET, peer=_POD)
    _ip(f"-n {pod} route add default via {INTERNET_IPV4}")
    _ip(f"-n {pod} -6 route add default via {INTERNET_IPV6}")
    # A route of type local makes every address this namespace's own. In the main table the
    # cable's network is more specific, so answers still find the pod.
    _ip(f"-n {internet} route add local 0.0.0.0/0 dev lo table main")
    _ip(f"-n {internet} -6 route add local ::/0 dev lo table main")


def _plug_in(namespace: str, end: _End, *, peer: _End) -> None:
    _ip(f"-n {namespace} link set eth0 address {end.mac}")
    _ip(f"-n {namespace} address add {end.ipv4}/24 dev eth0")
    # IPv6 would spend the first seconds on duplicate addresses and on finding its neighbour.
    _ip(f"-n {namespace} -6 address add {end.ipv6}/64 dev eth0 nodad")
    _ip(f"-n {namespace} link set eth0 up")
    for address in (peer.ipv4, peer.ipv6):
        _ip(f"-n {namespace} neighbour add {address} lladdr {peer.mac} dev eth0 nud permanent")


def _write_configuration(folder: Path, hosts: Mapping[str, Sequence[str]]) -> None:
    """Write what `ip netns exec` mounts over the files in /etc."""
    folder.mkdir(parents=True)
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    lines += [f"{address} {name}" for name, addresses in hosts.items() for address in addresses]
    (folder / "hosts").write_text("\n".join(lines) + "\n")
    (folder / "resolv.conf").write_text(f"nameserver {INTERNET_IPV4}\nnameserver {INTERNET_IPV6}\n")


def _ip(arguments: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    argv = ["ip", *arguments.split()]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if check and done.returncode != 0:
        raise OSError(f"ip {arguments}: {done.stderr.strip()}")
    return done
