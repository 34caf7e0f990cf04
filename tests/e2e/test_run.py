"""`remora run`: any program intercepted without root, and what it says at the end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from remora.testing.double import ProviderDouble

HOST = "api.openai.com"
CALL = """
import json, sys, urllib.request
body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]})
request = urllib.request.Request("https://api.openai.com/v1/chat/completions", body.encode(),
                                 {"Content-Type": "application/json"})
print(urllib.request.urlopen(request).headers["remora-call-id"])
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""


class Laptop:
    """A person's machine: a home of its own, and a provider double behind every name."""

    def __init__(self, home: Path, double: ProviderDouble):
        """Prepare the environment."""
        self.home = home
        ca = home / "provider-ca.pem"
        ca.write_text(double.ca_pem)
        host, port = double.address
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "REMORA_AGGREGATOR": "none",
            "REMORA_LISTEN": "127.0.0.1:0",
            "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
            "REMORA_STATUS_LISTEN": "127.0.0.1:0",
            "REMORA_UPSTREAM_CA": str(ca),
            "REMORA_CONNECT_TO": f"{HOST}:443:{host}:{port}",
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "remora", "run", *arguments]

    async def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `remora run` to its end."""
        return await asyncio.to_thread(
            subprocess.run,
            self.command(*arguments),
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def addresses(self) -> dict[str, str]:
        """Where the sidecar said it is."""
        file = self.home / ".local/share/remora/sidecar/addresses.json"
        return json.loads(file.read_text())


@pytest.fixture
async def laptop(tmp_path):
    async with ProviderDouble(names=[HOST]) as double:
        yield Laptop(tmp_path, double)


def _python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


async def test_a_program_is_intercepted_and_summed_up(laptop):
    ended = await laptop.run("--", *_python(CALL))
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.strip()) == 32  # the program's own output, and nothing of ours
    assert "gpt-4o-mini" in ended.stderr
    assert "1 call" in ended.stderr


BODY = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}'
OPENAI = """
import openai
client = openai.OpenAI(api_key="sk-x")
messages = [{"role": "user", "content": "hi"}]
print(client.chat.completions.create(model="gpt-4o-mini", messages=messages).model)
"""
AIOHTTP = """
import aiohttp, asyncio, sys
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        answer = await session.post(sys.argv[1], data=sys.argv[2])
        print((await answer.json())["model"])
asyncio.run(main())
"""
URL = f"https://{HOST}/v1/chat/completions"
CLIENTS = {
    "curl": ["curl", "-sS", "--fail", URL, "-d", BODY],
    "openai": [sys.executable, "-c", OPENAI],
    "aiohttp": [sys.executable, "-c", AIOHTTP, URL, BODY],
}


@pytest.mark.parametrize("client", CLIENTS)
async def test_clients_of_the_field_are_intercepted_by_their_environment_alone(laptop, client):
    ended = await laptop.run("--", *CLIENTS[client])
    assert ended.returncode == 0, ended.stderr
    assert "gpt-4o-mini" in ended.stdout
    assert "1 call in" in ended.stderr


async def test_calls_of_a_client_that_sends_no_session_are_told_of(laptop):
    code = (
        "import os, re, subprocess, sys\n"
        "bare = re.sub('//.*@', '//', os.environ['HTTPS_PROXY'])\n"
        "os.environ['HTTPS_PROXY'] = os.environ['https_proxy'] = bare\n"
        "sys.exit(subprocess.call(sys.argv[1:]))\n"
    )
    ended = await laptop.run("--", *_python(code, *CLIENTS["curl"]))
    assert ended.returncode == 0, ended.stderr
    assert "1 call came without this run's session" in ended.stderr
    assert "--session default" in ended.stderr


async def test_the_exit_code_is_the_programs(laptop):
    ended = await laptop.run("--", *_python(CALL, "7"))
    assert ended.returncode == 7


async def test_a_program_that_is_not_there_is_127(laptop):
    ended = await laptop.run("--", "no-such-program-anywhere")
    assert ended.returncode == 127
    assert "no such program" in ended.stderr


async def test_the_summary_can_be_left_out(laptop):
    ended = await laptop.run("--no-summary", "--", *_python(CALL))
    assert (ended.returncode, ended.stderr) == (0, "")


async def test_a_program_without_calls_is_told_of(laptop):
    ended = await laptop.run("--", "true")
    assert "no LLM call" in ended.stderr


async def test_what_the_caller_set_stays_and_is_said(laptop):
    code = "import os; print(os.environ['REQUESTS_CA_BUNDLE'], os.environ['SSL_CERT_FILE'])"
    ended = await laptop.run("--", *_python(code), REQUESTS_CA_BUNDLE="/mine.pem")
    mine, ours = ended.stdout.split()
    assert mine == "/mine.pem"
    assert ours.endswith("bundle.pem")
    assert "REQUESTS_CA_BUNDLE" in ended.stderr


async def test_the_program_gets_a_session_in_its_proxy_url(laptop):
    code = "import os; print(os.environ['HTTPS_PROXY'])"
    first, second = [await laptop.run("--", *_python(code)) for _ in range(2)]
    assert first.stdout.startswith("http://")
    assert first.stdout != second.stdout


async def test_a_second_run_uses_the_running_sidecar_with_a_session_of_its_own(laptop):
    wait = "import sys; print('up', flush=True); sys.stdin.read()"
    first = await asyncio.to_thread(
        subprocess.Popen,
        laptop.command("--", *_python(wait)),
        env=laptop.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with first:
        assert await asyncio.to_thread(first.stdout.readline) == "up\n"
        running = laptop.addresses()
        second = await laptop.run("--", *_python(CALL))
        assert laptop.addresses() == running
        assert "1 call" in second.stderr
        first.stdin.close()
        assert "no LLM call" in await asyncio.to_thread(first.stderr.read)


async def test_the_sidecar_ends_with_its_last_user(laptop):
    await laptop.run("--", "true")
    host, port = laptop.addresses()["control"].rsplit(":", 1)
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.1)


async def test_signals_reach_the_program(laptop):
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    running = await asyncio.to_thread(
        subprocess.Popen,
        laptop.command("--no-summary", "--", *_python(code)),
        env=laptop.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with running:
        assert await asyncio.to_thread(running.stdout.readline) == "up\n"
        running.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.wait, 30) == 42


async def test_what_is_set_wrong_is_said_before_the_program_starts(laptop, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\nmetadata: {}\n")
    began = time.monotonic()
    ended = await laptop.run("--", *_python(CALL), REMORA_POLICY=str(policy))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "policy.yaml:3" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - began < 30


async def test_two_runs_that_start_together_share_one_sidecar(laptop):
    ended = await asyncio.gather(*(laptop.run("--", *_python(CALL)) for _ in range(2)))
    assert [one.returncode for one in ended] == [0, 0], [one.stderr for one in ended]


async def test_a_tracker_in_the_program_uses_the_same_sidecar(laptop):
    program = (
        "import httpx\nfrom remora import LLMTracker\n"
        "body = {'model': 'gpt-4o-mini', 'messages': [{'role': 'user', 'content': 'hi'}]}\n"
        "with LLMTracker() as tracker, tracker.track('q1'):\n"
        f"    httpx.post('https://{HOST}/v1/chat/completions', json=body).raise_for_status()\n"
        "print([r.data_id for r in tracker.records])\n"
        "tracker.close()\n"
    )
    ended = await laptop.run("--no-summary", "--", sys.executable, "-W", "error", "-c", program)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "['q1']"
