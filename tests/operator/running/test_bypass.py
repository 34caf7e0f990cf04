"""What an agent can do against its sidecar, and what it can't: tried from within its pod.

The pod is as weak as flags let pass: its containers share a namespace of processes, and one of
them runs as root with the capabilities that containers have by default.
"""

import asyncio
import socket
import sys

import pytest
import pytest_asyncio
from tests.operator.running import probes
from tests.operator.running.agents import FOR_EVER, container, curl, pod
from tests.operator.running.stage import PROVIDER, PROVIDER_IP, PUBLIC_IP

from remora.testing.kubelet import Image
from remora.testing.kubelet.image import python_folders
from remora.testing.network import POD_IPV4, POD_IPV6

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
]

SIDECAR_UID = 1500
POD = pod(
    "weak",
    container("app", FOR_EVER),
    container("root", FOR_EVER, securityContext={}),
    shareProcessNamespace=True,
    restartPolicy="Always",
)
ADMIN_CALLS = [
    ("GET", "/v1/policy"),
    ("GET", "/v1/sessions"),
    ("GET", "/v1/providers"),
    ("GET", "/v1/cache"),
    ("POST", "/providers"),
    ("POST", "/cache/clear"),
    ("POST", "/cache/flush"),
]
IMAGE = ":".join(map(str, python_folders()))
DER_OF_A_KEY = bytes.fromhex("0201010420")
"""RFC 5915: version 1, then 32 bytes."""


