"""Bodies far past the held limit go through a sidecar whose memory stays where it was."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from remora.testing.double import ProviderDouble
from remora.testing.raw_agent import RawAgent
from remora.testing.server_process import ServerProcess, part_command

HOST = "api.openai.com"
BODY_BYTES = 300 << 20
HELD_BYTES = 8 << 20
GROWTH_BYTES = 64 << 20
"""Held bytes, the copies of them that are made on the way, and buffers; far below a body."""

pytestmark = pytest.mark.slow


def _highest_bytes(pid: int) -> int:
    """The most memory that a process ever had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


@pytest.fixture
async def stage(tmp_path):
    async with ProviderDouble(names=[HOST], keep_requests=False, body_limit_bytes=0) as double:
        ca = tmp_path / "ca.pem"
        ca.write_text(double.ca_pem)
        host, port = double.address
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "REMORA_LISTEN": "127.0.0.1:0",
            "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
            "REMORA_STATUS_LISTEN": "127.0.0.1:0",
            "REMORA_AGGREGATOR": "none",
            "REMORA_UPSTREAM_CA": str(ca),
            "REMORA_CONNECT_TO": f"{HOST}:443:{host}:{port}",
            "REMORA_HELD_BODY_BYTES": str(HELD_BYTES),
        }
        command = part_command("sidecar", "--ready-json")
        log = tmp_path / "sidecar.log"
        server = await asyncio.to_thread(ServerProcess, "sidecar", command, environment, log)
        address, _, port = server.ready["proxy"].rpartition(":")
        ca_pem = (Path(server.ready["trust_dir"]) / "ca.pem").read_text()
        agent = await RawAgent.through((address, int(port)), HOST, ca_pem=ca_pem)
        await agent.ask("GET", "/v1/models", [("Host", HOST)])
        try:
            yield agent, server.pid
        finally:
            agent.abort()
            await asyncio.to_thread(server.stop)


async def test_a_long_download_is_never_held(stage):
    agent, pid = stage
    before = _highest_bytes(pid)
    await agent.send("GET", f"/bytes/{BODY_BYTES}", [("Host", HOST)])
    got = 0
    async for piece in agent.pieces(await agent.head()):
        got += len(piece)
    assert got == BODY_BYTES
    assert _highest_bytes(pid) - before < GROWTH_BYTES


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_long_upload_is_held_up_to_the_limit_alone(stage, chunked):
    agent, pid = stage
    before = _highest_bytes(pid)
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(BODY_BYTES))
    await agent.send("POST", "/sink", [("Host", HOST), framing])
    piece = bytes(1 << 20)
    for _ in range(BODY_BYTES >> 20):
        await agent.write(b"100000\r\n%b\r\n" % piece if chunked else piece)
    if chunked:
        await agent.write(b"0\r\n\r\n")
    assert json.loads((await agent.answer()).body)["bytes"] == BODY_BYTES
    assert _highest_bytes(pid) - before < GROWTH_BYTES
