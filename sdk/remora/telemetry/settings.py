"""OpenTelemetry's own variables, as far as Remora reads them itself.

They are often set for another program in the same environment. So a value that can't be
used is said and passed over, as the specification asks, and never stops the sidecar.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, WrapValidator
from pydantic_settings import BaseSettings, SettingsConfigDict

logger = logging.getLogger(__name__)

Protocol = Literal["grpc", "http/protobuf"]
Exporter = Literal["otlp", "none"]


def _passed_over[T](value: object, validate: Callable[[object], T], info: ValidationInfo) -> T:
    try:
        return validate(value)
    except (ValidationError, ValueError):
        name = f"OTEL_{(info.field_name or '').upper()}"
        logger.warning("%s can't be used as it is set; its default stands", name)
        default: T = OpenTelemetrySettings.model_fields[info.field_name or ""].default
        return default


_Lenient = WrapValidator(_passed_over)


class OpenTelemetrySettings(BaseSettings):
    """What is exported, where to and how often; the variable is the field's name with ``OTEL_``."""

    model_config = SettingsConfigDict(env_prefix="OTEL_", env_ignore_empty=True, frozen=True)

    exporter_otlp_endpoint: str | None = Field(
        default=None, description="URL of the collector; without one nothing is exported."
    )
    exporter_otlp_traces_endpoint: str | None = Field(
        default=None, description="URL for traces alone, taken as it is."
    )
    exporter_otlp_metrics_endpoint: str | None = Field(
        default=None, description="URL for metrics alone, taken as it is."
    )
    exporter_otlp_protocol: Annotated[Protocol, _Lenient] = Field(
        default="http/protobuf", description="`grpc` or `http/protobuf`."
    )
    exporter_otlp_traces_protocol: Annotated[Protocol | None, _Lenient] = Field(
        default=None, description="The same for traces alone."
    )
    exporter_otlp_metrics_protocol: Annotated[Protocol | None, _Lenient] = Field(
        default=None, description="The same for metrics alone."
    )
    traces_exporter: Annotated[Exporter, _Lenient] = Field(
        default="otlp", description="`none` exports no traces."
    )
    metrics_exporter: Annotated[Exporter, _Lenient] = Field(
        default="otlp", description="`none` exports no metrics."
    )
    sdk_disabled: Annotated[bool, _Lenient] = Field(
        default=False, description="`true` exports nothing."
    )
    metric_export_interval: Annotated[int, Field(ge=100), _Lenient] = Field(
        default=60_000, description="Milliseconds from one export of metrics to the next."
    )
    bsp_schedule_delay: Annotated[int, Field(ge=10), _Lenient] = Field(
        default=5_000, description="Milliseconds that a span waits for others at most."
    )
    bsp_max_queue_size: Annotated[int, Field(ge=1), _Lenient] = Field(
        default=2_048, description="Calls that wait for export; more are dropped and counted."
    )
    bsp_max_export_batch_size: Annotated[int, Field(ge=1), _Lenient] = Field(
        default=512, description="Calls in one export."
    )


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one signal goes.

    Attributes:
        url: Whole, with the signal's path where the protocol has one.
    """

    url: str
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What is exported; None where a signal is off."""

    traces: Destination | None
    metrics: Destination | None
    metrics_every_s: float
    spans_every_s: float
    max_waiting: int
    max_batch: int


def export_plan(settings: OpenTelemetrySettings) -> ExportPlan | None:
    """Work out what is exported; None if nothing is."""
    traces = metrics = None
    if settings.traces_exporter == "otlp":
        protocol = settings.exporter_otlp_traces_protocol or settings.exporter_otlp_protocol
        own = settings.exporter_otlp_traces_endpoint
        traces = _destination(own, settings.exporter_otlp_endpoint, "v1/traces", protocol)
    if settings.metrics_exporter == "otlp":
        protocol = settings.exporter_otlp_metrics_protocol or settings.exporter_otlp_protocol
        own = settings.exporter_otlp_metrics_endpoint
        metrics = _destination(own, settings.exporter_otlp_endpoint, "v1/metrics", protocol)
    if settings.sdk_disabled or (traces is None and metrics is None):
        return None
    return ExportPlan(
        traces=traces,
        metrics=metrics,
        metrics_every_s=settings.metric_export_interval / 1000,
        spans_every_s=settings.bsp_schedule_delay / 1000,
        max_waiting=settings.bsp_max_queue_size,
        max_batch=min(settings.bsp_max_export_batch_size, settings.bsp_max_queue_size),
    )


def _destination(
    own: str | None, shared: str | None, path: str, protocol: Protocol
) -> Destination | None:
    url = own or shared
    if url is None:
        return None
    if not _is_url(url):
        logger.warning("OTLP is off: an endpoint is no http:// or https:// URL with a host")
        return None
    if own is None and protocol == "http/protobuf":
        url = f"{url.rstrip('/')}/{path}"
    return Destination(url, protocol)


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
