"""Who may call what: every method of every service, by every role, on a real server."""

import asyncio
from pathlib import Path

import grpc
import pytest
from google.protobuf import message_factory
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tests.aggregator.service.gated import gated

from remora_aggregator.service.permissions import METHODS, Act, Role, may
from remora_proto.v1 import (
    admin_pb2,
    records_pb2,
    scores_pb2,
    signals_pb2,
    tasks_pb2,
    workflows_pb2,
)

CODE = grpc.StatusCode
FILES = (
    records_pb2, tasks_pb2, signals_pb2, scores_pb2, workflows_pb2, admin_pb2, health_pb2,
    reflection_pb2,
)  # fmt: skip
SERVICES = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
BY_PATH = {
    f"/{service.full_name}/{method.name}": method
    for service in SERVICES
    for method in service.methods
}
WHO = ("nobody", "pod", "member", "reader", "admin", "admin of all")

# As docs/aggregator.md has it.
LETTERS = {
    "Health/Check": "nobody pod member reader admin all",
    "Health/List": "nobody pod member reader admin all",
    "Health/Watch": "nobody pod member reader admin all",
    "ServerReflection/ServerReflectionInfo": "pod member reader admin all",
    "RecordService/Report": "pod member admin",
    "RecordService/Query": "pod member reader admin all",
    "RecordService/Watch": "pod member reader admin all",
    "RecordService/Usage": "pod member reader admin all",
    "TaskService/Lease": "pod member admin",
    "TaskService/Budgets": "pod member reader admin all",
    "TaskService/Get": "pod member reader admin all",
    "TaskService/List": "pod member reader admin all",
    "TaskService/Watch": "pod member reader admin all",
    "TaskService/Create": "pod member admin all",
    "TaskService/Update": "pod member admin all",
    "TaskService/Cancel": "pod member admin all",
    "TaskService/Pause": "pod member admin all",
    "TaskService/Resume": "member admin all",
    "SignalService/Send": "pod member admin all",
    "SignalService/Query": "pod member reader admin all",
    "WorkflowService/Report": "pod member admin",
    "WorkflowService/Get": "pod member reader admin all",
    "WorkflowService/List": "pod member reader admin all",
    "WorkflowService/Watch": "pod member reader admin all",
    "ScoreService/Watch": "pod member reader admin all",
    "ScoreService/Scores": "pod member reader admin all",
    "ScoreService/Timeline": "pod member reader admin all",
    "ScoreService/Benchmarks": "pod member reader admin all",
    "ScoreService/Log": "pod member reader admin all",
    "ScoreService/Versions": "pod member reader admin all",
    "ScoreService/Diff": "pod member reader admin all",
    "ScoreService/Settings": "pod member reader admin all",
    "ScoreService/Propose": "member admin all",
    "ScoreService/Activate": "member admin all",
    "ScoreService/RollBack": "member admin all",
    "AdminService/Purge": "admin all",
    "AdminService/Audit": "admin all",
}
DENIED = {CODE.UNAUTHENTICATED, CODE.PERMISSION_DENIED}


def test_every_method_stands_in_the_table():
    assert set(METHODS) >= set(BY_PATH)
    assert {path.rpartition(".")[2] for path in BY_PATH} == set(LETTERS)


def _request(method):
    """A request that names the namespace, where it can: who sees all has to say which is meant."""
    request = message_factory.GetMessageClass(method.input_type)()
    if "namespace" in method.input_type.fields_by_name:
        request.namespace = "team-a"
    if "task_id" in method.input_type.fields_by_name:
        request.task_id = "t"
    return request


async def _requests(method):
    yield _request(method)


async def _outcome(served, path, who, *, patience_s=20.0):
    """The status of a call's first answer, or OK where it goes on without one for so long."""
    method = BY_PATH[path]
    ways = ("s" if method.client_streaming else "u") + ("s" if method.server_streaming else "u")
    request = _requests(method) if method.client_streaming else _request(method)
    answer = message_factory.GetMessageClass(method.output_type)
    call = served.call(path, request, answer, "" if who == "nobody" else who, streams=ways)
    try:
        async with asyncio.timeout(patience_s):
            await (call if ways == "uu" else call.read())
            return CODE.OK if ways == "uu" else await _code(call)
    except TimeoutError:
        return CODE.OK
    except grpc.aio.AioRpcError as error:
        return error.code()
    finally:
        call.cancel()


async def _code(call):
    return await call.code() if call.done() else CODE.OK


@pytest.mark.parametrize("who", WHO)
async def test_each_role_may_call_what_the_table_says(who):
    word = who.rpartition(" ")[2]
    expected = {name for name, letters in LETTERS.items() if word in letters.split()}
    async with gated() as served:
        # A refusal is waited for; some of those who are let in hear nothing for good.
        outcomes = {
            path: await _outcome(
                served, path, who, patience_s=0.5 if path.rpartition(".")[2] in expected else 20.0
            )
            for path in BY_PATH
        }
    let_in = {path.rpartition(".")[2] for path, code in outcomes.items() if code not in DENIED}
    assert let_in == expected
    refused = CODE.UNAUTHENTICATED if who == "nobody" else CODE.PERMISSION_DENIED
    assert {code for code in outcomes.values() if code in DENIED} <= {refused}


async def test_a_method_that_stands_in_no_table_is_refused_to_everybody(monkeypatch):
    path = "/remora.v1.RecordService/Usage"
    monkeypatch.setattr(
        "remora_aggregator.service.gate.METHODS",
        {name: act for name, act in METHODS.items() if name != path},
    )
    async with gated() as served:
        assert await _outcome(served, path, "admin of all") is CODE.PERMISSION_DENIED


async def test_a_method_that_nobody_serves_is_said_to_be_so():
    async with gated() as served:
        request, answer = health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await served.call("/remora.v1.RecordService/None", request, answer)
    assert error.value.code() is CODE.UNIMPLEMENTED


def test_the_page_has_the_table_as_it_is():
    page = (Path(__file__).parents[3] / "docs" / "aggregator.md").read_text("utf-8")
    rows = [
        f"| {act.value} | {' | '.join('yes' if may(role, act) else '-' for role in Role)} |"
        for act in Act
    ]
    head = f"| may | {' | '.join(role.value for role in Role)} |"
    table = "\n".join([head, "|---|---|---|---|---|", *rows])
    assert table in page
