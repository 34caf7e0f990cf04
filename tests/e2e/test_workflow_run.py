"""Workflows on a laptop: `remora run -- remora workflow run`, and a sidecar that is killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from tests.sdk.api_client.conftest import VARIABLES

from remora import AsyncClient
from remora.testing.double import ProviderDouble
from remora.testing.double_brain import OpenAIBrain
from remora.testing.server_process import ServerProcess, part_command

HOST = "api.openai.com"
CHAT = "/v1/chat/completions"
WORKFLOW = """\
name: plan-and-do
steps:
- {id: plan, prompt: "Plan {{goal}}", tier: fast}
- {id: do, prompt: "Do {{steps.plan.output}}", tier: fast}
outputs: {answer: "{{steps.do.output}}"}
"""
POLICY = """\
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {name: laptop}
spec:
  credentials: [{provider: openai, secretRef: {name: openai, key: api-key}}]
"""
SCRIPT = """
import asyncio, json, sys
from remora import Client, LLMTracker, workflows
with LLMTracker() as tracker:
    with tracker.track(data_id="q1"):
        result = workflows.execute(sys.argv[1], {"goal": "tea"})
        Client().chat.completions.create(messages=[{"role": "user", "content": "hi"}])
    print(json.dumps([result["status"], len(tracker.get_records())]))
"""


def echo(asked) -> str:
    return f"about {asked['messages'][-1]['content']}"


class Held:
    """Answers what holds a word only when it is let go."""

    def __init__(self, word: str) -> None:
        """Take the word."""
        self.word = word
        self.gate = asyncio.Event()
        self.met = asyncio.Event()

    def __call__(self, request):
        from dataclasses import replace

        asked = json.loads(request.body)
        answer = OpenAIBrain(reply=echo)(request)
        if not asked["messages"][-1]["content"].startswith(self.word):
            return answer
        self.met.set()
        return replace(answer, waits_for=self.gate)


@pytest.fixture
def home(tmp_path):
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


@pytest.fixture
async def double():
    async with ProviderDouble(names=[HOST]) as double:
        double.route("POST", CHAT, OpenAIBrain(reply=echo))
        yield double


def settings(home: Path, double: ProviderDouble, **more: str) -> dict[str, str]:
    ca = home / "provider-ca.pem"
    ca.write_text(double.ca_pem)
    host, port = double.address
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {
        "PATH": kept["PATH"],
        "HOME": str(home),
        "REMORA_AGGREGATOR": "none",
        "REMORA_LISTEN": "127.0.0.1:0",
        "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
        "REMORA_STATUS_LISTEN": "127.0.0.1:0",
        "REMORA_UPSTREAM_CA": str(ca),
        "REMORA_CONNECT_TO": f"{HOST}:443:{host}:{port}",
        "OPENAI_API_KEY": "sk-proj-of-the-laptop-0123456789",
        **more,
    }


def remora(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "remora", *arguments]


async def run(command, home, environment) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run, command, cwd=home, env=environment, capture_output=True, text=True,
        timeout=100,
    )  # fmt: skip


async def test_a_workflow_runs_on_a_laptop_with_the_key_of_its_environment(home, double):
    inner = remora("workflow", "run", "w.yaml", "--goal", "tea")
    ended = await run(remora("run", "--", *inner), home, settings(home, double))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "about Do about Plan tea\n"
    assert "plan-and-do: completed in" in ended.stderr
    keys = {request.head.header("authorization") for request in double.requests}
    assert keys == {"Bearer sk-proj-of-the-laptop-0123456789"}
    assert "without this run's session" not in ended.stderr
    assert "2 calls" in ended.stderr


async def test_a_trackers_session_has_the_calls_of_its_workflows(home, double):
    environment = settings(home, double, REMORA_POLICY=str(home / "policy.yaml"))
    ended = await run([sys.executable, "-c", SCRIPT, "w.yaml"], home, environment)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == ["completed", 3]
    assert "Warning" not in ended.stderr


async def test_ctrl_c_cancels_the_run_and_says_what_it_cost(home, double):
    held = Held("Do")
    double.route("POST", CHAT, held)
    inner = remora("workflow", "run", "w.yaml", "--goal", "tea")
    process = await asyncio.create_subprocess_exec(
        *remora("run", "--no-summary", "--", *inner), cwd=home, env=settings(home, double),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    async with asyncio.timeout(100):
        await held.met.wait()
        os.killpg(process.pid, signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert b"cancels the run" in err
    assert b"plan-and-do: cancelled in" in err
    held.gate.set()


async def test_a_sidecar_that_is_killed_loses_no_run_and_pays_no_step_twice(home, double):
    held = Held("Do")
    double.route("POST", CHAT, held)
    environment = settings(
        home, double, REMORA_DATA_DIR=str(home / "data"), REMORA_POLICY=str(home / "policy.yaml")
    )

    async def start(**more: str) -> ServerProcess:
        command = part_command("sidecar", "--ready-json")
        return await asyncio.to_thread(
            ServerProcess, "sidecar", command, {**environment, **more}, home / "log"
        )

    sidecar = await start()
    control = sidecar.ready["control"]
    try:
        async with AsyncClient(base_url=f"http://{control}/v1") as client:
            waiting = asyncio.ensure_future(
                client.workflows.execute(home / "w.yaml", {"goal": "x"})
            )
            async with asyncio.timeout(100):
                await held.met.wait()
                await asyncio.to_thread(sidecar.kill)
                held.gate.set()
                sidecar = await start(REMORA_CONTROL_LISTEN=control)
                result = await waiting
    finally:
        await asyncio.to_thread(sidecar.kill)
    assert result["status"] == "completed", result
    assert result["outputs"] == {"answer": "about Do about Plan x"}
    asked = [json.loads(request.body)["messages"][-1]["content"] for request in double.requests]
    assert asked.count("Plan x") == 1
    assert isinstance(result["known_cost_usd"], Decimal)
