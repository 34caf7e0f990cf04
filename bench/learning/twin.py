"""Learned routing for many seeds at once: the shipped decisions, written with arrays.

`remora.learning` decides for one goal in plain Python, which would take long for two hundred seeds
of a thousand calls each. Here arrays have an axis of seeds. A test shows that both come to the same
chances.
"""

from dataclasses import dataclass

import numpy as np

from remora.learning.chances import CUBIC, DEVIATIONS, SLOPE
from remora.learning.quality import FIRM_AT, KNOWN_GROWTH
from remora.learning.series import FINEST_MS, Bucket
from remora.learning.settings import LearningSettings

type Array = np.ndarray


@dataclass
class Sums:
    """Evidence of all seeds' arms: a series each, whose buckets are the same.

    Attributes:
        buckets: In the order of time.
        good, bad: By bucket, seed and arm.
    """

    buckets: list[Bucket]
    good: Array
    bad: Array

    @classmethod
    def empty(cls, seeds: int, arms: int) -> "Sums":
        """Begin without evidence."""
        return cls([], np.zeros((0, seeds, arms)), np.zeros((0, seeds, arms)))

    def open(self, now_ms: int) -> None:
        """Have a bucket for now."""
        bucket = Bucket(0, now_ms // FINEST_MS)
        if not self.buckets or self.buckets[-1] != bucket:
            self.buckets.append(bucket)
            nothing = np.zeros((1, *self.good.shape[1:]))
            self.good = np.concatenate([self.good, nothing])
            self.bad = np.concatenate([self.bad, nothing])

    def add(self, at_ms: Array, seed: Array, arm: Array, good: Array, weight: Array) -> None:
        """Add evidence about calls that began at some times."""
        starts = np.array([bucket.start_ms for bucket in self.buckets])
        place = np.searchsorted(starts, at_ms, side="right") - 1
        np.add.at(self.good, (place, seed, arm), good * weight)
        np.add.at(self.bad, (place, seed, arm), (1 - good) * weight)

    def pack(self, now_ms: int) -> None:
        """Put what is old into wide buckets."""
        homes = []
        for bucket in self.buckets:
            while bucket.is_due(now_ms):
                bucket = bucket.parent
            homes.append(bucket)
        if homes == self.buckets:
            return
        kept = list(dict.fromkeys(homes))
        places = [kept.index(home) for home in homes]
        self.good, self.bad = (_gathered(sums, places, len(kept)) for sums in (self.good, self.bad))
        self.buckets = kept


def _gathered(sums: Array, places: list[int], number: int) -> Array:
    result = np.zeros((number, *sums.shape[1:]))
    np.add.at(result, places, sums)
    return result


def _likelihood(good: Array, bad: Array) -> Array:
    weight = good + bad
    with np.errstate(divide="ignore", invalid="ignore"):
        found = good * np.log(good / weight) + bad * np.log(bad / weight)
    return np.where((good <= 1e-9) | (bad <= 1e-9), 0.0, found)


@dataclass
class Standing:
    """What stands of the evidence of each seed's arms, and what it was before a change.

    Attributes:
        fall: By how much the rate fell at the latest change; 0 without one.
        before: Answers known before that change, since the one before.
    """

    good: Array
    bad: Array
    fall: Array
    before: Array


def standing(sums: Sums, settings: LearningSettings, now_ms: int) -> Standing:
    """Do as `remora.learning.scoring.score`: drop what came before the latest change."""
    good, bad = sums.good, sums.bad
    seeds, arms = good.shape[1:]
    fall, before = np.zeros((seeds, arms)), np.zeros((seeds, arms))
    if settings.false_alarm > 0 and len(good) > 1:
        flat_good, flat_bad = good.reshape(len(good), -1), bad.reshape(len(bad), -1)
        stands = _since_changes(flat_good, flat_bad, settings.false_alarm, fall, before)
        good, bad = (flat * stands for flat in (flat_good, flat_bad))
    if settings.half_life_ms is not None:
        ends = np.array([bucket.end_ms for bucket in sums.buckets])
        fade = 0.5 ** (np.maximum(now_ms - ends, 0) / settings.half_life_ms)
        good = good.reshape(len(ends), -1) * fade[:, None]
        bad = bad.reshape(len(ends), -1) * fade[:, None]
    return Standing(good.sum(0).reshape(seeds, arms), bad.sum(0).reshape(seeds, arms), fall, before)


def _since_changes(
    good: Array, bad: Array, false_alarm: float, fall: Array, before: Array
) -> Array:
    """Tell which buckets stand (bucket, column); writes down falls and what came before."""
    stands = np.ones(good.shape, dtype=bool)
    columns = np.arange(good.shape[1])
    numbers = np.arange(len(good))[:, None]
    while len(columns):
        some_good, some_bad = (sums[:, columns] * stands[:, columns] for sums in (good, bad))
        split, found = _likeliest_splits(some_good, some_bad, false_alarm)
        columns, split = columns[found], split[found]
        if not len(columns):
            break
        some_good, some_bad = some_good[:, found], some_bad[:, found]
        is_after = numbers > split
        old_good, old_bad = ((sums * ~is_after).sum(0) for sums in (some_good, some_bad))
        new_good, new_bad = ((sums * is_after).sum(0) for sums in (some_good, some_bad))
        rates = old_good / (old_good + old_bad), new_good / (new_good + new_bad)
        fall.flat[columns] = rates[0] - rates[1]
        before.flat[columns] = old_good + old_bad
        stands[:, columns] &= is_after
    return stands


def _likeliest_splits(good: Array, bad: Array, false_alarm: float) -> tuple[Array, Array]:
    """Give the last bucket before the likeliest change of each column, and whether it is one."""
    so_far_good, so_far_bad = good.cumsum(0), bad.cumsum(0)
    all_good, all_bad = so_far_good[-1], so_far_bad[-1]
    ratio = _likelihood(so_far_good[:-1], so_far_bad[:-1])
    ratio += _likelihood(all_good - so_far_good[:-1], all_bad - so_far_bad[:-1])
    split = ratio.argmax(0)
    height = ratio[split, np.arange(ratio.shape[1])] - _likelihood(all_good, all_bad)
    weight = np.maximum(all_good + all_bad, 1.0)
    return split, height > np.log(3 * weight**1.5 / false_alarm)


def best_chances(good: Array, bad: Array) -> Array:
    """Do as `remora.learning.chances.best_chances` for each row of parameters."""
    weight = good + bad
    mean, deviation = good / weight, np.sqrt(good * bad / (weight + 1)) / weight
    edges = (mean[..., None] + deviation[..., None] * np.array(DEVIATIONS)).reshape(len(good), -1)
    edges = np.sort(np.clip(edges, 0, 1), axis=1)
    ends = np.broadcast_to([0.0, 1.0], (len(good), 2))
    edges = np.concatenate([ends[:, :1], edges, ends[:, 1:]], axis=1)[:, None, :]
    root, other_root = np.cbrt(edges), np.cbrt(1 - edges)
    a, b = good[..., None], bad[..., None]
    rise, drop = 3 * np.cbrt(b) * (1 - 1 / (9 * b)), 3 * np.cbrt(a) * (1 - 1 / (9 * a))
    spread = root**2 / np.cbrt(b) + other_root**2 / np.cbrt(a)
    z = (rise * root - drop * other_root) / np.sqrt(spread)
    below = 0.5 + 0.5 * np.tanh(SLOPE * (z + CUBIC * z * z * z))
    below = np.where(edges <= 0, 0.0, np.where(edges >= 1, 1.0, below))
    others = _all_but_each(below)
    chances = (np.diff(below) * (others[..., 1:] + others[..., :-1])).sum(-1)
    return chances / chances.sum(1, keepdims=True)


def _all_but_each(below: Array) -> Array:
    ones = np.ones((len(below), 1, below.shape[2]))
    before = np.cumprod(np.concatenate([ones, below[:, :-1]], axis=1), axis=1)
    after = np.cumprod(np.concatenate([ones, below[:, :0:-1]], axis=1), axis=1)[:, ::-1]
    return before * after


def propensities(stands: Standing, costs: Array, settings: LearningSettings) -> tuple[Array, Array]:
    """Do as the table of `remora.learning.decision` for arms whose costs all differ by much.

    Args:
        stands: By seed and arm.
        costs: By arm.
        settings: Without exploration.

    Returns:
        Each arm's chance, by seed; and the arm that would be taken if nothing were left to chance.
    """
    good, bad = stands.good + 1, stands.bad + 1
    samples = stands.good + stands.bad
    weight = good + bad
    mean = good / weight
    running = _running(stands, mean, samples, settings)
    chances = np.zeros(mean.shape)
    for row_set in np.unique(running, axis=0):
        rows = (running == row_set).all(1)
        cells = np.ix_(rows, row_set)
        k = settings.sharpness
        chances[cells] = best_chances(good[cells] * k, bad[cells] * k)
    newcomers = running & (samples < settings.min_samples)
    chances = np.where(newcomers, np.maximum(chances, settings.newcomer_chance), chances)
    chances[chances < settings.least_chance] = 0.0
    variance = good * bad / (weight**2 * (weight + 1))
    shares = np.zeros(mean.shape)
    taken = _standings(running, mean, variance, samples, costs, settings)
    rows = np.broadcast_to(np.arange(len(mean))[:, None], mean.shape)
    np.add.at(shares, (rows, taken), chances)
    return shares / shares.sum(1, keepdims=True), _greedy(running, mean, samples, taken, settings)


def _greedy(
    running: Array, mean: Array, samples: Array, taken: Array, settings: LearningSettings
) -> Array:
    known = running & (samples >= settings.min_samples)
    known = np.where(known.any(1, keepdims=True), known, running)
    best = np.where(known, mean, -1.0).argmax(1)
    return taken[np.arange(len(mean)), best]


def _running(stands: Standing, mean: Array, samples: Array, settings: LearningSettings) -> Array:
    """Leave out arms that fell far, as long as another is as good."""
    fallen = (stands.before >= settings.min_samples) & (stands.fall >= settings.rollback_threshold)
    level = np.where(fallen, -1.0, mean).max(1, keepdims=True)
    return ~(fallen & (mean <= level))


def _standings(
    running: Array,
    mean: Array,
    variance: Array,
    samples: Array,
    costs: Array,
    settings: LearningSettings,
) -> Array:
    """Say which arm is taken where each is the one that was drawn."""
    shown = np.where(running, mean, -1.0)
    best = shown.argmax(1)[:, None]
    part = 1 - settings.band
    edge = part * np.take_along_axis(shown, best, 1)
    edge_variance = part * part * np.take_along_axis(variance, best, 1)
    total = np.where(running, samples, 0).sum(1, keepdims=True)
    deviations = settings.tie_deviations * np.maximum(1.0, total / FIRM_AT) ** 0.25
    tied = running & (samples >= settings.min_samples)
    tied &= mean - edge >= deviations * np.sqrt(variance + edge_variance)
    cheapest = np.where(tied, costs, np.inf).argmin(1)[:, None]
    least = np.where(tied, costs, np.inf).min(1)[:, None]
    known = np.maximum(settings.min_samples, KNOWN_GROWTH * np.sqrt(total))
    gives_way = (mean >= edge) & (least < costs) & (samples >= known)
    itself = np.broadcast_to(np.arange(mean.shape[1]), mean.shape)
    return np.where(gives_way, cheapest, itself)
