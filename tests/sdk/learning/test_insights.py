import json
from dataclasses import replace

import pytest

from remora.learning import Arm, ArmScore, Beta, Counts, GoalScores
from remora.learning.change import Shift
from remora.learning.insights import as_json, report


def counts(good: int, bad: int) -> Counts:
    return Counts(good * 1_000_000, bad * 1_000_000)


def scored(model: str, good: int, bad: int, **facts: object) -> ArmScore:
    arm = Arm("p", model, facts.pop("parameters", {}))
    return ArmScore(arm, Beta(1 + good, 1 + bad), samples=good + bad, **facts)


def reported(*arms: tuple[ArmScore, Counts], failures: dict[str, int] | None = None):
    scores = GoalScores("g", tuple(score for score, _ in arms))
    return report(scores, {score.arm.key: known for score, known in arms}, failures or {})


GOOD = scored("good", 90, 10), counts(90, 10)
POOR = scored("poor", 40, 60), counts(40, 60)
FELL = Shift(7, counts(80, 20), counts(15, 25))


def kinds(found) -> list[tuple[str, str]]:
    return [(insight.kind, insight.arm) for insight in found.insights]


@pytest.mark.parametrize(
    ("arms", "failures", "kind", "arm"),
    [
        ([GOOD, POOR], {}, "path_underperforming", "p/poor"),
        ([GOOD], {"timeout": 8, "unknown": 2}, "failure_mode_dominant", ""),
        ([(replace(GOOD[0], shift=FELL), GOOD[1])], {}, "drift_detected", "p/good"),
        (
            [
                (scored("dear", 90, 10, cost_usd=0.2), counts(90, 10)),
                (scored("cheap", 89, 11, cost_usd=0.1), counts(89, 11)),
            ],
            {},
            "cost_inefficiency",
            "p/dear",
        ),
        ([GOOD, (scored("new", 3, 0), counts(3, 0))], {}, "low_confidence", "p/new"),
        (
            [
                (scored("m", 95, 5, parameters={"t": 0}), counts(95, 5)),
                (scored("m", 50, 50, parameters={"t": 1}), counts(50, 50)),
            ],
            {},
            "param_sensitivity_detected",
            'p/m {"t":1}',
        ),
        ([GOOD], {}, "goal_healthy", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_of_insight_has_its_reason(arms, failures, kind, arm):
    found = reported(*arms, failures=failures)
    assert (kind, arm) in kinds(found)
    insight = next(i for i in found.insights if i.kind == kind)
    assert insight.evidence
    assert insight.advice
    assert insight.goal == "g"


def test_a_goal_that_does_well_has_nothing_else_to_say():
    assert kinds(reported(GOOD)) == [("goal_healthy", "")]


def test_arms_that_may_be_as_good_are_not_called_worse():
    close = scored("close", 80, 20), counts(80, 20)
    assert kinds(reported(GOOD, close)) == [("goal_healthy", "")]


def test_one_model_alone_is_not_sensitive_to_parameters():
    assert "param_sensitivity_detected" not in dict(kinds(reported(GOOD, POOR)))


@pytest.mark.parametrize(
    ("known", "status"),
    [
        (counts(90, 10), "healthy"),
        (counts(70, 30), "degraded"),
        (counts(30, 70), "failing"),
        (counts(5, 0), "insufficient_data"),
        (Counts(), "insufficient_data"),
    ],
)
def test_a_goal_has_the_status_of_its_rate(known, status):
    assert reported((GOOD[0], known)).status == status


@pytest.mark.parametrize(
    ("shift", "trend"),
    [
        (None, "stable"),
        (FELL, "worsening"),
        (Shift(7, counts(15, 25), counts(80, 20)), "improving"),
    ],
)
def test_a_trend_is_that_of_what_changed(shift, trend):
    assert reported((replace(GOOD[0], shift=shift), GOOD[1])).trend == trend


def test_failures_are_told_most_frequent_first():
    found = reported(GOOD, failures={"timeout": 2, "tool_error": 5, "auth_error": 2})
    assert [name for name, _ in found.failure_modes] == ["tool_error", "auth_error", "timeout"]


def test_a_report_can_be_written_as_json():
    shown = as_json(reported(GOOD, POOR, failures={"timeout": 9}))
    assert json.loads(json.dumps(shown)) == shown
    assert shown["top_failure_modes"] == [{"category": "timeout", "count": 9}]
    assert {signal["type"] for signal in shown["actionable_signals"]} >= {"path_underperforming"}
