"""The JSON of scores and router versions, as schemas: what `remora scores --json` writes."""

from typing import Any

from pydantic import ConfigDict, Field

from remora_aggregator.web.record_answer import Answer, moment, money


def _interval(of: str) -> Any:
    return Field(description=f"Of {of}, at 95 %: from, to.", min_length=2, max_length=2)


class CountsAnswer(Answer):
    """Evidence, in answers."""

    model_config = ConfigDict(title="Evidence")

    good: float
    bad: float


class PosteriorAnswer(Answer):
    """A Beta distribution: what is believed of an arm's share of good answers."""

    model_config = ConfigDict(title="Posterior")

    good: float
    bad: float
    mean: float


class ShiftAnswer(Answer):
    """An arm's share of good answers changed."""

    model_config = ConfigDict(title="Shift")

    at: str = moment("When.")
    before: CountsAnswer
    after: CountsAnswer


class ArmScoreAnswer(Answer):
    """What decisions about an arm go by."""

    model_config = ConfigDict(title="ArmScore")

    arm: str = Field(description="`provider/model`, with its parameters.")
    provider: str
    model: str
    parameters: dict[str, Any] | None = Field(description="What is set beside the model.")
    posterior: PosteriorAnswer
    samples: float = Field(description="Answers of its own that the belief stands on.")
    cost_usd: float | None = Field(description="Of a call, on average; null: unknown.")
    latency_ms: float | None = Field(description="The median; null: unknown.")
    is_stale: bool = Field(description="Nothing was heard of it for long.")
    shift: ShiftAnswer | None


class ArmReportAnswer(ArmScoreAnswer):
    """How an arm does in a window."""

    model_config = ConfigDict(title="ArmReport")

    evidence: CountsAnswer
    rate: float | None = Field(description="Share of good answers; null without evidence.")
    interval: list[float] = _interval("that")
    calls: int = Field(description="Judged or not.")


class FailureModeAnswer(Answer):
    """How often calls failed for one reason."""

    model_config = ConfigDict(title="FailureMode")

    category: str
    calls: int


class InsightAnswer(Answer):
    """Something to know."""

    model_config = ConfigDict(title="Insight")

    kind: str
    goal: str
    arm: str | None = Field(description="Null: it is about the goal.")
    evidence: dict[str, str] = Field(description="The figures it stands on.")
    advice: str


class GoalAnswer(Answer):
    """How a goal does."""

    model_config = ConfigDict(title="GoalReport")

    goal: str
    status: str | None = Field(
        description="`healthy`, `degraded`, `failing` or `insufficient_data`."
    )
    trend: str | None = Field(description="`improving`, `stable` or `worsening`.")
    rate: float | None = Field(description="Of all arms together; null without evidence.")
    interval: list[float] = _interval("that")
    arms: list[ArmReportAnswer]
    failures: list[FailureModeAnswer]
    insights: list[InsightAnswer]
    settings: dict[str, float | int | None]
    version: int | None = Field(description="The router version in force; null: none.")
    last_call_at: str | None = moment("When its last call began.")


class GoalsAnswer(Answer):
    """How goals do, those with the newest calls first."""

    model_config = ConfigDict(title="Scores")

    goals: list[GoalAnswer]


class TimelinePointAnswer(Answer):
    """How an arm did in a piece of time."""

    model_config = ConfigDict(title="TimelinePoint")

    arm: str
    starts_at: str = moment("When it begins.")
    ends_at: str = moment("When it ends.")
    evidence: CountsAnswer
    rate: float
    interval: list[float] = _interval("the rate")


class TimelineAnswer(Answer):
    """How a goal's arms did over time, by arm and then by time."""

    model_config = ConfigDict(title="Timeline")

    points: list[TimelinePointAnswer]


class BenchmarkAnswer(Answer):
    """What a model was measured to do; null where nobody knows."""

    model_config = ConfigDict(title="Benchmark")

    provider: str
    model: str
    calls: int
    errors: int
    latency_p50_s: float | None
    latency_p95_s: float | None
    ttft_p50_s: float | None
    output_tokens_per_s: float | None = Field(description="In a second of latency.")
    mean_cost_usd: str | None = money("Of a call whose price is known.")
    evidence: CountsAnswer
    acceptance: float | None = Field(description="Share of good answers, all goals together.")
    interval: list[float] = _interval("acceptance")


class BenchmarksAnswer(Answer):
    """What models were measured to do, those with the most calls first."""

    model_config = ConfigDict(title="Benchmarks")

    benchmarks: list[BenchmarkAnswer]


class EstimateAnswer(Answer):
    """A mean with its interval of 95 %; null where there is no telling."""

    model_config = ConfigDict(title="Estimate")

    mean: float | None
    low: float | None
    high: float | None


class GoalScoresAnswer(Answer):
    """What decisions about a goal go by."""

    model_config = ConfigDict(title="GoalScores")

    goal: str
    arms: list[ArmScoreAnswer]
    settings: dict[str, float | int | None]


class VersionAnswer(Answer):
    """All that decisions go by at one time, and what the gate said of it."""

    model_config = ConfigDict(title="RouterVersion")

    version: int = Field(description="Its number.")
    made_at: str = moment("When it was made.")
    digest: str = Field(description="SHA-256 of what it decides by.")
    note: str | None
    in_force: bool
    verdict: str | None = Field(
        description="`accepted`, `refused` or `undecided`; null: the gate was not asked."
    )
    reason: str | None = Field(description="Of the verdict.")
    advantage: EstimateAnswer | None = Field(
        description="Share of good answers more than the version before, as expected."
    )
    goals: list[GoalScoresAnswer] | None = Field(
        default=None, description="Only where one version was asked for."
    )


class VersionsAnswer(Answer):
    """Router versions, the newest first."""

    model_config = ConfigDict(title="RouterVersions")

    versions: list[VersionAnswer]


class DifferenceAnswer(Answer):
    """Something that is otherwise in another version."""

    model_config = ConfigDict(title="Difference")

    goal: str
    arm: str | None = Field(description="Null for a setting.")
    field: str
    before: Any
    after: Any


class DifferencesAnswer(Answer):
    """What is otherwise, by goal and arm."""

    model_config = ConfigDict(title="Differences")

    differences: list[DifferenceAnswer]
