"""What another policy would have earned on calls that were made by this one.

Three estimates, since each fails in its own way: inverse propensities (right on average, wide
where the policies differ), the same self-normalised (narrower, a little biased), and doubly robust
(what a model of the arms expects, set right by what was seen). All of them see only calls that
were judged: they hold if whether a call is judged does not depend on how good its answer was.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

_Z = 1.959964
"""Standard deviations around a normal distribution's mean that hold 95 % of it."""

FOLDS = 5
"""Parts of the log; a call is set against what the other parts say of its arm."""


class Logged(NamedTuple):
    """A call that was made and judged.

    Attributes:
        goal: What it was for.
        arm: The key of the arm that was taken.
        propensity: How likely that was.
        reward: How good the answer was, from 0 to 1.
        arms: Keys of all arms that the call might have gone to.
        confidence: How sure the reward is, from 0 to 1: what the call counts for.
        requested_model: That the call asked for; empty if nobody knows.
    """

    goal: str
    arm: str
    propensity: float
    reward: float
    arms: tuple[str, ...]
    confidence: float = 1.0
    requested_model: str = ""


type Policy = Callable[[Logged], Mapping[str, float]]
"""Gives how likely each arm would be taken for a call; arms that are left out never."""


class Estimate(NamedTuple):
    """A mean with its interval of 95 %."""

    mean: float
    low: float
    high: float


class Evaluation(NamedTuple):
    """What a policy would have earned: the share of good answers.

    Attributes:
        ips: By inverse propensities.
        snips: By inverse propensities, self-normalised.
        doubly_robust: By a model of the arms, corrected by what was seen.
        calls: That were looked at.
        effective_calls: What they are worth for this policy: as many calls of its own would say
            about as much.
        unsupported: Share of this policy's choices, on average, that the log never made: nothing
            is known of them but the model.
    """

    ips: Estimate
    snips: Estimate
    doubly_robust: Estimate
    calls: int
    effective_calls: float
    unsupported: float


def evaluate(log: Sequence[Logged], policy: Policy) -> Evaluation:
    """Say what a policy would have earned.

    Raises:
        ValueError: The log is empty, or has a call without a propensity or confidence.
    """
    _check(log)
    targets = [policy(call) for call in log]
    ratios = [t.get(call.arm, 0.0) / call.propensity for call, t in zip(log, targets, strict=True)]
    sure = [call.confidence for call in log]
    weighted = [ratio * s for ratio, s in zip(ratios, sure, strict=True)]
    squares = math.fsum(w * w for w in weighted)
    return Evaluation(
        ips=_mean([r * call.reward for r, call in zip(ratios, log, strict=True)], sure),
        snips=_self_normalised(weighted, [call.reward for call in log]),
        doubly_robust=_mean(_corrected(log, targets, ratios), sure),
        calls=len(log),
        effective_calls=math.fsum(weighted) ** 2 / squares if squares else 0.0,
        unsupported=_unsupported(log, targets),
    )


def advantages(log: Sequence[Logged], policy: Policy, other: Policy) -> Estimate:
    """Say by how much a policy would have earned more than another, doubly robust.

    The two are compared call by call, so what is common to both does not widen the interval.

    Raises:
        ValueError: As with `evaluate`.
    """
    _check(log)
    earned = []
    for one in (policy, other):
        targets = [one(call) for call in log]
        ratios = [
            t.get(call.arm, 0.0) / call.propensity for call, t in zip(log, targets, strict=True)
        ]
        earned.append(_corrected(log, targets, ratios))
    differences = [a - b for a, b in zip(*earned, strict=True)]
    return _mean(differences, [call.confidence for call in log])


def earned(log: Sequence[Logged]) -> Estimate:
    """Say what was earned by whatever decided the calls.

    Raises:
        ValueError: As with `evaluate`.
    """
    _check(log)
    return _mean([call.reward for call in log], [call.confidence for call in log])


def gain(log: Sequence[Logged], policy: Policy) -> Estimate:
    """Say by how much a policy would have earned more than was earned, doubly robust.

    The two are compared call by call, as by `advantages`.

    Raises:
        ValueError: As with `evaluate`.
    """
    _check(log)
    targets = [policy(call) for call in log]
    ratios = [t.get(call.arm, 0.0) / call.propensity for call, t in zip(log, targets, strict=True)]
    corrected = _corrected(log, targets, ratios)
    more = [value - call.reward for value, call in zip(corrected, log, strict=True)]
    return _mean(more, [call.confidence for call in log])


def _check(log: Sequence[Logged]) -> None:
    if not log:
        raise ValueError("the log is empty: there is nothing to go by")
    for number, call in enumerate(log):
        if not 0 < call.propensity <= 1 or not 0 < call.confidence <= 1:
            raise ValueError(
                f"call {number}: propensity {call.propensity} and confidence {call.confidence}"
                " should be more than 0 and at most 1"
            )


def _mean(values: Sequence[float], weights: Sequence[float]) -> Estimate:
    """Give a weighted mean; without end where one value says nothing of how they spread."""
    whole = math.fsum(weights)
    mean = math.fsum(v * w for v, w in zip(values, weights, strict=True)) / whole
    squares = math.fsum((w * (v - mean)) ** 2 for v, w in zip(values, weights, strict=True))
    number = len(values)
    if number < 2:
        return Estimate(mean, -math.inf, math.inf)
    half = _Z * math.sqrt(squares * number / (number - 1)) / whole
    return Estimate(mean, mean - half, mean + half)


def _self_normalised(weighted: Sequence[float], rewards: Sequence[float]) -> Estimate:
    whole = math.fsum(weighted)
    if whole <= 0:
        return Estimate(math.nan, -math.inf, math.inf)
    return _mean(rewards, weighted)


def _corrected(
    log: Sequence[Logged], targets: Sequence[Mapping[str, float]], ratios: Sequence[float]
) -> list[float]:
    """Give what a model expects of each call, set right by what was seen of it."""
    models = _models(log)
    values = []
    for number, (call, target, ratio) in enumerate(zip(log, targets, ratios, strict=True)):
        model = models[number % FOLDS]
        expected = math.fsum(p * model(call.goal, arm) for arm, p in target.items())
        values.append(expected + ratio * (call.reward - model(call.goal, call.arm)))
    return values


def _models(log: Sequence[Logged]) -> list[Callable[[str, str], float]]:
    """Make, for each part of the log, a model of the other parts: the mean of each arm."""
    return [_model([c for n, c in enumerate(log) if n % FOLDS != fold]) for fold in range(FOLDS)]


def _model(log: Sequence[Logged]) -> Callable[[str, str], float]:
    """Give each arm's mean, drawn to the mean of all by one answer's weight."""
    whole = math.fsum(call.confidence for call in log)
    overall = math.fsum(call.confidence * call.reward for call in log) / whole if whole else 0.5
    sums: dict[tuple[str, str], tuple[float, float]] = {}
    for call in log:
        good, weight = sums.get((call.goal, call.arm), (overall, 1.0))
        sums[call.goal, call.arm] = (
            good + call.confidence * call.reward,
            weight + call.confidence,
        )
    means = {key: good / weight for key, (good, weight) in sums.items()}
    return lambda goal, arm: means.get((goal, arm), overall)


def _unsupported(log: Sequence[Logged], targets: Sequence[Mapping[str, float]]) -> float:
    seen = {(call.goal, call.arm) for call in log}
    missing = [
        math.fsum(p for arm, p in target.items() if (call.goal, arm) not in seen)
        for call, target in zip(log, targets, strict=True)
    ]
    return math.fsum(missing) / len(log)
