"""LiteLLM is left out with a reason wherever it can't be measured."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import cast

import pytest
from bench import beside, litellm
from bench.report import table_row
from bench.scale import QUICK
from bench.servers import Bench


@pytest.fixture
def environment(monkeypatch, tmp_path):
    monkeypatch.setattr(litellm, "ENVIRONMENT", tmp_path / "environment")
    return tmp_path / "environment"


def test_where_it_does_not_install_the_rows_say_so(monkeypatch):
    def installed() -> str:
        raise litellm.NoLiteLLM("pip: no matching distribution")

    monkeypatch.setattr(litellm, "installed", installed)
    figures = beside.beside_litellm(cast(Bench, None), QUICK)
    assert [figure.why_not for figure in figures] == ["pip: no matching distribution"] * 2
    assert "not measured: pip: no matching distribution" in table_row(figures[0])


def test_a_failed_installation_says_what_pip_said(environment, monkeypatch):
    def run(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="looking\nno network\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(litellm.NoLiteLLM, match="no network"):
        litellm.installed()


def _program(environment, text: str) -> None:
    program = environment / "bin" / "litellm"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!{sys.executable}\n{text}")
    program.chmod(0o755)


def test_one_that_ends_at_once_did_not_start(environment, tmp_path):
    _program(environment, "print('no master key')\nraise SystemExit(1)\n")
    with (
        pytest.raises(litellm.NoLiteLLM, match="no master key"),
        litellm.running(tmp_path / "run", "127.0.0.1:1", tmp_path / "ca.pem"),
    ):
        pass


@pytest.fixture
def alive() -> Iterator[int]:
    class Alive(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health/liveliness" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Alive) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_one_that_answers_runs_until_it_is_stopped(environment, tmp_path, alive, monkeypatch):
    _program(environment, "import signal\nsignal.pause()\n")
    monkeypatch.setattr(litellm, "_free_port", lambda: alive)
    with litellm.running(tmp_path / "run", "127.0.0.1:1", tmp_path / "ca.pem") as side:
        assert side.route.address == ("127.0.0.1", alive)
        assert "https://localhost:1/v1" in (tmp_path / "run" / "config.yaml").read_text()
    with pytest.raises(ProcessLookupError):
        os.kill(side.pid, 0)
