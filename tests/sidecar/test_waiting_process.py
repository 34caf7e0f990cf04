"""A sidecar as a process of its own whose operator has sent no policy yet."""

import asyncio
import os
import sys

import aiohttp


async def test_a_sidecar_that_waits_says_why_and_ends_when_told(tmp_path, unused_tcp_port):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("REMORA_")}
    environment = {
        **inherited,
        "REMORA_DATA_DIR": str(tmp_path / "data"),
        "REMORA_LISTEN": "127.0.0.1:0",
        "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
        "REMORA_STATUS_LISTEN": f"127.0.0.1:{unused_tcp_port}",
        "REMORA_AGGREGATOR": "none",
        "REMORA_OPERATOR": f"unix:{tmp_path}/nobody.sock",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "remora_sidecar", "--ready-json", env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        said = await _said_until(process.stderr, b"no policy came yet")
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{unused_tcp_port}/readyz") as answer,
        ):
            problems = (await answer.json())["problems"]
        assert answer.status == 503
        assert "until the operator has sent it" in problems[0]
        process.terminate()
        out, err = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in said + err


async def _said_until(stream: asyncio.StreamReader, words: bytes) -> bytes:
    said = b""
    async with asyncio.timeout(60):
        while words not in said:
            line = await stream.readline()
            assert line, said.decode()
            said += line
    return said
