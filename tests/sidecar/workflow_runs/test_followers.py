"""The events of a run as others read them: httpx-sse, Node, curl; from later on, side by side."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse
from tests.sidecar.engine.conftest import until
from tests.sidecar.workflow_runs.conftest import Provider, Serve, Serving
from tests.sidecar.workflow_runs.test_running import PLAN_AND_DO

from remora_sidecar.control import execution_events

BODY = {"workflow": PLAN_AND_DO, "input": {"goal": "tea"}, "idempotency_key": "k"}
TYPES = [
    "started",
    "step_started",
    "step_completed",
    "step_started",
    "step_completed",
    "final",
]
NODE = """
const [url, body] = process.argv.slice(1);
const answer = await fetch(url, {method: "POST", body,
  headers: {"content-type": "application/json"}});
let text = "";
for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) text += chunk;
const events = text.split("\\n\\n").filter((one) => one.includes("data: "))
  .map((one) => JSON.parse(one.split("\\n").find((line) => line.startsWith("data: ")).slice(6)));
const type = answer.headers.get("content-type");
console.log(JSON.stringify({status: answer.status, type, events}));
"""


def is_second(asked: Mapping[str, Any]) -> bool:
    return asked["messages"][-1]["content"].startswith("Do this")


async def sse(
    method: str, url: str, body: Any = None, **headers: str
) -> AsyncIterator[ServerSentEvent]:
    """Read events with httpx-sse."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        asyncio.timeout(60),
        httpx.AsyncClient(timeout=60) as client,
        aconnect_sse(client, method, url, json=body, headers=given) as source,
    ):
        async for event in source.aiter_sse():
            yield event


async def output_of(*command: str) -> str:
    """Run a program to its end; gives what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def started(served: Serving, **more: Any) -> str:
    """Order the run without waiting; gives its path."""
    body = {**BODY, "wait": False, **more}
    reply = await served.ask("POST", "/v1/workflows/execute", body)
    assert reply.status == 200, reply.text
    return f"/v1/executions/{reply.json['execution_id']}"


async def test_httpx_sse_reads_every_event_with_its_number_and_type(served: Serving) -> None:
    url = f"{served.root}/v1/workflows/stream"
    events = [event async for event in sse("POST", url, BODY)]
    assert [event.event for event in events] == TYPES
    assert [event.id for event in events] == [f"1-{n}" for n in range(1, 7)]
    assert [json.loads(event.data)["type"] for event in events] == TYPES
    assert json.loads(events[-1].data)["result"]["status"] == "completed"


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
async def test_nodes_fetch_reads_the_same_events(served: Serving) -> None:
    program = ("node", "--input-type=module", "-e", NODE)
    url = f"{served.root}/v1/workflows/stream"
    said = json.loads(await output_of(*program, url, json.dumps(BODY)))
    assert (said["status"], said["type"]) == (200, "text/event-stream")
    assert said["events"] == await served.stream(**BODY_AS_ARGUMENTS)


BODY_AS_ARGUMENTS = {"workflow": PLAN_AND_DO, "given": {"goal": "tea"}, "idempotency_key": "k"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_shows_events_as_they_come(serve: Serve) -> None:
    async with serve(Provider(held=is_second)) as served:
        process = await asyncio.create_subprocess_exec(
            "curl", "-sN", "--json", json.dumps(BODY), f"{served.root}/v1/workflows/stream",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(60):
            before = await process.stdout.readuntil(b'"step_id":"plan"')
            while b"event: step_completed" not in before:
                before += await process.stdout.readline()
            served.provider.gate.set()
            after = await process.stdout.read()
            assert await process.wait() == 0
    assert b"event: final" not in before
    assert after.rstrip().splitlines()[-2] == b"event: final"


async def test_who_names_the_last_event_hears_what_follows_it(served: Serving) -> None:
    execution = await served.execute(PLAN_AND_DO, {"goal": "tea"})
    path = f"{served.root}/v1/executions/{execution['execution_id']}/events"
    after = [event.event async for event in sse("GET", path, Last_Event_ID="1-3")]
    assert after == TYPES[3:]
    assert [event.event async for event in sse("GET", f"{path}?after=1-5")] == ["final"]
    assert [event.event async for event in sse("GET", path, Last_Event_ID="x")] == TYPES


async def test_two_followers_at_once_hear_the_same(serve: Serve) -> None:
    async with serve(Provider(held=is_second)) as served:
        path = await started(served)
        both = [asyncio.ensure_future(served.ask("GET", f"{path}/events")) for _ in range(2)]
        known = served.sidecar.workflows.find(path.rpartition("/")[2])
        await until(lambda: known.feed.followers == 2)
        served.provider.gate.set()
        one, other = await asyncio.gather(*both)
    assert one.text == other.text
    assert [event["type"] for event in one.events] == TYPES


async def test_a_quiet_stream_beats(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution_events, "BEAT_S", 0.01)
    async with serve(Provider(held=is_second)) as served:
        path = await started(served)
        async with served.client.get(f"{served.root}{path}/events") as answer:
            text = b""
            async with asyncio.timeout(30):
                while text.count(b": beat\n\n") < 2:
                    text += await answer.content.readany()
            served.provider.gate.set()
            text += await answer.content.read()
    assert b"event: final" in text


@pytest.mark.parametrize("call", ["execute", "stream"])
@pytest.mark.parametrize(
    ("on_disconnect", "status"), [("continue", "completed"), ("cancel", "cancelled")]
)
async def test_when_its_client_leaves_a_run_goes_on_or_ends_as_it_was_ordered(
    serve: Serve, call: str, on_disconnect: str, status: str
) -> None:
    async with serve(Provider(held=is_second)) as served:
        body = {**BODY, "on_disconnect": on_disconnect}
        async with aiohttp.ClientSession() as client:
            url = f"{served.root}/v1/workflows/{call}"
            asked = asyncio.ensure_future(client.post(url, json=body))
            await served.double.until(lambda: len(served.double.requests) == 2, 30)
            (known,) = served.sidecar.workflows.of_session("default")
            await until(lambda: known.feed.followers == 1)
            if call == "stream":
                (await asked).close()
            asked.cancel()
        await until(lambda: known.feed.followers == 0)
        if on_disconnect == "continue":
            assert known.status == "running"
            served.provider.gate.set()
        await known.feed.over()
        assert known.status == status
        if status == "cancelled":
            await served.double.until(lambda: served.double.aborted, 30)


async def test_who_does_not_wait_is_answered_at_once(serve: Serve) -> None:
    async with serve(Provider(held=lambda asked: True)) as served:
        path = await started(served)
        running = (await served.ask("GET", path)).json
        assert running["status"] == "running"
        assert running["outputs"] == {}
        assert [step["status"] for step in running["steps"]] == ["running", "waiting"]
        served.provider.gate.set()
        ended = (await served.ask("POST", "/v1/workflows/execute", BODY)).json
        assert ended["status"] == "completed"
        assert ended == (await served.ask("GET", path)).json
