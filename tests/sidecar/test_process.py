"""`python -m remora_sidecar` as a process of its own: how it starts, refuses and what it says."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer, Fault, FaultKind, json_answer
from remora.testing.raw_agent import CutError, RawAgent

HOST = "api.openai.com"
CHAT = "/v1/chat/completions"
SECRET = "sk-nobody-may-ever-read-this"

# What someone who debugs would do: every logger speaks, whatever it is.
LOUD = """
import logging
from remora import logs
configure = logs.configure_logs
def loud(level):
    configure("debug")
    logging.getLogger().setLevel(1)
logs.configure_logs = loud
from remora_sidecar.commands.sidecar import command
command()
"""


def _environment(folder: Path, **settings: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("REMORA_")}
    own = {
        "REMORA_DATA_DIR": str(folder / "data"),
        "REMORA_LISTEN": "127.0.0.1:0",
        "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
        "REMORA_STATUS_LISTEN": "127.0.0.1:0",
        "REMORA_AGGREGATOR": "none",
        "REMORA_DRAIN_S": "0.5",
    }
    return {**inherited, **own, **settings}


async def _start(environment: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, "--ready-json", env=environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def _refused(environment: dict[str, str]) -> tuple[int | None, str]:
    """Run a sidecar that can't start; gives its exit code and what it said."""
    process = await _start(environment, "-m", "remora_sidecar")
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert out == b""
    return process.returncode, err.decode()


@dataclass
class _Running:
    proxy: tuple[str, int]
    control: tuple[str, int]
    ca_pem: str
    process: asyncio.subprocess.Process

    async def stopped(self) -> str:
        """Tell it to stop; gives all that it said."""
        self.process.terminate()
        _, err = await asyncio.wait_for(self.process.communicate(), 30)
        assert self.process.returncode == 0
        return err.decode("utf-8", "replace")


@contextlib.asynccontextmanager
async def _running(environment: dict[str, str], *arguments: str) -> AsyncIterator[_Running]:
    process = await _start(environment, *(arguments or ("-m", "remora_sidecar")))
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert line, (await process.communicate())[1].decode()
        told = json.loads(line)
        proxy, control = (told[name].rsplit(":", 1) for name in ("proxy", "control"))
        yield _Running(
            (proxy[0], int(proxy[1])), (control[0], int(control[1])),
            (Path(told["trust_dir"]) / "ca.pem").read_text(), process,
        )  # fmt: skip
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_every_unreadable_setting_is_named_at_once_and_the_exit_code_is_2(tmp_path) -> None:
    wrong = {
        "REMORA_MODE": "sideways",
        "REMORA_LISTEN": "0.0.0.0:15001",
        "REMORA_SPOOL_BYTES": "huge",
        "REMORA_CONNECT_TO": "x",
        "REMORA_UPSTREAM_CA": str(tmp_path / "nothing.pem"),
    }
    code, said = await _refused(_environment(tmp_path, **wrong))

    assert code == 2
    assert [name for name in wrong if f"  {name}: " not in said] == []
    assert "Traceback" not in said
    assert not (tmp_path / "data").exists()


