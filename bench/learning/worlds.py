"""What is simulated: arms of known quality, and what becomes of the signals about them."""

from dataclasses import dataclass, field

import numpy as np

type Array = np.ndarray

MS_PER_CALL = 1_000
"""Of virtual time: one call a second."""


@dataclass(frozen=True)
class World:
    """Arms, and how their answers are judged.

    Attributes:
        quality: Each arm's share of good answers.
        costs: Of a call at each arm.
        calls: How many are made.
        falls_at: The call from which the best arm is worse; None: never.
        fall: By how much.
        missing: Share of the calls that nobody judges.
        delay_calls: How many calls later signals come, on average; the delay is exponential.
        flooding: Share of the signals that come from one reporter, who rejects the best
            arm's answers and accepts the others'.
        scores: Of each arm on each datapoint of a table, which calls draw from; None: an answer is
            good by chance alone.
        band: Within which arms are as good as each other.
    """

    title: str
    quality: tuple[float, ...]
    costs: tuple[float, ...]
    calls: int = 1_000
    falls_at: int | None = None
    fall: float = 0.3
    missing: float = 0.0
    delay_calls: float = 0.0
    flooding: float = 0.0
    scores: Array | None = None
    band: float = field(default=0.05, kw_only=True)

    @property
    def best(self) -> int:
        """The arm of the highest quality at first."""
        return int(np.argmax(self.quality))

    def quality_at(self, call: int) -> Array:
        """Give each arm's quality."""
        quality = np.array(self.quality)
        if self.falls_at is not None and call >= self.falls_at:
            quality[self.best] -= self.fall
        return quality

    def rewards(self, call: int, picked: Array, chance: np.random.Generator) -> Array:
        """Say how good the answers of some arms are."""
        if self.scores is not None:
            return self.scores[picked, chance.integers(self.scores.shape[1], size=len(picked))]
        return (chance.random(len(picked)) < self.quality_at(call)[picked]).astype(float)

    def regrets(self, call: int = 0) -> Array:
        """Say what taking each arm costs, by the policy's own objective.

        An arm outside of the band: the quality that was missed. One within: more of the width of
        the band the dearer it is, from nothing for the cheapest to all of it for the dearest. So
        every arm outside costs more than every one within.
        """
        quality, costs = self.quality_at(call), np.array(self.costs)
        width = self.band * quality.max()
        within = quality >= quality.max() - width - 1e-12
        low, high = costs[within].min(), costs[within].max()
        extra = (costs - low) / (high - low) if high > low else np.zeros(len(costs))
        return np.where(within, width * extra, quality.max() - quality)


def stationary(arms: int, gap: float, *, best_is_dear: bool = True, calls: int = 1_000) -> World:
    """Make a world in which one arm is better than all others, which are as good as each other."""
    quality = (*([0.8 - gap] * (arms - 1)), 0.8)
    costs = np.linspace(0.2, 1.0, arms)
    if not best_is_dear:
        costs = costs[::-1]
    return World(f"{arms} arms, {gap:.0%}", quality, tuple(costs.tolist()), calls)
