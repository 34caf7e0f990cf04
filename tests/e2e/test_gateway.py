"""`remora gateway`: a program that trackers elsewhere are pointed at, and the client it serves."""

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from remora.testing.double import ProviderDouble
from remora.testing.double_answer import json_answer

HOST = "api.openai.com"
CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
POLICY_MODULE = """
from remora.routers import Router

class Fixed(Router):
    def __init__(self, target):
        self.target = target

    def route(self, ctx):
        return self.target
"""


get, post = partial(httpx.get, timeout=60), partial(httpx.post, timeout=60)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "remora", "gateway", *arguments]


@pytest.fixture
async def provider():
    async with ProviderDouble(names=[HOST]) as double:
        double.route("POST", CHAT, json_answer(json.dumps({"id": "c1", "usage": USAGE}).encode()))
        yield double


@pytest.fixture
def environment(tmp_path, provider) -> dict[str, str]:
    """A machine whose provider is the double."""
    ca = tmp_path / "provider-ca.pem"
    ca.write_text(provider.ca_pem)
    host, port = provider.address
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "REMORA_UPSTREAM_CA": str(ca),
        "REMORA_CONNECT_TO": f"{HOST}:443:{host}:{port}",
    }


type Start = Callable[..., AbstractContextManager[tuple[str, subprocess.Popen[str]]]]


@pytest.fixture
def start(tmp_path, environment) -> Start:
    """Give what runs a gateway; it gives its URL, as the gateway prints it, and the process."""

    @contextmanager
    def started(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        log = tmp_path / "gateway.log"
        argv = command("--port", "0", "--cache-dir", str(tmp_path / "cache"), *arguments)
        with log.open("w") as errors:
            process = subprocess.Popen(
                argv, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            lines = [process.stdout.readline().strip() for _ in range(2)]
            said = dict(line.split("=", 1) for line in lines if line)
            assert list(said) == ["AGENTOPT_GATEWAY_URL", "REMORA_GATEWAY_URL"], log.read_text()
            assert said["AGENTOPT_GATEWAY_URL"] == said["REMORA_GATEWAY_URL"]
            yield said["REMORA_GATEWAY_URL"], process
        finally:
            process.terminate()
            process.communicate(timeout=60)

    return started


def run_in_thread(play: Callable[[], object]):
    """Keep the double's loop free while a test waits for programs."""
    return asyncio.to_thread(play)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_gateway_is_found_by_what_it_prints_and_ends_when_told(start, number):
    def play() -> None:
        with start() as (url, process):
            assert get(f"{url}/health").json() == {"ok": True}
            process.send_signal(number)
            assert process.wait(timeout=60) == 0

    await run_in_thread(play)


async def test_a_program_is_led_through_its_sessions_port_by_its_environment(start, tmp_path):
    def play() -> None:
        with start() as (url, _):
            opened = post(f"{url}/sessions", json={"data_id": "d", "combo_id": "c"}).json()
            ca = tmp_path / "gateway-ca.pem"
            ca.write_bytes(base64.b64decode(opened["ca_pem_b64"]))
            agent = {
                "PATH": os.environ["PATH"],
                "HTTPS_PROXY": f"http://127.0.0.1:{opened['proxy_port']}",
                "CURL_CA_BUNDLE": str(ca),
            }
            argv = ["curl", "-sS", "--fail", f"https://{HOST}{CHAT}", "-d", json.dumps(ASKED)]
            done = subprocess.run(argv, env=agent, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["usage"] == USAGE
            (record,) = get(f"{url}/records", params={"combo_id": "c"}).json()
            assert (record["data_id"], record["model"]) == ("d", "gpt-4o")

    await run_in_thread(play)


async def test_what_was_recorded_and_cached_is_there_after_a_restart(start, provider):
    def ask(url: str, data_id: str) -> None:
        opened = post(f"{url}/sessions", json={"data_id": data_id, "combo_id": "c"}).json()
        proxy = f"http://127.0.0.1:{opened['proxy_port']}"
        with httpx.Client(proxy=proxy, timeout=60) as client:
            host, port = provider.address
            assert client.post(f"http://{host}:{port}{CHAT}", json=ASKED).status_code == 200

    def play() -> None:
        with start() as (url, _):
            ask(url, "before")
        with start() as (url, _):
            ask(url, "after")
            records = get(f"{url}/records", params={"combo_id": "c"}).json()
        assert [one["data_id"] for one in records] == ["before", "after"]
        assert [one["cached"] for one in records] == [False, True]

    await run_in_thread(play)


async def test_a_gateway_has_the_routers_that_it_was_started_with(start, tmp_path):
    module = tmp_path / "my_policies.py"
    module.write_text(POLICY_MODULE)

    def play() -> None:
        options = ("--routing-policy", "random", "--candidate-models", "a, a", "--seed", "0")
        with start(*options, "--policy-module", str(module)) as (url, _):
            own = {"policy": "my_policies:Fixed", "kwargs": {"target": "mine"}}
            for said in ({}, {"router": None}, {"router": own}):
                opened = post(f"{url}/sessions", json={"combo_id": "c", **said}).json()
                proxy = f"http://127.0.0.1:{opened['proxy_port']}"
                trust = base64.b64decode(opened["ca_pem_b64"]).decode()
                with httpx.Client(proxy=proxy, verify=_trusting(trust), timeout=60) as client:
                    client.post(f"https://{HOST}{CHAT}", json=ASKED).raise_for_status()
            records = get(f"{url}/records", params={"combo_id": "c"}).json()
        assert [one["model"] for one in records] == ["a", "gpt-4o", "mine"]

    await run_in_thread(play)


def _trusting(ca_pem: str):
    import ssl

    return ssl.create_default_context(cadata=ca_pem)


@pytest.fixture
def own_address() -> str:
    """An address by which this machine is known to others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address: str = probe.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no address but loopback")
    return address


@pytest.mark.parametrize("host", ["everywhere", "its own address"])
async def test_a_remote_gateway_serves_control_proxy_and_ports_where_it_listens(
    start, own_address, host
):
    listen = "0.0.0.0" if host == "everywhere" else own_address  # noqa: S104 - it is the test's

    def play() -> None:
        options = ("--host", listen, "--allow-remote", "--allow-host", "gateway.example")
        with start(*options) as (url, _):
            port = httpx.URL(url).port
            at = f"http://{own_address}:{port}"
            assert get(f"{at}/records").status_code == 200
            named = get(f"{at}/records", headers={"Host": "gateway.example"})
            assert named.status_code == 200
            stranger = get(f"{at}/records", headers={"Host": "evil.example"})
            assert stranger.status_code == 403
            opened = post(f"{at}/sessions", json={"combo_id": "c"}).json()
            proxy = f"http://{own_address}:{opened['proxy_port']}"
            trust = _trusting(base64.b64decode(opened["ca_pem_b64"]).decode())
            with httpx.Client(proxy=proxy, verify=trust, timeout=60) as client:
                client.post(f"https://{HOST}{CHAT}", json=ASKED).raise_for_status()
            assert len(get(f"{at}/records", params={"combo_id": "c"}).json()) == 1

    await run_in_thread(play)


REFUSALS = {
    "no folder": (["--cache-dir", " "], "cache-dir cannot be empty"),
    "candidates without a policy": (["--candidate-models", "a"], "require --routing-policy"),
    "a seed without a policy": (["--seed", "1"], "require --routing-policy"),
    "a policy without candidates": (["--routing-policy", "random"], "requires --candidate-models"),
    "candidates that are none": (
        ["--routing-policy", "random", "--candidate-models", " , "],
        "requires --candidate-models",
    ),
    "another policy": (["--routing-policy", "best"], "'best' is not"),
    "a file that is not there": (["--policy-module", "/no/such.py"], "does not exist"),
    "another address": (["--host", "0.0.0.0"], "say --allow-remote"),  # noqa: S104
    "a name on loopback": (["--allow-host", "x"], "requires --allow-remote"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_options_that_make_no_sense_are_refused_at_the_start(what, tmp_path):
    options, said = REFUSALS[what]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    ended = subprocess.run(
        command(*options), env=environment, capture_output=True, text=True, timeout=60, cwd=tmp_path
    )

    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert not (tmp_path / ".remora_cache").exists()


def test_every_option_that_makes_no_sense_is_named_at_once(tmp_path):
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    argv = command("--host", "0.0.0.0", "--seed", "1", "--cache-dir", "")  # noqa: S104

    ended = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)

    assert len(ended.stderr.strip().splitlines()) == 4, ended.stderr


# The published client itself.

PUBLISHED = """
import concurrent.futures, json, sys
import httpx
from agentopt import LLMTracker, RandomRouter

base, chat, asked = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])

def call(number):
    with httpx.Client(base_url=base) as client:
        client.post(chat, json={**asked, "user": str(number)}).raise_for_status()

tracker = LLMTracker()
tracker.start()

def track(number):
    with tracker.track(data_id=f"dp_{number}", combo_id="all"):
        call(number)

with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map(track, range(24)))
with tracker.track(data_id="dp_0", combo_id="again"):
    call(0)
