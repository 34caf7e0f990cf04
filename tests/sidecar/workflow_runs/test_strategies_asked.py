"""Strategies with real calls: who is asked, whose answer stands, who is cut, and what it costs."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from tests.sidecar.workflow_runs.paced import (
    Paced,
    assert_paid,
    begin,
    calls,
    once,
    over,
    purposes,
    settled,
)

from remora.testing.double_answer import json_answer

SMALL, MIDDLE, LARGE = "gpt-4o-mini", "gpt-4.1-mini", "gpt-4o"
PARIS = "The capital of France is Paris, on the river Seine."
UNJUDGED = "no verdict of the judge: the first answer in the order of the models stands"
LYON = "It might be Lyon, as far as anybody can remember that."


def one_step(strategy: Any, **more: Any) -> Any:
    step = {"id": "ask", "prompt": "Name the capital.", "max_tokens": 200, "strategy": strategy}
    return {"name": "race", "steps": [{**step, **more}]}


def speculative(**more: Any) -> Any:
    strategy = {"kind": "speculative", "draft": {"model": SMALL, "provider": "openai"}}
    return one_step(strategy, **{"model": LARGE, "provider": "openai", **more})


def parallel(*models: str, **more: Any) -> Any:
    named = [{"model": model, "provider": "openai"} for model in models]
    own = {field: more.pop(field) for field in ("checks", "output") if field in more}
    return one_step({"kind": "parallel", "candidates": named, **more}, **own)


def refused(status: int = 400) -> Any:
    error = {"message": "no", "type": "invalid_request_error", "param": None, "code": None}
    return json_answer(json.dumps({"error": error}).encode(), status=status)


def failing(*models: str) -> Any:
    return lambda asked: refused() if asked["model"] in models else None


def output(execution: Any) -> Any:
    assert execution["status"] == "completed", execution["error"]
    return execution["outputs"]["ask"]


def step(execution: Any) -> Any:
    return execution["steps"][0]


# speculative


@pytest.mark.parametrize(
    ("verdict", "stands", "answerer", "note"),
    [
        pytest.param(PARIS.replace("on the", "on a"), PARIS, SMALL, "draft and verifier agree"),
        pytest.param(LYON, LYON, LARGE, "draft and verifier disagree"),
    ],
    ids=["they agree", "they disagree"],
)
async def test_a_draft_that_came_first_stands_if_the_verifier_agrees(
    serve: Any, verdict: str, stands: str, answerer: str, note: str
) -> None:
    gate = asyncio.Event()
    provider = Paced(texts={SMALL: PARIS, LARGE: verdict}, gates={LARGE: gate})
    async with serve(provider) as served:
        run = await begin(served, speculative())
        await once(served, run, lambda value: settled(value, 1))
        gate.set()
        execution = await over(served, run)
        assert output(execution) == stands
        assert step(execution)["model_id"] == answerer
        assert step(execution)["note"] == note
        assert calls(execution) == {SMALL: "ok", LARGE: "ok"}
        assert purposes(execution) == {"draft": 1, "verify": 1}
        await assert_paid(served, execution)
        assert served.double.aborted == []


async def test_the_draft_is_cut_once_the_verifier_has_answered_and_what_it_wrote_is_paid(
    serve: Any,
) -> None:
    gate = asyncio.Event()
    provider = Paced(
        texts={SMALL: PARIS * 20, LARGE: PARIS},
        gates={LARGE: gate},
        stalls=frozenset({SMALL}),
    )
    async with serve(provider) as served:
        run = await begin(served, speculative())
        await served.double.until(lambda: len(served.double.requests) == 2)
        await once(served, run, lambda value: value["status"] == "running")
        gate.set()
        execution = await over(served, run)
        await served.double.until(lambda: len(served.double.aborted) == 1)
        assert output(execution) == PARIS
        assert step(execution)["model_id"] == LARGE
        assert calls(execution) == {SMALL: "abandoned", LARGE: "ok"}
        records = await assert_paid(served, execution)
        (draft,) = [record for record in records if record.sent_model == SMALL]
        assert draft.usage.estimated
        assert draft.usage.output_tokens > 20
        assert draft.cost.total_usd > 0
        assert draft.call_id in step(execution)["receipt_ids"]


async def test_of_a_loser_that_was_cut_before_it_said_anything_nobody_knows_the_cost(
    serve: Any,
) -> None:
    provider = Paced(texts={SMALL: PARIS, LARGE: LYON}, gates={SMALL: asyncio.Event()})
    async with serve(provider) as served:
        run = await begin(served, parallel(SMALL, LARGE))
        execution = await over(served, run)
        await served.double.until(lambda: len(served.double.aborted) == 1)
        assert output(execution) == LYON
        assert calls(execution) == {SMALL: "abandoned", LARGE: "ok"}
        assert execution["total_cost_usd"] is None
        assert execution["unpriced_calls"] == 1
        (won,) = [record for record in await served.records(2) if record.sent_model == LARGE]
        assert Decimal(execution["known_cost_usd"]) == won.cost.total_usd
        assert len(step(execution)["receipt_ids"]) == 2


@pytest.mark.parametrize(
    ("fails", "stands", "note"),
    [
        (SMALL, LYON, None),
        (LARGE, PARIS, "the verifier gave no answer that passes: the draft stands"),
    ],
    ids=["the draft", "the verifier"],
)
async def test_where_one_of_the_two_fails_the_other_stands(
    serve: Any, fails: str, stands: str, note: str | None
) -> None:
    provider = Paced(texts={SMALL: PARIS, LARGE: LYON}, fails=failing(fails))
    async with serve(provider) as served:
        execution = await served.execute(speculative())
        assert output(execution) == stands
        assert step(execution)["note"] == note
        assert calls(execution)[fails] == "bad_request"
        await assert_paid(served, execution)


async def test_where_both_fail_it_is_the_verifiers_failure(serve: Any) -> None:
    async with serve(Paced(fails=failing(SMALL, LARGE))) as served:
        execution = await served.execute(speculative())
        assert execution["status"] == "failed"
        assert execution["error"]["code"] == "bad_request"
        assert execution["total_cost_usd"] == "0"
        await assert_paid(served, execution)


async def test_json_agrees_by_its_value_and_not_by_its_text(serve: Any) -> None:
    gate = asyncio.Event()
    texts = {SMALL: '{"city": "Paris", "n": 1}', LARGE: '{"n": 1.0, "city": "Paris"}'}
    async with serve(Paced(texts=texts, gates={LARGE: gate})) as served:
        run = await begin(served, speculative(output="json"))
        await once(served, run, lambda value: settled(value, 1))
        gate.set()
        execution = await over(served, run)
    assert output(execution) == {"city": "Paris", "n": 1}
    assert step(execution)["note"] == "draft and verifier agree"


# parallel


async def test_the_first_that_passes_the_checks_wins_and_the_others_are_cut(serve: Any) -> None:
    gate = asyncio.Event()
    provider = Paced(
        texts={SMALL: "no", MIDDLE: LYON * 20, LARGE: PARIS},
        gates={LARGE: gate},
        stalls=frozenset({MIDDLE}),
    )
    checks = [{"kind": "length", "min_characters": 10}]
    async with serve(provider) as served:
        run = await begin(served, parallel(SMALL, MIDDLE, LARGE, checks=checks))
        await once(served, run, lambda value: settled(value, 1))
        await served.double.until(lambda: len(served.double.requests) == 3)
        gate.set()
        execution = await over(served, run)
        await served.double.until(lambda: len(served.double.aborted) == 1)
        assert output(execution) == PARIS
        assert step(execution)["model_id"] == LARGE
        assert calls(execution) == {SMALL: "ok", MIDDLE: "abandoned", LARGE: "ok"}
        records = await assert_paid(served, execution)
        (cut,) = [record for record in records if record.sent_model == MIDDLE]
        assert cut.cost.total_usd > 0


async def test_where_none_passes_the_step_fails_and_all_are_paid(serve: Any) -> None:
    checks = [{"kind": "cel", "expression": "text.contains('Berlin')"}]
    async with serve(Paced(texts={SMALL: PARIS, LARGE: LYON})) as served:
        execution = await served.execute(parallel(SMALL, LARGE, checks=checks))
        assert execution["status"] == "failed"
        assert execution["error"]["code"] == "check_failed"
        assert execution["error"]["step_id"] == "ask"
        assert len(await assert_paid(served, execution)) == 2


async def test_models_that_are_not_named_are_different_ones_of_the_tier(serve: Any) -> None:
    strategy = {"kind": "parallel", "n": 3, "quorum": 3, "agreement": "equal"}
    async with serve(Paced(says=lambda asked: PARIS)) as served:
        execution = await served.execute(one_step(strategy, tier="fast"))
        assert output(execution) == PARIS
        assert len({asked["model"] for asked in served.asked}) == 3


async def test_a_pinned_model_is_asked_as_often_as_it_says_and_not_answered_from_the_cache(
    serve: Any,
) -> None:
    strategy = {"kind": "parallel", "n": 3, "quorum": 3}
    workflow = one_step(strategy, model=SMALL, provider="openai", temperature=0.0)
    async with serve(Paced(texts={SMALL: PARIS}), cache={"mode": "readwrite"}) as served:
        for runs in (1, 2):
            execution = await served.execute(workflow)
            assert output(execution) == PARIS
            assert len(served.asked) == 3 * runs


# quorum


async def test_the_answer_that_enough_agree_on_stands_and_the_rest_is_cut(serve: Any) -> None:
    gate = asyncio.Event()
    texts = {SMALL: PARIS, MIDDLE: LYON * 20, LARGE: PARIS}
    provider = Paced(texts=texts, gates={LARGE: gate}, stalls=frozenset({MIDDLE}))
    async with serve(provider) as served:
        run = await begin(served, parallel(SMALL, MIDDLE, LARGE, quorum=2))
        await once(served, run, lambda value: settled(value, 1))
        await served.double.until(lambda: len(served.double.requests) == 3)
        gate.set()
        execution = await over(served, run)
        await served.double.until(lambda: len(served.double.aborted) == 1)
        assert output(execution) == PARIS
        assert step(execution)["model_id"] == SMALL
        assert step(execution)["note"] == "2 of 3 answers agree"
        assert calls(execution) == {SMALL: "ok", MIDDLE: "abandoned", LARGE: "ok"}
        await assert_paid(served, execution)


async def test_without_a_quorum_the_step_fails_and_says_how_many_agreed(serve: Any) -> None:
    texts = {SMALL: PARIS, LARGE: LYON}
    async with serve(Paced(texts=texts)) as served:
        execution = await served.execute(parallel(SMALL, LARGE, quorum=2))
    assert execution["error"]["code"] == "no_quorum"
    assert execution["error"]["message"] == "at most 1 answers agree, 2 should"


# best


def judged(**more: Any) -> Any:
    judge = {"model": MIDDLE, "provider": "openai", "criteria": "the shortest one"}
    return parallel(SMALL, LARGE, best=judge, **more)


@pytest.mark.parametrize(
    ("verdict", "stands", "note"),
    [
        ('{"best": 2}', LYON, "taken by the judge from 2 answers"),
        ('{"best": 3}', PARIS, UNJUDGED),
        ("I can't say.", PARIS, UNJUDGED),
    ],
    ids=["the second", "none of them", "no verdict"],
)
async def test_a_judge_is_shown_all_answers_and_takes_one(
    serve: Any, verdict: str, stands: str, note: str
) -> None:
    async with serve(Paced(texts={SMALL: PARIS, LARGE: LYON, MIDDLE: verdict})) as served:
        execution = await served.execute(judged())
        assert output(execution) == stands
        assert step(execution)["note"] == note
        assert purposes(execution) == {"answer": 2, "judge": 1}
        shown = served.asked[-1]
        assert shown["model"] == MIDDLE
        assert shown["response_format"]["json_schema"]["name"] == "verdict"
        said = shown["messages"][-1]["content"]
        assert f"Answer 1: {json.dumps(PARIS)}" in said
        assert f"Answer 2: {json.dumps(LYON)}" in said
        assert said.endswith("What makes the best: the shortest one")
        await assert_paid(served, execution)


async def test_a_judge_that_fails_costs_the_step_only_the_choice(serve: Any) -> None:
    texts = {SMALL: PARIS, LARGE: LYON}
    async with serve(Paced(texts=texts, fails=failing(MIDDLE))) as served:
        execution = await served.execute(judged())
        assert output(execution) == PARIS
        assert calls(execution) == {SMALL: "ok", LARGE: "ok", MIDDLE: "bad_request"}
        await assert_paid(served, execution)


async def test_a_lone_answer_needs_no_judge(serve: Any) -> None:
    texts = {SMALL: PARIS, LARGE: LYON}
    async with serve(Paced(texts=texts, fails=failing(SMALL))) as served:
        execution = await served.execute(judged())
        assert output(execution) == LYON
        assert step(execution)["note"] == "the only answer that passes"
        assert purposes(execution) == {"answer": 2}


# mending


async def test_a_faulty_answer_of_a_race_is_mended_by_the_model_that_gave_it(serve: Any) -> None:
    """No model is asked that the step does not name."""
    left = iter(["one", '{"n": 1}'])

    def says(asked: Any) -> str:
        return next(left) if asked["model"] == LARGE else "no"

    gate = asyncio.Event()
    async with serve(Paced(says=says, gates={LARGE: gate})) as served:
        run = await begin(served, parallel(SMALL, LARGE, output="json"))
        await once(served, run, lambda value: settled(value, 1))
        gate.set()
        execution = await over(served, run)
        assert output(execution) == {"n": 1}
        assert step(execution)["note"] == "mended once"
        assert sorted(asked["model"] for asked in served.asked[:2]) == [LARGE, SMALL]
        assert [asked["model"] for asked in served.asked[2:]] == [LARGE]
        await assert_paid(served, execution)


async def test_a_named_candidate_without_a_price_makes_the_estimate_unknown(serve: Any) -> None:
    provider = Paced(says=lambda asked: PARIS, fails=failing("gpt-99-hidden"))
    async with serve(provider) as served:
        execution = await served.execute(parallel("gpt-99-hidden", LARGE))
        assert output(execution) == PARIS
        assert execution["estimate"]["most"]["cost_usd"] is None
        assert execution["estimate"]["least"]["cost_usd"] is None
