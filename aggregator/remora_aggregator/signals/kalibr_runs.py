"""Runs: what is known of one trace of Kalibr's clients, and what its reports make of it. Pure.

A run begins with whatever comes first: the decision, an anchor, an outcome or a correction of one.
Each arm that was tried has an outcome of its own; the one whose answer was used is what corrections
and signals are about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from remora.learning.arms import Arm
from remora.learning.evidence import Evidence, Source
from remora_aggregator.signals.trial import ArmTrial

KIND = "outcome_reported"
NO_ANSWER = frozenset({"timeout", "rate_limited", "auth_error", "provider_error"})
"""Categories of failure after which there was no answer that anybody could judge."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What somebody says of an answer; None where nothing is said.

    Attributes:
        score: How good it was, from 0 to 1.
        category: Why it was no good.
        facts: Numbers by name; no texts.
    """

    success: bool | None = None
    score: float | None = None
    category: str | None = None
    facts: Mapping[str, float | bool] = field(default_factory=dict)

    def corrected(self, later: "Verdict") -> "Verdict":
        """Take what a later verdict says, and keep the rest.

        A score or a category that was given for the opposite verdict does not stand.
        """
        turned = later.success is not None and later.success != self.success
        return Verdict(
            self.success if later.success is None else later.success,
            (None if turned else self.score) if later.score is None else later.score,
            (None if turned else self.category) if later.category is None else later.category,
            {**self.facts, **later.facts},
        )

    @property
    def strength(self) -> float | None:
        """How good the answer was, from 0 to 1; None: nothing is said of it."""
        if self.success is None:
            return self.score
        if self.success:
            return 1.0 if self.score is None else self.score
        return 0.0 if self.score is None else min(self.score, 0.5)

    @property
    def failure_category(self) -> str:
        """Why it was no good; empty if it was, or nobody says so."""
        if self.success is not False:
            return ""
        return self.category or "unknown"

    @property
    def had_answer(self) -> bool:
        """Whether somebody got an answer that could be judged."""
        return self.failure_category not in NO_ANSWER

    @property
    def said(self) -> list[str]:
        """What it says something of."""
        named = {"success": self.success, "score": self.score, "failure_category": self.category}
        found = [name for name, value in named.items() if value is not None]
        return [*found, "metadata"] if self.facts else found


@dataclass(frozen=True, slots=True)
class Report:
    """What a program says of one arm's answer, and when."""

    arm: Arm
    verdict: Verdict
    at_ms: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What a span tells of a model's answer; None: unknown."""

    provider: str
    model: str
    cost_usd: Decimal | None = None
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One trace.

    Attributes:
        goal: Whose scores it counts for; empty: nobody said.
        at_ms: When it began, in milliseconds since 1970.
        arm: What was decided, or what an anchor names; None: neither came.
        path_id: Of the decision; empty: there was none.
        arms: Keys of all arms that were decided among.
        reports: One for each arm, in the order in which they came first.
        correction: What was said later of the answer that was used.
        spent: What answers cost and took, one of each model.
        said_ms: When the last of the outcomes was said; each is said later than the one before.
    """

    call_id: str
    goal: str
    at_ms: int
    arm: Arm | None = None
    path_id: str = ""
    propensity: float | None = None
    arms: tuple[str, ...] = ()
    session_id: str = ""
    reports: tuple[Report, ...] = ()
    correction: Verdict = field(default_factory=Verdict)
    spent: tuple[Spent, ...] = ()
    said_ms: int = 0

    @property
    def answered(self) -> Arm | None:
        """The arm whose answer was used: the last that gave one, else what was decided."""
        for report in reversed(self.reports):
            if report.verdict.had_answer:
                return report.arm
        return self.arm if self.arm is not None or not self.reports else self.reports[-1].arm

    def verdict_of(self, arm: Arm) -> Verdict:
        """Say what is known of an arm's answer."""
        found = [report.verdict for report in self.reports if report.arm == arm]
        verdict = found[-1] if found else Verdict()
        return verdict.corrected(self.correction) if arm == self.answered else verdict

    @property
    def tried(self) -> tuple[Arm, ...]:
        """All arms that something was said of."""
        answered = self.answered
        used = () if answered is None or not self.correction.said else (answered,)
        found = {arm.key: arm for arm in (*(report.arm for report in self.reports), *used)}
        return tuple(found.values())


def begun_by(run: Run, later: Run) -> Run:
    """Take what a decision or an anchor says of a run, as far as nothing is known of it."""
    if run.arm is not None:
        return replace(run, session_id=run.session_id or later.session_id)
    return replace(
        later, goal=later.goal or run.goal, at_ms=min(run.at_ms, later.at_ms),
        session_id=later.session_id or run.session_id, reports=run.reports,
        correction=run.correction, spent=run.spent, said_ms=run.said_ms,
    )  # fmt: skip


def reported(run: Run, report: Report) -> Run:
    """Take an outcome; a second one of the same arm corrects the first."""
    others = tuple(each for each in run.reports if each.arm != report.arm)
    known = [each for each in run.reports if each.arm == report.arm]
    if known:
        report = replace(report, verdict=known[-1].verdict.corrected(report.verdict))
        if report.verdict == known[-1].verdict:
            return run
    return _said(replace(run, reports=(*others, report)), report.at_ms)


def corrected(run: Run, verdict: Verdict, now_ms: int) -> Run:
    """Take a correction. It stands over the report also where that comes later."""
    correction = run.correction.corrected(verdict)
    if correction == run.correction:
        return run
    return _said(replace(run, correction=correction), now_ms)


def _said(run: Run, now_ms: int) -> Run:
    return replace(run, said_ms=max(now_ms, run.said_ms + 1))


def with_spent(run: Run, spent: Spent) -> Run:
    """Take what an answer cost and took; what was told of the same model before is replaced."""
    if spent in run.spent:
        return run
    same = (spent.provider, spent.model)
    others = tuple(each for each in run.spent if (each.provider, each.model) != same)
    # Later than what was said, so that it is told again; not than signals that came since.
    said_ms = run.said_ms + 1 if run.tried else run.said_ms
    return replace(run, spent=(*others, spent), said_ms=said_ms)


def trial_of(run: Run, arm: Arm) -> ArmTrial:
    """Give what signals about a run are about, with what was said of it."""
    verdict = run.verdict_of(arm)
    strength = verdict.strength
    is_decided = run.arm == arm and bool(run.path_id)
    evidence = None
    if strength is not None:
        signal_id = f"outcome-{run.call_id}"
        evidence = Evidence(Source.EXPLICIT, strength, 1.0, run.said_ms, signal_id, KIND)
    own = (one for one in run.spent if (one.provider, one.model) == (arm.provider, arm.model))
    spent = next(own, None) or Spent("", "")
    return ArmTrial(
        call_id=run.call_id, goal=run.goal, arm=arm, at_ms=run.at_ms,
        is_answer=arm == run.answered, inferred=evidence,
        failure_category=verdict.failure_category,
        cost_usd=spent.cost_usd, latency_ms=spent.latency_ms,
        propensity=run.propensity if is_decided else None,
        arms=run.arms if is_decided else (),
        requested_model=arm.model, session_id=run.session_id,
    )  # fmt: skip


def trials_of(run: Run) -> list[ArmTrial]:
    """List the trials that something was said of."""
    return [trial_of(run, arm) for arm in run.tried]
