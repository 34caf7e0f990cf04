"""The command itself: finding commands, missing extras, exit codes."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import click
import pytest
from click.testing import CliRunner

from remora.cli import main as room
from remora.cli.main import SUMMARIES, _guarded, cli
from remora.errors import BadRequest, ConfigError, Problem, Unavailable


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "remora", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_help_lists_every_command_with_its_summary():
    shown = CliRunner().invoke(cli, ["--help"]).output
    for name in SUMMARIES:
        assert f"\n  {name} " in shown


def test_summaries_are_those_of_the_commands():
    with click.Context(cli) as context:
        names = cli.list_commands(context)
        assert names == list(SUMMARIES)
        for name in names:
            assert cli.get_command(context, name).help


def test_help_imports_no_part_and_nothing_heavy():
    code = (
        "import json, sys\n"
        "from click.testing import CliRunner\n"
        "from remora.cli.main import cli\n"
        "CliRunner().invoke(cli, ['--help'])\n"
        "print(json.dumps([m for m in sys.modules if m.partition('.')[0] in "
        "('grpc', 'pydantic', 'rich', 'aiohttp', 'remora_sidecar', 'remora_aggregator')]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert json.loads(ended.stdout) == []


def test_a_command_whose_part_is_not_installed_names_the_extra(monkeypatch):
    absent = EntryPoint("sidecar", "remora_sidecar.absent:command", room.GROUP)

    def load(_: EntryPoint) -> object:
        raise ModuleNotFoundError("No module named 'mitmproxy'", name="mitmproxy")

    monkeypatch.setattr(room, "_entries", lambda: [absent])
    monkeypatch.setattr(EntryPoint, "load", load)
    result = CliRunner().invoke(cli, ["sidecar"])
    assert result.exit_code == 2
    assert "pip install 'remora[sidecar]'" in result.output


def test_an_unknown_command_is_2():
    ended = _run("no-such-command")
    assert ended.returncode == 2
    assert "No such command" in ended.stderr


def test_the_version_is_said():
    assert _run("--version").stdout.startswith("remora, version ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError([Problem("REMORA_X", "wrong")]), 2),
        (BadRequest("no"), 2),
        (Unavailable("away"), 3),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("what"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_escapes_becomes_an_exit_code_and_no_traceback(error, code, capsys):
    def run():
        raise error

    assert _guarded(run) == code
    assert "Traceback" not in capsys.readouterr().err


def test_without_an_aggregator_records_says_what_to_do():
    ended = _run("records", "--aggregator", "127.0.0.1:1")
    assert ended.returncode == 3
    assert "remora aggregator" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -P -m remora --help | true"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in ended.stderr
