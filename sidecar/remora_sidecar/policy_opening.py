"""Where a sidecar's policies come from, by its settings: from files or from the operator."""

from remora import __version__
from remora.client.target import AggregatorTarget
from remora_sidecar.data_directory import DataDirectory
from remora_sidecar.last_policy import LastPolicy
from remora_sidecar.live_policy import LivePolicy
from remora_sidecar.policy_files import PolicyFiles
from remora_sidecar.policy_service import PodHints, PolicyWatch
from remora_sidecar.settings import SidecarSettings


def open_policy(settings: SidecarSettings, data: DataDirectory) -> LivePolicy:
    """Make the sidecar's policy; nothing is read or dialled yet."""
    if settings.operator is None:
        source: PolicyFiles | PolicyWatch = PolicyFiles(settings)
    else:
        source = _watch(settings, settings.operator, data)
    return LivePolicy(source, LastPolicy(data.path, source.origin))


def _watch(settings: SidecarSettings, operator: str, data: DataDirectory) -> PolicyWatch:
    target = AggregatorTarget(
        operator, token_file=settings.operator_token_file, ca_file=settings.operator_ca
    )
    hints = PodHints(
        namespace=settings.namespace,
        pod_name=settings.pod_name,
        pod_uid=settings.pod_uid or data.installation_id,
        sidecar_version=__version__,
    )
    return PolicyWatch(target, hints)
