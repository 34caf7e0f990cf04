"""Makes the export that OpenTelemetry's variables ask for, if any.

Most parts are asked for none: what makes one loads only where a variable is set.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import Metric

from remora import __version__
from remora.clock import Clock
from remora.telemetry.record_form import RecordForm

if TYPE_CHECKING:
    from remora.telemetry.export import TelemetryExport, TelemetrySink
    from remora.telemetry.settings import ExportPlan

_PREFIX = "OTEL_"


def open_export[T](
    form: RecordForm[T],
    resource: Mapping[str, str],
    collect: Callable[[], Iterable[Metric]],
    clock: Clock,
) -> "TelemetryExport[T] | None":
    """Read the variables and prepare the export; None if nothing is to be exported.

    Args:
        form: In which form the records come.
        resource: What exports, in OpenTelemetry's words; empty values are left out.
        collect: Gives the metrics as they are.
        clock: Of the part that exports.
    """
    if not any(name.upper().startswith(_PREFIX) for name in os.environ):  # noqa: TID251 - names only
        return None
    from remora.telemetry.export import TelemetryExport
    from remora.telemetry.settings import OpenTelemetrySettings, export_plan

    plan = export_plan(OpenTelemetrySettings())
    if plan is None:
        return None
    stated = {name: value for name, value in resource.items() if value}
    return TelemetryExport(
        plan,
        connect=lambda: _connect(plan, stated, form),
        collect=collect,
        clock=clock,
        bare=form.bare,
    )


def _connect[T](
    plan: "ExportPlan", resource: Mapping[str, str], form: RecordForm[T]
) -> "TelemetrySink[T]":
    # OpenTelemetry's libraries take half a second to load.
    from remora.telemetry.collector import Collector

    return Collector(plan, resource, __version__, form)
