"""Quality first: which arms are as good as the best, and which of those is taken.

The rule that users trust: an arm that is worse than the best by more than the band is not taken
for being cheap or fast. As long as too little is known to say that an arm is within the band, it
counts as being outside.
"""

import math
from collections.abc import Sequence

from remora.learning.scores import ArmScore
from remora.learning.settings import LearningSettings

FIRM_AT = 1_000.0
"""Answers from which on more deviations are asked for: with their fourth root.

That grows faster than chance does, so that mistakes end for good, and more slowly than what is
known, so that arms that are within the band are found to be.
"""

KNOWN_GROWTH = 3.0
"""Times the root of all answers: what has to be known of an arm before it gives way to a cheaper
one. Without it a good arm that began badly would be taken for as good as a cheap one, and its
estimate never set right."""


def ties(scores: Sequence[ArmScore], settings: LearningSettings) -> list[bool]:
    """Tell of each arm whether it is known well enough to be within the band of the best."""
    best = max(scores, key=lambda score: score.posterior.mean).posterior
    part = 1 - settings.band
    edge, edge_variance = part * best.mean, part * part * best.variance
    deviations = caution(sum(score.samples for score in scores), settings)
    return [
        score.samples >= settings.min_samples
        and score.posterior.mean - edge
        >= deviations * math.sqrt(score.posterior.variance + edge_variance)
        for score in scores
    ]


def caution(samples: float, settings: LearningSettings) -> float:
    """Say by how many standard deviations an arm has to be within the band.

    Args:
        samples: Answers that are known of all arms.
        settings: What is asked for while little is known.
    """
    return settings.tie_deviations * math.sqrt(math.sqrt(max(1.0, samples / FIRM_AT)))


def preferred(scores: Sequence[ArmScore], among: Sequence[int], band: float) -> int | None:
    """Choose the cheapest of some arms, and of those about as cheap the fastest.

    Args:
        scores: Of all arms.
        among: Positions of the arms to choose from.
        band: Share of the cost within which arms are about as cheap.

    Returns:
        None if neither cost nor latency says which.
    """
    if not among:
        return None
    costs = {index: _known(scores[index].cost_usd) for index in among}
    cheapest = min(costs.values())
    near = [index for index in among if costs[index] <= cheapest * (1 + band)]
    times = {index: _known(scores[index].latency_ms) for index in near}
    fastest = min(near, key=lambda index: (times[index], costs[index]))
    is_told = len({(costs[i], _known(scores[i].latency_ms)) for i in among}) > 1
    return fastest if is_told or len(among) == 1 else None


def _known(figure: float | None) -> float:
    """Take what is unknown for more than anything that is known."""
    return math.inf if figure is None else figure


def standings(scores: Sequence[ArmScore], settings: LearningSettings) -> list[int]:
    """Say which arm is taken where each is the one that was drawn as the best.

    An arm outside of the band that was drawn is being explored, and taken itself, and so is one
    that is little known. One within gives way to a cheaper one that is known to be within.
    """
    is_tied = ties(scores, settings)
    best = max(score.posterior.mean for score in scores)
    floor = (1 - settings.band) * best
    known = max(settings.min_samples, KNOWN_GROWTH * math.sqrt(sum(s.samples for s in scores)))
    tied = [index for index, yes in enumerate(is_tied) if yes]
    taken = []
    for index, score in enumerate(scores):
        gives_way = score.posterior.mean >= floor and score.samples >= known
        among = tied if is_tied[index] else [*tied, index]
        choice = preferred(scores, among, settings.band) if gives_way else None
        taken.append(index if choice is None else choice)
    return taken
