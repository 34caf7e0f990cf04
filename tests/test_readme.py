"""The README's two commands, run as a newcomer runs them: in a clean copy."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def commands() -> list[str]:
    """The lines of the README's first block of shell, without their comments."""
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line.partition("#")[0].strip() for line in block[1].splitlines()]


@pytest.fixture(scope="module")
def clean_copy(tmp_path_factory) -> Path:
    """What a clone would hold: committed and new files, nothing that is ignored."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    copy = tmp_path_factory.mktemp("clone") / "remora"
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy


def _run(command: list[str], folder: Path) -> str:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REMORA_", "VIRTUAL_ENV", "PYTEST_", "PYTHONPATH"))
    }
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1100
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    return ended.stdout


def test_the_readme_names_two_commands(commands):
    assert commands == ["make demo", "make test"]


def test_both_commands_do_all_their_own_set_up(commands, clean_copy):
    """The second runs a part of the tests: the whole of them is what runs this test."""
    demo, test = (command.split() for command in commands)
    told = _run(demo, clean_copy)
    assert "gpt-4o-mini" in told
    assert "5 calls" in told
    assert (clean_copy / ".venv" / "bin" / "remora").exists()
    some = "tests/sdk/client tests/sdk/providers tests/test_house.py"
    tested = _run([*test, f"PYTEST_ARGS=-q {some}"], clean_copy)
    assert re.search(r"\d+ passed", tested)
