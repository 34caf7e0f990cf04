"""Reports, versions and logs of scores as they go over the wire. Pure.

What scores themselves look like there `remora.score_wire` says.
"""

import json
import math
from collections.abc import Iterable, Mapping

from remora.learning.beta import wilson
from remora.learning.counts import Counts
from remora.learning.insights import Insight
from remora.learning.scores import GoalScores
from remora.learning.versions import Difference, RouterVersion
from remora.score_wire import (
    arm_score_message,
    counts_message,
    goal_scores_message,
    settings_message,
)
from remora_aggregator.signals.ports import Judged, VersionBook
from remora_aggregator.signals.reports import ArmWindow, GoalInWindow
from remora_aggregator.signals.scoring import digest_of
from remora_aggregator.signals.timeline import TimelinePoint
from remora_aggregator.signals.trial import JudgedTrial
from remora_proto.v1 import scores_pb2 as pb

NS_PER_MS = 1_000_000


def evidence_message(counts: Counts) -> pb.Counts:
    """Write evidence."""
    return counts_message(counts.good, counts.bad)


def goal_report(found: GoalInWindow) -> pb.GoalReport:
    """Write how a goal does."""
    told = found.report
    return pb.GoalReport(
        goal=told.goal,
        status=told.status,
        trend=told.trend,
        rate=told.success_rate,
        low=told.interval[0],
        high=told.interval[1],
        arms=map(_arm_report, found.arms),
        failures=[
            pb.FailureMode(category=name, calls=number) for name, number in told.failure_modes
        ],
        insights=map(insight_message, told.insights),
        settings=settings_message(found.settings.as_mapping()),
        version=found.version,
        last_unix_nano=found.last_ms * NS_PER_MS,
    )


def _arm_report(arm: ArmWindow) -> pb.ArmReport:
    low, high = wilson(arm.evidence)
    return pb.ArmReport(
        score=arm_score_message(arm.score),
        evidence=evidence_message(arm.evidence),
        rate=arm.evidence.rate,
        low=low,
        high=high,
        calls=max(arm.calls, 0),
    )


def insight_message(insight: Insight) -> pb.Insight:
    """Write something to know; its figures as text."""
    return pb.Insight(
        kind=insight.kind,
        goal=insight.goal,
        arm=insight.arm,
        evidence={name: _figure(value) for name, value in insight.evidence.items()},
        advice=insight.advice,
    )


def _figure(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if value.is_integer() else f"{value:.6g}"


def timeline_answer(points: Iterable[TimelinePoint]) -> pb.TimelineResponse:
    """Write what is known of arms in pieces of time."""
    return pb.TimelineResponse(points=map(_point, points))


def _point(point: TimelinePoint) -> pb.TimelineResponse.Point:
    low, high = wilson(point.evidence)
    return pb.TimelineResponse.Point(
        arm=point.arm,
        start_unix_nano=point.start_ms * NS_PER_MS,
        end_unix_nano=point.end_ms * NS_PER_MS,
        evidence=evidence_message(point.evidence),
        rate=point.evidence.rate or 0.0,
        low=low,
        high=high,
    )


def logged_call(trial: JudgedTrial) -> pb.LoggedCall | None:
    """Write a decision that was judged; None if it was not, or its chance is unknown."""
    told, evidence = trial.trial, trial.evidence
    if evidence is None or told.propensity is None:
        return None
    return pb.LoggedCall(
        call_id=told.call_id,
        goal=told.goal,
        arm=told.arm.key,
        arms=told.arms,
        propensity=told.propensity,
        reward=evidence.strength,
        confidence=evidence.confidence,
        started_unix_nano=told.at_ms * NS_PER_MS,
        cost_usd="" if told.cost_usd is None else format(told.cost_usd, "f"),
        latency_ms=told.latency_ms,
        requested_model=told.requested_model,
        rule=told.rule,
    )


def version_message(
    book: VersionBook, version: RouterVersion, *, with_goals: bool = False
) -> pb.RouterVersion:
    """Write a version, and what the gate said of it.

    Args:
        book: The versions that it is of.
        version: The one.
        with_goals: Whether its scores are written, too.
    """
    message = pb.RouterVersion(
        number=version.number,
        made_unix_nano=version.made_ms * NS_PER_MS,
        digest=version.digest,
        note=version.note,
        in_force=version.number == book.history.in_force,
    )
    said = book.verdicts.get(version.number)
    if said is not None:
        _put_verdict(message, said)
    if with_goals:
        message.goals.extend(_pinned_goals(version))
    return message


def _put_verdict(message: pb.RouterVersion, said: Judged) -> None:
    message.verdict, message.reason = said.result, said.reason
    if said.advantage is not None:
        message.advantage = said.advantage
    if said.interval is not None:
        message.advantage_low, message.advantage_high = said.interval


def _pinned_goals(version: RouterVersion) -> Iterable[pb.GoalScores]:
    by_name: Mapping[str, GoalScores] = version.goals
    for name in sorted(by_name):
        yield goal_scores_message(
            by_name[name],
            digest=digest_of(by_name[name]),
            made_unix_ns=version.made_ms * NS_PER_MS,
            version=version.number,
        )


def diff_answer(found: Iterable[Difference]) -> pb.DiffVersionsResponse:
    """Write what is otherwise in another version."""
    return pb.DiffVersionsResponse(differences=map(_difference, found))


def _difference(one: Difference) -> pb.DiffVersionsResponse.Difference:
    return pb.DiffVersionsResponse.Difference(
        goal=one.goal,
        arm=one.arm,
        field=one.field,
        before=_json(one.before),
        after=_json(one.after),
    )


def _json(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return json.dumps(value)
