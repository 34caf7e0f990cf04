r"""Templates: text with references in double braces, and nothing that could be run.

``{{steps.plan.output.points[0]}}`` is a reference: a name and the way down from it. There are no
filters, conditions, loops or calls. ``\{{`` writes two braces; a backslash before braces is
written twice. Libraries of templates do more (and Mustache's escape HTML and pass over unknown
names), so that what they would have to be kept from is more than what is written here.

Parsing and rendering take time linear in the text.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

MAX_REFERENCE_CHARACTERS = 512
MAX_PATH_STEPS = 40
MAX_RENDERED_CHARACTERS = 8 * 1024 * 1024
"""Of one rendered text; a longer one is refused before it is made whole."""

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_REFERENCE = re.compile(
    rf"\{{\{{\s*(?P<root>{_NAME})(?P<path>(?:\.{_NAME}|\.[0-9]+|\[[0-9]+\]|\[\"(?:[^\"\\]|\\.)*\"\])*)"
    r"\s*\}\}"
)
_PATH_STEP = re.compile(rf"\.({_NAME})|\.([0-9]+)|\[([0-9]+)\]|\[(\"(?:[^\"\\]|\\.)*\")\]")
_PLAIN_NAME = re.compile(rf"{_NAME}\Z")
# Backslashes are counted from the first of a row on: from each, it would take their square.
_MARK = re.compile(r"(?<!\\)(\\*)(\{\{+)")
_BRACES = re.compile(r"(?<!\\)(\\*)(\{+)")


class TemplateError(ValueError):
    """A text that is no template.

    Attributes:
        problems: What is wrong, each with the number of the character where it begins.
    """

    def __init__(self, problems: list[tuple[int, str]]) -> None:
        """Keep what is wrong."""
        self.problems = tuple(problems)
        super().__init__("; ".join(what for _, what in problems))


class RenderError(ValueError):
    """A template that can't be rendered: too long, or a reference leads nowhere."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A name and the way down from it.

    Attributes:
        root: Where it begins: ``goal``, ``input``, ``steps``, or the name of an item.
        path: Keys, and indexes of lists.
    """

    root: str
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        """Write it as it stands between braces."""
        return self.root + "".join(map(_step_text, self.path))


def _step_text(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN_NAME.match(step) else f"[{json.dumps(step)}]"


@dataclass(frozen=True)
class Template:
    """A parsed template.

    Attributes:
        parts: Literal text and references, in order; no empty text, no two texts in a row.
    """

    parts: tuple[str | Reference, ...]

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """Every reference once, in order."""
        return tuple(dict.fromkeys(p for p in self.parts if isinstance(p, Reference)))

    @property
    def lone_reference(self) -> Reference | None:
        """The reference that is all there is; None if there is other text."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Reference):
            return self.parts[0]
        return None

    @property
    def literal_characters(self) -> int:
        """How much of the text is there whatever the references say."""
        return sum(len(part) for part in self.parts if isinstance(part, str))

    def __str__(self) -> str:
        """Write the template so that it parses to the same parts."""
        return "".join(self._written())

    def _written(self) -> Iterator[str]:
        for number, part in enumerate(self.parts):
            if isinstance(part, Reference):
                yield f"{{{{{part}}}}}"
                continue
            following = self.parts[number + 1 :]
            yield _escaped(part, before_reference=bool(following))


def literal(text: str) -> str:
    """Write text so that a template gives it back as it is."""
    return _escaped(text, before_reference=False)


def _escaped(text: str, *, before_reference: bool) -> str:
    def escaped(match: re.Match[str]) -> str:
        slashes, braces = match[1], match[2]
        touches = before_reference and match.end() == len(text)
        if len(braces) == 1 and not touches:
            return match[0]
        pairs, odd = divmod(len(braces), 2)
        return slashes * 2 + "\\{{" * pairs + "{" * odd

    written = _BRACES.sub(escaped, text)
    if before_reference and not text.endswith("{"):
        written += "\\" * (len(written) - len(written.rstrip("\\")))
    return written


