"""Makes the export that OpenTelemetry's variables ask for, if any.

Most sidecars are asked for none: what makes one loads only where a variable is set.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import Metric

from remora import __version__
from remora.clock import Clock

if TYPE_CHECKING:
    from remora_sidecar.telemetry.export import TelemetryExport, TelemetrySink
    from remora_sidecar.telemetry.settings import ExportPlan

_PREFIX = "OTEL_"


def open_export(
    resource: Mapping[str, str], collect: Callable[[], Iterable[Metric]], clock: Clock
) -> "TelemetryExport | None":
    """Read the variables and prepare the export; None if nothing is to be exported.

    Args:
        resource: What this sidecar is, in OpenTelemetry's words; empty values are left out.
        collect: Gives the metrics as they are.
        clock: Of the sidecar.
    """
    if not any(name.upper().startswith(_PREFIX) for name in os.environ):  # noqa: TID251 - names only
        return None
    from remora_sidecar.telemetry.export import TelemetryExport
    from remora_sidecar.telemetry.settings import OpenTelemetrySettings, export_plan

    plan = export_plan(OpenTelemetrySettings())
    if plan is None:
        return None
    stated = {name: value for name, value in resource.items() if value}
    return TelemetryExport(
        plan, connect=lambda: _connect(plan, stated), collect=collect, clock=clock
    )


def _connect(plan: "ExportPlan", resource: Mapping[str, str]) -> "TelemetrySink":
    # OpenTelemetry's libraries take half a second to load.
    from remora_sidecar.telemetry.collector import Collector

    return Collector(plan, resource, __version__)
