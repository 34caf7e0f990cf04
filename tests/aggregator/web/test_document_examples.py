"""What docs/http.md shows works as it stands there."""

import asyncio
import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from remora.clock import SystemClock
from remora.learning.evidence import Evidence, Source
from remora_aggregator.signals.signal import Signal
from remora_aggregator.store.execution_tables import Sender
from remora_aggregator.tasks.amounts import NOTHING, Amount, Limit
from remora_aggregator.tasks.leases import AccountKey, Ask, LeaseSettings, Request, answered
from remora_aggregator.web.app import OPERATIONS
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import workflows_pb2

TEXT = (Path(__file__).parents[3] / "docs" / "http.md").read_text("utf-8")
SHELL = [block for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) if "curl" in block]
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
async def asked(api, call):
    """A served store with calls of the last hours."""
    now_ns = SystemClock().now_unix_ns()
    await api.put(
        *(
            call(
                number,
                started_unix_nano=now_ns - number * 10**9,
                latency_s=number / 2,
                sent_model="gpt-4o",
                attribution=pb.Attribution(task_id="nightly", goal="summarization"),
            )
            for number in range(120)
        )
    )
    await _spend(api)
    await _reject(api, now_ns)
    await _execute(api, now_ns)
    return api


async def _execute(api, now_ns):
    """Have a workflow run."""
    running = workflows_pb2.ExecutionReport(
        execution_id="e",
        revision=1,
        workflow="research",
        began_unix_nano=now_ns,
        status=workflows_pb2.EXECUTION_STATUS_RUNNING,
    )
    await api.http.front.executions.take([running], Sender("local", "p"))


async def _reject(api, now_ns):
    """Have a user reject an answer."""
    evidence = Evidence(Source.EXPLICIT, 0.0, 1.0, now_ns // 10**6, "s", "user_rejected")
    await api.http.front.signals.take([Signal("local", "s", f"{1:032x}", evidence, now_ns)])


async def _spend(api):
    """Have a sidecar spend some of a shared budget."""
    daily = AccountKey("local", "daily", "namespace", "")
    request = Request("pod", [Ask("a", daily, Limit(10, None), Amount(5, 0), NOTHING, NOTHING)])

    def decide(books, now_unix_ns):
        return answered(books, request, now_unix_ns, LeaseSettings())

    await api.http.front.tasks.change_books(request.wanted, decide)


async def _run(api, block):
    """Run a block of shell until it ends, or has said what a watch says."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-euc", block,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "REMORA_HTTP": f"http://{api.http.address}"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(30):
        while (part := await process.stdout.read(65536)) and b"event: record" not in said:
            said += part
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await process.communicate()
    return said.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.parametrize("block", SHELL, ids=range(len(SHELL)))
async def test_every_command_of_the_page_is_answered(asked, block):
    said = await _run(asked, block)
    if "watch" in block:
        assert said.startswith("retry: 2000\nid: r0\nevent: ready\n")
        return
    answer = json.loads(said)
    if "=>" in block:
        assert answer["where"] == "where.0"
        return
    assert "status" not in answer, answer
    told = (
        "records",
        "rows",
        "role",
        "tasks",
        "task_id",
        "stock",
        "budgets",
        "goals",
        "benchmarks",
        "signals",
        "version",
        "executions",
    )
    assert any(answer.get(name) for name in told)


@pytest.mark.parametrize("block", PYTHON, ids=range(len(PYTHON)))
async def test_every_program_of_the_page_runs(asked, block, monkeypatch):
    monkeypatch.setenv("REMORA_HTTP", f"http://{asked.http.address}")

    def run():
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(block, {})  # noqa: S102 - our own page
        return said.getvalue()

    lines = (await asyncio.to_thread(run)).splitlines()
    assert len(lines) == 118
    assert lines[0].endswith("gpt-4o 0.0001")


async def test_the_problem_on_the_page_is_the_one_that_comes(api):
    (shown,) = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL))
    answer = (await api.get("/v1/records?where=latency_s=>2")).json
    begin = shown.pop("detail").removesuffix(" …")
    assert answer.pop("detail").startswith(begin)
    assert answer == shown


def test_the_page_lists_every_path():
    listed = set(re.findall(r"`(?:GET |POST )?(/[\w/{}.-]+)`", TEXT))
    assert {operation.path for operation in OPERATIONS} <= listed
