"""What records tell of answers, through the whole sidecar."""

import asyncio
import json
from typing import Any

import pytest
from tests.sidecar.signals.answers import CHAT, SECRET_TEXT, completion, streamed

from remora.errors import ConfigError
from remora.testing.double_answer import Answer, Fault, FaultKind, encoded, json_answer
from remora.testing.raw_agent import RawAgent
from remora_sidecar.signals.evaluation import LONGEST_AT_ONCE

CODE = "```python\ndef f(x):\n    return x\n```"


def overloaded(status: int = 503, kind: str = "overloaded_error", said: str = "busy") -> Answer:
    body = json.dumps({"error": {"type": kind, "message": said}}).encode()
    return json_answer(body, status=status)


async def outcome_of(evaluating: Any, answer: Answer, goal: str = "mood", **asked: Any) -> Any:
    """Make one call with a goal; gives the outcome on its record."""
    async with evaluating(asked.pop("signals", None)) as running:
        running.double.script(answer)
        answered = await running.ask(goal=goal, **asked)
        records = {record.call_id: record for record in await running.records(1)}
        return records[answered.header("remora-call-id")].outcome


@pytest.mark.parametrize(
    ("answer", "goal", "kind", "category", "checks"),
    [
        (completion("Sunny."), "mood", "check_passed", "", ()),
        (completion(""), "mood", "check_failed", "empty_response", ("non-empty",)),
        (completion("So", "length"), "mood", "check_failed", "malformed_output", ("truncated",)),
        (
            completion("I'm sorry, but I can't assist with that."),
            "mood", "check_failed", "validation_failed", ("refusal",),
        ),
        (completion(None, refusal="No"), "mood", "check_failed", "validation_failed", ("refusal",)),
        (completion(CODE), "code_generation", "check_passed", "", ()),
        (
            completion("```python\ndef f(x:\n```"),
            "code_generation", "check_failed", "malformed_output", ("code",),
        ),
        (completion("x" * 300), "classification", "check_failed", "validation_failed",
         ("max-characters",)),
        (overloaded(), "mood", "provider_error", "provider_error", ()),
        (overloaded(429, "rate_limit_error"), "mood", "provider_error", "rate_limited", ()),
        (overloaded(401, "invalid_api_key"), "mood", "provider_error", "auth_error", ()),
        (
            overloaded(400, "invalid_request_error", "maximum context length is 8192 tokens"),
            "mood", "provider_error", "context_exceeded", ()),
    ],
)  # fmt: skip
async def test_a_call_with_a_goal_tells_what_became_of_it(
    evaluating: Any, answer: Answer, goal: str, kind: str, category: str, checks: tuple[str, ...]
) -> None:
    outcome = await outcome_of(evaluating, answer, goal)
    assert (outcome.kind, outcome.failure_category, outcome.failed_checks) == (
        kind, category, checks
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (completion(None, "tool_calls", tool_calls=[{"id": "1"}]), "it calls tools"),
        (overloaded(400, "invalid_request_error", "temperature is above 2"), "the agent's fault"),
    ],
)
async def test_where_nothing_can_be_told_nothing_is(
    evaluating: Any, answer: Answer, why: str
) -> None:
    assert await outcome_of(evaluating, answer) is None, why


@pytest.mark.parametrize(
    "pieces", [("Sun", "ny."), ("", ""), ("I'm sorry, but I can't ", "help with that.")]
)
async def test_streams_are_looked_at_as_they_pass(evaluating: Any, pieces: tuple[str, ...]) -> None:
    outcome = await outcome_of(evaluating, streamed(*pieces), stream=True)
    expected = {"Sunny.": (), "": ("non-empty",)}.get("".join(pieces), ("refusal",))
    assert outcome.failed_checks == expected


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
async def test_an_encoded_answer_is_looked_at_as_what_it_says(evaluating: Any, coding: str) -> None:
    answer = encoded(completion("```python\ndef f(x:\n```"), coding)
    outcome = await outcome_of(evaluating, answer, "code_generation")
    assert outcome.failed_checks == ("code",)


