"""OpenTelemetry's words for what records say: the GenAI semantic conventions. Pure.

Source: github.com/open-telemetry/semantic-conventions-genai, ``docs/gen-ai`` (status:
development), to which the conventions moved in 2026.
"""

from collections.abc import Mapping
from types import MappingProxyType

from remora.records import PARSE_FAILED_MODEL, CallRecord, EndReason

DURATION_BOUNDS_S = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
"""Buckets of every duration of a client."""

TOKEN_BOUNDS = tuple(4**power for power in range(14))
"""Buckets of ``gen_ai.client.token.usage``: 1 to 67,108,864."""

_PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "aws-bedrock": "aws.bedrock",
        "azure-openai": "azure.ai.openai",
        "gemini-cli": "gcp.gen_ai",
        "google": "gcp.gemini",
        "google-vertex": "gcp.vertex_ai",
        "mistral": "mistral_ai",
        "moonshot": "moonshot_ai",
        "xai": "x_ai",
    }
)


def provider_name(provider: str) -> str:
    """Return ``gen_ai.provider.name``; a name that the conventions don't know stays ours."""
    return _PROVIDERS.get(provider, provider)


def response_model(record: CallRecord) -> str:
    """Return ``gen_ai.response.model``; empty where the provider stated none."""
    return "" if record.response_model == PARSE_FAILED_MODEL else record.response_model


def billable_tokens(record: CallRecord) -> tuple[int | None, int | None]:
    """Return input and output tokens as they are charged; None where not stated.

    The conventions want billable figures where both kinds are stated. Nothing is charged for
    a cached answer, and an estimate is no statement.
    """
    usage = record.usage
    if usage is None or usage.estimated or record.cached:
        return None, None
    return (
        _first_stated(usage.billed_input_tokens, usage.input_tokens),
        _first_stated(usage.billed_output_tokens, usage.output_tokens),
    )


def _first_stated(billed: int | None, stated: int | None) -> int | None:
    return stated if billed is None else billed


def error_type(record: CallRecord) -> str:
    """Return ``error.type`` of few values: a status code or how the call ended; empty if well."""
    if record.status_code >= 400:
        return str(record.status_code)
    if record.end_reason is not EndReason.COMPLETED:
        return record.end_reason.name.lower()
    return "error" if record.error is not None else ""
