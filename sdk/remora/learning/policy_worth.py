"""What a policy would have been worth on calls that were logged, in all and for each goal. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

from remora.learning.gate import GateRules
from remora.learning.offpolicy import Estimate, Evaluation, Logged, earned, evaluate, gain
from remora.learning.policy_replay import Replay

Finding = Literal["better", "worse", "no_difference_known", "too_little_known"]

_RULES = GateRules()


class Worth(NamedTuple):
    """What a policy would have earned on some calls: the share of good answers.

    Attributes:
        goal: Of the calls; empty: all of them.
        earned: By what decided them.
        gain: By how much the policy would have earned more, doubly robust, call by call.
    """

    goal: str
    evaluation: Evaluation
    earned: Estimate
    gain: Estimate

    @property
    def finding(self) -> Finding:
        """What can be concluded, with 95 % confidence."""
        if not self.is_supported or not self.is_enough:
            return "too_little_known"
        if self.gain.low > 0:
            return "better"
        return "worse" if self.gain.high < 0 else "no_difference_known"

    @property
    def is_supported(self) -> bool:
        """Whether the log made nearly all of the policy's choices at least now and then."""
        return self.evaluation.unsupported <= _RULES.most_unsupported

    @property
    def is_enough(self) -> bool:
        """Whether the log is worth enough calls of the policy's own."""
        return self.evaluation.effective_calls >= _RULES.min_effective_calls


def worth_of(replay: Replay) -> list[Worth]:
    """Say what a policy would have been worth: in all, then for each goal if there are several.

    Raises:
        ValueError: No call is left, or one has no propensity or confidence.
    """
    goals: dict[str, list[Logged]] = defaultdict(list)
    for call in replay.log:
        goals[call.goal].append(call)
    parts = sorted(goals.items()) if len(goals) > 1 else []
    return [_worth(name, calls, replay) for name, calls in [("", replay.log), *parts]]


def _worth(goal: str, calls: Sequence[Logged], replay: Replay) -> Worth:
    policy = replay.policy
    return Worth(goal, evaluate(calls, policy), earned(calls), gain(calls, policy))
