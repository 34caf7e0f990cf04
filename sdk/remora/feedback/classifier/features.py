"""Names what there is in a message that the model may weigh. Pure; the training uses it as it is.

A feature is a short text, either there or not. Words count alone, in pairs and triples, by their
first and last letters (for languages that inflect), and apart where a negation stands before them.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from remora.feedback.classifier.wording import CODE, LINK, QUOTE

MOST_WORDS = 70
"""Tokens that are looked at; one of what was cut to `SPOKEN_CHARACTERS` seldom has more."""
MOST_CHARACTERS = 100
"""Of Chinese and Japanese, which say in one what others say in three."""

_REACH = 4
"""Words behind a negation that it may turn round."""
_STOPS = frozenset({".", ",", "?", "!", ";", ":"})
_TURNING = ("but", "aber", "maar", "mais", "pero", "ma", "mas", "ale", "но", "ama", "لكن", "लेकिन")
_NEGATION_WORDS = """
not no never nothing none nobody without cannot neither nor nope hardly nicht kein keine
keinen keinem keiner nie niemals nichts ohne niet geen nooit niets niks zonder ne n pas
jamais rien aucun aucune sans nada nunca sin ningun ninguna ninguno jamas non niente nulla
mai nessun nessuno nessuna senza mica nao nenhum nenhuma sem nic nigdy bez zaden zadnych
zadnej не нет ни ничего никогда без нечего لا ليس ليست لم لن بدون ما غير hic hicbir 안 못 전혀
"""
_NEGATIONS = frozenset(_NEGATION_WORDS.split())
_FIRST_CJK, _LAST_CJK = "\u3005", "\ufaff"
_FIRST_HANGUL, _LAST_HANGUL = "\uac00", "\ud7a3"


def features(tokens: Sequence[str]) -> set[str]:
    """Name what is in a message.

    Args:
        tokens: Of `remora.feedback.classifier.wording.read`.
    """
    if len(tokens) > MOST_WORDS:
        tokens = (*tokens[: MOST_WORDS * 3 // 4], *tokens[-MOST_WORDS // 4 :])
    found = {"", *_of_length(tokens), *_of_negations(tokens)}
    found.update(tokens, _of_order(tokens), _of_marks(tokens))
    room = MOST_CHARACTERS
    for token in tokens:
        if _is_cjk(token):
            found.update(_of_run(token[:room]))
            room = max(room - len(token), 0)
        elif len(token) > 1 and token[0] != "<":
            found.update(_of_letters(token))
    return found


def _of_length(tokens: Sequence[str]) -> Iterator[str]:
    count = sum(len(token) if _is_cjk(token) else 2 for token in tokens) // 2
    for limit in (0, 1, 2, 3, 5, 8, 13, 21, 34):
        if count <= limit:
            yield f"#{limit}"
            return
    yield "#long"


def _of_marks(tokens: Sequence[str]) -> Iterator[str]:
    if not tokens:
        return
    asked = "?" if tokens[-1] == "?" else ""
    yield f"^{tokens[0][:6]}{asked}"
    if len(tokens) <= 5:
        yield "=" + " ".join(tokens).rstrip(" .!")
    if "?" in tokens:
        yield "has ?"
    if tokens.count("!") > 1:
        yield "many !"
    if tokens.count("?") > 1:
        yield "many ?"
    for mark in (CODE, LINK, QUOTE):
        if tokens.count(mark) > 1:
            yield f"many {mark}"


def _of_order(tokens: Sequence[str]) -> Iterator[str]:
    padded = ("^", *tokens, "$")
    for first, second in pairwise(padded):
        yield f"{first} {second}"
    for first, second, third in zip(padded, padded[1:], padded[2:], strict=False):
        yield f"{first} {second} {third}"
        yield f"{first} _ {third}"


def _of_negations(tokens: Sequence[str]) -> Iterator[str]:
    left = 0
    for token in tokens:
        if token in _NEGATIONS:
            left = _REACH
        elif token in _STOPS or token in _TURNING:
            left = 0
        elif left:
            left -= 1
            yield f"~{token}"
            yield f"~{token[:4]}-"


def _of_letters(word: str) -> Iterator[str]:
    if _FIRST_HANGUL <= word[0] <= _LAST_HANGUL:
        for size in (1, 2, 3):
            yield f"{word[:size]}-"
            yield f"-{word[-size:]}"
        for first, second in pairwise(word):
            yield first + second
    elif len(word) > 4:
        yield f"{word[:4]}-"
        yield f"-{word[-3:]}"
        if len(word) > 5:
            yield f"{word[:5]}-"
            yield f"-{word[-4:]}"


def _of_run(run: str) -> Iterator[str]:
    padded = f"^{run}$"
    for size in (1, 2, 3, 4):
        for start in range(len(padded) - size + 1):
            yield padded[start : start + size]


def _is_cjk(token: str) -> bool:
    return _FIRST_CJK <= token[0] <= _LAST_CJK and not _FIRST_HANGUL <= token[0] <= _LAST_HANGUL
