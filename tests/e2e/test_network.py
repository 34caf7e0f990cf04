"""The pod and internet that the other tests here stand on."""

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from remora.testing.network import simulated_network

pytestmark = pytest.mark.netns

ADDRESSES = [("203.0.113.10", "0.0.0.0"), ("2001:db8:10::10", "::")]  # noqa: S104 - in a namespace


def _connect(namespace, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = namespace.open_socket(family, socket.SOCK_STREAM)
    connection.settimeout(5)
    try:
        connection.connect((address, port))
    except OSError:
        connection.close()
        raise
    return connection


@pytest.mark.parametrize(("address", "everywhere"), ADDRESSES, ids=["ipv4", "ipv6"])
def test_a_server_in_the_internet_is_at_every_public_address(network, address, everywhere):
    with (
        network.internet.listen(everywhere, 443) as listener,
        _connect(network.pod, address, 443) as client,
    ):
        server, _ = listener.accept()
        with server:
            assert server.getsockname()[0] == address
            client.sendall(b"hello")
            assert server.recv(5) == b"hello"


@pytest.mark.parametrize("address", [pair[0] for pair in ADDRESSES], ids=["ipv4", "ipv6"])
def test_a_port_where_nothing_listens_refuses_at_once(network, address):
    with pytest.raises(ConnectionRefusedError):
        _connect(network.pod, address, 443)


def test_names_resolve_to_both_kinds_of_address(network):
    found = network.pod.run(["getent", "ahosts", "api.openai.com"], check=True).stdout
    assert {line.split()[0] for line in found.splitlines()} == set(network.hosts["api.openai.com"])


@pytest.mark.parametrize("reads_all", [True, False], ids=["reads all", "reads its own"])
def test_another_user_may_not_touch_the_network(network, tmp_path, reads_all):
    tmp_path.chmod(0o700)
    secret = tmp_path / "secret"
    secret.write_text("read")
    identity = network.pod.run(["id", "-u"], uid=1000).stdout.strip()
    touched = network.pod.run(["ip", "link", "set", "lo", "down"], uid=1000, reads_all=reads_all)
    read = network.pod.run(["cat", str(secret)], uid=1000, reads_all=reads_all)
    assert identity == "1000"
    assert touched.returncode != 0
    assert (read.stdout == "read") is reads_all


def test_a_command_reads_what_it_is_given_and_runs_in_its_environment(network):
    done = network.pod.run(["/bin/sh", "-c", "cat; echo $A"], stdin="in ", env={"A": "b"})
    assert done.stdout == "in b\n"


def test_a_failing_command_raises_only_where_asked_to(network):
    assert network.pod.run(["false"]).returncode == 1
    with pytest.raises(subprocess.CalledProcessError):
        network.pod.run(["false"], check=True)


@pytest.mark.usefixtures("namespaces_work")
def test_nothing_is_left_of_a_network_even_after_a_failure():
    with contextlib.suppress(ZeroDivisionError), simulated_network() as network:
        started = network.pod.start(["sleep", "600"], uid=1000)
        # A shell that leaves a child of its own behind.
        network.pod.run(["/bin/sh", "-c", "sleep 600 >/dev/null 2>&1 & echo"], check=True)
        _ = 1 / 0
    listed = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert started.returncode is not None
    assert network.pod.name not in listed
    assert network.internet.name not in listed
    assert not Path("/etc/netns", network.pod.name).exists()


def test_without_root_it_says_what_is_needed(network):
    asked = "from remora.testing.network import why_not; print(why_not())"
    said = network.pod.run([sys.executable, "-c", asked], uid=1000)
    assert said.stdout.strip() == "network namespaces need root"
