"""What tells an OpenTelemetry collector of a sidecar's calls, made of its settings."""

from typing import TYPE_CHECKING

from remora import __version__
from remora.clock import Clock
from remora.records import CallRecord
from remora.telemetry.opening import open_export
from remora.telemetry.record_form import OWN_CALLS
from remora_sidecar.control.metrics import watch_export
from remora_sidecar.data_directory import DataDirectory
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.settings import SidecarSettings

if TYPE_CHECKING:
    from remora.telemetry.export import TelemetryExport


def open_telemetry(
    settings: SidecarSettings, data: DataDirectory, metrics: EngineMetrics, clock: Clock
) -> "TelemetryExport[CallRecord] | None":
    """Make what exports spans of calls and metrics; None where no one is to get them."""
    resource = {
        "service.name": "remora-sidecar",
        "service.version": __version__,
        "service.instance.id": settings.pod_uid or data.installation_id,
        "k8s.pod.name": settings.pod_name,
        "k8s.pod.uid": settings.pod_uid,
        "k8s.node.name": settings.node,
    }
    export = open_export(OWN_CALLS, resource, metrics.registry.collect, clock)
    if export is not None:
        watch_export(metrics.registry, export.dropped)
    return export
