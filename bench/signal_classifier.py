"""`python -m bench.signal_classifier`: how good and how fast the classifier of messages is.

Judges the shipped model, and keywords beside it, on the part of the labelled messages that was
held out, and writes the tables into the page of the classifier. Takes some seconds.
"""

import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles

import click
from training.signals.judging import (
    Judged,
    accuracy,
    calibration_error,
    confusion,
    f1,
    macro_f1,
    reliability,
)
from training.signals.keywords import by_keywords
from training.signals.labelled import DEVELOPMENT, HELD_OUT, Message, messages

from bench.machine import CHECKOUT, today
from bench.report import between_markers
from remora.feedback.classifier import ASK_BELOW, Context, Label, Verdict, classify
from remora.feedback.classifier.model import shipped_model

PAGE = CHECKOUT / "docs" / "signals-classifier.md"
_ROUNDS = 20
_MERGED = {Label.CORRECTED: Label.REJECTED}
"""Keywords know no corrections: they are compared on what they know, too."""
_LONG = "The plan is not bad at all, but please make the second part shorter and add a date. " * 60

type Judge = Callable[[Message], Verdict]


def judged(data: Sequence[Message], judge: Judge) -> list[Judged]:
    """Let a classifier judge messages."""
    return [Judged(one.label, judge(one), one.language) for one in data]


def with_context(message: Message) -> Verdict:
    """Judge as callers do."""
    return classify(message.text, message.context)


def without_context(message: Message) -> Verdict:
    """Judge the text alone."""
    return classify(message.text)


def with_keywords(message: Message) -> Verdict:
    """Judge by keywords."""
    return by_keywords(message.text)


def report(data: Sequence[Message]) -> str:
    """Write all tables."""
    found = judged(data, with_context)
    contextual = [one for one in data if one.context != Context()]
    parts = [
        f"{len(data)} messages, {len(contextual)} of them with context; measured {today()}.",
        _contest(data),
        "By language:",
        _by_language(found),
        "What was said of what (rows: the truth):",
        _confusion(found),
        "How often verdicts of one confidence are right:",
        _reliability(found),
        "What a second opinion below a confidence would cost and gain:",
        _thresholds(found),
        "What context adds, on the messages that have it:",
        _context(contextual),
        "Processor time for one message, in µs:",
        _speed(data),
    ]
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _contest(data: Sequence[Message]) -> str:
    sides = {"trained model": with_context, "keywords": with_keywords}
    rows = []
    for name, judge in sides.items():
        found = judged(data, judge)
        english = [one for one in found if one.language == "en"]
        rows.append(
            [
                name,
                _percent(accuracy(found)),
                f"{macro_f1(found):.3f}",
                _percent(accuracy([_merged(one) for one in found])),
                _percent(accuracy(english)),
                _percent(_opposite(found)),
                f"{calibration_error(found):.3f}",
            ]
        )
    head = ["", "accuracy", "macro-F1", "accuracy, corrections as rejections", "accuracy, English"]
    return _table([*head, "praise for blame or blame for praise", "calibration error"], rows)


def _merged(one: Judged) -> Judged:
    said = _MERGED.get(one.verdict.label, one.verdict.label)
    verdict = Verdict(said, one.verdict.confidence, one.verdict.probabilities)
    return Judged(_MERGED.get(one.truth, one.truth), verdict, one.language)


def _opposite(found: Sequence[Judged]) -> float:
    opposed = {Label.ACCEPTED, Label.REJECTED}
    return sum({one.truth, one.verdict.label} == opposed for one in found) / len(found)


def _by_language(found: Sequence[Judged]) -> str:
    rows = []
    for language in sorted({one.language for one in found}):
        own = [one for one in found if one.language == language]
        error = f"{calibration_error(own):.3f}"
        row = [language, str(len(own)), _percent(accuracy(own)), f"{macro_f1(own):.3f}", error]
        rows.append([*row, *(f"{f1(own, label):.2f}" for label in Label)])
    head = ["language", "messages", "accuracy", "macro-F1", "calibration error"]
    return _table([*head, *(f"F1 {label}" for label in Label)], rows)


def _confusion(found: Sequence[Judged]) -> str:
    counts = confusion(found)
    rows = [[truth.value, *(str(counts[truth, said]) for said in Label)] for truth in Label]
    return _table(["", *(label.value for label in Label)], rows)


def _reliability(found: Sequence[Judged]) -> str:
    rows = [
        [
            f"{one.low:g} to {one.high:g}",
            str(one.count),
            f"{one.confidence:.2f}",
            f"{one.accuracy:.2f}",
        ]
        for one in reliability(found)
    ]
    return _table(["confidence", "messages", "mean confidence", "share that is right"], rows)


def _thresholds(found: Sequence[Judged]) -> str:
    rows = []
    for limit in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        sure = [one for one in found if one.verdict.confidence >= limit]
        unsure = [one for one in found if one.verdict.confidence < limit]
        shown = f"**{limit}**" if limit == ASK_BELOW else str(limit)
        asked = _percent(len(unsure) / len(found))
        rows.append([shown, asked, _share_right(unsure), _share_right(sure)])
    return _table(["below", "are asked about", "right of those", "right of the others"], rows)


def _share_right(found: Sequence[Judged]) -> str:
    return _percent(accuracy(found)) if found else "–"


def _context(data: Sequence[Message]) -> str:
    rows = [
        [name, _percent(accuracy(judged(data, judge)))]
        for name, judge in (("text and context", with_context), ("text alone", without_context))
    ]
    return _table([f"{len(data)} messages", "accuracy"], rows)


def _speed(data: Sequence[Message]) -> str:
    long = Message(_LONG, Label.CORRECTED, "en", Context(_LONG, _LONG, (Label.REJECTED,) * 4))
    alone = Message(_LONG, Label.CORRECTED, "en")
    kinds = {
        "the messages above": data,
        f"one of {len(_LONG):,} characters": [alone] * 100,
        "the same, with a question and an answer as long": [long] * 100,
    }
    return _table(["", "p50", "p99"], [[name, *_times(kind)] for name, kind in kinds.items()])


def _times(data: Sequence[Message]) -> tuple[str, str]:
    shipped_model()
    taken = [_time_us(one) for _ in range(_ROUNDS) for one in data]
    return f"{median(taken):.0f}", f"{quantiles(taken, n=100)[98]:.0f}"


def _time_us(message: Message) -> float:
    # The thread's own time: what other programs take of the machine is not the classifier's.
    start = time.thread_time_ns()
    classify(message.text, message.context)
    return (time.thread_time_ns() - start) / 1000


@click.command()
@click.option("--development", is_flag=True, help="Print it for that part; write nothing.")
def main(development: bool) -> None:
    """Judge the classifier and write the tables into its page."""
    if development:
        click.echo(report(messages(DEVELOPMENT)))
        return
    text = PAGE.read_text(encoding="utf-8")
    written = between_markers(text, "signals-classifier", report(messages(HELD_OUT)))
    PAGE.write_text(written, encoding="utf-8")
    click.echo(f"wrote {PAGE.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()
