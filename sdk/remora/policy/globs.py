"""Globs over names of models: ``*`` is any text, ``?`` one character, in any case."""

import fnmatch
import re
from collections.abc import Iterator
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

MAX_GLOB_CHARACTERS = 256


class Glob:
    """A compiled pattern; equal to another of the same text.

    Case does not count, so that a denied model stays denied however a request spells it.
    """

    __slots__ = ("_match", "text")

    def __init__(self, text: str) -> None:
        """Compile a pattern.

        Raises:
            ValueError: It is empty or too long.
        """
        if not 0 < len(text) <= MAX_GLOB_CHARACTERS:
            raise ValueError(f"should have 1 to {MAX_GLOB_CHARACTERS} characters")
        self.text = text
        # fnmatch knows [sets] as well, which would make a bracket in a name a surprise;
        # its regexes are built so that no text makes them slow.
        regex = fnmatch.translate(text.lower().replace("[", "[[]"))
        self._match = re.compile(regex).match

    def matches(self, name: str) -> bool:
        """Tell whether a name fits the pattern as a whole."""
        return self._match(name.lower()) is not None

    def covers(self, other: "Glob") -> bool:
        """Tell whether every name that fits another pattern fits this one.

        A yes is certain; of patterns that mean the same in other spellings (``*?`` and ``?*``)
        it may be missed.
        """
        pattern = self.text.lower()
        reached = _past_stars(pattern, {0})
        for letter in other.text.lower():
            stepped = {step for at in reached for step in _steps(pattern, at, letter)}
            reached = _past_stars(pattern, stepped)
        return len(pattern) in reached

    def __str__(self) -> str:
        """Return the pattern as written."""
        return self.text

    def __repr__(self) -> str:
        """Show the pattern."""
        return f"Glob({self.text!r})"

    def __eq__(self, other: object) -> bool:
        """Compare the texts."""
        return isinstance(other, Glob) and other.text == self.text

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self.text)

    @classmethod
    def _validate(cls, value: object) -> "Glob":
        if isinstance(value, Glob):
            return value
        if not isinstance(value, str):
            raise ValueError('should be text such as "gpt-4o*"')
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Let pydantic read and write a pattern as text."""
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            json_schema_input_schema=core_schema.str_schema(
                min_length=1, max_length=MAX_GLOB_CHARACTERS
            ),
            serialization=core_schema.to_string_ser_schema(),
        )


def _steps(pattern: str, at: int, letter: str) -> Iterator[int]:
    """Where a pattern can stand after one more letter of another; the other's ``*`` is one."""
    if at == len(pattern):
        return
    if pattern[at] == "*":
        yield at
    elif letter != "*" and pattern[at] in (letter, "?"):
        yield at + 1


def _past_stars(pattern: str, places: set[int]) -> set[int]:
    """Add the places that are reached where a ``*`` takes nothing."""
    found = set(places)
    for at in places:
        while at < len(pattern) and pattern[at] == "*":
            at += 1
            found.add(at)
    return found
