"""Stored calls as spans at a real collector, each once."""

import pytest

from remora.testing.otlp_collector import grpc_collector
from remora_aggregator.store.facts import Stamp
from remora_aggregator.telemetry import call_export
from remora_aggregator.telemetry.call_export import STORED_CALLS, ReportedCall, resource_of
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb

STAMP = Stamp("team-a", "pod-uid-1", 5)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    """A clean environment, whatever the tests were started with."""
    import os

    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def collector(monkeypatch):
    with grpc_collector() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        yield received


def _attributes(of):
    return {one.key: one.value.string_value for one in of.attributes}


async def test_every_call_is_exported_once_when_it_is_first_stored(collector, make_record):
    body = pb.Body(content=b"a secret prompt")
    origin = pb.Origin(pod_name="agent-0", node="n1", sidecar_version="9")
    first = make_record(1, request_body=body, origin=origin)
    async with temporary_aggregator() as aggregator:
        await aggregator.store.write([first, make_record(2)], STAMP)
        await aggregator.store.write([first, make_record(1, revision=1), make_record(3)], STAMP)
        await aggregator.store.write([make_record(4, call_id="short")], STAMP)
    spans = collector.spans()
    assert [span.span_id.hex() for span in spans] == [f"{n:016x}" for n in (1, 2, 3)]
    assert all(span.name == "chat gpt-4o" for span in spans)
    assert b"secret" not in b"".join(request.SerializeToString() for request in collector.traces)


async def test_the_resource_is_the_pod_that_made_the_call(collector, make_record):
    origin = pb.Origin(pod_name="agent-0", node="n1", sidecar_version="9")
    async with temporary_aggregator() as aggregator:
        await aggregator.store.write([make_record(1, origin=origin)], STAMP)
    (request,) = collector.traces
    told = _attributes(request.resource_spans[0].resource)
    assert told["service.name"] == "remora-sidecar"
    assert told["service.instance.id"] == "pod-uid-1"
    assert told["k8s.namespace.name"] == "team-a"
    assert (told["k8s.pod.name"], told["k8s.pod.uid"]) == ("agent-0", "pod-uid-1")


async def test_the_aggregators_metrics_are_sent_too(collector, make_record):
    async with temporary_aggregator() as aggregator:
        await aggregator.store.write([make_record(1)], STAMP)
    sums = collector.last_metrics()["remora.aggregator_records"].sum.data_points
    counted = {_attributes(point)["verdict"]: point.as_int + point.as_double for point in sums}
    assert counted["stored"] == 1


async def test_a_collector_that_is_away_costs_spans_and_no_commit(monkeypatch, make_record):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "2")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    async with temporary_aggregator() as aggregator:
        records = [make_record(number) for number in range(10)]
        outcomes = await aggregator.store.write(records, STAMP)
        assert [outcome.verdict.value for outcome in outcomes] == ["stored"] * 10


async def test_without_a_collector_nothing_is_exported(make_record):
    async with temporary_aggregator() as aggregator:
        await aggregator.store.write([make_record(1)], STAMP)
        watchers = [watcher.__module__ for watcher in aggregator.store.commit_watchers]
        assert call_export.__name__ not in watchers


def test_bodies_do_not_wait_in_the_queue():
    record = pb.CallRecord(call_id="x", response_body=pb.Body(content=b"long"))
    bare = STORED_CALLS.bare(ReportedCall(record, STAMP))
    assert not bare.record.HasField("response_body")
    assert record.response_body.content == b"long"


def test_a_local_call_has_no_pod():
    assert "k8s.pod.uid" not in resource_of(ReportedCall(pb.CallRecord(), STAMP))
