"""What a checked expression reads, and why it may cost too much.

CEL holds the interpreter while it runs and can't be interrupted. The CEL library bounds its
depth and the steps of all macros together (10,000), and its regexes are linear; what is left is
what a step may cost. So macros build nothing, and search only what they go through.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from remora.policy.condition_fields import MEMBERS, NOW, VARIABLES
from remora.policy.condition_syntax import Node, read_checked

MAX_MACROS: Final = 8
MAX_NESTED_MACROS: Final = 2
MAX_CALLS_IN_MACROS: Final = 32
"""Comparisons, operators and functions count alike; those that stand in two macros twice."""

MAX_LIST_ELEMENTS: Final = 256
"""Of a list that is written out."""

MAX_PATTERNS: Final = 8
MAX_PATTERN_CHARACTERS: Final = 256

_COSTLY_IN_MACROS = re.compile(r"\{\d|\\[pP]")
"""Counted repetitions and classes of Unicode: a pattern is compiled in each step anew."""

_LISTS: Final = frozenset({"messages", "tools"})
_LOOKS_INTO_LISTS: Final = frozenset({"_[_]", "size", "@in"})
"""What may be done inside a macro with a whole list of the request's, beside going through it."""

_SEARCHES: Final = frozenset({"contains", "matches"})
_COPIES: Final = frozenset({"bytes"})
_SUMS_OF_NUMBERS: Final = ("int64", "uint64", "double", "timestamp", "duration")


class Reading:
    """Goes through one expression.

    Attributes:
        members: What is read, as pairs of a variable and its member.
        patterns: The regexes in it.
    """

    def __init__(self, serialized: bytes) -> None:
        """Read it all.

        Raises:
            ValueError: It may cost too much, or asks for what has no meaning here.
        """
        self.members: set[tuple[str, str]] = set()
        self.patterns: set[str] = set()
        self._macros = 0
        self._calls = 0
        self._matches = 0
        checked = read_checked(serialized)
        self._functions = {item.key: tuple(item.value.ids) for item in checked.references}
        self._read(checked.expr, ())

    def _read(self, node: Node, loops: tuple[str, ...]) -> None:
        kind = node.WhichOneof("kind")
        reader = getattr(self, f"_read_{kind}", None) if kind else None
        if reader is not None:
            reader(node, loops)

    def _read_ident(self, node: Node, loops: tuple[str, ...]) -> None:
        name = node.ident.name
        if name in MEMBERS and name not in loops:
            members = ", ".join(MEMBERS[name])
            raise ValueError(f"{name!r} is no value by itself; it has {members}")

    def _read_select(self, node: Node, loops: tuple[str, ...]) -> None:
        name = node.select.operand.ident.name
        if name not in MEMBERS:
            self._read(node.select.operand, loops)
            return
        if loops and name == "request" and node.select.field in _LISTS:
            raise ValueError(
                f"inside a macro request.{node.select.field} may be gone through, indexed and "
                "counted only"
            )
        self.members.add((name, node.select.field))

    def _read_source(self, node: Node, loops: tuple[str, ...]) -> None:
        """Read what is looked into or gone through: a list of the request's may be that."""
        outside = () if node.select.operand.ident.name == "request" else loops
        self._read(node, outside)

    def _read_call(self, node: Node, loops: tuple[str, ...]) -> None:
        call = node.call
        self._check_call(node, loops)
        read = self._read_source if call.function in _LOOKS_INTO_LISTS else self._read
        if call.HasField("target"):
            read(call.target, loops)
        for argument in call.args:
            read(argument, loops)

    def _read_list(self, node: Node, loops: tuple[str, ...]) -> None:
        if loops:
            raise ValueError("a list can't be written inside a macro")
        if len(node.list.elements) > MAX_LIST_ELEMENTS:
            raise ValueError(f"a list has more than {MAX_LIST_ELEMENTS} elements")
        for element in node.list.elements:
            self._read(element, loops)

    def _read_struct(self, node: Node, loops: tuple[str, ...]) -> None:
        if loops or node.struct.name:
            raise ValueError("a map can't be written inside a macro, nor an object anywhere")
        for entry in node.struct.entries:
            self._read(entry.key, loops)
            self._read(entry.value, loops)

    def _read_comprehension(self, node: Node, loops: tuple[str, ...]) -> None:
        loop = node.comprehension
        self._macros += 1
        if loop.variable in VARIABLES:
            raise ValueError(f"a macro's variable can't be called {loop.variable!r}")
        if self._macros > MAX_MACROS:
            raise ValueError(f"more than {MAX_MACROS} macros")
        if len(loops) == MAX_NESTED_MACROS:
            raise ValueError(f"macros stand in each other more than {MAX_NESTED_MACROS} deep")
        if loops and loop.start.WhichOneof("kind") == "list":
            raise ValueError("filter() and map() can't stand inside a macro")
        self._read_source(loop.range, loops)
        for part in _written(loop.step, loop.total):
            self._read(part, (*loops, loop.variable))

    def _check_call(self, node: Node, loops: tuple[str, ...]) -> None:
        call = node.call
        if call.function == "matches":
            self._take_pattern(call.args[-1], loops)
        if not loops:
            return
        self._calls += len(loops)
        if self._calls > MAX_CALLS_IN_MACROS:
            raise ValueError(f"more than {MAX_CALLS_IN_MACROS} calls and operators in macros")
        if call.function in _COPIES or not self._is_cheap_sum(node):
            raise ValueError("text and lists can't be put together or copied inside a macro")
        if call.function in _SEARCHES and _root(_searched(call)) not in loops:
            raise ValueError(
                f"{call.function}() in a macro may search what the macro goes through only: "
                "move the rest out of it"
            )

    def _is_cheap_sum(self, node: Node) -> bool:
        if node.call.function != "_+_":
            return True
        functions = self._functions.get(node.id, ())
        return bool(functions) and all(name.endswith(_SUMS_OF_NUMBERS) for name in functions)

    def _take_pattern(self, node: Node, loops: tuple[str, ...]) -> None:
        pattern = node.const.text
        self._matches += 1
        if not node.const.HasField("text"):
            raise ValueError("the pattern of matches() should be written out as text")
        if self._matches > MAX_PATTERNS or len(pattern) > MAX_PATTERN_CHARACTERS:
            raise ValueError(
                f"more than {MAX_PATTERNS} patterns, or one of more than "
                f"{MAX_PATTERN_CHARACTERS} characters"
            )
        if len(loops) > 1:
            raise ValueError("matches() can't stand in a macro within a macro")
        if loops and _COSTLY_IN_MACROS.search(pattern):
            raise ValueError(
                f"{pattern!r} costs too much inside a macro: no counted repetitions like "
                "{2,5} and no \\p there"
            )
        self.patterns.add(pattern)


def _searched(call: Any) -> Node:
    return call.target if call.HasField("target") else call.args[0]


def _root(node: Node) -> str:
    """Name the variable of which a value is a member, if it is no more than that."""
    while node.WhichOneof("kind") == "select":
        node = node.select.operand
    name: str = node.ident.name
    return "" if name in (*MEMBERS, NOW) else name


def _written(step: Node, total: str) -> Iterator[Node]:
    """Find what an author wrote in the step of a macro, past what the macro added."""
    call = step.call
    if call.function == "_?_:_":  # filter, map with a condition, exists_one
        yield call.args[0]
        step = call.args[1]
        call = step.call
    for argument in call.args:
        if argument.ident.name != total:
            yield from argument.list.elements or (argument,)
