"""Whether code can be code: it parses, or at least is whole.

Nothing is run. Of an answer with several blocks the longest counts, since the others are often
commands, output or what was there before.
"""

import ast
import re
import textwrap
import warnings
from collections.abc import Sequence
from typing import Final, NamedTuple

MAX_PARSED_CHARACTERS: Final = 64 * 1024
"""Longer code is not parsed: that takes some 50 ms."""

_PYTHON: Final = frozenset({"python", "py", "python3", "py3", "ipython", "pycon"})
_NO_CODE: Final = frozenset({"text", "txt", "plaintext", "output", "console", "markdown", "md"})

_FENCE: Final = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*$", re.MULTILINE)
_DECLARATION: Final = re.compile(
    r"^\s*(?:(?:export|public|private|protected|static|async|pub|final|abstract|inline|override|open)\s+)*"
    r"(?:def|class|function|fn|func|fun|sub|interface|struct|enum|trait|impl|module|namespace|package|"
    r"import|from|using|use|include|#include|require|const|let|var|val|type|select|insert|update|create|"
    r"alter|with|return|if|for|while|void|int|string|bool|double|float|char|auto|begin|echo|set|<\?php|"
    r"<!doctype|<html|<\w+[ >]|@\w+|\$\w+\s*=|\w+\s*(?:=|:=|<-)\s*\S)",
    re.MULTILINE | re.IGNORECASE,
)
_LITERALS: Final = re.compile(
    r'"(?:\\.|[^"\\\n])*"|'
    r"'(?:\\.|[^'\\\n])*'|"
    r"`(?:\\.|[^`\\])*`|"
    r"/\*.*?\*/|//[^\n]*|#[^\n]*",
    re.DOTALL,
)
_MAGIC: Final = re.compile(r"^(\s*)(?:%{1,2}\w|!\w)[^\n]*$", re.MULTILINE)
_PROMPT: Final = re.compile(r"^(?:>>>|\.\.\.) ?", re.MULTILINE)
_PROMPTED: Final = re.compile(r"^>>> [^\n]*(?:\n\.\.\.[^\n]*)*", re.MULTILINE)


class Block(NamedTuple):
    """A piece of code.

    Attributes:
        language: As its fence names it, in lower case; empty if it does not.
        code: Without the fences.
        is_closed: Its fence is closed.
    """

    language: str
    code: str
    is_closed: bool = True


def blocks_of(text: str) -> Sequence[Block]:
    """Give the fenced blocks of a text, in order."""
    blocks: list[Block] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]) and not fence[2]:
            code = text[opened.end() : fence.start()].strip("\n")
            blocks.append(Block(opened[2].lower(), code))
            opened = None
    if opened is not None:
        blocks.append(Block(opened[2].lower(), text[opened.end() :].strip("\n"), is_closed=False))
    return blocks


def python_of(text: str) -> str | None:
    """Give what is Python in an answer; None where all of its blocks are something else."""
    blocks = blocks_of(text)
    if not blocks:
        return text
    fitting = [b.code for b in blocks if b.language in _PYTHON]
    fitting = fitting or [b.code for b in blocks if not b.language]
    return max(fitting, key=len, default=None)


def parses_as_python(code: str) -> bool | None:
    """Tell whether it parses; None where it is too long for that to be told."""
    if len(code) > MAX_PARSED_CHARACTERS:
        return None
    code = _plain(code)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they would quote the code
            compile(code, "<answer>", "exec", _ONLY_PARSE, dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    except (RecursionError, MemoryError):
        return None
    return code.strip() != ""


_ONLY_PARSE: Final = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def _plain(code: str) -> str:
    """Take out what notebooks and consoles put around Python."""
    code = textwrap.dedent(code.replace("\r\n", "\n"))
    if prompted := _PROMPTED.findall(code):
        code = _PROMPT.sub("", "\n".join(prompted))
    return _MAGIC.sub(r"\1pass", code)


def holds_code(text: str) -> bool | None:
    """Tell whether an answer has whole code of any language; None where that can't be told."""
    blocks = [b for b in blocks_of(text) if b.language not in _NO_CODE]
    if not blocks:
        return parses_as_python(text) or _looks_like_code(text)
    longest = max(blocks, key=lambda block: len(block.code))
    if not longest.is_closed or not longest.code.strip():
        return False
    if longest.language in _PYTHON:
        return parses_as_python(longest.code)
    return not _is_open_ended(longest.code)


def _looks_like_code(text: str) -> bool:
    return _DECLARATION.search(text) is not None and any(mark in text for mark in "(){};=<>:")


def _is_open_ended(code: str) -> bool:
    """Tell whether brackets stay open, whether those in texts and comments count or not.

    Which of them count differs by language; what is open either way was cut.
    """
    return _open(code) > 0 and _open(_LITERALS.sub("", code)) > 0


def _open(code: str) -> int:
    return sum(map(code.count, "([{")) - sum(map(code.count, ")]}"))
