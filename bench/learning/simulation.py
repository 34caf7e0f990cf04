"""Runs a world for many seeds, with learned routing or with what it is compared to."""

from dataclasses import dataclass

import numpy as np

from bench.learning.twin import Sums, propensities, standing
from bench.learning.worlds import MS_PER_CALL, World
from remora.learning.settings import LearningSettings

type Array = np.ndarray

CALLS_PER_SNAPSHOT = 2
"""Snapshots of scores come every two seconds."""


@dataclass
class Run:
    """What was done.

    Attributes:
        picks: The arm of each call, by call and seed.
        greedy: The arm that would have been taken if nothing were left to chance.
    """

    world: World
    picks: Array
    greedy: Array

    @property
    def regrets(self) -> Array:
        """Of each seed, in all."""
        falls_at = self.world.falls_at
        cut = len(self.picks) if falls_at is None else falls_at
        early = self.world.regrets(0)[self.picks[:cut]].sum(0)
        return early + self.world.regrets(cut)[self.picks[cut:]].sum(0)


def simulate(
    world: World, settings: LearningSettings, seeds: int, *, first_seed: int = 0, limit: bool = True
) -> Run:
    """Run learned routing in a world.

    Args:
        world: Where.
        settings: As they are shipped, or others.
        seeds: How many runs.
        first_seed: Of the generator that all of them draw from.
        limit: Whether one reporter's evidence is limited as `remora.learning.reporters` does.
    """
    chance = np.random.default_rng(first_seed)
    arms = len(world.quality)
    fair, flood = Sums.empty(seeds, arms), Sums.empty(seeds, arms)
    picks = np.zeros((world.calls, seeds), dtype=np.int64)
    arrivals: dict[int, list[tuple[Array, ...]]] = {}
    costs = np.array(world.costs)
    ends, greedy = np.zeros((seeds, arms)), np.zeros_like(picks)
    best = picks[0]
    for call in range(world.calls):
        now_ms = call * MS_PER_CALL
        fair.open(now_ms)
        flood.open(now_ms)
        for evidence in arrivals.pop(call, ()):
            _deliver(evidence, fair, flood)
        if call % CALLS_PER_SNAPSHOT == 0:
            fair.pack(now_ms)
            flood.pack(now_ms)
            stands = standing(_whole(fair, flood, settings, world, limit), settings, now_ms)
            shares, best = propensities(stands, costs, settings)
            ends = shares.cumsum(1)
        greedy[call] = best
        picks[call] = (ends < chance.random(seeds)[:, None] * ends[:, -1:]).sum(1)
        _judge(world, call, picks[call], chance, arrivals)
    return Run(world, picks, greedy)


def _judge(
    world: World,
    call: int,
    picked: Array,
    chance: np.random.Generator,
    arrivals: dict[int, list[tuple[Array, ...]]],
) -> None:
    """Send a signal about a call of each seed on its way, or none."""
    seeds = np.arange(len(picked))
    good = world.rewards(call, picked, chance)
    floods = chance.random(len(picked)) < world.flooding
    good = np.where(floods, picked != world.best, good)
    delays = np.floor(chance.exponential(max(world.delay_calls, 1e-9), len(picked)))
    heard = chance.random(len(picked)) >= world.missing
    for delay in np.unique(delays[heard]):
        at = seeds[heard & (delays == delay)]
        times = np.full(len(at), call * MS_PER_CALL)
        evidence = (times, at, picked[at], good[at], floods[at])
        arrivals.setdefault(call + 1 + int(delay), []).append(evidence)


def _deliver(evidence: tuple[Array, ...], fair: Sums, flood: Sums) -> None:
    times, seeds, arms, good, floods = evidence
    for sums, mine in ((fair, ~floods), (flood, floods)):
        if mine.any():
            weight = np.ones(int(mine.sum()))
            sums.add(times[mine], seeds[mine], arms[mine], good[mine], weight)


def _whole(fair: Sums, flood: Sums, settings: LearningSettings, world: World, limit: bool) -> Sums:
    """Add what all reporters said, of the one who floods as much as the limit says."""
    if not world.flooding:
        return fair
    told = flood.good.sum(0) + flood.bad.sum(0)
    whole = told + fair.good.sum(0) + fair.bad.sum(0)
    most = settings.reporter_share * whole if limit else whole
    factor = np.minimum(1.0, most / np.maximum(told, 1e-9))
    return Sums(fair.buckets, fair.good + factor * flood.good, fair.bad + factor * flood.bad)


def explore_then_commit(
    world: World, seeds: int, first_seed: int = 0, *, each: int = 20, by_objective: bool = True
) -> Array:
    """Give the regret of trying each arm some times, then always taking what looked best.

    Args:
        world: A stationary one.
        seeds: How many runs.
        first_seed: Of the generator that all of them draw from.
        each: Tries of each arm.
        by_objective: Whether it commits to the cheapest within the band, or to the
            highest rate of good answers.
    """
    chance = np.random.default_rng(first_seed)
    quality = np.array(world.quality)
    arms = np.tile(np.arange(len(quality)), (seeds * each, 1)).ravel()
    rates = world.rewards(0, arms, chance).reshape(seeds, each, len(quality)).mean(1)
    within = rates >= (1 - world.band) * rates.max(1, keepdims=True)
    if by_objective:
        chosen = np.where(within, np.array(world.costs), np.inf).argmin(1)
    else:
        chosen = (rates + 1e-9 * chance.random(rates.shape)).argmax(1)
    regrets = world.regrets()
    return each * regrets.sum() + (world.calls - each * len(quality)) * regrets[chosen]


def calls_until_avoided(run: Run, *, picks: int = 50, share: float = 0.9) -> Array:
    """Count, for each seed, the calls from the fall to the end of enough picks of other arms.

    Returns:
        The end of the first row of ``picks`` calls of which ``share`` go elsewhere; endless where
        there is none.
    """
    falls_at = run.world.falls_at or 0
    elsewhere = (run.picks[falls_at:] != run.world.best).astype(int).cumsum(0)
    rows = elsewhere[picks - 1 :].copy()
    rows[1:] -= elsewhere[:-picks]
    is_avoided = rows >= share * picks
    first = is_avoided.argmax(0) + picks
    return np.where(is_avoided.any(0), first, np.inf)
