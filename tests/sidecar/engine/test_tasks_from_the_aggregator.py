"""Whole sidecars and the aggregator's own TaskService: pause and cancel reach calls in 2 s."""

import asyncio
import contextlib
import json

import grpc
import pytest

from remora.clock import SystemClock
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer, Fault, FaultKind, Framing
from remora.testing.raw_agent import CutError, RawAgent
from remora_aggregator.tasks.memory_store import MemoryTaskStore
from remora_aggregator.testing_tasks import temporary_tasks
from remora_proto.v1 import tasks_pb2 as pb
from remora_proto.v1 import tasks_pb2_grpc
from remora_sidecar.assembly import running_sidecar

WITHIN_S = 2.0
HOST = "api.openai.com"
PATH = "/v1/chat/completions"
HEADERS = [("Host", HOST), ("Content-Type", "application/json"), ("remora-task", "t-1")]
BODY = json.dumps({"model": "gpt-4o", "messages": []}).encode()
GOOD = Answer(headers=(("Content-Type", "application/json"),), body=b'{"choices": []}')
EVENT = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
ENDLESS = Answer(
    headers=(("Content-Type", "text/event-stream"),),
    body=EVENT * 9,
    framing=Framing.CHUNKED,
    fault=Fault(FaultKind.STALL, len(EVENT)),
)


@contextlib.asynccontextmanager
async def two_pods(local_settings_of, aggregator):
    async with contextlib.AsyncExitStack() as stack:
        double = await stack.enter_async_context(ProviderDouble())
        double.route("POST", PATH, GOOD)
        pods = [
            await stack.enter_async_context(
                running_sidecar(local_settings_of(double, name, aggregator=aggregator))
            )
            for name in ("one", "two")
        ]
        for pod in pods:
            await until(lambda pod=pod: pod.health().figures["tasks_watched"])
        yield pods, double


async def until(condition, within_s=10.0):
    async with asyncio.timeout(within_s):
        while not (done := condition()):  # noqa: ASYNC110 - it belongs to code that signals nothing
            await asyncio.sleep(0.005)
        return done


@contextlib.asynccontextmanager
async def agent_of(pod):
    ca_pem = pod.authority.root_pem.decode()
    agent = await RawAgent.through(pod.proxy, HOST, ca_pem=ca_pem)
    async with agent:
        yield agent


async def status(pod):
    async with agent_of(pod) as agent:
        return (await agent.ask("POST", PATH, HEADERS, BODY)).status


async def becomes(pod, expected):
    """Ask until the status is the expected one, for as long as that may take."""
    async with asyncio.timeout(WITHIN_S):
        while await status(pod) != expected:  # noqa: ASYNC110 - asks, and waits for no event
            await asyncio.sleep(0.01)


async def test_a_pause_and_a_resume_reach_every_pod(local_settings_of):
    async with (
        temporary_tasks() as tasks,
        two_pods(local_settings_of, tasks.address) as (pods, _),
        grpc.aio.insecure_channel(tasks.address) as channel,
    ):
        stub = tasks_pb2_grpc.TaskServiceStub(channel)
        assert [await status(pod) for pod in pods] == [200, 200]
        await stub.Pause(pb.PauseTaskRequest(task_id="t-1", create=True))
        for pod in pods:
            await becomes(pod, 403)
        await stub.Resume(pb.ResumeTaskRequest(task_id="t-1"))
        for pod in pods:
            await becomes(pod, 200)


async def test_a_cancel_cuts_the_streams_of_every_pod_if_asked(local_settings_of):
    async with (
        temporary_tasks() as tasks,
        two_pods(local_settings_of, tasks.address) as (pods, double),
        contextlib.AsyncExitStack() as stack,
        grpc.aio.insecure_channel(tasks.address) as channel,
    ):
        streams = []
        for pod in pods:
            double.script(ENDLESS)
            agent = await stack.enter_async_context(agent_of(pod))
            length = ("Content-Length", str(len(BODY)))
            await agent.send("POST", PATH, [*HEADERS, length], BODY)
            pieces = agent.pieces(await agent.head())
            assert await anext(pieces) == EVENT
            streams.append(pieces)
        request = pb.CancelTaskRequest(task_id="t-1", create=True, cut_streams=True)
        await tasks_pb2_grpc.TaskServiceStub(channel).Cancel(request)
        async with asyncio.timeout(WITHIN_S):
            for pieces in streams:
                with pytest.raises(CutError):
                    await anext(pieces)
        assert [await status(pod) for pod in pods] == [403, 403]


async def test_what_was_said_holds_while_the_aggregator_is_away_and_is_asked_for_again(
    local_settings_of, tmp_path
):
    listen, store = f"unix:{tmp_path}/aggregator.sock", MemoryTaskStore(SystemClock())

    async def ask(method, request):
        async with grpc.aio.insecure_channel(listen) as channel:
            await getattr(tasks_pb2_grpc.TaskServiceStub(channel), method)(request)

    async with contextlib.AsyncExitStack() as stack:
        first = contextlib.AsyncExitStack()
        await first.enter_async_context(temporary_tasks(listen, store=store))
        pods, _ = await stack.enter_async_context(two_pods(local_settings_of, listen))
        await ask("Pause", pb.PauseTaskRequest(task_id="t-1", create=True))
        for pod in pods:
            await becomes(pod, 403)
        await first.aclose()
        await until(lambda: not pods[0].health().figures["tasks_watched"])
        assert await status(pods[0]) == 403

        await stack.enter_async_context(temporary_tasks(listen, store=store))
        await ask("Resume", pb.ResumeTaskRequest(task_id="t-1"))
        for pod in pods:
            await until(lambda pod=pod: pod.health().figures["tasks_watched"], 15.0)
            await becomes(pod, 200)
