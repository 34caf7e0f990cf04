"""Token usage in the three forms in which Bedrock itself states it.

Converse's ``usage`` (docs.aws.amazon.com/bedrock/latest/APIReference, "TokenUsage"), which Nova's
own bodies have too; the ``amazon-bedrock-invocationMetrics`` at the end of an InvokeModel stream;
and headers of an InvokeModel answer. In all of them input leaves out what was read from or written
to a cache, which a `Usage` counts in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from remora.records import Usage
from remora_sidecar.dialects.framing.json_values import count
from remora_sidecar.model.exchange import Headers, header

SEARCHED: Final = "inputTokens, outputTokens"
"""Keys of which at least one must be there, for messages."""

METRICS: Final = "amazon-bedrock-invocationMetrics"
"""Member of the last chunk of an InvokeModel stream."""

_ONE_HOUR: Final = "1h"


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures as one place states them; None where it states nothing.

    Attributes:
        input_tokens: Without what was read from or written to a cache.
        cache_write_1h_tokens: Those of ``cache_write_tokens`` that are kept for an hour.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None

    @property
    def is_stated(self) -> bool:
        """Whether input or output is stated."""
        return self.input_tokens is not None or self.output_tokens is not None

    @property
    def is_complete(self) -> bool:
        """Whether input and output are stated."""
        return self.input_tokens is not None and self.output_tokens is not None

    @property
    def has_cached(self) -> bool:
        """Whether any of the prompt was read from or written to a cache."""
        return bool(self.cache_read_tokens or self.cache_write_tokens)

    def filled_from(self, other: "Figures") -> "Figures":
        """Take from another place what this one leaves out."""
        gaps = {
            name: getattr(other, name) for name in self.__slots__ if getattr(self, name) is None
        }
        return replace(self, **gaps)

    def usage(self) -> Usage | None:
        """Say what was used; None if neither input nor output is stated."""
        if not self.is_stated:
            return None
        cached = (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)
        uncached = self.input_tokens
        return Usage(
            input_tokens=None if uncached is None else count(uncached + cached),
            output_tokens=self.output_tokens,
            cache_read_tokens=self.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens,
        )


NOTHING: Final = Figures()
"""Nothing is stated."""


def read_converse_usage(usage: Mapping[str, Any]) -> Figures:
    """Read the ``usage`` of Converse or of Nova's own bodies, which name cached tokens apart."""
    return Figures(
        input_tokens=count(usage.get("inputTokens")),
        output_tokens=count(usage.get("outputTokens")),
        cache_read_tokens=_either(usage, "cacheReadInputTokens", "cacheReadInputTokenCount"),
        cache_write_tokens=_either(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount"),
        cache_write_1h_tokens=_kept_for_an_hour(usage.get("cacheDetails")),
    )


def read_metrics(metrics: Mapping[str, Any]) -> Figures:
    """Read the metrics of an InvokeModel stream."""
    return Figures(
        input_tokens=count(metrics.get("inputTokenCount")),
        output_tokens=count(metrics.get("outputTokenCount")),
        cache_read_tokens=count(metrics.get("cacheReadInputTokenCount")),
        cache_write_tokens=count(metrics.get("cacheWriteInputTokenCount")),
    )


def read_headers(headers: Headers) -> Figures:
    """Read the headers of an InvokeModel answer."""
    return Figures(
        input_tokens=_number(headers, b"x-amzn-bedrock-input-token-count"),
        output_tokens=_number(headers, b"x-amzn-bedrock-output-token-count"),
        cache_read_tokens=_number(headers, b"x-amzn-bedrock-cache-read-input-token-count"),
        cache_write_tokens=_number(headers, b"x-amzn-bedrock-cache-write-input-token-count"),
    )


def _either(usage: Mapping[str, Any], name: str, other: str) -> int | None:
    figure = count(usage.get(name))
    return count(usage.get(other)) if figure is None else figure


def _kept_for_an_hour(details: object) -> int | None:
    if not isinstance(details, list):
        return None
    stated = [
        tokens
        for detail in details
        if isinstance(detail, dict) and detail.get("ttl") == _ONE_HOUR
        if (tokens := count(detail.get("inputTokens"))) is not None
    ]
    return count(sum(stated)) if stated else None


def _number(headers: Headers, name: bytes) -> int | None:
    text = (header(headers, name) or "").strip()
    # Sizes are checked first: Python takes quadratic time to read digits.
    return count(int(text)) if text.isascii() and text.isdigit() and len(text) < 20 else None
