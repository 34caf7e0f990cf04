"""A whole sidecar in front of a double, and a program beside it that calls and steers tasks."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from tests.sidecar.engine.conftest import local_settings

from remora.record_wire import from_message
from remora.records import CallRecord
from remora.testing.double import ProviderDouble
from remora_sidecar.assembly import Sidecar, running_sidecar
from remora_sidecar.settings import format_address

CHAT = "/v1/chat/completions"
LIMIT_S = 60.0


async def until(condition: Callable[[], object]) -> None:
    """Wait until something outside this task has come true."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - it belongs to code that signals nothing
            await asyncio.sleep(0.005)


@dataclass
class Beside:
    """A running sidecar, a program beside it, and the double behind."""

    sidecar: Sidecar
    double: ProviderDouble
    client: aiohttp.ClientSession
    base: str = "/v1"

    @property
    def root(self) -> str:
        return f"http://{format_address(self.sidecar.control)}"

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Make a control call; gives the status and what the JSON holds."""
        url = f"{self.root}{self.base}{path}"
        async with self.client.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def task(self, task_id: str, **query: Any) -> Any:
        """Give a task's answer, which has to be one."""
        words = "&".join(f"{name}={quote(str(value))}" for name, value in query.items())
        status, answer = await self.ask("GET", f"/tasks/{quote(task_id, safe='')}?{words}")
        assert status == 200, answer
        return answer

    async def steer(self, task_id: str, what: str, **body: Any) -> Any:
        """Steer a task, which has to be possible."""
        status, answer = await self.ask("POST", f"/tasks/{quote(task_id, safe='')}/{what}", body)
        assert status == 200, answer
        return answer["task"]

    async def chat(self, task_id: str = "t-1", **more: Any) -> tuple[int, Any]:
        """Make a call of a task; gives its status and its answer."""
        body = {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "Say hello."}],
            **more,
        }
        headers = {"remora-task": task_id, "Authorization": "Bearer sk-agent"}
        url = f"{self.root}{CHAT}"
        async with self.client.post(url, json=body, headers=headers) as answer:
            return answer.status, json.loads(await answer.text())

    async def records(self) -> list[CallRecord]:
        """Give the records that wait in the spool, oldest first."""
        rows = await self.sidecar.spool.batch(10_000, 1 << 30)
        self.sidecar.spool.rewind()
        return [from_message(row.message) for row in rows]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something outside the test has come true."""
        await until(condition)


Open = Callable[..., contextlib.AbstractAsyncContextManager[Beside]]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Give what starts a sidecar with settings of the test's own."""

    @contextlib.asynccontextmanager
    async def start(name: str = "one", **changed: Any) -> AsyncIterator[Beside]:
        folder = tmp_path / name
        folder.mkdir()
        async with (
            ProviderDouble() as double,
            running_sidecar(local_settings(folder, double, **changed)) as sidecar,
            aiohttp.ClientSession() as client,
        ):
            yield Beside(sidecar, double, client)

    return start


@pytest.fixture
async def beside(opened: Open) -> AsyncIterator[Beside]:
    """A sidecar without an aggregator."""
    async with opened() as one:
        yield one
