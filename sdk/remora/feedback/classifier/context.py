"""Names what a message has to do with what came before it: the question, the answer, the verdicts.

The same question again is a complaint, and the answer with a few words changed is a correction,
whatever the words. Pure.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from remora.feedback.classifier.verdict import Label
from remora.feedback.classifier.wording import read

COMPARED_CHARACTERS = 240
"""Of the question and of the answer, no more than this is read, from the beginning."""
REMEMBERED_TURNS = 4
_FEWEST_WORDS = 4
"""Messages with fewer share words with the question by chance."""


@dataclass(frozen=True, slots=True)
class Context:
    """What came before a message; all of it may be missing.

    Attributes:
        previous: The user's message that was answered.
        answer: The text that the message follows.
        earlier: What was found in the session's messages before, the oldest first.
    """

    previous: str = ""
    answer: str = ""
    earlier: tuple[Label, ...] = ()


NO_CONTEXT = Context()


def context_features(tokens: Sequence[str], context: Context) -> set[str]:
    """Name what a message has to do with its context; nothing where there is none.

    Args:
        tokens: The message's, of `remora.feedback.classifier.wording.read`.
        context: What came before.
    """
    found: set[str] = set()
    pieces = _pieces(tokens)
    if context.previous and len(pieces) >= _FEWEST_WORDS:
        asked = _pieces(read(context.previous[:COMPARED_CHARACTERS]))
        found.update(_shared("previous", pieces, asked))
    if context.answer and len(pieces) >= _FEWEST_WORDS:
        answered = _pieces(read(context.answer[:COMPARED_CHARACTERS]))
        found.update(_shared("answer", pieces, answered))
    found.update(_of_session(tokens, context.earlier[-REMEMBERED_TURNS:]))
    return found


def _pieces(tokens: Sequence[str]) -> set[str]:
    """Words, and pairs of characters where words are not set apart."""
    pieces: set[str] = set()
    for token in tokens:
        if "\u3005" <= token[0] <= "\u9fff":
            pieces.update(token[at : at + 2] for at in range(max(len(token) - 1, 1)))
        elif token[0].isalnum():
            pieces.add(token)
    return pieces


def _shared(name: str, said: Set[str], other: Set[str]) -> Iterator[str]:
    shared = len(said & other)
    new = 1 - shared / len(said)
    kept = shared / len(other) if other else 0.0
    novelty = next(str(limit) for limit in (0.0, 0.12, 0.25, 0.4, 0.6, 1.0) if new <= limit)
    cover = next(str(limit) for limit in (0.3, 0.6, 0.8, 1.0) if kept <= limit)
    yield f"@{name} new {novelty}"
    yield f"@{name} new {novelty} kept {cover}"


def _of_session(tokens: Sequence[str], earlier: Sequence[Label]) -> Iterator[str]:
    if not earlier:
        return
    last = earlier[-1].value
    yield f"@last {last}"
    if len(tokens) <= _FEWEST_WORDS:
        yield f"@last {last} short"
    unhappy = sum(label is Label.REJECTED for label in earlier)
    if unhappy > 1:
        yield "@rejected often"