with tracker.track(combo_id="routed", router=RandomRouter(["mini"], seed=1)):
    call(0)
with tracker.track(combo_id="env") as session:
    env = tracker.get_session_env(session)
tracker.flush_cache()
tracker.stop()
records = {
    combo: [vars(record) for record in tracker.get_records(combo_id=combo)]
    for combo in ("all", "again", "routed", "env")
}
seconds = tracker.get_cached_latency(combo_id="again")
tracker.clear_cache()
print(json.dumps({"records": records, "usage": tracker.get_usage(combo_id="all"),
                  "cached_s": seconds, "env": env}))
tracker.close()
"""


@pytest.fixture
def published_client() -> Path:
    """The sources of a checkout of AgentOpt."""
    named = os.environ.get("REMORA_TEST_AGENTOPT")
    if not named:
        pytest.skip("no published client: set REMORA_TEST_AGENTOPT to a checkout of AgentOpt")
    return Path(named) / "src"


async def test_the_published_client_tracks_routes_and_caches(
    start, provider, published_client, tmp_path
):
    base = "http://{}:{}".format(*provider.address)
    argv = [sys.executable, "-P", "-c", PUBLISHED, base, CHAT, json.dumps(ASKED)]

    def play() -> dict:
        with start() as (url, _):
            variables = {
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "PYTHONPATH": str(published_client),
                "AGENTOPT_GATEWAY_URL": url,
            }
            done = subprocess.run(argv, env=variables, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    said = await run_in_thread(play)
    records = said["records"]
    assert sorted(one["data_id"] for one in records["all"]) == sorted(
        f"dp_{number}" for number in range(24)
    )
    assert all(one["data_id"] == f"dp_{one['request_body']['user']}" for one in records["all"])
    assert said["usage"] == {"gpt-4o": [240, 120]}
    assert [one["cached"] for one in records["again"]] == [True]
    assert said["cached_s"] == records["again"][0]["latency_seconds"] > 0
    assert [one["model"] for one in records["routed"]] == ["mini"]
    assert records["env"] == []
    assert set(said["env"]) == {
        "HTTPS_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    }  # fmt: skip
