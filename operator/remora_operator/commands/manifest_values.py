"""YAML of Kubernetes manifests as values: what `kubectl` would send to the API server.

kubectl reads YAML by the rules of Go's library, which are those of YAML 1.1 with exceptions:
``yes`` and ``on`` are booleans, ``0644`` is octal, ``12:30`` and dates are text.
"""

import re
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from remora.errors import ConfigError, Problem

MAX_DEPTH = 100
MAX_VALUES = 1_000_000
"""Bounds of one document; aliases count as often as they are used."""

_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_NULL = frozenset(["", "~", "null", "Null", "NULL"])
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_BASES = {"0x": 16, "0b": 2, "0o": 8}
_EXPLICIT_TAG = re.compile(r"(&\S+\s+)?!")
_YAML = "tag:yaml.org,2002:"


def plain_value(text: str) -> Any:
    """Return what an unquoted scalar means."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return _integer(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _integer(text: str) -> int:
    digits = text.lstrip("-+").replace("_", "")
    base = _BASES.get(digits[:2].lower(), 8 if digits.startswith("0") else 10)
    value = int(digits, base)
    return -value if text.startswith("-") else value


def _is_plain(node: Node) -> bool:
    """Tell whether a scalar stands there without quotes."""
    return isinstance(node, ScalarNode) and not node.style


class Values:
    """Turns the nodes of one document into values."""

    def __init__(self, file: str, text: str) -> None:
        """Take the file's name, for messages, and its whole text."""
        self._file = file
        self._text = text
        self._count = 0

    def of(self, node: Node, depth: int = 0) -> Any:
        """Return a node's value.

        Raises:
            ConfigError: It has none that the API server would take.
        """
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_VALUES:
            raise self._problem(node, "too deep or too large, aliases counted in full")
        if isinstance(node, MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, SequenceNode):
            return [self.of(item, depth + 1) for item in node.value]
        return self._scalar(node)

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if _is_plain(key_node) and key_node.value == "<<":
                merged = self._merged(value_node, depth) | merged
                continue
            key = self._key(key_node)
            if key in values:
                raise self._problem(key_node, f"{key} stands twice")
            values[key] = self.of(value_node, depth + 1)
        return {**merged, **values}

    def _merged(self, node: Node, depth: int) -> dict[str, Any]:
        """Return what ``<<`` brings; of several mappings the first wins."""
        parts = node.value if isinstance(node, SequenceNode) else [node]
        found: dict[str, Any] = {}
        for part in parts:
            value = self.of(part, depth + 1)
            if not isinstance(value, dict):
                raise self._problem(node, "'<<' takes a mapping")
            found = value | found
        return found

    def _key(self, node: Node) -> str:
        value = self._scalar(node) if isinstance(node, ScalarNode) else None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            return str(value)
        raise self._problem(node, "a key should be text")

    def _scalar(self, node: Node) -> Any:
        text = str(node.value)
        source = self._text[node.start_mark.index : node.end_mark.index]
        if _EXPLICIT_TAG.match(source):
            if node.tag == f"{_YAML}str":
                return text
            raise self._problem(node, f"the tag {node.tag} can't be read here")
        return plain_value(text) if _is_plain(node) else text

    def _problem(self, node: Node, what: str) -> ConfigError:
        mark = node.start_mark
        return ConfigError([Problem(f"{self._file}:{mark.line + 1}:{mark.column + 1}", what)])
