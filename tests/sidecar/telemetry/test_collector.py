"""What arrives at a real collector, over gRPC and over HTTP."""

import json
import socket
import subprocess
import sys

import pytest

from remora.records import (
    Attempt,
    Attribution,
    CacheVerdict,
    CallError,
    CallRecord,
    Cost,
    EndReason,
    Usage,
)
from remora.telemetry.collector import Collector
from remora.telemetry.record_form import OWN_CALLS
from remora.telemetry.settings import OpenTelemetrySettings, export_plan
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import json_answer
from remora.testing.raw_agent import RawAgent
from remora_sidecar.assembly import running_sidecar
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.settings import SidecarSettings

CALL_ID = "0192f3a4b5c67d8e9fa0b1c2d3e4f506"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
ASKED = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "a secret prompt"}]}
).encode()


def _value(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


def _attributes(of):
    return {attribute.key: _value(attribute.value) for attribute in of.attributes}


@pytest.fixture
def named(collector, monkeypatch):
    """The collector, named by the environment."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", collector.protocol)
    return collector


@pytest.fixture
def sink(named):
    """What sends to the collector."""
    plan = export_plan(OpenTelemetrySettings())
    made = Collector(
        plan, {"service.name": "remora-sidecar", "k8s.pod.name": "agent-0"}, "1.2", OWN_CALLS
    )
    yield made
    made.shutdown()


def _record(**fields):
    given = {
        "call_id": CALL_ID,
        "started_unix_ns": 1_700_000_000_000_000_000,
        "provider": "aws-bedrock",
        "dialect": "bedrock-converse",
        "operation": "chat",
        "url": "https://bedrock-runtime.us-east-1.amazonaws.com/model/x/converse",
        "attribution": Attribution(session_id="s", trace_id=TRACE_ID, parent_span_id=PARENT_ID),
        "requested_model": "anthropic.claude-x",
        "status_code": 200,
        "end_reason": EndReason.COMPLETED,
        "latency_s": 1.5,
        **fields,
    }
    return CallRecord(**given)


def _only_span(collector, sink, record):
    assert sink.send_calls([record])
    (span,) = collector.spans()
    return span


def test_a_call_is_a_client_span_in_the_agents_trace(named, sink):
    record = _record(
        response_model="claude-x-1",
        finish_reason="end_turn",
        response_id="msg_1",
        usage=Usage(100, 20, 30, 10, 5),
        stream=True,
        ttft_s=0.25,
    )
    span = _only_span(named, sink, record)
    assert span.name == "chat anthropic.claude-x"
    assert span.kind == span.SPAN_KIND_CLIENT
    assert span.trace_id.hex() == TRACE_ID
    assert span.parent_span_id.hex() == PARENT_ID
    assert span.span_id.hex() == CALL_ID[-16:]
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_500_000_000
    assert span.status.code == span.status.STATUS_CODE_UNSET
    assert _attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": "anthropic.claude-x",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "claude-x-1",
        "gen_ai.response.id": "msg_1",
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 30,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "server.address": "bedrock-runtime.us-east-1.amazonaws.com",
        "server.port": 443,
        "http.response.status_code": 200,
        "remora.call_id": CALL_ID,
        "remora.session_id": "s",
        "remora.provider": "aws-bedrock",
        "remora.dialect": "bedrock-converse",
        "remora.end_reason": "completed",
    }


def test_a_call_without_a_trace_of_its_agent_begins_one(named, sink):
    span = _only_span(named, sink, _record(attribution=Attribution(trace_id=CALL_ID)))
    assert span.trace_id.hex() == CALL_ID
    assert span.parent_span_id == b""


@pytest.mark.parametrize(
    ("fields", "error_type"),
    [
        ({"status_code": 429, "error": CallError("rate_limit", "a secret prompt")}, "429"),
        ({"end_reason": EndReason.PROVIDER_CUT, "error": CallError("x", "secret")}, "provider_cut"),
        ({"error": CallError("usage_unreadable", "secret")}, "error"),
    ],
)
def test_a_failed_call_is_an_error_without_its_message(named, sink, fields, error_type):
    span = _only_span(named, sink, _record(**fields))
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert _attributes(span)["error.type"] == error_type
    assert b"secret" not in named.traces[0].SerializeToString()


def test_money_stays_decimal(named, sink):
    from decimal import Decimal

    cost = Cost(Decimal("0.00001234"), Decimal(0), Decimal(0), "list", "")
    span = _only_span(named, sink, _record(cost=cost))
    assert _attributes(span)["remora.cost_usd"] == "0.00001234"


def test_several_attempts_are_spans_below_the_calls(named, sink):
    attempts = (
        Attempt("openai", "gpt-4o", 500, 0.5, CallError("server_error", "secret")),
        Attempt("groq", "llama", 200, 0.75),
    )
    assert sink.send_calls([_record(attempts=attempts)])
    call, first, second = named.spans()
    assert {first.parent_span_id, second.parent_span_id} == {call.span_id}
    assert len({call.span_id, first.span_id, second.span_id}) == 3
    assert (first.name, second.name) == ("attempt gpt-4o", "attempt llama")
    assert _attributes(first)["error.type"] == "500"
    assert second.start_time_unix_nano == first.end_time_unix_nano


@pytest.mark.parametrize("url", ["", "https://[::1", "not a url", "https://x:99999/"])
def test_any_record_gives_a_span(named, sink, url):
    record = CallRecord(call_id="no hex", started_unix_ns=1, url=url)
    assert sink.send_calls([record])
    assert named.spans()[0].name == "call"


def test_the_resource_says_which_sidecar_and_the_environment_wins(named, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=a")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc")
    plan = export_plan(OpenTelemetrySettings())
    sink = Collector(
        plan, {"service.name": "remora-sidecar", "k8s.pod.name": "agent-0"}, "1.2", OWN_CALLS
    )
    assert sink.send_calls([_record()])
    sink.shutdown()
    resource = _attributes(named.traces[0].resource_spans[0].resource)
    assert resource == {"service.name": "mine", "k8s.pod.name": "agent-0", "team": "a"}
    assert "abc" in named.headers[0].values()


def test_metrics_have_their_dotted_names(named, sink):
    metrics = EngineMetrics()
    metrics.count(_record(usage=Usage(10, 5), overhead_s=0.0004))
    metrics.count(_record(operation="", dialect="", cache=CacheVerdict("hit"), cached=True))
    families = metrics.registry.collect()
    assert sink.send_metrics(families, started_unix_ns=1, now_unix_ns=2)
    found = named.last_metrics()

    duration = found["gen_ai.client.operation.duration"]
    (point,) = duration.histogram.data_points
    assert duration.unit == "s"
    assert point.sum == 1.5
    assert point.count == sum(point.bucket_counts) == 1
    assert point.bucket_counts[list(point.explicit_bounds).index(2.56)] == 1
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert not point.HasField("min")
    assert (point.start_time_unix_nano, point.time_unix_nano) == (1, 2)
    assert _attributes(point) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": "anthropic.claude-x",
    }

    tokens = found["gen_ai.client.token.usage"]
    assert tokens.unit == "{token}"
    assert {_attributes(p)["gen_ai.token.type"]: p.sum for p in tokens.histogram.data_points} == {
        "input": 10,
        "output": 5,
    }
    (cached,) = found["remora.cache_results"].sum.data_points
    assert (_attributes(cached), cached.as_int) == ({"result": "hit"}, 1)
    assert found["remora.cache_results"].sum.is_monotonic
    assert found["remora.overhead"].unit == "s"
    assert found["remora.calls_in_flight"].gauge.data_points[0].as_int == 0


def _settings(folder, double):
    ca = folder / "provider-ca.pem"
    ca.write_text(double.ca_pem)
    host, port = double.address
    return SidecarSettings(
        listen=(("127.0.0.1", 0),), control_listen=("127.0.0.1", 0),
        status_listen=("127.0.0.1", 0), data_dir=folder / "data", aggregator="none",
        upstream_ca=ca, connect_to=ConnectTo.parse(f"::{host}:{port}"), drain_s=2.0,
        preset="tracker", pod_name="agent-0",
    )  # fmt: skip


async def _call(sidecar, *fields):
    ca_pem = sidecar.authority.root_pem.decode()
    async with await RawAgent.through(sidecar.proxy, "api.openai.com", ca_pem=ca_pem) as agent:
        headers = [("Host", "api.openai.com"), ("Content-Type", "application/json"), *fields]
        return await agent.ask("POST", "/v1/chat/completions", headers, ASKED)


async def test_a_sidecars_calls_and_metrics_arrive_before_it_has_stopped(named, tmp_path):
    traceparent = ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")
    async with (
        ProviderDouble() as double,
        running_sidecar(_settings(tmp_path, double)) as sidecar,
    ):
        assert (await _call(sidecar, traceparent)).status == 200
    (span,) = named.spans()
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert span.name == "chat gpt-4o-mini"
    assert _attributes(span)["gen_ai.usage.input_tokens"] > 0
    assert "gen_ai.client.token.usage" in named.last_metrics()
    assert named.last_metrics()["remora.spool_depth"].gauge.data_points[0].as_int == 1
    resource = _attributes(named.traces[0].resource_spans[0].resource)
    assert resource["service.name"] == "remora-sidecar"
    assert resource["k8s.pod.name"] == "agent-0"
    sent = [request.SerializeToString() for request in (*named.traces, *named.metrics)]
    assert not any(b"secret" in request for request in sent)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_calls_go_on_while_the_collector_is_dead(monkeypatch, tmp_path, protocol):
    with socket.socket() as taken:  # bound and not listened on: refused at once, by nobody else
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        async with (
            ProviderDouble() as double,
            running_sidecar(_settings(tmp_path, double)) as sidecar,
        ):
            answers = [await _call(sidecar) for _ in range(5)]
            export = sidecar.export
    assert [answer.status for answer in answers] == [200] * 5
    assert not export._thread.is_alive() or sum(export.dropped.values()) <= 5


async def test_without_a_collector_there_is_no_export(tmp_path):
    async with ProviderDouble() as double:
        double.script(json_answer(b"{}"))
        async with running_sidecar(_settings(tmp_path, double)) as sidecar:
            assert sidecar.export is None


def test_opentelemetry_loads_only_where_it_is_asked_for():
    program = (
        "import sys; import remora_sidecar.assembly;"
        "loaded = [m for m in sys.modules if m.startswith('opentelemetry')];"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
