"""What a user's message says about the answer before it, found locally, in a fraction of a ms."""

from remora.feedback.classifier.classifier import classify
from remora.feedback.classifier.context import Context
from remora.feedback.classifier.verdict import ASK_BELOW, STRENGTHS, Label, Verdict

__all__ = ["ASK_BELOW", "STRENGTHS", "Context", "Label", "Verdict", "classify"]
