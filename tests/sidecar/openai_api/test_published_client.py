"""Published clients, unmodified, in environments of their own, with the sidecar as base URL."""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sidecar.openai_api.conftest import CHAT

from remora.testing.double_answer import json_answer
from remora.testing.double_brain import OpenAIBrain

pytestmark = pytest.mark.timeout(900)

BROKER = ("kairosroute==0.1.0",)
AUTOGEN = ("autogen-agentchat>=0.7,<0.8", "autogen-ext[openai]>=0.7,<0.8")
CREWAI = ("crewai>=1.15,<1.16",)
SCRIPTS = Path(__file__).parent / "clients"

EMBEDDED = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": at, "embedding": [0.5, 0.25]} for at in range(2)],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}
COMPLETED = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "gpt-3.5-turbo-instruct",
    "choices": [{"index": 0, "text": "there", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
}


def install(folder: Path, *packages: str) -> str:
    """Install packages in an environment of their own, once; says why they can't be."""
    wanted = " ".join([sys.version, *packages])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed"
        if done.exists() and done.read_text() == wanted:
            return ""
        python = folder / "venv" / "bin" / "python"
        make = [sys.executable, "-m", "venv", "--clear", str(folder / "venv")]
        get = [str(python), "-m", "pip", "install", "--quiet", *packages]
        try:
            for command in (make, get):
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        except (subprocess.SubprocessError, OSError) as error:
            said = getattr(error, "stderr", "") or ""
            return f"{' '.join(packages)} could not be installed: {error} {str(said)[-500:]}"
        done.write_text(wanted)
    return ""


@pytest.fixture
def run(request, tmp_path):
    """Give what runs one of our scripts beside packages; skips where they can't be installed."""

    def run(name: str, packages: tuple[str, ...], script: str, url: str):
        folder = Path(request.config.cache.mkdir(name))
        if why_not := install(folder, *packages):
            pytest.skip(why_not)
        python = folder / "venv" / "bin" / "python"
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "BASE_URL": url, "NO_PROXY": "*"}
        done = subprocess.run(
            [str(python), str(SCRIPTS / script)],
            capture_output=True, text=True, env=env, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    return run


async def test_autogen_chats_and_streams(served, run):
    told = await asyncio.to_thread(
        run, "autogen-client", AUTOGEN, "autogen_round_trip.py", served.url
    )
    assert "remora would hold on" in told["agent"].lower()
    assert "remora would hold on" in told["stream"].lower()


async def test_a_crew_of_crewai_does_its_task(served, run):
    told = await asyncio.to_thread(run, "crewai-client", CREWAI, "crewai_round_trip.py", served.url)
    assert "remora would hold on" in told["crew"].lower()
    assert "remora would hold on" in told["called"].lower()


@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
async def test_the_published_client_works(serve, run, base):
    budgets = [
        {"name": "per-task", "per": "task", "maxCostUSD": "0.002", "onExceed": "block"},
        {"name": "cap", "per": "call", "maxCostUSD": "0.1", "onExceed": "block"},
    ]
    async with serve("openai", budgets=budgets) as served:
        served.base = base
        served.double.route("POST", "/v1/embeddings", json_answer(json.dumps(EMBEDDED).encode()))
        served.double.route("POST", "/v1/completions", json_answer(json.dumps(COMPLETED).encode()))
        served.double.route("POST", CHAT, OpenAIBrain())
        told = await asyncio.to_thread(
            run, "broker-client", BROKER, "broker_round_trip.py", served.url
        )

    for name in ("chat", "auto", "named"):
        answer = told[name]
        assert "remora would hold on" in answer["choices"][0]["message"]["content"]
        block = answer["x_kairosroute"]
        assert block["provider"] == "openai"
        assert block["cost_usd"] > 0
        assert block["savings_usd"] >= 0
    assert told["chat"]["x_kairosroute"]["routed_from"] == "kr-auto"
    assert told["auto"]["x_kairosroute"]["routed_from"] == "auto"
    assert told["named"]["x_kairosroute"]["routed_from"] is None

    words = [
        one["choices"][0]["delta"].get("content") or "" for one in told["chunks"] if one["choices"]
    ]
    assert "remora would hold on" in "".join(words)
    assert told["chunks"][-1]["x_kairosroute"]["cost_usd"] > 0

    assert told["completion"]["choices"] == COMPLETED["choices"]
    assert told["embeddings"]["data"] == EMBEDDED["data"]
    assert told["models"]["data"][0]["id"] == "auto"

    assert told["unknown"][:2] == ["KairosRouteError", 400]
    assert told["unsupported"][:2] == ["KairosRouteError", 400]
    assert "plugins" in told["unsupported"][2]
    assert told["broken"][:2] == ["ProviderError", 503]
    assert told["dear"][:2] == ["KairosRouteError", 402]
    assert told["ended"][:2] == ["AuthenticationError", 401]
    assert told["spent"][0] is None
    kind, status, _, code = told["spent"][-1]
    assert (kind, status, code) == ("BudgetExceededError", 429, "BUDGET_EXCEEDED")
