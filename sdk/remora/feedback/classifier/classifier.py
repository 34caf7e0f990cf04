"""Says what a user's message says about the answer before it. No network, nothing kept."""

from remora.feedback.classifier.context import NO_CONTEXT, Context, context_features
from remora.feedback.classifier.features import features
from remora.feedback.classifier.model import LABELS, Model, shipped_model
from remora.feedback.classifier.verdict import Verdict
from remora.feedback.classifier.wording import read


def classify(text: str, context: Context = NO_CONTEXT, *, model: Model | None = None) -> Verdict:
    """Judge a message.

    The same text and context give the same verdict in every process, and on every version of
    Python that knows the text's characters. Time is bounded: of long texts only the ends are read
    (`READ_CHARACTERS`).

    Args:
        text: What the user wrote, of any length and in any language; never kept or logged.
        context: What came before.
        model: Another than the package's own.
    """
    tokens = read(text)
    probabilities = (model or shipped_model()).probabilities(
        features(tokens), context_features(tokens, context)
    )
    by_label = dict(zip(LABELS, probabilities, strict=True))
    likeliest = max(LABELS, key=by_label.__getitem__)
    return Verdict(likeliest, by_label[likeliest], by_label)