async def test_a_call_without_a_goal_is_not_looked_at(evaluating: Any) -> None:
    async with evaluating() as running:
        running.double.script(completion(""), overloaded())
        await running.ask()
        await running.ask()
        records = await running.records(2)
        assert [record.outcome for record in records] == [None, None]
        assert running.metric("remora_outcomes_total", kind="check_failed") == 0


async def test_a_call_whose_answer_was_cut_is_the_providers_fault(evaluating: Any) -> None:
    answer = completion("Sunny, with a long way to go.")
    cut = Answer(200, answer.headers, answer.body, fault=Fault(FaultKind.RESET, 40))
    outcome = await outcome_of(evaluating, cut)
    assert (outcome.kind, outcome.failure_category) == ("provider_error", "provider_error")


async def test_an_agent_that_leaves_says_nothing_of_the_answer(evaluating: Any) -> None:
    async with evaluating() as running:
        running.double.script(
            Answer(200, streamed("a").headers, streamed("a").body, fault=Fault(FaultKind.STALL, 30))
        )
        agent = await RawAgent.through(
            running.sidecar.proxy,
            "api.openai.com",
            ca_pem=running.sidecar.authority.root_pem.decode(),
        )
        body = json.dumps({"model": "m", "stream": True, "messages": []}).encode()
        fields = [
            ("Host", "api.openai.com"),
            ("remora-goal", "mood"),
            ("Content-Length", str(len(body))),
        ]
        await agent.send("POST", CHAT, fields, body)
        await agent.head()
        agent.abort()
        assert (await running.record()).outcome is None


async def test_what_policy_asks_of_a_goal_is_checked_in_place_of_the_defaults(
    evaluating: Any,
) -> None:
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"pattern": "^T-"}}}
    signals = {
        "checks": [
            {"goal": "ticket-*", "schema": schema},
            {"goal": "mood", "labels": ["good", "bad"]},
            {"goal": "*", "maxChars": 5, "refusals": "ignore"},
        ]
    }
    async with evaluating(signals) as running:
        for goal, text, failed in (
            ("ticket-triage", '{"id": "T-1"}', ()),
            ("ticket-triage", '{"id": "x"}', ("schema",)),
            ("ticket-triage", "none", ("json",)),
            ("mood", "Good!", ()),
            ("mood", "So-so", ("label",)),
            ("code_generation", "12345", ()),
            ("code_generation", "123456", ("max-characters",)),
            ("anything", "I can't help with that.", ()),
        ):
            running.double.script(completion(text))
            await running.ask(goal=goal)
            record = (await running.records(1))[-1]
            assert record.outcome.failed_checks == failed, (goal, text)


async def test_a_request_for_json_has_to_get_json(evaluating: Any) -> None:
    form = {"type": "json_object"}
    outcome = await outcome_of(evaluating, completion("no"), response_format=form)
    assert outcome.failed_checks == ("json",)
    outcome = await outcome_of(evaluating, completion("{}"), response_format=form)
    assert outcome.failed_checks == ()


async def test_a_summary_is_measured_by_what_it_sums_up(evaluating: Any) -> None:
    text = "word " * 600
    outcome = await outcome_of(evaluating, completion("word " * 500), "summarization", text=text)
    assert outcome.failed_checks == ("ratio",)
    outcome = await outcome_of(evaluating, completion("word " * 50), "summarization", text=text)
    assert outcome.failed_checks == ()


async def test_an_answer_out_of_the_cache_is_looked_at_as_well(evaluating: Any) -> None:
    cache = {"mode": "readwrite", "sampling": True}
    async with evaluating(cache=cache) as running:
        running.double.script(completion("```python\ndef f(x:\n```"))
        await running.ask(goal="code_generation")
        await running.ask(goal="code_generation")
        first, second = await running.records(2)
        assert (first.cached, second.cached) == (False, True)
        assert first.outcome == second.outcome
        assert second.outcome.failed_checks == ("code",)


