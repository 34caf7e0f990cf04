"""What a policy's routes would have made of calls that were logged: chances of arms. Pure.

A log has of each call what it asked for and where it might have gone, not its request. What a route
decides by more than that is not made up: such calls are left out, and it is said why.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from remora.learning.arms import Arm
from remora.learning.decision import Chooser
from remora.learning.logged_decision import LoggedDecision, arm_named
from remora.learning.offpolicy import Logged, Policy
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.settings import LearningSettings
from remora.policy.routing import PROMPT_OPERATIONS, Candidate, Route, Router, Target
from remora.policy.spec import CallRules

type Chances = Mapping[str, float]
"""How likely each arm is taken, by key; they sum to 1."""

_UNKNOWN_CHOICE = {
    "sticky": "what a call sticks to is not in the log",
    "conditional": "its conditions need the request",
    "plugin": "a plugin chooses",
}
"""Routers whose choice a log can't tell, and why."""


class LeftOut(NamedTuple):
    """It can't be told what becomes of a call, or it becomes nothing."""

    why: str


@dataclass(frozen=True, slots=True)
class KnownScores:
    """What routers that learn go by, by goal.

    Attributes:
        live: By all that was learned.
        in_force: Of the router version in force, for routers with ``updates: gated``.
    """

    live: Mapping[str, GoalScores]
    in_force: Mapping[str, GoalScores]


NOTHING_KNOWN = KnownScores({}, {})


class Replay(NamedTuple):
    """A log as it can be held against a policy.

    Attributes:
        log: Of which it can be told what the policy makes of them.
        policy: What it makes of them.
        left_out: How many calls it can't be told of, by why.
        never_offered: Arms that the policy would take and no call of the goal could go to, with
            their share of its choices; the largest first.
    """

    log: Sequence[Logged]
    policy: Policy
    left_out: Mapping[str, int]
    never_offered: Mapping[str, float]


class _Asked(NamedTuple):
    """All that decides what becomes of a call."""

    goal: str
    model: str
    arms: tuple[str, ...]

    @property
    def provider(self) -> str | None:
        """Whom it was asked of; None where the log does not tell it."""
        arms = [arm_named(key) for key in self.arms]
        everywhere = {arm.provider for arm in arms}
        if len(everywhere) == 1:
            return everywhere.pop()
        own = {arm.provider for arm in arms if arm.model == self.model}
        return own.pop() if len(own) == 1 else None


class PolicyReplay:
    """Says what one policy makes of the calls of one log."""

    def __init__(
        self,
        rules: CallRules,
        log: Sequence[LoggedDecision],
        scores: KnownScores = NOTHING_KNOWN,
        *,
        operation: str = "chat",
    ) -> None:
        """Take the policy, and what routers may go by.

        Args:
            rules: The policy, as it applies to the pods whose calls these are.
            log: Calls; what arms cost and took is taken from all of them.
            scores: For routers that learn.
            operation: What the calls ask for, which a log does not say.
        """
        self._rules = rules
        self._scores = scores
        self._operation = operation
        self._log = log
        self._offered: dict[str, set[str]] = defaultdict(set)
        for call in log:
            self._offered[call.goal].update(call.arms)
        self._costs_usd = _means(
            (call, None if call.cost_usd is None else float(call.cost_usd)) for call in log
        )
        self._latencies_ms = _means((call, call.latency_ms) for call in log)
        self._known: dict[_Asked, Chances | LeftOut] = {}

    def replayed(self) -> Replay:
        """Hold the log against the policy."""
        kept: list[Logged] = []
        left_out: Counter[str] = Counter()
        shares: Counter[str] = Counter()
        for call in self._log:
            chances = self.chances(call.goal, call.requested_model, call.arms)
            if isinstance(chances, LeftOut):
                left_out[chances.why] += 1
                continue
            kept.append(call.logged())
            for arm, chance in chances.items():
                if chance > 0 and arm not in self._offered[call.goal]:
                    shares[arm] += chance  # type: ignore[assignment]  # counters of floats add up as well
        never = {arm: share / len(kept) for arm, share in shares.most_common()}
        return Replay(kept, self._policy, dict(left_out.most_common()), never)

    def _policy(self, call: Logged) -> Chances:
        chances = self.chances(call.goal, call.requested_model, call.arms)
        return {} if isinstance(chances, LeftOut) else chances

    def chances(self, goal: str, model: str, arms: tuple[str, ...]) -> Chances | LeftOut:
        """Say how likely each arm is taken for a call.

        Args:
            goal: What it is for.
            model: That it asks for.
            arms: Keys of those that it could go to when it was made.
        """
        asked = _Asked(goal, model, arms)
        found = self._known.get(asked)
        if found is None:
            found = self._known[asked] = self._chances(asked)
        return found

    def _chances(self, asked: _Asked) -> Chances | LeftOut:
        for route in self._rules.routes:
            if not _takes(route, self._operation, asked.model):
                continue
            if route.match.condition is not None:
                return LeftOut(f"route {route.name!r} has a condition, which needs the request")
            return self._routed(route, asked)
        return self._as_asked(asked)

    def _as_asked(self, asked: _Asked) -> Chances | LeftOut:
        if not self._rules.models.permits(asked.model):
            return LeftOut(f"the policy denies the model {asked.model!r}")
        key = _key(Target(model=asked.model), asked) if asked.model else None
        if key is None:
            return LeftOut("the log does not say which provider's model was asked for")
        return {key: 1.0}

    def _routed(self, route: Route, asked: _Asked) -> Chances | LeftOut:
        if route.router is None:
            return self._as_asked(asked)
        candidates = self._candidates(route.router.candidates, asked)
        if isinstance(candidates, LeftOut):
            return candidates
        if candidates:
            return self._chosen(route, route.router, candidates, asked.goal)
        rest = self._candidates(route.fallback, asked)
        if isinstance(rest, LeftOut) or not rest:
            return LeftOut(f"it could go to nobody whom route {route.name!r} names")
        return {next(iter(rest)): 1.0}

    def _candidates(self, targets: Sequence[Target], asked: _Asked) -> dict[str, Target] | LeftOut:
        """Give those that a call may go to, by key.

        A candidate that other calls for the goal could go to and this one could not was not to be
        had for it; of one that was never offered nobody knows, and it may be taken.
        """
        found: dict[str, Target] = {}
        for target in targets:
            if not self._rules.models.permits(target.model):
                continue
            key = _key(target, asked)
            if key is None:
                return LeftOut("the log does not say which provider's model was asked for")
            if key in asked.arms or key not in self._offered[asked.goal]:
                found.setdefault(key, target)
        return found

    def _chosen(
        self, route: Route, router: Router, candidates: Mapping[str, Target], goal: str
    ) -> Chances | LeftOut:
        keys = list(candidates)
        match router.policy:
            case "random" | "round-robin":
                return _even(keys)
            case "weighted":
                return _weighted(candidates)
            case "cheapest":
                return {_least(keys, self._costs_usd, goal): 1.0}
            case "fastest":
                return {_least(keys, self._latencies_ms, goal): 1.0}
            case "learned":
                return self._learned(router, keys, router.goal or goal)
            case "sticky" if len(keys) == 1:
                return {keys[0]: 1.0}
            case "sticky" | "conditional" | "plugin":
                why = _UNKNOWN_CHOICE[router.policy]
                return LeftOut(f"route {route.name!r} has the router {router.policy}: {why}")

    def _learned(self, router: Router, keys: Sequence[str], goal: str) -> Chances:
        known = self._scores.in_force if router.updates == "gated" else self._scores.live
        scores = known.get(goal, GoalScores(goal, ()))
        of_arm = {score.arm.key: score for score in scores.arms}
        arms = tuple(of_arm.get(key) or ArmScore(arm_named(key)) for key in keys)
        settings = learning_settings(router, scores.settings)
        chooser = Chooser(GoalScores(goal, arms, settings))
        table = chooser.table(tuple(range(len(arms))), router.risk or "low")
        return dict(zip(keys, table.propensities, strict=True))


