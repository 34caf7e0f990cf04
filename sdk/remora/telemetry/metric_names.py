"""What a metric of Prometheus' naming is called over OTLP. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

_CLIENT = "gen_ai_client_"

_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "error_type": "error.type",
        "gen_ai_operation_name": "gen_ai.operation.name",
        "gen_ai_provider_name": "gen_ai.provider.name",
        "gen_ai_request_model": "gen_ai.request.model",
        "gen_ai_response_model": "gen_ai.response.model",
        "gen_ai_token_type": "gen_ai.token.type",
    }
)


def metric_name(family: str) -> tuple[str, str]:
    """Return a family's name and unit (UCUM) over OTLP.

    The first words are namespaces: ``remora_calls`` is ``remora.calls``,
    ``gen_ai_client_token_usage`` is ``gen_ai.client.token.usage``.
    """
    name, has_seconds, _ = family.partition("_seconds")
    unit = "s" if has_seconds else ""
    if not name.startswith(_CLIENT):
        return name.replace("_", ".", 1), unit
    namespace, _, rest = name.removeprefix(_CLIENT).partition("_")
    return f"gen_ai.client.{namespace}.{rest}", unit or "{token}"


def attribute_name(label: str) -> str:
    """Return a label's name over OTLP."""
    return _ATTRIBUTES.get(label, label)
