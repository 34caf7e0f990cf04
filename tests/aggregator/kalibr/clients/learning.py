"""Runs the published client many times, over models of known quality.

Arguments: goal, number of runs, seed, and as JSON the quality of each model.
"""

import json
import random
import sys

from kalibr import Router, intelligence

goal, runs, seed, qualities = sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
chance = random.Random(seed)  # noqa: S311 - no secret
router = Router(goal=goal, paths=list(qualities))
router.success_when = lambda _: chance.random() < qualities[router._last_model_id]
taken = []
for _ in range(runs):
    answer = router.completion([{"role": "user", "content": "hello"}])
    taken.append(answer.kalibr_model_used)
    # The client repeats a decision for 30 seconds otherwise.
    intelligence._decide_cache.clear()
print(json.dumps(taken))
