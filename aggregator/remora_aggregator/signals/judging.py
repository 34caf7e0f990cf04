"""What is known of one call: its trials, and what counts for each. Pure.

Whatever order records, signals and trials that programs tell of come in, the same is known in the
end: what a signal says is folded by choosing the best, a record stands in the place of the one
before it, and of goals that only signals name the one of the earliest signal counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from remora.learning.evidence import Evidence, best, better, settle
from remora_aggregator.signals.signal import Signal
from remora_aggregator.signals.trial import ArmTrial


@dataclass(frozen=True, slots=True)
class KnownTrial:
    """A trial with what counts for it.

    Attributes:
        trial: Its goal may be one that a signal named.
        evidence: None: nothing is known of the answer.
        failure_category: Why the answer was no good, by that evidence.
        pod_uid: Whose record tells of it; empty: a program did.
        goal_by: Which signal named the goal; empty: the record did, or nobody.
    """

    trial: ArmTrial
    evidence: Evidence | None = None
    failure_category: str = ""
    pod_uid: str = ""
    goal_by: str = ""


type KnownCall = Mapping[str, KnownTrial]
"""The trials of a call, by the keys of their arms."""


def answer_of(known: KnownCall) -> str | None:
    """Give the key of the arm whose answer the agent got; None if nobody told.

    What a record says comes before what programs say; of these the first.
    """
    answers = [(not t.pod_uid, t.trial.at_ms, key) for key, t in known.items() if t.trial.is_answer]
    return min(answers)[-1] if answers else None


def with_record(
    known: KnownCall, trials: Sequence[ArmTrial], pod_uid: str, signals: Sequence[Signal]
) -> KnownCall:
    """Take what a record tells of its call, in the place of what the record before it told.

    Args:
        known: Of the call.
        trials: What the record tells.
        pod_uid: Whose record it is. Where another pod's tells of the call already, it changes
            nothing.
        signals: All there are of the call.
    """
    if any(other.pod_uid not in ("", pod_uid) for other in known.values()):
        return known
    told = {key: trial for key, trial in known.items() if not trial.pod_uid}
    told |= {trial.arm.key: KnownTrial(trial, pod_uid=pod_uid) for trial in trials}
    return _judged(told, signals)


def with_trials(
    known: KnownCall, trials: Sequence[ArmTrial], signals: Sequence[Signal]
) -> KnownCall:
    """Take trials that a program tells of.

    What a record tells stays as it is; of what programs tell of one arm the best judged counts.
    """
    told = dict(known)
    for trial in trials:
        old = told.get(trial.arm.key)
        if old is None or (not old.pod_uid and _is_better(trial, old.trial)):
            told[trial.arm.key] = KnownTrial(trial)
    return _judged(told, signals)


def _is_better(trial: ArmTrial, other: ArmTrial) -> bool:
    if trial.inferred is None or other.inferred is None:
        return trial.inferred is not None
    counted = better(other.inferred, trial.inferred)
    return counted == trial.inferred != other.inferred


def _judged(told: KnownCall, signals: Sequence[Signal]) -> KnownCall:
    """Judge trials anew, by what they themselves tell and by signals."""
    return with_signals({key: _bare(known) for key, known in told.items()}, signals)


def _bare(known: KnownTrial) -> KnownTrial:
    """Give a trial without what signals say."""
    trial = replace(known.trial, goal="") if known.goal_by else known.trial
    return KnownTrial(trial, trial.inferred, trial.failure_category, known.pod_uid)


def with_signals(known: KnownCall, signals: Sequence[Signal]) -> KnownCall:
    """Take signals of the call: they are about its answer, and may name its goal."""
    if not signals:
        return known
    after = {key: _with_goal(trial, signals) for key, trial in known.items()}
    answer = answer_of(after)
    said = best(signal.evidence for signal in signals)
    if answer is None or said is None:
        return after
    trial = after[answer]
    counted = settle(trial.evidence, said).counted
    if counted != trial.evidence:
        category = _category(signals, counted)
        after[answer] = replace(trial, evidence=counted, failure_category=category)
    return after


def _category(signals: Iterable[Signal], counted: Evidence) -> str:
    return next(s.failure_category for s in signals if s.evidence == counted)


def _with_goal(known: KnownTrial, signals: Iterable[Signal]) -> KnownTrial:
    if known.trial.goal and not known.goal_by:
        return known
    named = [(_goal_by(signal), signal.goal) for signal in signals if signal.goal]
    if known.goal_by:
        named.append((known.goal_by, known.trial.goal))
    if not named:
        return known
    goal_by, goal = min(named)
    return replace(known, trial=replace(known.trial, goal=goal), goal_by=goal_by)


def _goal_by(signal: Signal) -> str:
    """Name a signal so that names order as the times at which signals arose."""
    return f"{signal.evidence.at_ms:020d} {signal.signal_id}"
