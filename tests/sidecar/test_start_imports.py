"""What a sidecar loads before it listens, and what it leaves for first use."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_HEAVY = {"opentelemetry", "redis", "botocore", "boto3", "tokenizers", "genai_prices", "openai"}
"""Load on first use, or not at all (prices: in a thread, once the sidecar listens)."""

_START = """
import asyncio, json, sys
from remora_sidecar.commands.sidecar import import_parts

import_parts()
before = set(sys.modules)

async def start():
    from remora_sidecar.assembly import running_sidecar
    from remora_sidecar.engine.pricing import PriceBook
    from remora_sidecar.settings import read_settings

    PriceBook.load = lambda self: None
    async with running_sidecar(read_settings()):
        return sorted(set(sys.modules) - before)

later = asyncio.run(start())
print(json.dumps({"before": sorted(before), "later": later}))
"""


def _started(folder: Path, **settings: str) -> dict[str, set[str]]:
    environment = {
        "REMORA_MODE": "explicit",
        "REMORA_LISTEN": "127.0.0.1:0",
        "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
        "REMORA_STATUS_LISTEN": "127.0.0.1:0",
        "REMORA_AGGREGATOR": "none",
        "REMORA_DATA_DIR": str(folder / "data"),
        "HOME": str(folder),
        **settings,
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", _START],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {when: set(modules) for when, modules in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    return _started(tmp_path_factory.mktemp("plain"))


def _top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_heavy_libraries_load_on_first_use(modules):
    assert not _top(modules["before"] | modules["later"]) & _HEAVY


def test_what_a_plain_start_needs_is_imported_before_it_begins(modules):
    ours = {name for name in modules["later"] if name.startswith("remora")}
    assert ours == set()
    assert "remora_sidecar.engine.call" in modules["before"]


def test_a_sidecar_that_exports_nothing_loads_nothing_of_the_export(modules):
    assert "remora.telemetry.settings" not in modules["before"] | modules["later"]


def test_a_cache_in_memory_and_on_disk_loads_no_redis(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\nmetadata: {name: cached}\n"
        "spec: {cache: {mode: readwrite}}\n"
    )
    modules = _started(tmp_path, REMORA_POLICY=str(policy))
    assert not _top(modules["before"] | modules["later"]) & _HEAVY
