"""Runs take turns: none waits more than twice its fair share, however many or large the others."""

import asyncio
from pathlib import Path

import pytest
from bench.workflow_ring import PunctualModels, Ring
from bench.workflows import chain, fan, share_of

from remora.testing.virtual_loop import VirtualTimeLoop
from remora_sidecar.workflow_runs.turns import Turns


@pytest.mark.parametrize(
    "workflows",
    [[chain(4)] * 9, [fan(6)] * 9, [chain(5), fan(5)] * 5, [fan(12), *[chain(2)] * 8]],
    ids=["chains", "fans", "both", "a large one among small ones"],
)
@pytest.mark.parametrize("at_once", [1, 3])
def test_no_run_ends_later_than_twice_its_fair_share(workflows, at_once):
    share = share_of(workflows, at_once)
    assert share.worst <= 2
    assert share.last_s >= share.fair_s


def test_a_small_run_that_comes_last_is_not_held_up_by_a_large_one(tmp_path: Path):
    async def story() -> list[str]:
        models = PunctualModels()
        ring = Ring(tmp_path, models, at_once=1)
        await ring.runs.take_up()
        large = await ring.order(fan(20), input={"goal": "tea"})
        await asyncio.sleep(3)
        small = await ring.order(chain(2), input={"goal": "tea"})
        await small.feed.over()
        asked = list(models.asked)
        assert large.status == "running"
        await large.feed.over()
        await ring.stop()
        return ["large" if one == large.ordered.execution_id else "small" for one in asked]

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        asked = runner.run(story())
    first = asked.index("small")
    assert first <= 3 + 3, "its first call waited for more than two others"
    assert asked.index("small", first + 1) <= first + 3, "its second waited for more than two"


def test_each_run_that_waits_gets_one_call_in_turn():
    started: list[str] = []
    turns = Turns(1)
    turns.want("a", "a0", lambda: started.append("a0"))
    for run, count in [("a", 3), ("b", 2), ("c", 1)]:
        for number in range(1, count + 1):
            name = f"{run}{number}"
            turns.want(run, name, lambda name=name: started.append(name))
    for _ in range(6):
        turns.done()
    assert started == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]
    assert turns.room == 0
    turns.done()
    assert turns.room == 1


def test_a_call_that_is_forgotten_takes_no_turn():
    started: list[str] = []
    turns = Turns(1)
    for name in ("a", "b", "c"):
        turns.want(name, name, lambda name=name: started.append(name))
    assert turns.forget("b", "b")
    assert not turns.forget("b", "b")
    assert not turns.forget("a", "a"), "it was started"
    turns.done()
    assert started == ["a", "c"]
