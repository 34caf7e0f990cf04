"""A client that has no generated code: it learns the service from the server itself."""

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from remora_proto.v1 import records_pb2 as pb

SERVICE = "remora.v1.RecordService"


class ReflectedService:
    """Calls methods of a service by what reflection tells of it."""

    def __init__(self, channel, files):
        """Read the files that the server sent of itself."""
        pool = descriptor_pool.DescriptorPool()
        for file in files:
            pool.AddSerializedFile(file)
        self._channel = channel
        self._methods = pool.FindServiceByName(SERVICE).methods_by_name

    def request(self, method, **fields):
        return message_factory.GetMessageClass(self._methods[method].input_type)(**fields)

    def call(self, method, request):
        described = self._methods[method]
        make = (
            self._channel.unary_stream if described.server_streaming else self._channel.unary_unary
        )
        answer = message_factory.GetMessageClass(described.output_type)
        return make(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )(request)


async def _reflected_files(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)

    async def requests():
        yield asked

    async for answer in stub.ServerReflectionInfo(requests()):
        return list(answer.file_descriptor_response.file_descriptor_proto)
    raise AssertionError("no answer")


@pytest.fixture
async def reflected(aggregator):
    async with grpc.aio.insecure_channel(aggregator.address) as channel:
        yield ReflectedService(channel, await _reflected_files(channel))


@pytest.fixture
async def reported(stub, make_record):
    async def requests():
        yield pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid="pod-1"))
        entry = pb.ReportRequest.Entry(sequence=1, record=make_record(1))
        yield pb.ReportRequest(entries=[entry])

    return [answer async for answer in stub.Report(requests())]


async def test_a_client_built_from_reflection_queries(reflected, reported):
    request = reflected.request("Query", limit=10)
    found = [answer async for answer in reflected.call("Query", request)]
    assert [answer.stored.record.provider for answer in found] == ["openai"]


async def test_a_client_built_from_reflection_watches(reflected, reported):
    watch = reflected.call("Watch", reflected.request("Watch", cursor="r0"))
    assert (await watch.read()).ready_cursor == "r0"
    assert (await watch.read()).stored.record.response_model == "gpt-4o-2024-08-06"
    watch.cancel()


async def test_a_client_built_from_reflection_asks_for_usage(reflected, reported):
    answer = await reflected.call("Usage", reflected.request("Usage"))
    assert [(row.calls, row.cost_usd) for row in answer.rows] == [(1, "0.0001")]


async def test_reflection_lists_every_service(aggregator):
    async with grpc.aio.insecure_channel(aggregator.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)

        async def requests():
            yield reflection_pb2.ServerReflectionRequest(list_services="")

        async for answer in stub.ServerReflectionInfo(requests()):
            names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names


@pytest.mark.parametrize("name", ["", SERVICE])
async def test_health_says_serving(aggregator, name):
    async with grpc.aio.insecure_channel(aggregator.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
