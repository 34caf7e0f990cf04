"""What the sidecar dials for an agent is what the kernel would let the agent dial."""

import asyncio
import dataclasses
import errno
import itertools
import json
import sys
from ipaddress import ip_network

import pytest

from remora_sidecar.netinit.dial_rule import dial_refusal, may_dial
from remora_sidecar.netinit.ruleset import RedirectSettings, render

DEFAULT = RedirectSettings(excluded=(ip_network("203.0.113.66/32"), ip_network("2001:db8:66::/48")))
STRICT = dataclasses.replace(DEFAULT, profile="strict", ports=(80, 443, 8000))


@pytest.mark.parametrize(
    ("settings", "host", "port", "allowed"),
    [
        (DEFAULT, "example.org", 22, True),
        (DEFAULT, "example.org", 853, False),
        (DEFAULT, "203.0.113.66", 853, True),
        (STRICT, "example.org", 443, True),
        (STRICT, "example.org", 8000, True),
        (STRICT, "example.org", 22, False),
        (STRICT, "localhost", 22, True),
        (STRICT, "localhost", 15001, False),
        (STRICT, "::ffff:203.0.113.66", 22, True),
        (STRICT, "fe80::1%eth0", 22, False),
        (DEFAULT, "::ffff:127.0.0.1", 15001, False),
        (DEFAULT, "0.0.0.0", 15001, False),  # noqa: S104 - dialled, not listened on
    ],
)
def test_a_host_is_dialled_only_where_the_rules_let_the_agent_go(settings, host, port, allowed):
    assert may_dial(settings, host, port) is allowed


def test_a_refusal_names_what_is_let_out():
    assert "80, 443, 8000" in dial_refusal(STRICT, "example.org", 22)


ADDRESSES = ["203.0.113.90", "203.0.113.66", "2001:db8:10::90", "2001:db8:66::1", "127.0.0.1",
             "::1", "::ffff:203.0.113.66", "::ffff:203.0.113.90"]  # fmt: skip
PORTS = [22, 53, 80, 443, 853, 8000, 15001, 15002]

DIAL_ALL = """
import json, socket, sys
outcomes = []
for host, port in json.load(sys.stdin):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        outcomes.append(probe.connect_ex((host, port)))
print(json.dumps(outcomes))
"""


async def _answer_everywhere(network):
    """Listen on every port in the internet, on the pod's loopback, and as the sidecar."""

    async def close(reader, writer):
        writer.close()
        await writer.wait_closed()

    places = [(network.internet, host) for host in ("0.0.0.0", "::")]  # noqa: S104 - in a namespace
    places += [(network.pod, host) for host in ("127.0.0.1", "::1")]
    return [
        await asyncio.start_server(close, sock=namespace.listen(host, port))
        for (namespace, host), port in itertools.product(places, PORTS)
    ]


@pytest.mark.netns
@pytest.mark.parametrize("settings", [DEFAULT, STRICT], ids=["default", "strict"])
async def test_the_kernel_and_the_sidecar_agree_about_every_destination(network, settings):
    network.pod.run(["nft", "-f", "-"], stdin=render(settings), check=True)
    servers = await _answer_everywhere(network)
    destinations = list(itertools.product(ADDRESSES, PORTS))
    done = await asyncio.to_thread(
        network.pod.run,
        [sys.executable, "-P", "-c", DIAL_ALL],
        uid=1000,
        stdin=json.dumps(destinations),
        timeout_s=60,
    )
    for server in servers:
        server.close()
    assert done.returncode == 0, done.stderr
    outcomes = dict(zip(destinations, json.loads(done.stdout), strict=True))
    refused = {errno.ECONNREFUSED, errno.EACCES, errno.EPERM, errno.EHOSTUNREACH}
    assert set(outcomes.values()) <= {0} | refused
    assert {place: code == 0 for place, code in outcomes.items()} == {
        place: may_dial(settings, *place) for place in destinations
    }
