"""What is known of a session between its turns. Pure.

At rest it is derived facts alone. What the user asked and what was answered, cut, is in memory
only, so that the next message can be judged by it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from remora.feedback.classifier.context import REMEMBERED_TURNS, Context
from remora.feedback.classifier.second_opinion import SHOWN_CHARACTERS
from remora.feedback.classifier.verdict import Label
from remora.feedback.edits import words_of
from remora.feedback.momentum import (
    KEPT_DELTAS,
    NO_SKETCH,
    Delta,
    Momentum,
    Sketch,
    delta,
    momentum,
    sketch,
)

EXPIRES_S: Final = 30 * 60.0
"""A session that nothing happened in for so long has ended."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A session.

    Attributes:
        call_id: Of the call that gave the latest answer; empty if it is not known.
        changed_s: When something happened in it last, in seconds since 1970.
        answer_words: How many words the latest answer has.
        has_reaction: Whether anybody reacted to the latest answer.
        labels: What was found in the last messages, the oldest first.
        sketch: Of the last message.
        deltas: Of the last messages, the oldest first.
        asked: What the latest answer answers, cut; only in memory.
        answered: The latest answer, cut; only in memory.
    """

    session_id: str
    goal: str = ""
    call_id: str = ""
    changed_s: float = 0.0
    answer_words: int = 0
    has_reaction: bool = False
    labels: tuple[Label, ...] = ()
    sketch: Sketch = NO_SKETCH
    deltas: tuple[Delta, ...] = ()
    asked: str = field(default="", repr=False)
    answered: str = field(default="", repr=False)

    def with_answer(
        self, call_id: str, goal: str, *, prompt: str, output: str, now_s: float
    ) -> Self:
        """Give it with another answer, the latest."""
        return replace(
            self,
            call_id=call_id,
            goal=goal,
            changed_s=now_s,
            answer_words=len(words_of(output)),
            has_reaction=False,
            sketch=self.sketch if self.sketch.words else sketch(prompt, self.session_id),
            asked=shown(prompt),
            answered=shown(output),
        )

    def with_message(self, message: str, label: Label | None, now_s: float) -> Self:
        """Give it with a message of its user, in which something was found, or None for sure."""
        heard = sketch(message, self.session_id)
        new = (delta(self.sketch, heard, label),) if self.sketch.words else ()
        return replace(
            self,
            changed_s=now_s,
            has_reaction=True,
            labels=(*self.labels, label or Label.NEUTRAL)[-REMEMBERED_TURNS:],
            sketch=heard,
            deltas=(*self.deltas, *new)[-KEPT_DELTAS:],
        )

    def with_reaction(self, now_s: float) -> Self:
        """Give it with something that was done with its latest answer."""
        return replace(self, changed_s=now_s, has_reaction=True)

    @property
    def context(self) -> Context:
        """What the next message is judged by."""
        return Context(self.asked, self.answered, self.labels)

    def has_expired(self, now_s: float) -> bool:
        """Tell whether nothing happened in it for so long that it has ended."""
        return now_s - self.changed_s >= EXPIRES_S

    @property
    def is_unanswered(self) -> bool:
        """Whether its latest answer is of a known call, and nobody reacted to it."""
        return bool(self.call_id) and not self.has_reaction

    @property
    def momentum(self) -> Momentum:
        """Where it goes."""
        return momentum(self.deltas)

    def at_rest(self) -> str:
        """Write it without anything that anybody wrote, and without its id."""
        return json.dumps(
            {
                "goal": self.goal,
                "call_id": self.call_id,
                "changed_s": self.changed_s,
                "answer_words": self.answer_words,
                "has_reaction": self.has_reaction,
                "labels": self.labels,
                "sketch": self.sketch,
                "deltas": self.deltas,
            }
        )


def from_rest(session_id: str, text: str) -> Conversation:
    """Read what `Conversation.at_rest` wrote.

    Raises:
        ValueError: It is something else.
    """
    try:
        return _read(session_id, json.loads(text))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no session: {type(error).__name__}") from None


def _read(session_id: str, found: Mapping[str, Any]) -> Conversation:
    slots, words = found["sketch"]
    return Conversation(
        session_id=session_id,
        goal=str(found["goal"]),
        call_id=str(found["call_id"]),
        changed_s=float(found["changed_s"]),
        answer_words=int(found["answer_words"]),
        has_reaction=bool(found["has_reaction"]),
        labels=tuple(map(Label, found["labels"])),
        sketch=Sketch(tuple(map(int, slots)), int(words)),
        deltas=tuple(
            Delta(float(jaccard), float(ratio), str(label))
            for jaccard, ratio, label in found["deltas"]
        ),
    )


def shown(text: str) -> str:
    """Cut a text to the ends, which the classifier and a second opinion look at."""
    if len(text) <= 2 * SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]} ... {text[-SHOWN_CHARACTERS:]}"
