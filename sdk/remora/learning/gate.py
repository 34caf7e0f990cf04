"""Whether a new router version may replace the old one, judged on calls that were logged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from remora.learning.decision import Chooser, Risk
from remora.learning.offpolicy import (
    Estimate,
    Evaluation,
    Logged,
    Policy,
    advantages,
    evaluate,
)
from remora.learning.versions import RouterVersion


@dataclass(frozen=True, slots=True)
class GateRules:
    """What a version has to show.

    Attributes:
        may_lose: Share of good answers that it may earn less, for what is not known better.
        min_effective_calls: What the log has to be worth for it.
        most_unsupported: Share of its choices that the log may say nothing of.
    """

    may_lose: float = 0.02
    min_effective_calls: float = 100
    most_unsupported: float = 0.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said.

    Attributes:
        result: ``accepted``; ``refused``: it earns too much less; ``undecided``: the log
            says too little.
        reason: For people.
        advantage: By how much it would have earned more than the old one.
    """

    result: Literal["accepted", "refused", "undecided"]
    reason: str
    old: Evaluation
    new: Evaluation
    advantage: Estimate


def policy_of(version: RouterVersion, risk: Risk = "low") -> Policy:
    """Say how a version would decide calls; among arms that it does not know it chooses evenly."""
    choosers = {name: Chooser(scores) for name, scores in version.goals.items()}
    keys = {name: [s.arm.key for s in scores.arms] for name, scores in version.goals.items()}

    def policy(call: Logged) -> dict[str, float]:
        chooser = choosers.get(call.goal)
        known = keys.get(call.goal, [])
        among = tuple(n for n, key in enumerate(known) if key in call.arms)
        if chooser is None or not among:
            return dict.fromkeys(call.arms, 1 / len(call.arms))
        chances = chooser.table(among, risk).propensities
        return {key: chance for key, chance in zip(known, chances, strict=True) if chance > 0}

    return policy


def judge(log: Sequence[Logged], old: Policy, new: Policy, rules: GateRules) -> Verdict:
    """Judge a new policy on logged calls.

    Raises:
        ValueError: The log is empty, or has a call without a propensity.
    """
    advantage = advantages(log, new, old)
    of_old, of_new = evaluate(log, old), evaluate(log, new)
    result, reason = _verdict(of_new, advantage, rules)
    return Verdict(result, reason, of_old, of_new, advantage)


def _verdict(
    new: Evaluation, advantage: Estimate, rules: GateRules
) -> tuple[Literal["accepted", "refused", "undecided"], str]:
    told = (
        f"{advantage.mean:+.1%} good answers, 95 %: {advantage.low:+.1%} to {advantage.high:+.1%}"
    )
    if new.unsupported > rules.most_unsupported:
        return "undecided", f"the log never made {new.unsupported:.0%} of its choices"
    if new.effective_calls < rules.min_effective_calls:
        return "undecided", (
            f"the log is worth {new.effective_calls:.0f} calls for it,"
            f" {rules.min_effective_calls:.0f} are needed"
        )
    if advantage.low >= -rules.may_lose:
        return "accepted", told
    if advantage.mean < -rules.may_lose or advantage.high < 0:
        return "refused", told
    return "undecided", f"{told}: it may lose {rules.may_lose:.1%} or more"
