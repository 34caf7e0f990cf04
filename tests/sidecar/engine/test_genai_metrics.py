"""OpenTelemetry's GenAI metrics as they are scraped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from remora.records import CacheVerdict, CallError, CallRecord, EndReason, Usage
from remora_sidecar.engine import genai_metrics
from remora_sidecar.engine.chunk_times import ChunkTimes
from remora_sidecar.engine.metrics import EngineMetrics


def _record(**fields):
    given = {
        "provider": "google",
        "dialect": "gemini-generate",
        "operation": "generate_content",
        "requested_model": "gemini-2.5-flash",
        "response_model": "gemini-2.5-flash-001",
        "status_code": 200,
        "end_reason": EndReason.COMPLETED,
        **fields,
    }
    return CallRecord(call_id="0" * 32, started_unix_ns=1, **given)


def _samples(metrics, family):
    text = generate_latest(metrics.registry).decode()
    return [
        (sample.name.removeprefix(family), sample.labels, sample.value)
        for found in text_string_to_metric_families(text)
        for sample in found.samples
        if sample.name.startswith(family)
    ]


def _counts(metrics, family):
    """Labels and counts of a histogram."""
    return [(labels, n) for name, labels, n in _samples(metrics, family) if name == "_count"]


CALLS = "gen_ai_client_operation_duration_seconds"
TOKENS = "gen_ai_client_token_usage"
FIRST = "gen_ai_client_operation_time_to_first_chunk_seconds"
CHUNKS = "gen_ai_client_operation_time_per_output_chunk_seconds"


def test_a_call_is_labelled_in_the_words_of_the_conventions():
    metrics = EngineMetrics()
    metrics.count(_record(latency_s=0.5))
    ((labels, count),) = _counts(metrics, CALLS)
    assert count == 1
    assert labels == {
        "gen_ai_operation_name": "generate_content",
        "gen_ai_provider_name": "gcp.gemini",
        "gen_ai_request_model": "gemini-2.5-flash",
        "gen_ai_response_model": "gemini-2.5-flash-001",
        "error_type": "",
    }


def test_the_buckets_are_those_of_the_conventions():
    metrics = EngineMetrics()
    metrics.count(_record(latency_s=0.5, usage=Usage(5, 1)))
    bounds = {
        family: [labels["le"] for name, labels, _ in _samples(metrics, family) if name == "_bucket"]
        for family in (CALLS, TOKENS)
    }
    assert bounds[CALLS][:3] == ["0.01", "0.02", "0.04"]
    assert bounds[CALLS][-2:] == ["81.92", "+Inf"]
    assert [float(b) for b in bounds[TOKENS][:14]] == [4.0**n for n in range(14)]


@pytest.mark.parametrize(
    ("usage", "sums"),
    [
        pytest.param(Usage(10, 5), {"input": 10, "output": 5}, id="stated"),
        pytest.param(Usage(10, None), {"input": 10}, id="only one stated"),
        pytest.param(
            Usage(10, 5, billed_input_tokens=3), {"input": 3, "output": 5}, id="charged apart"
        ),
        pytest.param(Usage(10, 5, estimated=True), {}, id="a guess"),
        pytest.param(None, {}, id="none"),
    ],
)
def test_tokens_are_counted_as_they_are_charged(usage, sums):
    metrics = EngineMetrics()
    metrics.count(_record(usage=usage))
    found = {
        labels["gen_ai_token_type"]: value
        for name, labels, value in _samples(metrics, TOKENS)
        if name == "_sum"
    }
    assert found == sums


def test_a_cached_answer_uses_no_tokens():
    metrics = EngineMetrics()
    metrics.count(_record(usage=Usage(10, 5), cached=True))
    assert _counts(metrics, TOKENS) == []
    assert len(_counts(metrics, CALLS)) == 1


@pytest.mark.parametrize(
    ("fields", "error_type"),
    [
        ({"status_code": 429, "error": CallError("rate_limit", "")}, "429"),
        ({"end_reason": EndReason.CLIENT_GONE}, "client_gone"),
        ({"error": CallError("any words of the provider", "")}, "error"),
    ],
)
def test_errors_are_of_few_types(fields, error_type):
    metrics = EngineMetrics()
    metrics.count(_record(**fields))
    ((labels, _),) = _counts(metrics, CALLS)
    assert labels["error_type"] == error_type


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"status_code": 404}, id="never answered well"),
        pytest.param({"requested_model": "ignore all, and tell"}, id="no name"),
        pytest.param({"requested_model": "m" * 200}, id="too long"),
    ],
)
def test_a_name_that_no_provider_serves_is_no_label(fields):
    metrics = EngineMetrics()
    metrics.count(_record(**fields))
    ((labels, _),) = _counts(metrics, CALLS)
    assert labels["gen_ai_request_model"] == "other"


def test_a_name_that_was_served_is_known_when_it_fails_later():
    metrics = EngineMetrics()
    metrics.count(_record())
    metrics.count(_record(status_code=500))
    assert {labels["gen_ai_request_model"] for labels, _ in _counts(metrics, CALLS)} == {
        "gemini-2.5-flash"
    }


def test_made_up_models_fill_no_memory(monkeypatch):
    monkeypatch.setattr(genai_metrics, "MAX_MODELS", 5)
    metrics = EngineMetrics()
    for number in range(50):
        metrics.count(_record(requested_model=f"m-{number}", response_model=""))
    counts = _counts(metrics, CALLS)
    assert len(counts) == 6
    assert sum(count for _, count in counts) == 50


def test_made_up_combinations_fill_no_memory(monkeypatch):
    monkeypatch.setattr(genai_metrics, "MAX_SERIES", 5)
    metrics = EngineMetrics()
    for one in range(8):
        for other in range(8):
            metrics.count(_record(requested_model=f"m-{one}", response_model=f"m-{other}"))
    assert len(_counts(metrics, CALLS)) == 6


@pytest.mark.parametrize("fields", [{"dialect": "unknown"}, {"dialect": ""}, {"opaque": True}])
def test_what_is_not_read_is_no_operation_of_theirs(fields):
    metrics = EngineMetrics()
    metrics.count(_record(**fields))
    assert _counts(metrics, CALLS) == []


def test_only_streams_have_chunks():
    metrics = EngineMetrics()
    times = ChunkTimes()
    for now_s in (1.0, 1.1, 1.2, 5.0):
        times.chunk(now_s)
    for stream in (False, True):
        record = _record(stream=stream, ttft_s=0.3)
        metrics.count(record)
        metrics.count_chunks(record, times)
    ((_, first),) = _counts(metrics, FIRST)
    ((_, gaps),) = _counts(metrics, CHUNKS)
    assert (first, gaps) == (1, 3)


@given(st.lists(st.floats(0, 100), min_size=2))
def test_every_chunk_after_the_first_is_counted(gaps):
    times, now_s = ChunkTimes(), 0.0
    for gap in gaps:
        now_s += gap
        times.chunk(now_s)
    assert times.gaps.buckets()[-1] == ("+Inf", len(gaps) - 1)


def test_cache_results_are_counted():
    metrics = EngineMetrics()
    for result in ("hit", "hit", "miss"):
        metrics.count(_record(cache=CacheVerdict(result), cached=result == "hit"))
    metrics.count(_record())
    found = {
        labels["result"]: value
        for name, labels, value in _samples(metrics, "remora_cache_results")
        if name == "_total"
    }
    assert found == {"hit": 2, "miss": 1}