async def test_what_takes_long_to_check_is_told_as_a_signal_later(evaluating: Any) -> None:
    lines = "\n".join(f"x{number} = {number}" for number in range(LONGEST_AT_ONCE // 8))
    async with evaluating() as running:
        running.double.script(
            completion(f"```python\n{lines}\n```"), completion(f"```python\n{lines}\ny = (\n```")
        )
        await running.ask(goal="code_generation")
        (signal,) = await running.signals(1)
        await running.ask(goal="code_generation")
        first, second = await running.records(2)
        _, bad = await running.signals(2)
        assert (first.outcome, second.outcome) == (None, None)
        assert (signal.call_id, signal.kind) == (first.call_id, "check_passed")
        assert (bad.call_id, bad.kind) == (second.call_id, "check_failed")
        assert bad.failure_category == "malformed_output"
        assert (bad.goal, bad.text, bad.reporter) == ("code_generation", "", "")


async def test_the_record_is_written_before_the_agent_has_the_last_byte(evaluating: Any) -> None:
    async with evaluating() as running:
        running.double.script(completion("Sunny."))
        await running.ask(goal="mood")
        assert running.sidecar.spool.depth == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_the_text_is_nowhere_but_in_memory(
    evaluating: Any, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    said = f"{SECRET_TEXT}: def f(x:"
    async with evaluating() as running:
        running.double.script(streamed(said) if stream else completion(said))
        await running.ask(goal="code_generation", text=SECRET_TEXT, stream=stream)
        record = await running.record()
        assert record.outcome.kind
        assert SECRET_TEXT not in repr(record)
        assert running.files_with(SECRET_TEXT) == []
        assert running.files_with(record.call_id) != []  # the search does find what is there
    assert SECRET_TEXT not in caplog.text


async def test_a_bad_schema_never_comes_into_force(evaluating: Any) -> None:
    with pytest.raises(ConfigError, match=r"signals\.checks\[0\]\.schema"):
        async with evaluating({"checks": [{"goal": "a", "schema": {"type": "x"}}]}):
            pass


async def test_calls_that_share_an_answer_share_what_is_told_of_it(evaluating: Any) -> None:
    slow = streamed("```python\n", "def f(x:\n", "```")
    slow = Answer(
        slow.status, slow.headers, slow.body, framing=slow.framing, before_first_byte_s=0.3
    )
    cache = {"mode": "readwrite", "sampling": True}
    async with evaluating(cache=cache) as running:
        running.double.script(slow)
        asked = [
            running.ask(goal="code_generation", stream=True),
            running.ask(goal="code_generation", stream=True),
            running.ask(goal="mood", stream=True),
        ]
        await asyncio.gather(*asked)
        records = await running.records(3)
        assert len(running.double.requests) == 1
        found = [(r.attribution.goal, r.outcome and r.outcome.failed_checks) for r in records]
    leader = next(record for record in records if not record.cached)
    assert found.count((leader.attribution.goal, leader.outcome.failed_checks)) >= 1
    for record in records:
        if record.cached and record.attribution.goal != leader.attribution.goal:
            assert record.outcome is None
        else:
            assert record.outcome == leader.outcome


@pytest.mark.parametrize("where", ["watch", "outcome"])
async def test_a_bug_in_looking_at_answers_loses_neither_call_nor_record(
    evaluating: Any, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with evaluating() as running:
        evaluator = running.sidecar.parts.evaluator

        def broken(*_: object) -> None:
            raise RuntimeError(SECRET_TEXT)

        if where == "outcome":
            evaluator.outcome = broken
        else:
            watch = evaluator.watch

            def watching(*given: Any) -> Any:
                text = watch(*given)
                text.feed = broken
                return text

            evaluator.watch = watching
        running.double.script(completion("Sunny."))
        answer = await running.ask(goal="mood")
        assert answer.status == 200
        record = await running.record()
        assert record.outcome is None
    assert SECRET_TEXT not in caplog.text
