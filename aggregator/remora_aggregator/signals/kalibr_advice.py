"""What is recommended of several models: by an aim, within what somebody asks for. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from remora.learning.arms import Arm
from remora.learning.beta import wilson
from remora.learning.counts import Counts
from remora.learning.decision import Chooser
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.settings import LearningSettings

AIMS: Final = ("balanced", "outcome", "quality", "cost", "latency", "cost_efficiency")
_RISKS: Final[Mapping[str, float]] = {"low": 0.34, "medium": 0.67, "high": 1.0}


@dataclass(frozen=True, slots=True)
class Option:
    """A model that could be recommended.

    Attributes:
        model_id: As the client asks for it.
        score: What is known of its arm.
        evidence: Of the window that is looked at.
        risk: Of taking it, as who registered it says.
    """

    model_id: str
    score: ArmScore
    evidence: Counts
    tool_id: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    risk: str = "low"

    @property
    def arm(self) -> Arm:
        """What it is."""
        return self.score.arm

    @property
    def rate(self) -> float:
        """Its share of good answers: in the window, else as it is expected."""
        known = self.evidence.rate
        return round(self.score.posterior.mean if known is None else known, 6)

    @property
    def samples(self) -> int:
        """Answers that are known of it in the window."""
        return round(self.evidence.weight)

    @property
    def confidence(self) -> float:
        """How sure the share is known, from 0 to 1: 1 less the width of its interval of 95 %."""
        low, high = wilson(self.evidence)
        return round(1 - (high - low), 4)

    @property
    def risk_score(self) -> float:
        """The share of bad answers that there may be, at worst."""
        return round(1 - wilson(self.evidence)[0], 4)


@dataclass(frozen=True, slots=True)
class Constraints:
    """What somebody asks for; None: nothing. What is not known of a model does not meet it."""

    max_cost_usd: float | None = None
    max_latency_ms: float | None = None
    min_quality: float | None = None
    min_confidence: float | None = None
    max_risk: float | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Constraints":
        """Read them; what can't be read asks for nothing."""
        risk = given.get("max_risk")
        return cls(
            _number(given.get("max_cost_usd")),
            _number(given.get("max_latency_ms")),
            _number(given.get("min_quality")),
            _number(given.get("min_confidence")),
            _RISKS[risk] if isinstance(risk, str) and risk in _RISKS else _number(risk),
        )

    def unmet(self, option: Option) -> str:
        """Name what a model does not meet; empty: nothing."""
        score = option.score
        checks = (
            ("max_cost_usd", self.max_cost_usd, _most(score.cost_usd)),
            ("max_latency_ms", self.max_latency_ms, _most(score.latency_ms)),
            ("max_risk", self.max_risk, option.risk_score),
        )
        for name, wanted, value in checks:
            if wanted is not None and value > wanted:
                return name
        least = (
            ("min_quality", self.min_quality, option.rate),
            ("min_confidence", self.min_confidence, option.confidence),
        )
        return next((n for n, wanted, value in least if wanted is not None and value < wanted), "")


@dataclass(frozen=True, slots=True)
class Advice:
    """What is recommended.

    Attributes:
        best: None: nothing meets what is asked for, or nothing is known.
        others: The rest that meets it, the best first.
        left_out: Models that do not, by what they do not meet.
        reasoning: A sentence, for people.
    """

    best: Option | None
    others: tuple[Option, ...]
    left_out: tuple[tuple[str, str], ...]
    reasoning: str


def advised(
    options: Iterable[Option], aim: str, constraints: Constraints, settings: LearningSettings
) -> Advice:
    """Recommend one of some models.

    Args:
        options: Of which something may be known.
        aim: One of `AIMS`; any other is ``balanced``: quality first, cheapest within the band.
        constraints: What has to be met.
        settings: Of the goal.
    """
    fit: list[Option] = []
    left_out: list[tuple[str, str]] = []
    for option in options:
        unmet = constraints.unmet(option)
        if unmet:
            left_out.append((option.model_id, unmet))
        else:
            fit.append(option)
    if not fit:
        why = "no model meets what is asked for" if left_out else "no model is known"
        return Advice(None, (), tuple(left_out), why)
    ranked = sorted(fit, key=lambda option: _key(option, aim))
    if aim not in AIMS[1:]:
        first = _balanced(fit, settings)
        ranked = [first, *(option for option in ranked if option is not first)]
    return Advice(ranked[0], tuple(ranked[1:]), tuple(left_out), _reasoning(ranked[0], aim))


def _balanced(options: Sequence[Option], settings: LearningSettings) -> Option:
    scores = GoalScores("", tuple(option.score for option in options), settings)
    return options[Chooser(scores).table(tuple(range(len(options))), "high").greedy]


def _key(option: Option, aim: str) -> tuple[float, ...]:
    score, mean = option.score, option.score.posterior.mean
    cost, latency = _most(score.cost_usd), _most(score.latency_ms)
    if aim == "cost":
        return cost, -mean
    if aim == "latency":
        return latency, -mean
    if aim == "cost_efficiency":
        return -(mean / max(cost, 1e-9)), -mean
    return -mean, cost, latency


def _reasoning(best: Option, aim: str) -> str:
    if not best.samples:
        return f"{best.model_id}: nothing is known of any answer, so it is the first that will do"
    known = f"{best.rate:.1%} of {best.samples} answers good"
    words = {
        "cost": "the cheapest whose cost is known",
        "latency": "the fastest whose latency is known",
        "cost_efficiency": "the most good answers for the money",
        "quality": "the largest share of good answers",
        "outcome": "the largest share of good answers",
    }
    why = words.get(aim, "the best, or as good as it and cheaper or faster")
    return f"{best.model_id}: {why} ({known})"


def _most(value: float | None) -> float:
    return math.inf if value is None else value


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]  # a number


def score_of(
    arm: Arm, evidence: Counts, cost_usd: float | None, latency_ms: float | None
) -> ArmScore:
    """Make a score of nothing but evidence: of a model, whatever it was asked for."""
    belief = ArmScore(arm).posterior.after(evidence)
    return ArmScore(arm, belief, evidence.weight, cost_usd, latency_ms)
