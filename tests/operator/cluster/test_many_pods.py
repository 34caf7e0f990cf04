"""What five thousand pods cost a replica that watches them."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from tests.operator.cluster.staging import Opened, agent_pod

PODS = 5000
ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_five_thousand_pods_take_little_memory():
    made = agent_pod(app="research")
    async with Opened() as cluster:
        for index in range(10):
            cluster.put_policy("research", namespace=f"team-{index}")
        for index in range(PODS):
            cluster.put_pod(f"agent-{index}", made, namespace=f"team-{index % 10}")
        script = Path(__file__).with_name("watcher_process.py")
        watcher = await asyncio.create_subprocess_exec(
            sys.executable, script, cluster.fake.url, stdout=asyncio.subprocess.PIPE, cwd=ROOT
        )
        said, _ = await watcher.communicate()
    found = json.loads(said)
    print(f"{found['pods']} pods: {found['grown_mib']:.1f} MiB, {found['cpu_s']:.2f} s of CPU")
    assert watcher.returncode == 0
    assert found["pods"] == PODS
    assert found["grown_mib"] < 64
