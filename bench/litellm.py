"""LiteLLM's proxy as a server of the bench, in an environment of its own. Nothing else needs it."""

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.asking import CREDENTIAL
from bench.connection import Route
from bench.cores import PROXY_CORE, on_core
from bench.machine import CHECKOUT
from bench.provider import LOCAL_NAME
from bench.servers import Side, clean_environment

ENVIRONMENT = CHECKOUT / "bench" / ".work" / "litellm"
"""Kept from run to run: it takes minutes to make and some 700 MB."""

_INSTALL_S = 900.0
_START_S = 120.0
_POLL_S = 0.25


class NoLiteLLM(Exception):
    """LiteLLM can't be measured here; says why in a few words."""


def installed() -> str:
    """Install it where it is not, and return its version.

    Raises:
        NoLiteLLM: It can't be installed.
    """
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "bin" / "litellm").exists():
        _run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], "venv")
        _run([str(python), "-m", "pip", "install", "--quiet", "litellm[proxy]"], "pip")
    code = "from importlib.metadata import version; print(version('litellm'))"
    return _run([str(python), "-c", code], "its Python").strip()


def _run(command: list[str], what: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_INSTALL_S, check=True
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip().splitlines()
        raise NoLiteLLM(f"{what}: {said[-1][:200] if said else 'failed'}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoLiteLLM(f"{what}: {type(error).__name__}") from error
    return done.stdout


@contextlib.contextmanager
def running(folder: Path, provider: str, provider_ca: Path) -> Iterator[Side]:
    """Run the proxy, one worker, no database, in front of the provider double.

    Args:
        folder: For its files.
        provider: The double's ``host:port``.
        provider_ca: The root of the double's certificate.

    Raises:
        NoLiteLLM: It did not start.
    """
    folder.mkdir()
    port = _free_port()
    environment = _environment(folder, provider_ca)
    with (folder / "log").open("wb") as log, on_core(PROXY_CORE):
        process = subprocess.Popen(
            _command(folder, provider, port),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(process, port, folder / "log")
        yield Side("LiteLLM", Route(("127.0.0.1", port)), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(folder: Path, provider_ca: Path) -> dict[str, str]:
    return {
        **clean_environment(),
        "HOME": str(folder),
        "LITELLM_MASTER_KEY": CREDENTIAL,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would fetch prices from the internet
        "LITELLM_LOG": "ERROR",
        "SSL_CERT_FILE": str(provider_ca),
        "NO_PROXY": "*",
    }


def _command(folder: Path, provider: str, port: int) -> list[str]:
    upstream = f"https://{LOCAL_NAME}:{provider.rpartition(':')[2]}/v1"
    named = {"model": "openai/gpt-4o-mini", "api_base": upstream, "api_key": CREDENTIAL}
    config = {
        "model_list": [{"model_name": "gpt-4o-mini", "litellm_params": named}],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
    }
    quiet = {"version": 1, "disable_existing_loggers": False}
    quiet["loggers"] = {"uvicorn.access": {"level": "ERROR"}}
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    (folder / "log.json").write_text(json.dumps(quiet))
    command = [str(ENVIRONMENT / "bin" / "litellm"), "--config", str(folder / "config.yaml")]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return [*command, "--log_config", str(folder / "log.json")]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _START_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > end:
            said = log.read_text(errors="replace").strip().splitlines()
            raise NoLiteLLM(f"it did not start: {said[-1][:200] if said else 'it said nothing'}")
        time.sleep(_POLL_S)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/liveliness")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
