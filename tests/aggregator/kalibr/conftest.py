"""An aggregator that Kalibr's clients are pointed at, and the published clients themselves."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from remora.testing.double import ProviderDouble
from remora.testing.double_brain import OpenAIBrain
from remora.testing.postgres_server import PostgresServer, postgres_server, why_not
from remora_aggregator.server import Aggregator
from remora_aggregator.testing import temporary_aggregator

PACKAGES = ("kalibr==1.14.4", "langchain-kalibr==0.1.0", "openai>=2,<4")
SCRIPTS = Path(__file__).parent / "clients"
KEY = "member-token-0123456789"
TENANT = "team-a"
TOKENS = f"""
{KEY} {TENANT}
other-token-01234567890 team-b
reader-token-0123456789 team-a reader anna
admin-token-01234567890 * admin carla
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    json: Any
    headers: Any


@dataclass(slots=True)
class Api:
    """A program that asks an aggregator over Kalibr's paths."""

    aggregator: Aggregator
    client: aiohttp.ClientSession
    headers: dict[str, str] = field(
        default_factory=lambda: {"X-API-Key": KEY, "X-Tenant-ID": TENANT}
    )

    @property
    def url(self) -> str:
        return f"http://{self.aggregator.http_address}"

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        used = {"headers": self.headers, **options}
        if body is not None:
            used["json"] = body
        async with self.client.request(method, f"{self.url}{path}", **used) as answer:
            text = await answer.text()
            return Answer(answer.status, json.loads(text) if text else None, answer.headers)

    async def get(self, path: str, **options: Any) -> Any:
        """Ask what has to be answered with 200."""
        answer = await self.ask("GET", path, **options)
        assert answer.status == 200, answer.json
        return answer.json

    async def post(self, path: str, body: Any, **options: Any) -> Any:
        """Send what has to be answered with 200."""
        answer = await self.ask("POST", path, body, **options)
        assert answer.status == 200, answer.json
        return answer.json


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(TOKENS)
    return path


@asynccontextmanager
async def _api(**settings: Any) -> AsyncIterator[Api]:
    async with temporary_aggregator(**settings) as running, aiohttp.ClientSession() as client:
        yield Api(running, client)


@pytest.fixture
def open_api():
    """Give what runs an aggregator with the settings that a test names."""
    return _api


@pytest.fixture
async def api(token_file: Path) -> AsyncIterator[Api]:
    """An aggregator with tokens, on SQLite."""
    async with _api(token_file=token_file) as api:
        yield api


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer | None]:
    if why_not():
        yield None
        return
    with postgres_server(fsync=False) as server:
        yield server


@pytest.fixture
def dsn(_postgres: PostgresServer | None) -> Iterator[str]:
    """A database for one test; skips, with the reason, where there is no server."""
    import psycopg

    if _postgres is None:
        pytest.skip(why_not())
    name = f"kalibr_{time.monotonic_ns()}"
    with psycopg.connect(_postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {name}")
        yield _postgres.dsn(name)
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(params=["sqlite", "postgres"])
async def any_api(request: pytest.FixtureRequest, token_file: Path) -> AsyncIterator[Api]:
    """An aggregator on each database there is."""
    settings: dict[str, Any] = {"token_file": token_file}
    if request.param == "postgres":
        settings["database"] = request.getfixturevalue("dsn")
    async with _api(**settings) as api:
        yield api


# The published clients.


def _install(folder: Path) -> str:
    """Install the clients in an environment of their own, once; says why it can't be."""
    wanted = " ".join([sys.version, *PACKAGES])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed"
        if done.exists() and done.read_text() == wanted:
            return ""
        python = folder / "venv" / "bin" / "python"
        make = [sys.executable, "-m", "venv", "--clear", str(folder / "venv")]
        install = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
        try:
            for command in (make, install):
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=500)
        except (subprocess.SubprocessError, OSError) as error:
            said = getattr(error, "stderr", "") or ""
            return f"{' '.join(PACKAGES)} could not be installed: {error} {str(said)[-500:]}"
        done.write_text(wanted)
    return ""


@dataclass(slots=True)
class PublishedClient:
    """The published package, run as a program of its own."""

    python: Path
    home: Path

    def environment(self, api: Api, **more: str) -> dict[str, str]:
        """Point it at an aggregator, and nowhere else."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "KALIBR_API_KEY": api.headers["X-API-Key"],
            "KALIBR_TENANT_ID": api.headers["X-Tenant-ID"],
            "KALIBR_AUTH_TOKEN": api.headers["X-API-Key"],
            "KALIBR_INTELLIGENCE_URL": api.url,
            "KALIBR_COLLECTOR_URL": f"{api.url}/api/ingest",
            "KALIBR_API_ENDPOINT": f"{api.url}/api/v1/traces",
            "KALIBR_BACKEND_URL": api.url,
            "KALIBR_API_URL": api.url,
            "KALIBR_AUTO_INSTRUMENT": "false",
            "OPENAI_API_KEY": "sk-none",
            "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
            "NO_PROXY": "*",
            **more,
        }

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(self.python), *command], capture_output=True, text=True, cwd=self.home,
            timeout=options.pop("timeout", 300), **options,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done

    def told(self, script: str, *arguments: str, **options: Any) -> Any:
        """Run one of our scripts; the last line that it prints is JSON."""
        done = self.run(str(SCRIPTS / script), *arguments, **options)
        return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="session")
def _installed(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Path | str:
    cache = request.config.cache
    made = tmp_path_factory.mktemp("kalibr-client")
    folder = Path(cache.mkdir("kalibr-client")) if cache is not None else made
    return _install(folder) or folder / "venv" / "bin" / "python"


@pytest.fixture
def published(_installed: Path | str, tmp_path: Path) -> PublishedClient:
    """The published client with a home of its own; skips, with the reason, where there is none."""
    if isinstance(_installed, str):
        pytest.skip(_installed)
    home = tmp_path / "home"
    (home / ".kalibr").mkdir(parents=True)
    # Else importing it starts a thread that asks its maker's site for a file.
    synced = {"last_sync": time.time(), "version": ""}
    (home / ".kalibr" / "agents_sync_cache.json").write_text(json.dumps(synced))
    return PublishedClient(_installed, home)


@pytest.fixture
async def provider() -> AsyncIterator[ProviderDouble]:
    """A provider of Chat Completions."""
    async with ProviderDouble(brain=OpenAIBrain()) as double:
        yield double
