"""Answers judged by a model, through the whole sidecar."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sidecar.signals.answers import (
    CHAT,
    KEY,
    SECRET_TEXT,
    asked_of,
    completion,
    is_own,
)

from remora.outcomes import CATEGORIES
from remora.testing.double_answer import Answer, json_answer
from remora.testing.double_request import ReceivedRequest
from remora_proto.v1 import signals_pb2 as pb
from remora_sidecar.signals.judge import MOST_WAITING
from remora_sidecar.signals.judge_question import parse_verdict, question
from remora_sidecar.signals.own_calls import JUDGE

GOOD = {"score": 0.9, "category": "none"}
BAD = {"score": 0.2, "category": "hallucination_detected"}


def judging(**changed: Any) -> dict[str, Any]:
    """Signals of a policy that judges every answer."""
    judge = {"provider": "openai", "model": "gpt-4o-mini", "maxCostUSD": "1", "sample": 1.0}
    return {"judge": judge | changed}


def answering(verdict: object = GOOD, text: str = "Sunny.") -> Any:
    """A provider that answers agents with a text, and the sidecar with a verdict."""

    def answer(request: ReceivedRequest) -> Answer:
        said = verdict if isinstance(verdict, str) else json.dumps(verdict)
        return completion(said if is_own(request) else text)

    return answer


@pytest.mark.parametrize(
    ("verdict", "strength", "category"),
    [
        (GOOD, 0.9, ""),
        (BAD, 0.2, "hallucination_detected"),
        ({"score": 0.5, "category": "none"}, 0.5, "unknown"),
        ({"score": 0.8, "category": "unknown"}, 0.8, ""),
    ],
)
async def test_a_sampled_answer_is_judged_and_told_as_a_signal(
    evaluating: Any, verdict: object, strength: float, category: str
) -> None:
    async with evaluating(judging()) as running:
        running.double.route("POST", CHAT, answering(verdict))
        answered = await running.ask(goal="mood", text="How is the weather?")
        (signal,) = await running.signals(1)
        call_id = answered.header("remora-call-id")
        assert (signal.call_id, signal.kind, signal.goal) == (call_id, "judged", "mood")
        assert signal.source == pb.SIGNAL_SOURCE_CLASSIFIED
        assert signal.strength == pytest.approx(strength)
        assert signal.confidence == pytest.approx(0.7)
        assert (signal.failure_category, signal.text) == (category, "")
        assert running.metric("remora_answers_judged_total") == 1


async def test_the_judge_is_asked_as_any_agents_call_goes(evaluating: Any) -> None:
    async with evaluating(judging()) as running:
        running.double.route("POST", CHAT, answering())
        await running.ask(goal="mood", text="How is the weather?")
        await running.signals(1)
        _, record = await running.records(2)
        asked = running.double.requests[-1]
        said = asked_of(asked)
    assert (record.attribution.agent_id, record.attribution.goal) == (JUDGE, "")
    assert (record.sent_model, record.status_code, record.outcome) == ("gpt-4o-mini", 200, None)
    assert record.cost is not None
    assert record.receipt.credential == "policy"
    assert asked.head.header("authorization") == f"Bearer {KEY}"
    assert not [name for name, _ in asked.head.headers if name.lower().startswith(b"remora-")]
    assert said["response_format"]["json_schema"]["strict"] is True
    material = json.loads(said["messages"][1]["content"])
    assert material == {"goal": "mood", "asked": "How is the weather?", "answer": "Sunny."}


async def test_what_the_sidecar_asks_itself_is_never_judged(evaluating: Any) -> None:
    checks = [{"goal": "*", "minChars": 1}]
    async with evaluating(judging() | {"checks": checks}) as running:
        running.double.route("POST", CHAT, answering())
        for _ in range(3):
            await running.ask(goal="mood")
        assert len(await running.signals(3)) == 3
        records = await running.records(6)
        assert len(records) == 6
        assert running.sidecar.parts.evaluator._judge.waiting == 0
        own = [record for record in records if record.attribution.agent_id == JUDGE]
        assert [record.outcome for record in own] == [None] * 3


async def test_an_agent_that_calls_itself_the_judge_is_judged_all_the_same(evaluating: Any) -> None:
    async with evaluating(judging()) as running:
        running.double.route("POST", CHAT, answering())
        answered = await running.ask(goal="mood", headers=[("remora-agent-id", JUDGE)])
        (signal,) = await running.signals(1)
        assert signal.call_id == answered.header("remora-call-id")


async def test_even_a_judge_whose_calls_have_a_goal_is_not_judged(evaluating: Any) -> None:
    router = {"policy": "learned", "goal": "mood", "candidates": [{"model": "gpt-4o-mini"}]}
    async with evaluating(judging(), routes=[{"name": "all", "router": router}]) as running:
        running.double.route("POST", CHAT, answering())
        await running.ask()
        await running.signals(1)
        first, own = await running.records(2)
        assert (first.attribution.goal, first.outcome.kind) == ("mood", "check_passed")
        assert (own.attribution.agent_id, own.outcome) == (JUDGE, None)


@pytest.mark.parametrize(
    ("answer", "goal"),
    [
        (completion(""), "mood"),
        (completion("Sunny."), ""),
        (completion(None, "tool_calls", tool_calls=[{"id": "1"}]), "mood"),
        (json_answer(b"{}", status=503), "mood"),
    ],
    ids=["failed a check", "no goal", "calls tools", "an error"],
)
async def test_only_answers_with_a_goal_that_passed_are_judged(
    evaluating: Any, answer: Answer, goal: str
) -> None:
    async with evaluating(judging()) as running:
        running.double.script(answer)
        await running.ask(goal=goal)
        await running.records(1)
        assert running.sidecar.parts.evaluator._judge.waiting == 0
        assert len(running.double.requests) == 1


async def test_without_a_sample_nobody_is_asked(evaluating: Any) -> None:
    async with evaluating(judging(sample=0.0)) as running:
        running.double.route("POST", CHAT, answering())
        await running.ask(goal="mood")
        await running.records(1)
        assert running.sidecar.parts.evaluator._judge.waiting == 0


async def test_chance_decides_which_answers_are_judged(evaluating: Any) -> None:
    draws = iter([0.3, 0.29, 0.99])
    async with evaluating(judging(sample=0.3)) as running:
        running.sidecar.parts.evaluator._judge._chance = lambda: next(draws)
        running.double.route("POST", CHAT, answering())
        ids = [(await running.ask(goal="mood")).header("remora-call-id") for _ in range(3)]
        (signal,) = await running.signals(1)
        assert signal.call_id == ids[1]


async def test_an_answer_waits_for_no_judge(evaluating: Any) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async with evaluating(judging()) as running:
        judge = running.sidecar.parts.evaluator._judge
        ask = judge._calls.ask

        async def held(question: Any) -> Any:
            asked.set()
            await go_on.wait()
            return await ask(question)

        judge._calls.ask = held
        running.double.route("POST", CHAT, answering())
        assert (await running.ask(goal="mood")).status == 200
        await asked.wait()
        for _ in range(MOST_WAITING + 2):
            assert (await running.ask(goal="mood")).status == 200
        assert running.metric("remora_answers_not_judged_total", reason="queue_full") >= 1
        go_on.set()
        await running.signals(2)


@pytest.mark.parametrize("said", ["no JSON", '{"score": 2, "category": "none"}', '{"score": 1}'])
async def test_a_verdict_that_can_not_be_read_is_no_signal(evaluating: Any, said: str) -> None:
    async with evaluating(judging()) as running:
        running.double.route("POST", CHAT, answering(said))
        await running.ask(goal="mood")
        await running.records(2)
        judge = running.sidecar.parts.evaluator._judge
        await running.until(lambda: judge.dropped.get("unreadable"))
        assert judge.judged == 0
        assert await running.outbox.batch(10, 1 << 20) == []


async def test_texts_are_redacted_for_the_judge_as_policy_redacts_them(evaluating: Any) -> None:
    async with evaluating(judging(), capture="redacted") as running:
        running.double.route("POST", CHAT, answering(text="Write to jane@example.com"))
        await running.ask(goal="mood", text="My address is joe@example.com")
        await running.signals(1)
        shown = asked_of(running.double.requests[-1])["messages"][1]["content"]
    assert "example.com" not in shown
    assert "redacted:email" in shown


async def test_keys_never_go_to_the_judge(evaluating: Any) -> None:
    leaked = "sk-proj-" + "Ab3" * 16
    async with evaluating(judging()) as running:
        running.double.route("POST", CHAT, answering())
        await running.ask(goal="mood", text=f"What is {leaked}?")
        await running.signals(1)
        shown = asked_of(running.double.requests[-1])["messages"][1]["content"]
    assert leaked not in shown


async def test_the_text_is_in_no_file_and_no_log(
    evaluating: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with evaluating(judging()) as running:
        running.double.route("POST", CHAT, answering(text=f"{SECRET_TEXT} in the sun"))
        await running.ask(goal="mood", text=f"{SECRET_TEXT}?")
        (signal,) = await running.signals(1)
        assert running.files_with(SECRET_TEXT) == []
        assert "signals.db" in " ".join(running.files_with(signal.call_id))
    assert SECRET_TEXT not in caplog.text


@given(st.text(max_size=200), st.text(max_size=200))
def test_nothing_in_the_material_ends_its_string(asked: str, answer: str) -> None:
    material = question("goal", asked, answer)[1]["content"]
    assert json.loads(material) == {"goal": "goal", "asked": asked, "answer": answer}
    assert material.isascii()


@given(st.one_of(st.text(max_size=100), st.recursive(
    st.none() | st.floats() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.sampled_from(["score", "category", "x"]), inner),
).map(json.dumps)))  # fmt: skip
def test_a_verdict_is_well_formed_or_refused_without_being_quoted(text: str) -> None:
    verdict, said = None, ""
    try:
        verdict = parse_verdict(text)
    except ValueError as error:
        said = str(error)
    if verdict is None:
        assert len(text) < 12 or text not in said
    else:
        assert 0 <= verdict.score <= 1
        assert verdict.category in ("", *CATEGORIES)
