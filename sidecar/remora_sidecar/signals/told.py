"""Signals that the sidecar itself makes of answers. Pure."""

from remora.records import CallRecord, Outcome
from remora_proto.v1 import signals_pb2 as pb

JUDGED = "judged"
JUDGE_CONFIDENCE = 0.7
"""A judge agrees with people about as often."""


def signal_of_outcome(record: CallRecord, outcome: Outcome, now_unix_ns: int) -> pb.Signal:
    """Tell an outcome that was not known when its record was written."""
    return _signal(
        record,
        f"check-{record.call_id}",
        now_unix_ns,
        kind=outcome.kind,
        source=pb.SIGNAL_SOURCE_INFERRED,
        strength=outcome.strength,
        confidence=outcome.confidence,
        failure_category=outcome.failure_category,
    )


def signal_of_verdict(
    record: CallRecord, score: float, category: str, threshold: float, now_unix_ns: int
) -> pb.Signal:
    """Tell what a judge says; the category only of answers that it holds to be no good."""
    return _signal(
        record,
        f"judge-{record.call_id}",
        now_unix_ns,
        kind=JUDGED,
        source=pb.SIGNAL_SOURCE_CLASSIFIED,
        strength=score,
        confidence=JUDGE_CONFIDENCE,
        failure_category=(category or "unknown") if score < threshold else "",
    )


def _signal(record: CallRecord, signal_id: str, now_unix_ns: int, **said: object) -> pb.Signal:
    return pb.Signal(
        signal_id=signal_id,
        call_id=record.call_id,
        at_unix_nano=now_unix_ns,
        goal=record.attribution.goal,
        session_id=record.attribution.session_id,
        **said,  # type: ignore[arg-type]  # the fields above
    )
