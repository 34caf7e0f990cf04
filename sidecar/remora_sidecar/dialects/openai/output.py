"""The output items of an OpenAI response: which tools it calls, how often it searched the web.

A stream adds an item, then tells that it is done; its end repeats all of them, except where a
gateway leaves them out there. Keeps names only.

Names of tools: of a function, a custom tool and a tool of an MCP server their own; of a tool
that the provider (or, as with shells and computers, the agent) knows by itself its kind, such
as ``web_search`` of a ``web_search_call``. Results, lists of an MCP server's tools and requests
for approval are no calls.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from remora_sidecar.dialects.framing.json_values import count, member, word
from remora_sidecar.dialects.openai.tool_calls import MAX_TOOL_CALLS

_CALL = "_call"
_WEB_SEARCH = "web_search"


class _ToolCall(NamedTuple):
    name: str
    is_web_search: bool


def is_tool_call(item: Mapping[str, Any]) -> bool:
    """Tell whether an output item is the call of a tool, by its type."""
    return word(item.get("type")).endswith(_CALL)


def _tool_call(item: Mapping[str, Any]) -> _ToolCall | None:
    if not is_tool_call(item):
        return None
    kind = word(item.get("type")).removesuffix(_CALL)
    # Opening a found page, or looking for words in it, is told as a search with another action.
    action = word(member(item, "action").get("type"))
    is_search = kind == _WEB_SEARCH and action in ("", "search")
    return _ToolCall(word(item.get("name")) or kind, is_search)


class OutputItems:
    """Collects the calls of tools among items, in the order of the output; bounded."""

    def __init__(self) -> None:
        """Start without items."""
        self._calls: dict[int, _ToolCall] = {}

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the tools called so far."""
        return tuple(call.name for _, call in sorted(self._calls.items()))

    @property
    def web_searches(self) -> int | None:
        """How many searches were told; None if none was."""
        return sum(call.is_web_search for call in self._calls.values()) or None

    def take(self, index: object, item: Mapping[str, Any]) -> None:
        """Take an item of a stream; one at the place of another is the same, further on."""
        call = _tool_call(item)
        if call is None:
            return
        place = count(index)
        place = len(self._calls) if place is None else place
        if place in self._calls or len(self._calls) < MAX_TOOL_CALLS:
            self._calls[place] = call

    def take_all(self, output: object) -> None:
        """Take the whole output; an empty one unsays nothing."""
        if not isinstance(output, list) or not output:
            return
        self._calls.clear()
        for place, item in enumerate(output):
            if isinstance(item, dict):
                self.take(place, item)
