"""YAML text as plain values that remember where they stood.

Reads with ruamel's composer, so that every problem that is found later, by whatever check,
can name file, line and column. No text makes it raise: what can't be read is a problem.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from remora.errors import Problem

MAX_FILE_CHARACTERS = 1024 * 1024
MAX_DEPTH = 48
MAX_VALUES = 20_000
"""Bounds of one file and one document; aliases count as often as they are used."""

Path = Sequence[str | int]
"""Keys and indexes from a document's root down."""

_LIBRARY_BUGS = (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What the YAML library is known to raise on some malformed texts in place of its own errors."""


class SourceDocument(Protocol):
    """A document as it was read, whatever it was written in."""

    @property
    def value(self) -> object:
        """The document as mappings, lists and scalars."""
        ...

    def where(self, path: Path = ()) -> str:
        """Say where a field stands, for messages."""
        ...


@dataclass(frozen=True)
class YamlDocument:
    """One document of a file.

    Attributes:
        file: Name of the file, for messages.
        value: The document as mappings, lists and scalars.
    """

    file: str
    value: object
    _root: Node = field(repr=False, compare=False)

    def where(self, path: Path = ()) -> str:
        """Return ``file:line:column path`` of a field, or of what is nearest above it."""
        node = self._root
        mark = node.start_mark
        for step in path:
            found = _step(node, step)
            if found is None:
                break
            key, node = found
            mark = key.start_mark
        text = path_text(path)
        position = f"{self.file}:{mark.line + 1}:{mark.column + 1}"
        return f"{position} {text}" if text else position


def path_text(path: Path) -> str:
    """Write a path as users do: ``spec.budgets[0].name``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def read_documents(file: str, text: str) -> tuple[list[YamlDocument], list[Problem]]:
    """Read all documents of a file; empty ones are passed over.

    Returns:
        The documents that could be read, and everything wrong with the others.
    """
    if len(text) > MAX_FILE_CHARACTERS:
        return [], [Problem(file, f"larger than {MAX_FILE_CHARACTERS} characters")]
    documents: list[YamlDocument] = []
    problems: list[Problem] = []
    for item in _roots(file, text):
        if isinstance(item, Problem):
            problems.append(item)
            continue
        reading = _Reading(file)
        value = reading.value(item, (), 0)
        problems.extend(reading.problems)
        if not reading.problems and value is not None:
            documents.append(YamlDocument(file, value, item))
    return documents, problems


def _roots(file: str, text: str) -> Iterator[Node | Problem]:
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.composer.warn_double_anchors = False
    try:
        yield from yaml.compose_all(text)
    except MarkedYAMLError as error:
        yield _marked_problem(file, error)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        yield Problem(f"{file}:{line}", f"not YAML: {error.reason}")
    except (YAMLError, YAMLStreamError, *_LIBRARY_BUGS):
        yield Problem(file, "not YAML")


def _marked_problem(file: str, error: MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = file if mark is None else f"{file}:{mark.line + 1}:{mark.column + 1}"
    text = str(error.problem or error.context or "can't be read")
    if "\\t" in text:
        text = "a tab can't indent or begin a value: use spaces"
    if isinstance(error, MaxDepthExceededError):
        text = f"nested deeper than {MAX_DEPTH} levels"
    return Problem(where, f"not YAML: {text}")


def _step(node: Node, step: str | int) -> tuple[Node, Node] | None:
    """Return the node that names a field and the field's value."""
    if isinstance(node, MappingNode):
        return next(((k, v) for k, v in node.value if k.value == step), None)
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    return int(digits, 0) if digits[:2] in ("0x", "0o") else int(digits)


_SCALARS: Mapping[str, Callable[[str], object]] = {
    "str": str,
    "timestamp": str,
    "merge": str,
    "value": str,
    "null": lambda _: None,
    "bool": lambda text: text.lower() in ("true", "yes", "on"),
    "int": _integer,
    "float": lambda text: float(text.replace("_", "")),
}
"""How the scalars of each YAML tag are read."""


class _Reading:
    """Turns the nodes of one document into values, collecting what is wrong."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._values = 0

    def value(self, node: Node, path: Path, depth: int) -> object:
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            if not self.problems:
                self._report(node, (), "too deep or too large, aliases counted in full")
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            return [self.value(n, (*path, i), depth + 1) for i, n in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: Path, depth: int) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in values:
                self._report(key_node, (*path, key), "stands twice")
            values[key] = self.value(value_node, (*path, key), depth + 1)
        return values

    def _key(self, node: Node, path: Path) -> str | None:
        if isinstance(node, ScalarNode) and _tag(node) == "str":
            return str(node.value)
        if _tag(node) == "merge":
            self._report(node, path, "'<<' is not supported: write the fields out")
        else:
            self._report(node, path, "a key should be text: put quotes around it")
        return None

    def _scalar(self, node: Node, path: Path) -> object:
        read = _SCALARS.get(_tag(node))
        try:
            if read is not None:
                return read(str(node.value))
        except ValueError:
            pass
        self._report(node, path, "can't be read as a number, text, true or false")
        return None

    def _report(self, node: Node, path: Path, what: str) -> None:
        mark = node.start_mark
        where = f"{self._file}:{mark.line + 1}:{mark.column + 1} {path_text(path)}".rstrip()
        self.problems.append(Problem(where, what))


def _tag(node: Node) -> str:
    prefix, _, name = str(node.tag).rpartition("tag:yaml.org,2002:")
    return name if not prefix else str(node.tag)
