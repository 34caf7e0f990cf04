"""Where a sidecar's aggregator is, made of its settings."""

from remora.client.target import AggregatorTarget
from remora_sidecar.settings import NO_AGGREGATOR, SidecarSettings


def aggregator_of(settings: SidecarSettings) -> AggregatorTarget | None:
    """Name the aggregator; None where there is none."""
    if settings.aggregator == NO_AGGREGATOR:
        return None
    return AggregatorTarget(
        settings.aggregator,
        token_file=settings.aggregator_token_file,
        ca_file=settings.aggregator_ca,
    )
