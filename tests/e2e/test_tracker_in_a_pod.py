"""A tracker in a pod: it finds the sidecar by itself, and its calls keep their sessions."""

import pytest

pytestmark = [pytest.mark.netns, pytest.mark.slow]

AGENT = """
import json, os, subprocess, sys, tempfile, warnings
warnings.simplefilter("error")
import openai
from remora import LLMTracker, RandomRouter, get_current_session_proxy

ask = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
client = openai.OpenAI(max_retries=0)
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
child = (
    "import openai; openai.OpenAI(max_retries=0).chat.completions.create("
    "model='gpt-4o', messages=[{'role': 'user', 'content': 'child'}])"
)
with LLMTracker(router=RandomRouter(["gpt-4.1-nano"])) as tracker:
    with tracker.track("here", "c"):
        client.chat.completions.create(**ask)
        port = get_current_session_proxy().port
    with tracker.track("child"):
        subprocess.run([sys.executable, "-P", "-c", child], check=True)
    client.chat.completions.create(**ask)
shown = [(r.data_id, r.combo_id, r.model, r.requested_model, r.session_id) for r in tracker.records]
tracker.close()
client.close()
print(json.dumps({"port": port, "records": shown, "left": os.listdir(".")}))
folder.cleanup()
"""


async def test_a_tracker_finds_the_sidecar_of_its_pod(stage_pod):
    async with stage_pod() as pod:
        told = await pod.python(AGENT)
        records = await pod.records()
    assert told["port"] == 15002
    assert told["left"] == []
    shown = [tuple(one[:4]) for one in told["records"]]
    assert shown == [
        ("here", "c", "gpt-4.1-nano", "gpt-4o"),
        ("child", None, "gpt-4.1-nano", "gpt-4o"),
    ]
    sessions = [record.attribution.session_id for record in records]
    assert sessions == [*(one[4] for one in told["records"]), "default"]
    assert [record.sent_model for record in records] == ["gpt-4.1-nano", "gpt-4.1-nano", "gpt-4o"]


async def test_what_changes_a_pods_sidecar_is_refused_to_its_agents(stage_pod):
    program = """
from remora import LLMTracker
from remora.errors import Unavailable
import json
said = []
with LLMTracker() as tracker:
    changes = [tracker.clear_cache, lambda: tracker.register_provider("x", "http://x.example", ())]
    for change in changes:
        try:
            change()
        except Unavailable as error:
            said.append(str(error))
tracker.close()
print(json.dumps(said))
"""
    async with stage_pod() as pod:
        said = await pod.python(program)
    assert len(said) == 2
    assert all("admin call" in text for text in said)