def learning_settings(router: Router, base: LearningSettings) -> LearningSettings:
    """Give the settings that a router decides by: its own, and where it has none others."""
    own: dict[str, Any] = {
        "exploration_rate": router.exploration_rate,
        "min_samples": router.min_samples,
        "rollback_threshold": router.rollback_threshold,
        "staleness_ms": None if router.staleness is None else router.staleness.milliseconds,
        "band": router.band,
    }
    return replace(base, **{name: value for name, value in own.items() if value is not None})


def _takes(route: Route, operation: str, model: str) -> bool:
    match = route.match
    if operation not in (match.operations or PROMPT_OPERATIONS):
        return False
    return not match.models or any(glob.matches(model) for glob in match.models)


def _key(target: Target, asked: _Asked) -> str | None:
    """Name the arm that a target is for a call; None if it can't be told."""
    parameters = target.parameters if isinstance(target, Candidate) else {}
    if target.provider is not None:
        return Arm(target.provider, target.model, parameters).key
    offered = {arm_named(key).provider for key in asked.arms}
    keys = {Arm(provider, target.model, parameters).key for provider in offered}
    meant = keys & set(asked.arms)
    if len(meant) == 1:
        return meant.pop()
    own = asked.provider
    return None if own is None else Arm(own, target.model, parameters).key


def _even(keys: Sequence[str]) -> Chances:
    return dict.fromkeys(keys, 1 / len(keys))


def _weighted(candidates: Mapping[str, Target]) -> Chances:
    weights = {
        key: target.weight or 0
        for key, target in candidates.items()
        if isinstance(target, Candidate)
    }
    whole = sum(weights.values())
    if not whole:  # only those without a share are left
        return _even(list(candidates))
    return {key: weight / whole for key, weight in weights.items()}


def _least(keys: Sequence[str], means: Mapping[tuple[str, str], float], goal: str) -> str:
    """Give the key of the least mean; the first where nothing is known of any."""
    known = [key for key in keys if (goal, key) in means]
    return min(known, key=lambda key: means[goal, key]) if known else keys[0]


def _means(
    figures: Iterable[tuple[LoggedDecision, float | None]],
) -> dict[tuple[str, str], float]:
    sums: dict[tuple[str, str], tuple[float, int]] = {}
    for call, figure in figures:
        if figure is not None:
            whole, number = sums.get((call.goal, call.arm), (0.0, 0))
            sums[call.goal, call.arm] = (whole + figure, number + 1)
    return {key: whole / number for key, (whole, number) in sums.items()}