def parse_template(text: str) -> Template:
    r"""Read a template.

    Raises:
        TemplateError: Something between braces is no reference; holds every such place.
    """
    parts: list[str | Reference] = []
    problems: list[tuple[int, str]] = []
    literals: list[str] = []
    position = 0
    while (mark := _MARK.search(text, position)) is not None:
        literals.append(text[position : mark.start()])
        literals.append("\\" * (len(mark[1]) // 2))
        if len(mark[1]) % 2:
            literals.append("{{")
            position = mark.start(2) + 2
            continue
        start = mark.end() - 2
        literals.append("{" * (start - mark.start(2)))
        reference, position = _reference(text, start, problems)
        if reference is not None:
            _close(parts, literals)
            parts.append(reference)
    literals.append(text[position:])
    _close(parts, literals)
    if problems:
        raise TemplateError(problems)
    return Template(tuple(parts))


def _close(parts: list[str | Reference], literals: list[str]) -> None:
    text = "".join(literals)
    literals.clear()
    if text:
        parts.append(text)


def _reference(
    text: str, start: int, problems: list[tuple[int, str]]
) -> tuple[Reference | None, int]:
    """Read the reference that begins at a place; returns where to read on."""
    match = _REFERENCE.match(text, start, start + MAX_REFERENCE_CHARACTERS)
    if match is None:
        problems.append((start, _NO_REFERENCE))
        return None, start + 2
    try:
        path = tuple(map(_path_step, _PATH_STEP.finditer(match["path"])))
    except ValueError:
        problems.append((start, _NO_REFERENCE))
        return None, match.end()
    if len(path) > MAX_PATH_STEPS:
        problems.append((start, f"goes more than {MAX_PATH_STEPS} steps down"))
        return None, match.end()
    return Reference(match["root"], path), match.end()


_NO_REFERENCE = (
    "between '{{' and '}}' should stand a reference such as input.topic or steps.plan.output; "
    "write '\\{{' for the braces themselves"
)


def _path_step(match: re.Match[str]) -> str | int:
    name, number, index, key = match.groups()
    if name is not None:
        return str(name)
    if key is not None:
        return str(json.loads(key))
    return int(number if number is not None else index)


def text_of(value: object) -> str:
    """Write a value into text: text as it is, all else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


LookUp = Callable[[Reference], object]
"""Gives a reference's value.

Raises `RenderError` where there is none; `ABSENT` stands for one that may be absent and is.
"""


class _Absent:
    """Of something optional: there is none."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


def render_text(template: Template, look_up: LookUp) -> str:
    """Render to text; what is absent leaves nothing.

    Raises:
        RenderError: A reference has no value, or the text gets too long.
    """
    pieces: list[str] = []
    length = 0
    for part in template.parts:
        piece = part if isinstance(part, str) else _piece(look_up(part))
        length += len(piece)
        if length > MAX_RENDERED_CHARACTERS:
            raise RenderError(f"longer than {MAX_RENDERED_CHARACTERS} characters once rendered")
        pieces.append(piece)
    return "".join(pieces)


def _piece(value: object) -> str:
    return "" if value is ABSENT else text_of(value)


def render_value(template: Template, look_up: LookUp) -> object:
    """Render to the value itself if the template is one reference, else to text.

    Raises:
        RenderError: A reference has no value, or the text gets too long.
    """
    alone = template.lone_reference
    if alone is None:
        return render_text(template, look_up)
    value = look_up(alone)
    return None if value is ABSENT else value


type ValueTemplate = (
    Template | str | int | float | list[ValueTemplate] | dict[str, ValueTemplate] | None
)
"""A plain value whose texts are templates."""


def parse_value(
    value: object,
    problems: list[tuple[tuple[str | int, ...], str]],
    path: tuple[str | int, ...] = (),
) -> ValueTemplate:
    """Read a plain value whose texts are templates.

    Args:
        value: Text, or lists and mappings of it.
        problems: Gets what is wrong, each with where it stands.
        path: Where the value stands.
    """
    if isinstance(value, str):
        try:
            return parse_template(value)
        except TemplateError as error:
            problems.extend((path, what) for _, what in error.problems)
            return None
    if isinstance(value, dict):
        return {key: parse_value(inner, problems, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [parse_value(inner, problems, (*path, n)) for n, inner in enumerate(value)]
    assert value is None or isinstance(value, int | float)  # noqa: S101 - plain, as checked before
    return value


def templates_in(
    value: ValueTemplate, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Template]]:
    """Give every template of a value and where it stands."""
    if isinstance(value, Template):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from templates_in(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from templates_in(inner, (*path, number))


def render_all(value: ValueTemplate, look_up: LookUp) -> object:
    """Render every template of a value.

    Raises:
        RenderError: As `render_value`.
    """
    if isinstance(value, Template):
        return render_value(value, look_up)
    if isinstance(value, dict):
        return {key: render_all(inner, look_up) for key, inner in value.items()}
    if isinstance(value, list):
        return [render_all(inner, look_up) for inner in value]
    return value
