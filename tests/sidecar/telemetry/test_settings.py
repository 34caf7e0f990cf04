"""OpenTelemetry's variables: what is on, where it goes, and that nothing of them stops us."""

import re
from pathlib import Path

import pytest

from remora.telemetry.settings import Destination, OpenTelemetrySettings, export_plan

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def _plan(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_{name}", value)
    return export_plan(OpenTelemetrySettings())


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"EXPORTER_OTLP_ENDPOINT": ""},
        {"EXPORTER_OTLP_ENDPOINT": "http://c:4318", "SDK_DISABLED": "true"},
        {
            "EXPORTER_OTLP_ENDPOINT": "http://c",
            "TRACES_EXPORTER": "none",
            "METRICS_EXPORTER": "none",
        },
        {"EXPORTER_OTLP_ENDPOINT": "collector:4317"},
        {"EXPORTER_OTLP_ENDPOINT": "http://"},
        {"EXPORTER_OTLP_ENDPOINT": "http://[::1"},
    ],
)
def test_without_a_collector_nothing_is_exported(monkeypatch, variables):
    assert _plan(monkeypatch, **variables) is None


@pytest.mark.parametrize(
    ("variables", "traces", "metrics"),
    [
        pytest.param(
            {"EXPORTER_OTLP_ENDPOINT": "http://c:4318/"},
            Destination("http://c:4318/v1/traces", "http/protobuf"),
            Destination("http://c:4318/v1/metrics", "http/protobuf"),
            id="one endpoint",
        ),
        pytest.param(
            {"EXPORTER_OTLP_ENDPOINT": "http://c:4317", "EXPORTER_OTLP_PROTOCOL": "grpc"},
            Destination("http://c:4317", "grpc"),
            Destination("http://c:4317", "grpc"),
            id="gRPC has no paths",
        ),
        pytest.param(
            {"EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/in"},
            Destination("https://c/in", "http/protobuf"),
            None,
            id="traces alone",
        ),
        pytest.param(
            {
                "EXPORTER_OTLP_ENDPOINT": "http://c",
                "EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
                "TRACES_EXPORTER": "none",
            },
            None,
            Destination("http://c", "grpc"),
            id="metrics alone",
        ),
    ],
)
def test_each_signal_has_its_way(monkeypatch, variables, traces, metrics):
    plan = _plan(monkeypatch, **variables)
    assert (plan.traces, plan.metrics) == (traces, metrics)


def test_what_another_program_may_use_is_said_and_passed_over(monkeypatch, caplog):
    plan = _plan(
        monkeypatch,
        EXPORTER_OTLP_ENDPOINT="http://c",
        EXPORTER_OTLP_PROTOCOL="http/json",
        TRACES_EXPORTER="console",
        BSP_SCHEDULE_DELAY="soon",
        METRIC_EXPORT_INTERVAL="-1",
        SDK_DISABLED="perhaps",
    )
    assert plan.traces == Destination("http://c/v1/traces", "http/protobuf")
    assert (plan.spans_every_s, plan.metrics_every_s) == (5.0, 60.0)
    assert caplog.text.count("can't be used as it is set") == 5


def test_a_batch_is_no_larger_than_the_queue(monkeypatch):
    plan = _plan(monkeypatch, EXPORTER_OTLP_ENDPOINT="http://c", BSP_MAX_QUEUE_SIZE="10")
    assert (plan.max_waiting, plan.max_batch) == (10, 10)


def test_the_page_describes_every_variable_and_no_other():
    section = PAGE.read_text("utf-8").partition("\n## OpenTelemetry\n")[2]
    section = re.split(r"^## ", section, flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `OTEL_")]
    fields = OpenTelemetrySettings.model_fields
    assert rows == [
        f"| `OTEL_{name.upper()}` | {_default(field.default)} | {field.description} |"
        for name, field in fields.items()
    ]


def _default(value):
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "-" if value is None else f"`{value}`"