class Weak:
    """The pod, and the network it is on."""

    def __init__(self, running, network):  # noqa: D107
        self.pod = running
        self.network = network

    async def python(self, program, *arguments, by="app"):
        """Run a program in a container, and return what it prints."""
        command = [sys.executable, "-P", "-c", program, *map(str, arguments)]
        done = await self.pod.exec(by, command)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def heard_in_the_internet(self, kind, port, address="0.0.0.0"):  # noqa: S104
        """Open a socket to which nothing but rules is in the way."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = self.network.internet.open_socket(family, kind)
        made.bind((address, port))
        if kind is socket.SOCK_STREAM:
            made.listen()
        return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def weak(cluster):
    cluster.images["agent"] = Image(readable=python_folders())
    async with cluster.running(POD) as (running, network):
        await running.running(120)
        yield Weak(running, network)


@pytest.mark.parametrize("by", ["app", "root"])
async def test_calls_are_intercepted_for_every_user(weak, by):
    done = await weak.pod.exec(by, curl())
    assert done.returncode == 0, weak.pod.report()
    assert await weak.python(probes.WHOSE_CERTIFICATE, PROVIDER, by=by) == "ours"


@pytest.mark.parametrize("by", ["app", "root"])
@pytest.mark.parametrize(
    ("port", "found"), [(443, "refused"), (853, "refused"), (4433, "silent")]
)  # fmt: skip
async def test_quic_and_encrypted_dns_are_refused_at_once(weak, port, found, by):
    with weak.heard_in_the_internet(socket.SOCK_DGRAM, port):
        assert await weak.python(probes.UDP, PUBLIC_IP, port, by=by) == found


@pytest.mark.parametrize("by", ["app", "root"])
@pytest.mark.parametrize(("port", "found"), [(853, "refused"), (8853, "connected")])
async def test_dns_over_tls_is_refused(weak, port, found, by):
    with weak.heard_in_the_internet(socket.SOCK_STREAM, port):
        assert await weak.python(probes.TCP, PUBLIC_IP, port, by=by) == found


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", POD_IPV4, POD_IPV6])
@pytest.mark.parametrize("by", ["app", "root"])
async def test_the_proxys_port_can_not_be_used_from_inside(weak, address, by):
    assert await weak.python(probes.TCP, address, 15001, by=by) == "refused"


@pytest.mark.parametrize("address", [POD_IPV4, POD_IPV6])
@pytest.mark.parametrize("port", [15001, 15002, 15080])
async def test_nor_from_another_host(weak, address, port):
    program = [sys.executable, "-P", "-c", probes.TCP, address, str(port)]
    done = await asyncio.to_thread(weak.network.internet.run, program)
    assert done.stdout.strip() == "refused", done.stderr


async def test_another_host_sees_the_status_alone(weak):
    asked = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}"]

    async def status(path):
        command = [*asked, f"http://{POD_IPV4}:15021{path}"]
        return (await asyncio.to_thread(weak.network.internet.run, command)).stdout

    assert [await status(path) for path in ("/readyz", "/v1/sessions")] == ["200", "404"]


async def test_becoming_the_sidecars_user_needs_a_capability_and_is_flagged(weak, cluster):
    become = (probes.WHOSE_CERTIFICATE, PROVIDER, SIDECAR_UID)
    assert await weak.python(*become, by="app") == "not permitted"
    assert await weak.python(*become, by="root") == "the provider's own"  # around the sidecar
    warnings = cluster.review(POD)["warnings"]
    assert any("container root" in text and "SETUID" in text for text in warnings)
    assert not any("app" in text for text in warnings)


async def test_starting_as_the_sidecars_user_is_refused(cluster):
    user = {"runAsUser": SIDECAR_UID}
    response = cluster.review(pod("twin", container("app", FOR_EVER, securityContext=user)))
    assert not response["allowed"]
    assert f"runs as user {SIDECAR_UID}" in response["status"]["message"]


async def test_raw_packets_need_a_capability_and_are_flagged(weak, cluster):
    frame = (probes.FRAME, POD_IPV4, PROVIDER_IP)
    with weak.heard_in_the_internet(socket.SOCK_DGRAM, 443) as heard:
        assert await weak.python(*frame, by="app") == "not permitted"
        assert await weak.python(*frame, by="root") == "sent"
        heard.settimeout(20)
        assert await asyncio.to_thread(heard.recv, 100) == b"written by hand"
    assert await weak.python(probes.RAW_IP, by="app") == "not permitted"
    warnings = cluster.review(POD)["warnings"]
    assert any("container root" in text and "NET_RAW" in text for text in warnings)


@pytest.mark.parametrize("by", ["app", "root"])
@pytest.mark.parametrize(("method", "path"), ADMIN_CALLS)
async def test_admin_calls_need_the_token(weak, method, path, by):
    for token in ((), ("-H", "Authorization: Bearer guessed")):
        asked = ["curl", "-sS", "-X", method, *token, "-w", "%{http_code}", "-o", "/dev/null"]
        done = await weak.pod.exec(by, [*asked, f"http://127.0.0.1:15080{path}"])
        assert done.stdout == "401", done.stderr


@pytest.mark.parametrize(
    ("by", "user"), [("app", 0), ("root", 0), ("root", SIDECAR_UID)],
    ids=["another user", "root", "root as the sidecar's user"],
)  # fmt: skip
async def test_the_sidecars_process_is_seen_and_not_looked_into(weak, by, user):
    """It is not dumpable: that takes SYS_PTRACE, which is flagged."""
    assert await weak.python(probes.LOOK_INTO, user, "sidecar", by=by) == "1 found"


async def test_what_is_the_agents_own_would_be_looked_into(weak):
    found = await weak.python(probes.LOOK_INTO, 0, "infinity", by="app")
    assert {"read environ", "read maps", "followed root /"} <= set(found.splitlines())


async def test_no_file_of_the_sidecars_is_in_the_agents_containers(weak, cluster):
    secrets = [token for token, known in cluster.api.tokens.items() if known.pod_name == "weak"]
    data = cluster.folder / "kubelet" / "team-a-weak" / "volumes" / "remora-data"
    secrets += [(data / "sidecar" / "admin-token").read_text().strip()]
    assert len(secrets) == 3
    for by in ("app", "root"):
        assert await weak.python(probes.FIND, IMAGE, *secrets, "PRIVATE KEY", by=by) == ""
        for folder in ("/var/run/remora/identity", "/var/run/remora/secrets", "/var/lib/remora"):
            assert (await weak.pod.exec(by, ["ls", folder])).returncode != 0
    seen = await weak.python(probes.FIND, IMAGE, "BEGIN CERTIFICATE", by="app")
    assert "/run/remora/trust/ca.pem" in seen.splitlines()  # it would have been found


async def test_the_cas_key_is_in_no_file(weak, cluster):
    volumes = cluster.folder / "kubelet" / "team-a-weak" / "volumes"
    files = [path for path in volumes.rglob("*") if path.is_file()]
    assert {path.relative_to(volumes).parts[0] for path in files} >= {
        "remora-data",
        "remora-identity",
        "remora-trust",
    }
    for path in files:
        content = path.read_bytes()
        assert b"PRIVATE KEY" not in content, path
        assert DER_OF_A_KEY not in content, path
