"""The published client over models of known quality: traffic moves to the best.

The margins follow from a simulation of the same decisions (`share` below): of the last 100 of 600
runs the best of three models got 94 % on average over 60 seeds, 86 % at least; of the last 40 of
120 runs 86 % on average over 300 seeds, 43 % at least.
"""

import asyncio
import json
import random
from statistics import mean

import pytest

from remora.learning.arms import Arm
from remora.learning.counts import counts_of
from remora.learning.decision import Chooser
from remora.learning.scores import ArmScore, GoalScores

QUALITIES = {"gpt-4o": 0.6, "gpt-4o-mini": 0.9, "gpt-4.1-nano": 0.3}
BEST = "gpt-4o-mini"


def share(runs: int, last: int, seed: int) -> float:
    """Simulate runs without drift; give the best model's share of the last of them."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    arms = [ArmScore(Arm("openai", model)) for model in QUALITIES]
    taken = []
    for _ in range(runs):
        chosen = Chooser(GoalScores("g", tuple(arms))).choose(chance).arm
        score = arms[chosen]
        counts = counts_of(float(chance.random() < QUALITIES[score.arm.model]), 1.0)
        arms[chosen] = ArmScore(score.arm, score.posterior.after(counts), score.samples + 1)
        taken.append(score.arm.model)
    return taken[-last:].count(BEST) / last


def test_the_margins_leave_nothing_to_chance():
    long = [share(600, 100, seed) for seed in range(12)]
    short = [share(120, 40, seed) for seed in range(40)]
    assert min(long) > 0.6
    assert mean(long) > 0.85
    assert min(short) > 0.4


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_traffic_moves_to_the_best_model(api, published, provider):
    taken = await run(api, published, provider, 600)
    assert taken[-100:].count(BEST) >= 60
    assert taken[:30].count(BEST) < 30  # it was not known before

    listed = await api.get("/api/v1/routing/paths?goal=story")
    known = {path["model_id"]: path for path in listed["paths"]}
    assert sum(path["sample_count"] for path in known.values()) == 600
    assert known[BEST]["success_rate"] == pytest.approx(0.9, abs=0.06)
    policy = await api.post("/api/v1/intelligence/policy", {"goal": "story"})
    assert policy["recommended_model"] == BEST
    (goal,) = (await api.get("/api/v1/intelligence/insights?goal=story"))["goals"]
    assert goal["status"] in ("healthy", "degraded")
    kinds = {(one["type"], one["path"]) for one in goal["actionable_signals"]}
    assert ("path_underperforming", "openai/gpt-4.1-nano") in kinds


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_traffic_moves_on_a_shared_database(open_api, published, provider, token_file, dsn):
    async with open_api(token_file=token_file, database=dsn) as api:
        taken = await run(api, published, provider, 120)
    assert taken[-40:].count(BEST) >= 12


async def run(api, published, provider, number):
    env = published.environment(api, OPENAI_BASE_URL="http://{}:{}/v1".format(*provider.address))
    return await asyncio.to_thread(
        published.told, "learning.py", "story", str(number), "7", json.dumps(QUALITIES),
        env=env, timeout=800,
    )  # fmt: skip
