"""What providers do wrong while a step is asked, and what the step makes of it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.sidecar.workflow_runs.conftest import Provider
from tests.sidecar.workflow_runs.paced import assert_paid, calls

from remora.testing.double_answer import Answer, Fault, FaultKind, Framing

SMALL = "gpt-4o-mini"
_SSE = (("content-type", "text/event-stream"),)
USAGE = {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50}


def pinned(**more: Any) -> Any:
    step = {"id": "ask", "prompt": "Count.", "max_tokens": 100}
    return {"name": "failures", "steps": [{**step, "model": SMALL, "provider": "openai", **more}]}


def streamed(*deltas: Mapping[str, Any], finish: str | None, usage: Any = USAGE) -> Answer:
    """A stream of a chat with these deltas; without a reason to finish it breaks off."""
    common = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": SMALL}
    choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    if finish is not None:
        choices.append([{"index": 0, "delta": {}, "finish_reason": finish}])
    chunks: list[Any] = [{**common, "choices": one, "usage": None} for one in choices]
    if finish is not None:
        chunks.append({**common, "choices": [], "usage": usage})
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    if finish is not None:
        return Answer(headers=_SSE, body=body + b"data: [DONE]\n\n", framing=Framing.CHUNKED)
    fault = Fault(FaultKind.RESET, len(body))
    return Answer(headers=_SSE, body=body, framing=Framing.CHUNKED, fault=fault)


def first(answer: Answer) -> Callable[[Mapping[str, Any]], Answer | None]:
    left = iter([answer])
    return lambda asked: next(left, None)


def always(answer: Answer) -> Callable[[Mapping[str, Any]], Answer | None]:
    return lambda asked: answer


async def test_a_text_that_was_cut_at_its_longest_length_stands_and_says_so(serve: Any) -> None:
    cut = streamed({"content": "one two"}, finish="length")
    async with serve(Provider(fails=always(cut))) as served:
        execution = await served.execute(pinned())
        assert execution["outputs"] == {"ask": "one two"}
        assert execution["steps"][0]["note"] == "cut at its longest length"


async def test_a_json_that_was_cut_is_not_mended_as_it_would_be_cut_again(serve: Any) -> None:
    cut = streamed({"content": '{"n": '}, finish="length")
    async with serve(Provider(fails=always(cut))) as served:
        execution = await served.execute(pinned(output="json"))
        assert execution["error"]["code"] == "invalid_output"
        assert len(served.asked) == 1
        await assert_paid(served, execution)


@pytest.mark.parametrize(
    "answer",
    [
        streamed({"refusal": "I can't help with that."}, finish="stop"),
        streamed({"content": "Half a sen"}, finish="content_filter"),
        streamed({"content": ""}, finish="stop"),
        streamed({"content": " \n "}, finish="stop"),
    ],
    ids=["the model refuses", "a filter cuts", "nothing", "space"],
)
async def test_an_answer_that_is_none_passes_no_step_and_is_paid(
    serve: Any, answer: Answer
) -> None:
    async with serve(Provider(fails=always(answer))) as served:
        execution = await served.execute(pinned())
        assert execution["status"] == "failed"
        assert execution["error"]["code"] == "check_failed"
        (record,) = await assert_paid(served, execution)
        assert record.cost.total_usd > 0


async def test_an_answer_that_breaks_off_is_paid_and_tried_again(serve: Any) -> None:
    broken = streamed({"content": "word " * 40}, finish=None)
    provider = Provider(fails=first(broken), says=lambda asked: "three")
    async with serve(provider) as served:
        step = pinned(retry={"attempts": 2, "initial": "1ms"})
        execution = await served.execute(step)
        assert execution["outputs"] == {"ask": "three"}
        statuses = [call["status"] for call in execution["steps"][0]["calls"]]
        assert statuses[-1] == "ok"
        assert len(statuses) == 2
        assert statuses[0] != "ok"
        records = await assert_paid(served, execution)
        assert all(record.cost.total_usd > 0 for record in records)


async def test_thoughts_in_front_of_an_answer_are_no_part_of_it(serve: Any) -> None:
    answer = streamed({"content": "<think>{1}</think>\n"}, {"content": '{"n": 1}'}, finish="stop")
    async with serve(Provider(fails=always(answer))) as served:
        execution = await served.execute(pinned(output="json"))
    assert execution["outputs"] == {"ask": {"n": 1}}


async def test_an_answer_that_is_no_answer_of_its_dialect_fails_the_step(serve: Any) -> None:
    page = Answer(headers=(("content-type", "text/html"),), body=b"<html>Sign in</html>")
    async with serve(Provider(fails=always(page))) as served:
        execution = await served.execute(pinned())
        assert execution["status"] == "failed"
        assert "Sign in" not in json.dumps(execution)
        assert len(execution["steps"][0]["receipt_ids"]) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found"),
        (413, "too_large"),
        (418, "bad_request"),
        (429, "rate_limited"),
        (500, "provider_error"),
    ],
)
async def test_a_refusal_is_named_by_its_kind_and_quotes_nothing(
    serve: Any, status: int, code: str
) -> None:
    body = json.dumps({"error": {"message": "your prompt was: Count."}}).encode()
    answer = Answer(status, (("content-type", "application/json"),), body)
    async with serve(Provider(fails=always(answer))) as served:
        execution = await served.execute(pinned())
        assert execution["status"] == "failed"
        assert execution["error"]["code"] == code
        assert "Count." not in json.dumps(execution["error"])
        assert calls(execution) == {SMALL: code}
        assert execution["total_cost_usd"] == "0"
        await assert_paid(served, execution)


async def test_a_provider_that_can_not_be_reached_fails_the_step(serve: Any) -> None:
    async with serve() as served:
        await served.double.aclose()
        execution = await served.execute(pinned())
        assert execution["error"]["code"] == "provider_error"
        assert execution["total_cost_usd"] == "0"


async def test_a_fallback_of_policy_answers_in_the_same_call_and_the_step_says_by_whom(
    serve: Any,
) -> None:
    down = Answer(503, (("content-type", "application/json"),), b"{}")
    provider = Provider(
        says=lambda asked: "three", fails=lambda asked: down if asked["model"] == SMALL else None
    )
    route = {"name": "spare", "fallback": [{"model": "gpt-4o"}]}
    async with serve(provider, routes=[route]) as served:
        execution = await served.execute(pinned())
        assert execution["outputs"] == {"ask": "three"}
        assert execution["steps"][0]["model_id"] == "gpt-4o"
        assert calls(execution) == {"gpt-4o": "ok"}
        (record,) = await assert_paid(served, execution)
        assert record.requested_model == SMALL
        assert served.asked[-1]["model"] == "gpt-4o"


async def test_tries_of_policy_are_one_call_of_the_run(serve: Any) -> None:
    down = Answer(503, (("content-type", "application/json"),), b"{}")
    provider = Provider(says=lambda asked: "three", fails=first(down))
    route = {"name": "again", "retry": {"attempts": 2, "initial": "1ms"}}
    async with serve(provider, routes=[route]) as served:
        execution = await served.execute(pinned())
        assert execution["outputs"] == {"ask": "three"}
        assert calls(execution) == {SMALL: "ok"}
        assert len(served.asked) == 2
        await assert_paid(served, execution)
