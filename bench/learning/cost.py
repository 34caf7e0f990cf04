"""What a decision costs, and how near the chances it is made with are to Thompson sampling's."""

import random
import time
from statistics import median

import numpy as np

from remora.learning import Arm, ArmScore, Beta, Chooser, GoalScores
from remora.learning.chances import best_chances
from remora.policy.routing import Router
from remora.providers import ProviderRegistry
from remora_sidecar.policy.learned import Learned
from remora_sidecar.policy.routers import Offer
from remora_sidecar.policy.score_book import ScoreBook, ScoreSnapshot

ROUNDS = 15


def scores_of(arms: int, seed: int = 0) -> GoalScores:
    """Make scores of arms that are hard to tell apart."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    return GoalScores(
        "bench",
        tuple(
            ArmScore(
                Arm("openai", f"model-{number}"),
                Beta(1 + chance.randint(10, 40), 1 + chance.randint(5, 20)),
                samples=50,
                cost_usd=chance.random(),
            )
            for number in range(arms)
        ),
    )


def decision_us(arms: int, decisions: int = 20_000) -> float:
    """Measure a decision, in microseconds: the median of some rounds' means."""
    chooser = Chooser(scores_of(arms))
    chance = random.Random(1)  # noqa: S311 - no secret
    among = list(range(0, arms, 2))
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(decisions // ROUNDS):
            chooser.choose(chance, among=among)
        times.append((time.perf_counter() - begun) / (decisions // ROUNDS) * 1e6)
    return median(times)


def sidecar_decision_us(arms: int, decisions: int = 20_000) -> float:
    """Measure how a sidecar's router decides a call, its look at the kept table included."""
    models = [f"model-{number}" for number in range(arms)]
    router = Router.model_validate(
        {"policy": "learned", "goal": "bench", "candidates": [{"model": m} for m in models]}
    )
    provider = ProviderRegistry.builtin().get("openai")
    assert provider is not None
    offers = tuple(Offer(provider, one.model, one) for one in router.candidates)
    book = ScoreBook()
    book.take(ScoreSnapshot(scores_of(arms), "digest"))
    learned = Learned(book, random.Random(1))  # noqa: S311 - no secret
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(decisions // ROUNDS):
            learned.choose("route", router, offers, "bench", "low")
        times.append((time.perf_counter() - begun) / (decisions // ROUNDS) * 1e6)
    return median(times)


def preparation_ms(arms: int) -> float:
    """Measure what a new snapshot of a goal costs before its first decision, in milliseconds."""
    times = []
    for seed in range(ROUNDS):
        scores = scores_of(arms, seed)
        begun = time.perf_counter()
        Chooser(scores)
        times.append((time.perf_counter() - begun) * 1e3)
    return median(times)


def chance_errors(cases: int, draws: int = 200_000) -> tuple[float, float, float]:
    """Compare the chances that are worked out with counted draws.

    Returns:
        Of the distance in total variation the mean and the greatest, and what the counting
        itself adds to it on average.
    """
    chance = random.Random(2)  # noqa: S311 - no secret
    generator = np.random.default_rng(2)
    distances, noises = [], []
    for _ in range(cases):
        beliefs = [_belief(chance) for _ in range(chance.choice([2, 3, 5, 8, 20]))]
        ours = np.array(best_chances(beliefs))
        counted = [_counted(beliefs, generator, draws) for _ in range(2)]
        distances.append(np.abs(ours - sum(counted) / 2).sum() / 2)
        noises.append(np.abs(counted[0] - counted[1]).sum() / 4)
    return float(np.mean(distances)), float(np.max(distances)), float(np.mean(noises))


def _belief(chance: random.Random) -> Beta:
    weight, share = 10 ** chance.uniform(0, 4), chance.betavariate(8, 3)
    return Beta(1 + weight * share, 1 + weight * (1 - share)).sharpened(2)


def _counted(beliefs: list[Beta], generator: np.random.Generator, draws: int) -> np.ndarray:
    good, bad = [b.good for b in beliefs], [b.bad for b in beliefs]
    best = generator.beta(good, bad, size=(draws, len(beliefs))).argmax(1)
    return np.bincount(best, minlength=len(beliefs)) / draws
