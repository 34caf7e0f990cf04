"""kill -9 of a part, whenever it likes: what completed at the agent is there exactly once."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from remora.client.records import RecordClient
from remora.client.target import AggregatorTarget
from remora.testing.double import ProviderDouble
from remora.testing.raw_agent import CutError, RawAgent
from remora.testing.server_process import ServerProcess, part_command

HOST = "api.openai.com"
ASKED = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()

pytestmark = pytest.mark.slow


@dataclass
class Stage:
    """A double in this process; a sidecar and an aggregator that can be killed and restarted."""

    folder: Path
    double: ProviderDouble
    sidecar: ServerProcess | None = None
    aggregator: ServerProcess | None = None
    aggregator_address: str = "127.0.0.1:0"

    async def start_aggregator(self) -> None:
        self.aggregator = await self._start(
            "aggregator",
            {
                "REMORA_AGGREGATOR_LISTEN": self.aggregator_address,
                "REMORA_AGGREGATOR_DATA_DIR": str(self.folder / "aggregator"),
            },
        )
        self.aggregator_address = self.aggregator.ready["address"]

    async def start_sidecar(self) -> None:
        ca = self.folder / "provider-ca.pem"
        ca.write_text(self.double.ca_pem)
        host, port = self.double.address
        self.sidecar = await self._start(
            "sidecar",
            {
                "REMORA_LISTEN": "127.0.0.1:0",
                "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
                "REMORA_STATUS_LISTEN": "127.0.0.1:0",
                "REMORA_DATA_DIR": str(self.folder / "sidecar"),
                "REMORA_AGGREGATOR": self.aggregator_address,
                "REMORA_UPSTREAM_CA": str(ca),
                "REMORA_CONNECT_TO": f"{HOST}:443:{host}:{port}",
            },
        )

    async def _start(self, part: str, settings: dict[str, str]) -> ServerProcess:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **settings}
        command = part_command(part, "--ready-json")
        log = self.folder / f"{part}.log"
        return await asyncio.to_thread(ServerProcess, part, command, environment, log)

    async def kill(self, server: ServerProcess) -> None:
        await asyncio.to_thread(server.kill)

    async def connect(self) -> RawAgent:
        host, port = self.sidecar.ready["proxy"].rsplit(":", 1)
        ca_pem = (Path(self.sidecar.ready["trust_dir"]) / "ca.pem").read_text()
        return await RawAgent.through((host, int(port)), HOST, ca_pem=ca_pem)

    async def call(self, agent: RawAgent) -> str:
        """Make one call; its id, once the answer came whole."""
        answer = await agent.ask("POST", "/v1/chat/completions", [("Host", HOST)], ASKED)
        assert (answer.status, answer.cut) == (200, False)
        return answer.header("remora-call-id")

    async def recorded(self, expected: set[str]) -> list[str]:
        """Wait until the expected calls can be queried; give the ids of all that can."""
        async with asyncio.timeout(60):
            while not expected <= set(ids := await asyncio.to_thread(self._query)):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return ids

    def _query(self) -> list[str]:
        with RecordClient(AggregatorTarget(self.aggregator_address)) as client:
            return [stored.record.call_id for stored in client.query()]


@pytest.fixture
async def stage(tmp_path) -> AsyncIterator[Stage]:
    async with ProviderDouble(names=[HOST], keep_requests=False) as double:
        made = Stage(tmp_path, double)
        await made.start_aggregator()
        await made.start_sidecar()
        try:
            yield made
        finally:
            for server in (made.sidecar, made.aggregator):
                with contextlib.suppress(ProcessLookupError):
                    await made.kill(server)


async def _calls_until_cut(stage: Stage, completed: list[str]) -> None:
    """Call until the sidecar is gone."""
    with contextlib.suppress(CutError, ConnectionError, OSError):
        async with await stage.connect() as agent:
            while True:
                completed.append(await stage.call(agent))


@pytest.mark.parametrize("calls_before", [1, 40])
async def test_a_killed_sidecar_loses_no_completed_call(stage, calls_before):
    completed: list[str] = []
    callers = [asyncio.ensure_future(_calls_until_cut(stage, completed)) for _ in range(4)]
    async with asyncio.timeout(30):
        while len(completed) < calls_before:  # noqa: ASYNC110 - a list tells nobody
            await asyncio.sleep(0)
    await stage.kill(stage.sidecar)
    await asyncio.gather(*callers)
    await stage.start_sidecar()
    ids = await stage.recorded(set(completed))
    assert len(ids) == len(set(ids))


async def test_calls_made_without_an_aggregator_arrive_after_a_kill(stage):
    await stage.kill(stage.aggregator)
    async with await stage.connect() as agent:
        completed = [await stage.call(agent) for _ in range(20)]
    await stage.kill(stage.sidecar)
    await stage.start_aggregator()
    await stage.start_sidecar()
    assert sorted(await stage.recorded(set(completed))) == sorted(completed)


async def test_an_aggregator_killed_while_records_stream_in_stores_each_once(stage):
    completed: list[str] = []
    async with await stage.connect() as agent:
        for _ in range(3):
            for _ in range(60):
                completed.append(await stage.call(agent))
            await stage.kill(stage.aggregator)
            completed.append(await stage.call(agent))
            await stage.start_aggregator()
    assert sorted(await stage.recorded(set(completed))) == sorted(completed)
