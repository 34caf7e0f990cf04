"""Token usage in Anthropic's words, put together from all the places that one answer states it.

A stream states it twice or more: `message_start` knows the prompt and each `message_delta` the
total so far, input grown by server tools included. What a later one leaves out stays as it was
stated (platform.claude.com/docs, "Streaming messages"). Shared by every dialect that carries
Anthropic messages; knows no bytes.

The figures are those of the top level, which leave out what `usage.iterations` lists beside the
message itself: compaction and advisor calls, the latter of another model. Those are billed too,
so that the cost of such an answer is a lower bound.
"""

from collections.abc import Mapping
from typing import Any

from remora.records import Usage
from remora_sidecar.dialects.framing.json_values import count, member, word

SEARCHED = "input_tokens, output_tokens"
"""Keys of which at least one must be there, for messages."""

_CACHE_READ = "cache_read_input_tokens"
_CACHE_WRITE = "cache_creation_input_tokens"
_TOP = ("input_tokens", "output_tokens", _CACHE_READ, _CACHE_WRITE)
_INNER = (
    ("cache_creation", "ephemeral_1h_input_tokens"),
    ("output_tokens_details", "thinking_tokens"),
    ("server_tool_use", "web_search_requests"),
)


class AnthropicUsage:
    """Keeps the figures that were stated last.

    Attributes:
        service_tier: The tier that is billed: `service_tier` as stated, or ``fast`` where
            `speed` says so, which has prices of its own and goes with no other tier
            (platform.claude.com/docs, "Fast mode").
    """

    def __init__(self) -> None:
        """Start with nothing stated."""
        self._figures: dict[str, int] = {}
        self.service_tier = ""

    def take(self, usage: object) -> None:
        """Take a usage object as stated."""
        if not isinstance(usage, dict):
            return
        for name in _TOP:
            self._keep(name, usage)
        for holder, name in _INNER:
            if holder in usage:
                self._keep(name, member(usage, holder))
        fast = "fast" if usage.get("speed") == "fast" else ""
        self.service_tier = fast or word(usage.get("service_tier")) or self.service_tier

    def _keep(self, name: str, holder: Mapping[str, Any]) -> None:
        if (figure := count(holder.get(name))) is not None:
            self._figures[name] = figure

    @property
    def is_stated(self) -> bool:
        """Whether input or output is a number."""
        return "input_tokens" in self._figures or "output_tokens" in self._figures

    @property
    def _input_tokens(self) -> int | None:
        """All of the prompt: the stated figure counts only what no cache was asked for."""
        figures = self._figures
        if (uncached := figures.get("input_tokens")) is None:
            return None
        return count(uncached + figures.get(_CACHE_READ, 0) + figures.get(_CACHE_WRITE, 0))

    def usage(self, at_least: int | None = None) -> Usage | None:
        """Say what was stated; None if neither input nor output was.

        Args:
            at_least: The answer is not known to be finished, and its output was estimated at
                this many tokens: where fewer are stated, the estimate stands for them.
        """
        if not self.is_stated:
            return None
        figures = self._figures
        output_tokens = figures.get("output_tokens")
        if at_least is not None:
            output_tokens = max(output_tokens or 0, at_least)
        return Usage(
            input_tokens=self._input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=figures.get(_CACHE_READ),
            cache_write_tokens=figures.get(_CACHE_WRITE),
            reasoning_tokens=figures.get("thinking_tokens"),
            cache_write_1h_tokens=figures.get("ephemeral_1h_input_tokens"),
            web_searches=figures.get("web_search_requests"),
            estimated=at_least is not None,
        )
