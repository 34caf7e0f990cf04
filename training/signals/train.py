"""`python -m training.signals.train`: make the model that the package ships, in some seconds.

Reads the grammars, leaves out every sentence that is kept for judging, fits, and writes
`model.tsv`. The held-out part is read for nothing but the sentences to leave out.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path

import click
from training.signals.examples import Maker, wording_key
from training.signals.fit import Effort, fit
from training.signals.judging import Judged, accuracy, calibration_error, macro_f1
from training.signals.labelled import (
    DEVELOPMENT,
    HELD_OUT,
    HERE,
    TRAINING,
    Message,
    grammar,
    languages,
    messages,
    session_courses,
)

import remora.feedback.classifier as package
from remora.feedback.classifier import classify
from remora.feedback.classifier.model import Model, as_text

PACKAGE = Path(package.__file__).parent
MODEL = PACKAGE / "model.tsv"
_EVERY = 5
_CODE = ("wording.py", "features.py", "context.py", "model.py")


def inputs_digest() -> str:
    """Return the digest of all that the weights follow from: data and code."""
    paths = [PACKAGE / name for name in _CODE]
    paths += (
        sorted(HERE.glob("*.py")) + sorted(HERE.glob("*/*.txt")) + sorted(HERE.glob("*/*.jsonl"))
    )
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Material:
    """What a model is made of.

    Attributes:
        training: Messages to fit the weights to.
        rehearsal: A part of them, without every fifth template.
        unseen: Messages of the templates that the rehearsal lacks.
    """

    training: list[Message]
    rehearsal: list[Message]
    unseen: list[Message]


def material() -> Material:
    """Make all messages, without any that is kept for judging."""
    kept = frozenset(
        wording_key(one.text) for folder in (DEVELOPMENT, HELD_OUT) for one in messages(folder)
    )
    grammars = [grammar(TRAINING / f"{language}.txt") for language in languages(TRAINING)]
    courses = session_courses(TRAINING / "momentum.jsonl")
    courses = [one for one in courses if wording_key(one.text) not in kept]
    return Material(
        [one for whole in grammars for one in Maker(whole, kept).messages()] + courses,
        [one for whole in grammars for one in Maker(whole.without(_EVERY), kept).messages()],
        [one for whole in grammars for one in Maker(whole.only(_EVERY), kept).alone()],
    )


def judge(model: Model, judged: Sequence[Message]) -> list[Judged]:
    """Let a model say what messages say."""
    return [
        Judged(one.label, classify(one.text, one.context, model=model), one.language)
        for one in judged
    ]


def best_temperature(model: Model, unseen: Sequence[Message]) -> float:
    """Choose the temperature under which the truth is likeliest."""
    judged = judge(replace(model, temperature=1.0), unseen)
    choices = [round(0.3 + step / 20, 2) for step in range(36)]
    return min(choices, key=lambda choice: sum(_surprise(one, choice) for one in judged))


def _surprise(judged: Judged, temperature: float) -> float:
    """Return -log(probability of the truth) had the temperature been another than 1."""
    likely = judged.verdict.probabilities
    shares = {label: likely[label] ** (1 / temperature) for label in likely}
    return log(sum(shares.values())) - log(max(shares[judged.truth], 1e-300))


def train(effort: Effort = Effort()) -> Model:  # noqa: B008 - frozen
    """Make the model.

    How sure it may be is learnt from a rehearsal: a model that has not seen every fifth template
    is asked about sentences made of those.
    """
    made = material()
    digest = inputs_digest()
    rehearsed = fit(made.rehearsal, effort, digest)
    temperature = best_temperature(rehearsed, made.unseen[::4])
    return replace(fit(made.training, effort, digest), temperature=temperature)


@click.command()
@click.option("--wrong", is_flag=True, help="Show what is wrong of the development part.")
def main(wrong: bool) -> None:
    """Train, write the model, and say how good it is on the development part."""
    model = train()
    MODEL.write_text(as_text(model), encoding="utf-8")
    development = messages(DEVELOPMENT)
    judged = judge(model, development)
    click.echo(f"{len(model.weights)} features, {MODEL.stat().st_size >> 10} kB")
    click.echo(
        f"temperature {model.temperature}, calibration error {calibration_error(judged):.3f}"
    )
    click.echo(f"accuracy {accuracy(judged):.3f}, macro-F1 {macro_f1(judged):.3f}")
    for language in languages(DEVELOPMENT):
        own = [one for one in judged if one.language == language]
        click.echo(f"{language} {accuracy(own):.2f}")
    for message, one in zip(development, judged, strict=True):
        if wrong and not one.is_right:
            said = f"{one.verdict.label} {one.verdict.confidence:.2f}"
            click.echo(f"{one.truth}, not {said}: {message.text}")


if __name__ == "__main__":
    main()
