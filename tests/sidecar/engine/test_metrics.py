"""What is scraped: counts of calls, nothing of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from remora.records import CallError, CallRecord, EndReason, Usage
from remora_sidecar.engine.metrics import EngineMetrics


def _record(**fields):
    given = {"provider": "openai", "operation": "chat", "end_reason": EndReason.COMPLETED, **fields}
    return CallRecord(call_id="0" * 32, started_unix_ns=1, **given)


def _samples(metrics):
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_idle_engine_is_scraped_without_calls():
    samples = _samples(EngineMetrics())
    assert samples["remora_calls_in_flight",] == 0
    assert samples["remora_overhead_seconds_count",] == 0


def test_calls_are_counted_by_outcome():
    metrics = EngineMetrics()
    metrics.count(_record())
    metrics.count(_record(error=CallError("x", "y")))
    metrics.count(_record(end_reason=EndReason.CLIENT_GONE))
    samples = _samples(metrics)
    for outcome in ("ok", "error", "client_gone"):
        assert samples["remora_calls_total", *sorted(("openai", "chat", outcome))] == 1


def test_tokens_are_summed_and_unread_usage_is_a_count_of_its_own():
    metrics = EngineMetrics()
    metrics.count(_record(usage=Usage(10, 5)))
    metrics.count(_record(usage=Usage(1, None)))
    metrics.count(_record(error=CallError("usage_unreadable", "")))
    samples = _samples(metrics)
    assert samples["remora_tokens_total", "input", "openai"] == 11
    assert samples["remora_tokens_total", "openai", "output"] == 5
    assert samples["remora_usage_unreadable_total", "openai"] == 1


@given(st.lists(st.floats(0, 500), min_size=1, max_size=50))
def test_latencies_fall_into_the_buckets_that_prometheus_expects(latencies):
    metrics = EngineMetrics()
    for latency in latencies:
        metrics.count(_record(latency_s=latency, overhead_s=latency / 1000))
    samples = _samples(metrics)
    for bound in (0.05, 1.0, 300.0):
        expected = sum(latency <= bound for latency in latencies)
        assert samples["remora_call_duration_seconds_bucket", str(bound), "openai"] == expected
    assert samples["remora_call_duration_seconds_count", "openai"] == len(latencies)
    assert samples["remora_call_duration_seconds_sum", "openai"] == pytest.approx(sum(latencies))
