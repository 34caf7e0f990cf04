"""Files of Kubernetes manifests: YAML of several documents, or JSON.

A document that nothing changes is written as it was read, letter by letter. One that changes is
written anew: the same values, without its comments.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError
from ruamel.yaml.events import DocumentStartEvent
from ruamel.yaml.nodes import Node, ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from remora.errors import ConfigError, Problem
from remora_operator.commands.manifest_values import Values, plain_value

_LIBRARY_BUGS = (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What the YAML library is known to raise on some malformed texts in place of its own errors."""

_NUMBER_LIKE = re.compile(r"[-+.\d][-+.\d_:xXoObBeEtTzZa-fA-F ]*")
"""Text that some YAML reader takes for a number, a time or a date."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file.

    Attributes:
        file: Its file's name.
        where: File and line, for messages.
        text: As it was read.
        value: Its value.
        is_json: The file is JSON.
    """

    file: str
    where: str
    text: str
    value: Any
    is_json: bool = False

    def with_value(self, value: object) -> str:
        """Return the text of the document with another value."""
        if self.is_json:
            return json.dumps(value, indent=4, ensure_ascii=False) + "\n"
        text = io.StringIO()
        _writer().dump(value, text)
        return f"---\n{text.getvalue()}"


def read_manifest(file: str, text: str) -> list[Document]:
    """Read a file.

    Raises:
        ConfigError: It is no YAML, or holds what the API server could not read.
    """
    if text.lstrip().startswith("{"):
        try:
            return [Document(file, f"{file}:1", text, json.loads(text), is_json=True)]
        except ValueError:
            pass  # YAML has such braces, too
    try:
        return list(_documents(file, text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = file if mark is None else f"{file}:{mark.line + 1}:{mark.column + 1}"
        what = error.problem or error.context or "it can't be read"
        raise ConfigError([Problem(where, f"not YAML: {what}")]) from None
    except (YAMLError, YAMLStreamError, RecursionError, *_LIBRARY_BUGS):
        raise ConfigError([Problem(file, "not YAML")]) from None


def _documents(file: str, text: str) -> Iterator[Document]:
    starts = [
        event.start_mark.index
        for event in _reader().parse(text)
        if isinstance(event, DocumentStartEvent)
    ]
    ends = [*starts, len(text)][1:]
    roots = _reader().compose_all(text)
    for index, (root, start, end) in enumerate(zip(roots, starts, ends, strict=True)):
        begins = 0 if index == 0 else start
        value = _value(file, text, root)
        yield Document(file, _where(file, text, root, start), text[begins:end], value)


def _reader() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    return yaml


def _where(file: str, text: str, root: Node | None, start: int) -> str:
    line = text.count("\n", 0, start) if root is None else root.start_mark.line
    return f"{file}:{line + 1}"


def _value(file: str, text: str, root: Node | None) -> Any:
    return None if root is None else Values(file, text).of(root)


def written(documents: Sequence[tuple[Document, str | None]]) -> str:
    """Join documents to one text.

    Args:
        documents: Each with its new text; None: as it was read.
    """
    parts = list[str]()
    follows_its_own = False
    previous: Document | None = None
    for document, anew in documents:
        text = document.text if anew is None else anew
        follows_its_own = (
            follows_its_own and previous is not None and previous.file == document.file
        )
        if parts and not follows_its_own and not text.startswith("---"):
            parts.append("...\n" if text.startswith("%") else "---\n")
        parts.append(text if text.endswith("\n") or not text else f"{text}\n")
        previous, follows_its_own = document, anew is None
    return "".join(parts)


class _Representer(SafeRepresenter):
    """Writes text so that no YAML reader takes it for anything else, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True

    def represent_text(self, text: str) -> ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))

    def represent_number(self, number: float) -> ScalarNode:
        node: ScalarNode = self.represent_float(number)
        if "." not in node.value:  # readers of YAML 1.1 take 1e-05 for text
            node.value = node.value.replace("e", ".0e", 1)
        return node


_Representer.add_representer(str, _Representer.represent_text)
_Representer.add_representer(float, _Representer.represent_number)


def _style(text: str) -> str | None:
    if "\n" in text:
        return "|" if text.replace("\n", "").replace("\t", "").isprintable() else '"'
    ambiguous = _NUMBER_LIKE.fullmatch(text) or not isinstance(plain_value(text), str)
    return '"' if ambiguous or text in ("=", "<<") or not text.isprintable() else None


def _writer() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 1 << 20
    yaml.allow_unicode = True
    return yaml
