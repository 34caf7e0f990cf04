"""Clients that leave Nagle's algorithm on towards a proxy wait for no delayed acknowledgement."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.netns

CALLS = 50
PROGRAM = """
import asyncio, json, sys
from pathlib import Path
import requests
from remora.testing.double import ProviderDouble
from remora_sidecar.assembly import running_sidecar
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.settings import SidecarSettings

folder, calls = Path(sys.argv[1]), int(sys.argv[2])

def delayed():
    names, values = [
        line.split() for line in Path("/proc/net/netstat").read_text().splitlines()
        if line.startswith("TcpExt:")
    ]
    return int(dict(zip(names, values))["DelayedACKs"])

def ask(client, number):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": f"question {number}"}]}
    url = "https://api.openai.com/v1/chat/completions"
    assert client.post(url, json=body, timeout=60).status_code == 200

def measure(proxy, ca):
    with requests.Session() as client:
        client.trust_env = False
        client.proxies = {"https": "http://%s:%d" % proxy}
        client.verify = ca
        for number in range(20):  # a connection's first segments are acknowledged at once anyway
            ask(client, number)
        before = delayed()
        for number in range(calls):
            ask(client, number)
        return delayed() - before

async def main():
    async with ProviderDouble() as double:
        (folder / "provider-ca.pem").write_text(double.ca_pem)
        host, port = double.address
        settings = SidecarSettings(
            listen=(("127.0.0.1", 0),), control_listen=("127.0.0.1", 0),
            status_listen=("127.0.0.1", 0), data_dir=folder / "data", aggregator="none",
            upstream_ca=folder / "provider-ca.pem", connect_to=ConnectTo.parse(f"::{host}:{port}"),
        )
        async with running_sidecar(settings) as sidecar:
            ca = str(folder / "data" / "trust" / "ca.pem")
            print(json.dumps(await asyncio.to_thread(measure, sidecar.proxy, ca)))

asyncio.run(main())
"""


def test_the_body_of_a_request_does_not_wait_for_the_acknowledgement_of_its_head(
    namespaces_work, tmp_path: Path
):
    python = [sys.executable, "-P", "-c", PROGRAM, str(tmp_path), str(CALLS)]
    shell = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *python]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) < CALLS / 2