async def test_an_unreadable_policy_is_named_with_its_line_and_the_exit_code_is_2(tmp_path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\nspec: {capture: all}\n")
    code, said = await _refused(_environment(tmp_path, REMORA_POLICY=str(policy)))

    assert code == 2
    assert f"{policy}:3" in said
    assert "Traceback" not in said


async def test_a_port_in_use_is_named_by_its_setting_and_the_exit_code_is_2(tmp_path) -> None:
    async with _running(_environment(tmp_path / "first")) as first:
        taken = "{}:{}".format(*first.control)
        code, said = await _refused(_environment(tmp_path / "second", REMORA_CONTROL_LISTEN=taken))

    assert code == 2
    assert f"REMORA_CONTROL_LISTEN: {taken} can't be listened on" in said


async def test_a_second_sidecar_on_the_same_data_is_refused_and_the_first_goes_on(tmp_path) -> None:
    async with _running(_environment(tmp_path)) as first:
        code, said = await _refused(_environment(tmp_path))
        assert code == 2
        assert f"in use by another sidecar (process {first.process.pid}" in said
        assert "Traceback" not in said
        async with await RawAgent.connect(first.control) as program:
            answer = await program.ask("GET", "/v1/status", [("Host", "localhost")])
            assert json.loads(answer.body)["ready"] is True
        await first.stopped()


async def test_a_killed_sidecar_does_not_keep_the_next_one_from_starting(tmp_path) -> None:
    async with _running(_environment(tmp_path)) as first:
        first.process.kill()
        await first.process.wait()
    async with _running(_environment(tmp_path)) as second:
        await second.stopped()


async def _secret_traffic(sidecar: _Running, double: ProviderDouble) -> None:
    """Send the secret in every place, and in every way that goes wrong."""
    fields = [
        ("Host", HOST),
        ("Authorization", f"Bearer {SECRET}"),
        ("Content-Type", "application/json"),
        ("remora-task", SECRET),
        ("X-Secret", SECRET),
    ]
    chat = json.dumps({"model": SECRET, "messages": [{"role": "user", "content": SECRET}]})
    answers = [
        json_answer(json.dumps({"model": SECRET, "choices": SECRET}).encode()),
        json_answer(b'{"' + SECRET.encode()),
        Answer(500, (("X-Secret", SECRET),), SECRET.encode()),
        Answer(200, (("Content-Type", "text/event-stream"),), f"data: {SECRET}\n\n".encode()),
        Answer(body=SECRET.encode() * 50, fault=Fault(FaultKind.RESET, 30)),
        Answer(200, (("Content-Encoding", "gzip"),), SECRET.encode()),
    ]
    for answer in answers:
        double.script(answer)
        async with await _agent(sidecar) as agent:
            with contextlib.suppress(CutError):
                await agent.ask("POST", f"{CHAT}?api_key={SECRET}", fields, chat.encode())
    for raw in (
        f"GET /{SECRET} HTTP/1.1\r\nHost: {SECRET}.example\r\n\r\n",
        f"{SECRET} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: {HOST}\r\n{SECRET}\r\n\r\n",
        f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {SECRET}\r\n\r\n",
        f"POST {CHAT} HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
    ):
        async with await _agent(sidecar) as agent:
            await agent.write(raw.encode())
            with contextlib.suppress(CutError, TimeoutError):
                await asyncio.wait_for(agent.answer(), 2)
    for address in (sidecar.proxy, sidecar.control):
        for raw in (f"{SECRET}\r\n\r\n", f"GET http://{SECRET}/ HTTP/1.1\r\n{SECRET}\r\n\r\n"):
            async with await RawAgent.connect(address) as agent:
                await agent.write(raw.encode())
                with contextlib.suppress(CutError, TimeoutError):
                    await asyncio.wait_for(agent.answer(), 2)


async def _agent(sidecar: _Running) -> RawAgent:
    return await RawAgent.through(sidecar.proxy, HOST, ca_pem=sidecar.ca_pem, user=SECRET)


@pytest.mark.parametrize("debug", ["0", "1"], ids=["as shipped", "asyncio in debug mode"])
async def test_no_logger_ever_says_what_a_request_or_an_answer_held(tmp_path, debug) -> None:
    async with ProviderDouble(names=[HOST]) as double:
        ca = tmp_path / "provider-ca.pem"
        ca.write_text(double.ca_pem)
        host, port = double.address
        environment = _environment(
            tmp_path,
            REMORA_UPSTREAM_CA=str(ca),
            REMORA_CONNECT_TO=f"::{host}:{port}",
            REMORA_PRESET="tracker",
            PYTHONASYNCIODEBUG=debug,
        )
        async with _running(environment, "-c", LOUD) as sidecar:
            await _secret_traffic(sidecar, double)
            said = await sidecar.stopped()

    assert "made a CA for this installation" in said
    assert SECRET not in said
    assert "Traceback" not in said
