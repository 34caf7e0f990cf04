"""Reads the data: labelled messages, grammars that make such, and messages with their context."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from remora.feedback.classifier.context import NO_CONTEXT, Context
from remora.feedback.classifier.verdict import Label

HERE = Path(__file__).parent
TRAINING, DEVELOPMENT, HELD_OUT = HERE / "training", HERE / "development", HERE / "heldout"


@dataclass(frozen=True, slots=True)
class Message:
    """A message of which it is known what it says.

    Attributes:
        weight: How much it counts in training.
    """

    text: str
    label: Label
    language: str
    context: Context = NO_CONTEXT
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Grammar:
    """A language's templates, and what their ``{slots}`` stand for.

    Attributes:
        slots: The alternatives of each; they may hold slots again.
        templates: By label.
    """

    language: str
    slots: Mapping[str, Sequence[str]]
    templates: Mapping[Label, Sequence[str]]

    def without(self, every: int) -> Grammar:
        """Leave out one of so many templates of each label."""
        return self._chosen(lambda number: number % every != 0)

    def only(self, every: int) -> Grammar:
        """Keep just those that `without` leaves out."""
        return self._chosen(lambda number: number % every == 0)

    def _chosen(self, is_chosen: Callable[[int], bool]) -> Grammar:
        chosen = {
            label: [one for number, one in enumerate(templates) if is_chosen(number)]
            for label, templates in self.templates.items()
        }
        return replace(self, templates=chosen)


def languages(folder: Path) -> list[str]:
    """Name the languages of a folder."""
    return sorted(path.stem for path in folder.glob("*.txt"))


def messages(folder: Path) -> list[Message]:
    """Read the labelled messages of a folder, those with context last."""
    alone = [
        Message(line, Label(label), language)
        for language in languages(folder)
        for label, line in _lines(folder / f"{language}.txt")
    ]
    return alone + with_context(folder / "context.jsonl")


def with_context(path: Path) -> list[Message]:
    """Read messages with their context: one JSON object a line."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Message(row["text"], Label(row["label"]), row["language"], _context(row)) for row in rows
    ]


def session_courses(path: Path) -> list[Message]:
    """Read texts of which only the session's course says what they mean."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Message(text, Label(row["label"]), row["language"], _context(row))
        for row in rows
        for text in row["texts"]
    ]


def _context(row: Mapping[str, Any]) -> Context:
    earlier = tuple(Label(label) for label in row.get("earlier", ()))
    return Context(row.get("previous", ""), row.get("answer", ""), earlier)


def grammar(path: Path) -> Grammar:
    """Read a grammar: ``[slots]``, then templates below their ``[label]``."""
    slots: dict[str, list[str]] = {}
    templates: dict[Label, list[str]] = {label: [] for label in Label}
    for section, line in _lines(path):
        if section == "slots":
            name, _, alternatives = line.partition(" = ")
            slots[name.strip()] = [one.strip() for one in alternatives.split(" | ")]
        else:
            templates[Label(section)].append(line)
    return Grammar(path.stem, slots, templates)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line.strip():
            yield section, line
