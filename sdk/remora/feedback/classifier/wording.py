"""Turns a message into words: cut, written one way, with quotes and code taken out.

Case, width, accents and contractions never tell an acceptance from a rejection, so they are
levelled. What stands in quotes, in code or behind ``>`` is not what the user says, so one mark
stands for it. Pure; called for every message, so all patterns run in time linear in the text.
"""

# ruff: noqa: RUF001 - letters that look alike are what this module is about

import re
import unicodedata

READ_CHARACTERS = 2_000
"""Of a longer message the first three quarters of this and the last quarter are read. What a user
thinks of an answer stands at either end; what is between is material."""
SPOKEN_CHARACTERS = 320
"""As much is kept, in the same way, once blocks of code and cited lines are out."""

CODE, QUOTE, LINK, NUMBER, NAME = "<code>", "<quote>", "<link>", "<number>", "<name>"

_CJK = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_CODE_MARK, _QUOTE_MARK, _LINK_MARK = "\ue000", "\ue001", "\ue002"
_MARKS = {_CODE_MARK: CODE, _QUOTE_MARK: QUOTE, _LINK_MARK: LINK}
_FENCED = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_CITED = re.compile(r"^[ \t]{0,3}>[^\n]*", re.MULTILINE)
_TICKED = re.compile(r"`[^`\n]{1,200}`")
_LINKED = re.compile(r"(?:https?://|www\.)\S+|[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}")
_QUOTED = re.compile(
    r"\"[^\"\n]{1,300}\"|“[^”\n]{1,300}”|„[^“”\n]{1,300}[“”]|«[^»\n]{1,300}»|「[^」\n]{1,300}」"
    r"|『[^』\n]{1,300}』|‘[^’\n]{1,300}’(?!\w)|(?<!\w)'[^'\n]{1,120}'(?!\w)"
)
_ACCENTS = re.compile("[\u0300-\u036f\u0640\u064b-\u0655\u0670\ufe0e\ufe0f\u200b-\u200f\u20e3]")
_MODIFIERS = re.compile("[\U0001f3fb-\U0001f3ff♀♂]")
_STRETCHED = re.compile(r"([^\W\d])\1{2,}")
_NOT = re.compile(r"(?<=\w)n't\b|(?<=\b(?:do|is|ca|wo))nt\b|(?<=\b(?:did|was|are|has))nt\b")
_NOT_LONG = re.compile(r"(?<=\b(?:does|have|were))nt\b|(?<=\b(?:would|could))nt\b|(?<=\bcan)not\b")
_LETTERS = str.maketrans(
    {
        **dict(zip("’‘ʼ`´ıłøđأإآىةیک۔।。、؟،؛", "'''''ilodااايهيك...,?,;", strict=True)),
        "¿": " ",
        "¡": " ",
        "æ": "ae",
        "œ": "oe",
    }
)
_WORD = re.compile(
    rf"(?P<cjk>[{_CJK}]+)"
    r"|(?P<number>\d+(?:[.,:/]\d+)*%?)(?![^\W_])"
    r"|(?P<name>[^\W_]*_\w+|[^\W_]+(?:\.[^\W\d_][^\W_]*)+(?:\(\))?|[^\W_]+\(\))"
    rf"|(?P<word>(?:[^\W_{_CJK}]|[\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e])+)"
    r"|(?P<smile>[:;=]-?[()dp|/](?!\w)|<3|\^_?\^)"
    r"|(?P<sign>[^\w\s\"'#*\-_~|\\/<>{}\[\]()`@&$=]|->|=>)"
)


def read(text: str) -> tuple[str, ...]:
    """Read a message.

    Args:
        text: Of any length and content; lone surrogates and control characters do no harm.

    Returns:
        Its tokens in order: words, runs of Chinese or Japanese characters, marks such as
        ``<code>``, punctuation and emoji one by one.
    """
    whole = _unmarked(_cut(text, READ_CHARACTERS))
    kept = _cut(_without_material(whole), SPOKEN_CHARACTERS)
    tokens = _tokens(_levelled(_without_quotes(kept)))
    if QUOTE in tokens and not any(token[0].isalnum() for token in tokens):
        # All of it is in quotes: then that is what the user says.
        tokens = _tokens(_levelled(kept))
    return tokens


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[: limit * 3 // 4]}\n{text[-limit // 4 :]}"


def _unmarked(text: str) -> str:
    # Replaced one by one: `str.translate` takes a hundred times as long where text isn't ASCII.
    for mark in _MARKS:
        text = text.replace(mark, " ")
    return text


def _without_material(text: str) -> str:
    """Take out blocks of code and what is cited, which may be longer than all the rest."""
    if "```" in text or "~~~" in text:
        text = _FENCED.sub(f" {_CODE_MARK} ", text)
    return _CITED.sub(f" {_QUOTE_MARK} ", text) if ">" in text else text


def _without_quotes(text: str) -> str:
    text = _TICKED.sub(f" {_CODE_MARK} ", text)
    text = _LINKED.sub(f" {_LINK_MARK} ", text)
    # One character may become eighteen.
    text = _cut(unicodedata.normalize("NFKC", text), SPOKEN_CHARACTERS)
    return _QUOTED.sub(f" {_QUOTE_MARK} ", text)


def _levelled(text: str) -> str:
    apart = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    bare = unicodedata.normalize("NFC", _ACCENTS.sub("", apart)).translate(_LETTERS)
    bare = _STRETCHED.sub(r"\1\1", _MODIFIERS.sub("", bare))
    if "nt" in bare or "n't" in bare or "cannot" in bare:
        bare = _NOT_LONG.sub(" not", _NOT.sub(" not", bare))
    return _cut(bare, SPOKEN_CHARACTERS)


def _tokens(text: str) -> tuple[str, ...]:
    tokens = []
    for match in _WORD.finditer(text):
        kind = match.lastgroup
        token = match.group()
        if kind == "number":
            token = NUMBER
        elif kind == "name":
            token = NAME
        elif kind == "sign":
            token = _MARKS.get(token, token)
        tokens.append(token)
    return tuple(tokens)
