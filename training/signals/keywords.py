"""The baseline: keywords counted as substrings, as published clients of this kind do it.

Two lists, English only; the longer side wins, none or a tie says nothing. Nothing is learnt, and
no token boundary is looked at, so "I know" is a rejection. Here to be compared with, never shipped.
"""

from remora.feedback.classifier.verdict import Label, Verdict

_REJECTED = (
    "redo",
    "try again",
    "wrong",
    "no",
    "that's not",
    "too long",
    "too short",
    "rewrite",
    "start over",
    "not what i",
    "change",
    "fix",
)
_ACCEPTED = (
    "thanks",
    "perfect",
    "great",
    "looks good",
    "awesome",
    "love it",
    "exactly",
    "good job",
    "well done",
    "nice",
)


def by_keywords(text: str) -> Verdict:
    """Judge a message; corrections are rejections to it."""
    said = text.lower()
    against = sum(word in said for word in _REJECTED)
    in_favour = sum(word in said for word in _ACCEPTED)
    if against == in_favour:
        return _verdict(Label.NEUTRAL, 0.3)
    label = Label.REJECTED if against > in_favour else Label.ACCEPTED
    return _verdict(label, min(0.6 + 0.15 * max(against, in_favour), 0.95))


def _verdict(label: Label, confidence: float) -> Verdict:
    rest = (1 - confidence) / (len(Label) - 1)
    return Verdict(label, confidence, {one: confidence if one is label else rest for one in Label})
