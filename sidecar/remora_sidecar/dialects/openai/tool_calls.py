"""Names of the tools that a chat answer calls, put together from whole calls or stream deltas."""

from collections.abc import Mapping
from typing import Any

from remora_sidecar.dialects.framing.json_values import WORD_CHARACTERS, count, member, word

MAX_TOOL_CALLS = 256
"""Calls beyond this many in one answer are not listed."""


class ToolCalls:
    """Collects names in the order of their calls.

    A stream names a call in its first delta; later ones carry the index alone, or repeat the
    name, or (as the official SDKs put deltas together) add to it. Some providers number
    every call 0 and tell them apart by id.
    """

    def __init__(self) -> None:
        """Start without calls."""
        self._names: list[str] = []
        self._ids: list[str] = []
        self._at: dict[tuple[int, int], int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names so far."""
        return tuple(self._names)

    def take(self, choice: int, calls: object) -> None:
        """Take a message's or delta's list of calls."""
        if not isinstance(calls, list):
            return
        for position, call in enumerate(calls):
            if isinstance(call, dict):
                index = count(call.get("index"))
                self._take_call(choice, position if index is None else index, call)

    def take_function(self, choice: int, function: object) -> None:
        """Take the one call of the old form, `function_call`."""
        if isinstance(function, dict):
            self._take_call(choice, -1, {"function": function})

    def _take_call(self, choice: int, index: int, call: Mapping[str, Any]) -> None:
        name = word(member(call, "function").get("name")) or word(
            member(call, "custom").get("name")
        )
        if not name:
            return
        call_id = word(call.get("id"))
        at = self._at.get((choice, index))
        if at is None or (call_id and call_id != self._ids[at]):
            self._add((choice, index), name, call_id)
        elif self._names[at] != name:
            self._names[at] = (self._names[at] + name)[:WORD_CHARACTERS]

    def _add(self, key: tuple[int, int], name: str, call_id: str) -> None:
        if len(self._names) < MAX_TOOL_CALLS:
            self._at[key] = len(self._names)
            self._names.append(name)
            self._ids.append(call_id)
