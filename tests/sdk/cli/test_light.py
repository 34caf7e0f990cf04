"""The command where only the light library is installed: no extra's package can be found."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_SOURCES = ("sdk", "proto", "sidecar", "aggregator", "operator")


def _light_distributions() -> list[metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    todo = ["remora"]
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        todo += [
            re.match(r"[A-Za-z0-9._-]+", requirement)[0]
            for requirement in found[name].requires or ()
            if "extra ==" not in requirement and "python_version <" not in requirement
        ]
    return list(found.values())


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """Run the command with the library's own dependencies on its path, and nothing else."""
    folder = tmp_path_factory.mktemp("light")
    for distribution in _light_distributions():
        for top in {file.parts[0] for file in distribution.files or ()}:
            link = folder / top
            if top not in {"..", "__pycache__"} and not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(top))))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(map(str, [folder, *(ROOT / source for source in _SOURCES)]))
        kept = {k: v for k, v in os.environ.items() if not k.startswith("REMORA_")}
        return subprocess.run(
            [sys.executable, "-S", "-P", "-m", "remora", *arguments],
            env={**kept, "PYTHONPATH": path, "COLUMNS": "200", "HOME": str(folder)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def _listed(help_text: str) -> dict[str, str]:
    """Return each command's line of the help, unwrapped."""
    listing = re.sub(r"\n {4,}", " ", help_text.partition("Commands:")[2])
    return {line.split()[0]: line for line in listing.splitlines() if line.strip()}


def test_help_lists_all_commands_and_marks_those_whose_packages_are_missing(light):
    listed = _listed(light("--help").stdout)
    marked = {name for name, line in listed.items() if "not installed" in line}
    operator = {"inject", "operator", "ca", "doctor"}
    assert marked == {"demo", "run", "sidecar", "gateway", "aggregator", "workflow", *operator}
    assert {"records", "usage", "netinit"} <= listed.keys()
    assert "pip install 'remora[sidecar,aggregator,demo]'" in listed["demo"]


def test_help_marks_nothing_where_everything_is_installed():
    command = [sys.executable, "-P", "-m", "remora", "--help"]
    assert "not installed" not in subprocess.run(command, capture_output=True, text=True).stdout


@pytest.mark.parametrize("part", ["sidecar", "aggregator"])
def test_running_a_part_that_is_not_installed_names_its_extra_and_is_2(light, part):
    ended = light(part)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"remora {part}: needs ")
    assert f"pip install 'remora[{part}]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_records_need_only_the_light_library(light):
    ended = light("records", "--aggregator", "127.0.0.1:9")
    assert ended.returncode == 3
    assert "no aggregator answers at 127.0.0.1:9" in ended.stderr


def test_explaining_a_policy_without_the_sidecars_packages_names_its_extra_and_is_2(
    light, tmp_path
):
    policy = tmp_path / "p.yaml"
    policy.write_text(
        "{apiVersion: remora.dev/v1alpha1, kind: LLMPolicy, metadata: {name: p}, spec: {}}"
    )
    ended = light("policy", "explain", str(policy), "--url", "https://api.openai.com/v1/models")
    assert ended.returncode == 2
    assert "pip install 'remora[sidecar]'" in ended.stderr
    assert "Traceback" not in ended.stderr
