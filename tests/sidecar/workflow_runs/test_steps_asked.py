"""Steps with real calls: mending, tries, lists, conditions, defaults, time, models and policy."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.sidecar.workflow_runs.conftest import Provider, Serving
from tests.sidecar.workflow_runs.paced import (
    Paced,
    assert_paid,
    begin,
    calls,
    events,
    over,
    purposes,
)

from remora.testing.double_answer import Answer, json_answer
from remora.workflows.sizes import THOUGHT_TOKENS

SMALL, LARGE = "gpt-4o-mini", "gpt-4o"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["n"],
    "properties": {"n": {"type": "integer", "minimum": 1}},
}


def pinned(step_id: str = "ask", **more: Any) -> Any:
    step = {"id": step_id, "prompt": "Count.", "max_tokens": 100}
    return {**step, "model": SMALL, "provider": "openai", **more}


def workflow(*steps: Any, **more: Any) -> Any:
    return {"name": "steps", "steps": list(steps), **more}


def saying(*texts: str) -> Callable[[Mapping[str, Any]], str]:
    """Say one text after another."""
    left = iter(texts)
    return lambda asked: next(left)


def refused(status: int) -> Answer:
    error = {"message": "no", "type": "server_error", "param": None, "code": None}
    return json_answer(json.dumps({"error": error}).encode(), status=status)


def failing(status: int, *models: str) -> Callable[[Mapping[str, Any]], Answer | None]:
    return lambda asked: refused(status) if asked["model"] in models else None


def last(asked: Mapping[str, Any]) -> str:
    return str(asked["messages"][-1]["content"])


async def rejected(served: Serving, document: Any, **more: Any) -> dict[str, str]:
    """Order what can't be run; gives its problems by their places."""
    body = {"workflow": document, **more}
    reply = await served.ask("POST", "/v1/workflows/execute", body)
    assert reply.status == 400, reply.text
    assert reply.json["error"]["code"] == "INVALID_WORKFLOW"
    assert served.double.requests == []
    return {found["where"]: found["what"] for found in reply.json["remora"]["problems"]}


# JSON


async def test_a_faulty_json_is_mended_once_in_the_same_conversation(serve: Any) -> None:
    says = saying('{"n": 0}', '{"n": 4}')
    async with serve(Provider(says=says)) as served:
        execution = await served.execute(workflow(pinned(output={"schema": SCHEMA})))
        assert execution["outputs"] == {"ask": {"n": 4}}
        assert execution["steps"][0]["note"] == "mended once"
        assert purposes(execution) == {"answer": 1, "repair": 1}
        first, second = served.asked
        assert first["response_format"]["json_schema"]["strict"] is True
        assert second["messages"][: len(first["messages"])] == first["messages"]
        answer, request = second["messages"][len(first["messages"]) :]
        assert answer == {"role": "assistant", "content": '{"n": 0}'}
        assert "\n- n: should be at least 1" in request["content"]
        assert len(await assert_paid(served, execution)) == 2


@pytest.mark.parametrize(
    ("texts", "tries", "code"),
    [
        (["four", "still four"], 1, "invalid_output"),
        (["four", "still four", "four again"], 2, "invalid_output"),
        (["", '{"n": 0}'], 1, "invalid_output"),
    ],
    ids=["mended in vain", "and tried again, not mended again", "empty at first"],
)
async def test_a_json_that_stays_faulty_fails_the_step_and_is_paid(
    serve: Any, texts: list[str], tries: int, code: str
) -> None:
    step = pinned(output={"schema": SCHEMA}, retry={"attempts": tries, "initial": "1ms"})
    async with serve(Provider(says=saying(*texts))) as served:
        execution = await served.execute(workflow(step))
        assert execution["status"] == "failed"
        assert execution["error"]["code"] == code
        assert "four" not in json.dumps(execution["error"])
        assert len(await assert_paid(served, execution)) == len(texts)


# tries


async def test_an_answer_that_does_not_pass_is_tried_again_and_each_try_is_paid(
    serve: Any,
) -> None:
    checks = [{"kind": "length", "min_characters": 5}]
    step = pinned(checks=checks, retry={"attempts": 3, "initial": "1ms"})
    async with serve(Provider(says=saying("one", "two", "three"))) as served:
        execution = await served.execute(workflow(step))
        assert execution["outputs"] == {"ask": "three"}
        assert len(await assert_paid(served, execution)) == 3
        keys = [call["receipt_id"] for call in execution["steps"][0]["calls"]]
        assert len(set(keys)) == 3


async def test_a_second_try_is_never_answered_from_the_cache(serve: Any) -> None:
    checks = [{"kind": "length", "min_characters": 4}]
    step = pinned(checks=checks, temperature=0.0, retry={"attempts": 2, "initial": "1ms"})
    async with serve(Provider(says=saying("one", "three")), cache={"mode": "readwrite"}) as served:
        execution = await served.execute(workflow(step))
        assert execution["outputs"] == {"ask": "three"}
        again = await served.execute(workflow(step))
        assert again["outputs"] == {"ask": "three"}
        assert len(served.asked) == 2
        assert again["total_cost_usd"] == "0"


async def test_a_model_that_can_not_be_reached_is_tried_again_where_it_is_pinned(
    serve: Any,
) -> None:
    left = iter([refused(503)])
    provider = Provider(fails=lambda asked: next(left, None), says=lambda asked: "three")
    step = pinned(retry={"attempts": 2, "initial": "1ms"})
    routes = [{"name": "once", "retry": {"attempts": 1}}]
    async with serve(provider, routes=routes) as served:
        execution = await served.execute(workflow(step))
        assert execution["outputs"] == {"ask": "three"}
        statuses = [call["status"] for call in execution["steps"][0]["calls"]]
        assert statuses == ["provider_error", "ok"]
        await assert_paid(served, execution)


async def test_a_model_that_can_not_be_reached_makes_room_for_the_next_one_of_its_tier(
    serve: Any,
) -> None:
    down: list[str] = []

    def fails(asked: Mapping[str, Any]) -> Answer | None:
        if not down:
            down.append(asked["model"])
        return refused(500) if asked["model"] in down else None

    step = {"id": "ask", "prompt": "Count.", "tier": "fast", "max_tokens": 100}
    async with serve(Provider(fails=fails, says=lambda asked: "three")) as served:
        execution = await served.execute(workflow(step))
        assert execution["outputs"] == {"ask": "three"}
        assert execution["steps"][0]["model_id"] not in down
        ended = calls(execution)
        assert ended.pop(down[0]) == "provider_error"
        assert list(ended.values()) == ["ok"]
        await assert_paid(served, execution)


async def test_a_refused_request_is_neither_tried_again_nor_given_to_another_model(
    serve: Any,
) -> None:
    step = {"id": "ask", "prompt": "Count.", "tier": "fast", "max_tokens": 100}
    step["retry"] = {"attempts": 3, "initial": "1ms"}
    async with serve(Provider(fails=lambda asked: refused(400))) as served:
        execution = await served.execute(workflow(step))
        assert execution["error"]["code"] == "bad_request"
        assert len(served.double.requests) == 1


# lists


async def test_items_are_asked_about_in_order_and_never_more_at_once_than_was_said(
    serve: Any,
) -> None:
    items = [f"item{n}" for n in range(7)]
    gates = {item: asyncio.Event() for item in items}
    provider = Paced(says=lambda asked: f"about {last(asked)}", gates=gates, gate_of=last)
    step = pinned(prompt="{{item}}", map={"over": "{{input.items}}", "concurrency": 3})
    async with serve(provider) as served:
        run = await begin(served, workflow(step, input=_listed()), {"items": items})
        for released, item in enumerate(items):
            wanted = min(len(items), released + 3)
            await served.double.until(lambda n=wanted: len(served.double.requests) >= n, 60)
            assert {last(asked) for asked in served.asked} == set(items[:wanted])
            gates[item].set()
        execution = await over(served, run)
        assert execution["outputs"] == {"ask": [f"about {item}" for item in items]}
        assert len(await assert_paid(served, execution)) == len(items)


def _listed() -> Any:
    items = {"type": "array", "items": {"type": "string"}}
    return {"type": "object", "required": ["items"], "properties": {"items": items}}


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        ({"on_failure": "skip"}, ["a!", "c!"]),
        ({"on_failure": "default", "default": "?"}, ["a!", "?", "c!"]),
    ],
    ids=["skip", "default"],
)
async def test_an_item_that_fails_is_left_out_or_replaced(
    serve: Any, policy: Any, left: list[str]
) -> None:
    provider = Provider(
        says=lambda asked: last(asked) + "!",
        fails=lambda asked: refused(400) if last(asked) == "b" else None,
    )
    step = pinned(prompt="{{item}}", map={"over": "{{input.items}}"}, **policy)
    async with serve(provider) as served:
        execution = await served.execute(
            workflow(step, input=_listed()), {"items": ["a", "b", "c"]}
        )
        assert execution["outputs"] == {"ask": left}
        assert execution["steps"][0]["note"] == "1 of 3 items failed"
        await assert_paid(served, execution)


async def test_one_item_that_fails_fails_the_run_and_the_others_are_cut(serve: Any) -> None:
    provider = Provider(
        held=lambda asked: last(asked) != "b",
        fails=lambda asked: refused(400) if last(asked) == "b" else None,
    )
    step = pinned(prompt="{{item}}", map={"over": "{{input.items}}"})
    async with serve(provider) as served:
        run = await begin(served, workflow(step, input=_listed()), {"items": ["a", "c", "b"]})
        execution = await over(served, run)
        assert execution["status"] == "failed"
        assert execution["error"] == {
            "code": "bad_request", "message": "openai answered with status 400", "step_id": "ask"
        }  # fmt: skip
        statuses = {call["item"]: call["status"] for call in execution["steps"][0]["calls"]}
        assert statuses == {0: "abandoned", 1: "abandoned", 2: "bad_request"}


async def test_an_empty_list_asks_nothing(serve: Any) -> None:
    step = pinned(prompt="{{item}}", map={"over": "{{input.items}}"})
    async with serve() as served:
        execution = await served.execute(workflow(step, input=_listed()), {"items": []})
        assert execution["outputs"] == {"ask": []}
        assert execution["total_cost_usd"] == "0"
        assert served.double.requests == []


# skipping and failing


async def test_a_condition_that_does_not_hold_skips_the_step_and_those_that_need_it(
    serve: Any,
) -> None:
    first = pinned("first")
    second = pinned("second", condition={"==": [{"var": "steps.first.output"}, "yes"]})
    third = pinned("third", prompt="On with {{steps.second.output}}.")
    other = pinned("other", prompt="It was {{steps.second.status}}.")
    async with serve(Provider(says=lambda asked: "no")) as served:
        run = await begin(served, workflow(first, second, third, other))
        execution = await over(served, run)
        told = await events(served, run)
        assert execution["status"] == "completed"
        statuses = {step["step_id"]: step["status"] for step in execution["steps"]}
        assert statuses == {
            "first": "completed", "second": "skipped", "third": "skipped", "other": "completed"
        }  # fmt: skip
        assert execution["outputs"] == {"third": None, "other": "no"}
        assert {one["step_id"] for one in told if one["type"] == "step_skipped"} == {
            "second",
            "third",
        }
        assert sorted(map(last, served.asked)) == ["Count.", "It was skipped."]


async def test_a_default_stands_in_for_a_skipped_step(serve: Any) -> None:
    first = pinned("first", condition={"==": [1, 2]}, default="nothing")
    second = pinned("second", prompt="On with {{steps.first.output}}.")
    async with serve(Provider(says=last)) as served:
        execution = await served.execute(workflow(first, second))
        assert execution["outputs"] == {"second": "On with nothing."}
        assert execution["steps"][0]["status"] == "defaulted"


@pytest.mark.parametrize(
    ("policy", "status", "outputs"),
    [
        ({"on_failure": "fail"}, "failed", {"second": None, "apart": None}),
        ({"on_failure": "skip"}, "completed", {"second": None, "apart": "Apart."}),
        ({"on_failure": "default", "default": "none"}, "completed",
         {"second": "On with none.", "apart": "Apart."}),
    ],
    ids=["fail", "skip", "default"],
)  # fmt: skip
async def test_a_step_that_fails_ends_the_run_is_skipped_or_defaulted(
    serve: Any, policy: Any, status: str, outputs: Any
) -> None:
    first = pinned("first", **policy)
    second = pinned("second", prompt="On with {{steps.first.output}}.")
    apart = pinned("apart", prompt="Apart.")
    provider = Provider(
        says=last,
        fails=lambda asked: refused(400) if last(asked) == "Count." else None,
        held=lambda asked: last(asked) == "Apart.",
    )
    async with serve(provider) as served:
        run = await begin(served, workflow(first, second, apart))
        await served.double.until(lambda: len(served.double.requests) >= 2, 60)
        if status == "completed":
            provider.gate.set()
        execution = await over(served, run)
        assert execution["status"] == status
        assert execution["outputs"] == outputs
        if status == "failed":
            assert execution["error"]["step_id"] == "first"
            assert calls(execution, "apart") == {SMALL: "abandoned"}
            await served.double.until(lambda: len(served.double.aborted) == 1)


async def test_a_call_whose_time_is_over_is_cut(serve: Any) -> None:
    provider = Provider(held=lambda asked: True)
    async with serve(provider) as served:
        execution = await served.execute(workflow(pinned(timeout="2s")))
        assert execution["status"] == "failed"
        assert execution["error"] == {
            "code": "timeout", "message": "no answer within 2000 ms", "step_id": "ask"
        }  # fmt: skip
        assert calls(execution) == {SMALL: "abandoned"}
        await served.double.until(lambda: len(served.double.aborted) == 1)


# models


async def test_a_model_that_no_list_knows_goes_where_such_names_go_with_a_warning(
    serve: Any,
) -> None:
    step = {"id": "ask", "prompt": "Count.", "model": "gpt-99-hidden", "max_tokens": 100}
    async with serve(Provider(says=lambda asked: "three")) as served:
        execution = await served.execute(workflow(step))
        assert execution["outputs"] == {"ask": "three"}
        assert execution["steps"][0]["model_id"] == "gpt-99-hidden"
        assert execution["steps"][0]["provider"] == "openai"
        (warning,) = execution["warnings"]
        assert warning["where"] == "steps[0].model"
        assert execution["total_cost_usd"] is None
        assert execution["unpriced_calls"] == 1


async def test_a_model_that_thinks_has_room_for_it_that_is_reserved_as_well(serve: Any) -> None:
    async with serve(Provider(says=lambda asked: "three")) as served:
        plain = await served.execute(workflow(pinned()))
        thinking = await served.execute(workflow(pinned(model="gpt-5-nano")))
        limits = [asked["max_completion_tokens"] for asked in served.asked]
        assert limits == [100, 100 + THOUGHT_TOKENS["fast"]]
        most = [one["estimate"]["most"]["tokens"] for one in (plain, thinking)]
        assert most[1] - most[0] == THOUGHT_TOKENS["fast"]
        budget = {"max_tokens": most[1] - 1}
        refused = await served.execute(workflow(pinned(model="gpt-5-nano")), budget=budget)
        assert refused["status"] == "budget_exceeded"
        assert len(served.asked) == 2


async def test_an_image_goes_to_a_model_that_can_see_it(serve: Any) -> None:
    attached = [{"kind": "image", "url": "{{input.picture}}"}]
    messages = [{"role": "user", "content": "What is it?", "attachments": attached}]
    step = {"id": "ask", "messages": messages, "tier": "fast", "max_tokens": 100}
    async with serve(Provider(says=lambda asked: "a dot")) as served:
        execution = await served.execute(workflow(step), {"picture": PIXEL})
        assert execution["outputs"] == {"ask": "a dot"}
        (asked,) = served.asked
        assert {"type": "image_url", "image_url": {"url": PIXEL}} in asked["messages"][0]["content"]


@pytest.mark.parametrize(
    ("picture", "code"),
    [("http://example.com/a.png", "template"), ("file:///etc/passwd", "template")],
    ids=["not https", "a file"],
)
async def test_an_address_that_is_none_fails_the_step(serve: Any, picture: str, code: str) -> None:
    attached = [{"kind": "image", "url": "{{input.picture}}"}]
    messages = [{"role": "user", "content": "What is it?", "attachments": attached}]
    step = {"id": "ask", "messages": messages, "max_tokens": 100}
    async with serve() as served:
        execution = await served.execute(workflow(step), {"picture": picture})
        assert execution["error"]["code"] == code
        assert picture not in json.dumps(execution["error"])
        assert served.double.requests == []


async def test_a_sound_that_no_provider_takes_fails_the_step_and_not_more(serve: Any) -> None:
    attached = [{"kind": "audio", "url": "https://example.com/a.wav"}]
    messages = [{"role": "user", "content": "What is it?", "attachments": attached}]
    step = {"id": "ask", "messages": messages, "max_tokens": 100, "model": "gpt-audio-unknown"}
    async with serve() as served:
        execution = await served.execute(workflow(step))
        assert execution["status"] == "failed"
        assert "give a data URL" in execution["error"]["message"]
        assert served.double.requests == []


# policy


async def test_a_model_that_policy_denies_is_a_problem_before_anything_is_spent(
    serve: Any,
) -> None:
    async with serve(models={"deny": [LARGE]}) as served:
        problems = await rejected(served, workflow(pinned(), pinned("other", model=LARGE)))
    assert problems == {"steps[1].model": "no candidate: model_denied"}


async def test_a_denied_model_that_no_list_knows_fails_its_step(serve: Any) -> None:
    step = {"id": "ask", "prompt": "Count.", "model": "gpt-99-hidden", "max_tokens": 100}
    async with serve(models={"deny": ["gpt-99*"]}) as served:
        execution = await served.execute(workflow(step))
        assert execution["status"] == "failed"
        assert execution["error"]["code"] == "no_model"
        assert served.double.requests == []


async def test_a_tier_is_chosen_from_what_policy_allows(serve: Any) -> None:
    step = {"id": "ask", "prompt": "Count.", "tier": "fast", "max_tokens": 100}
    async with serve(Provider(says=lambda asked: "three"), models={"allow": [SMALL]}) as served:
        execution = await served.execute(workflow(step))
        assert execution["steps"][0]["model_id"] == SMALL


async def test_a_budget_of_policy_ends_the_run_as_one_of_its_own_would(serve: Any) -> None:
    budget = {"name": "small", "per": "task", "maxTokens": 150}
    second = pinned("second", prompt="On with {{steps.ask.output}}.")
    async with serve(Provider(says=lambda asked: "word " * 40), budgets=[budget]) as served:
        execution = await served.execute(workflow(pinned(), second))
        assert execution["status"] == "budget_exceeded"
        assert execution["error"]["step_id"] == "second"
        assert execution["error"]["code"] == "budget_exceeded"
        assert len(served.double.requests) == 1
        await assert_paid(served, execution)


async def test_a_provider_without_a_key_has_no_model_to_offer(serve: Any) -> None:
    step = {"id": "ask", "prompt": "Count.", "model": "mistral-small-latest", "provider": "mistral"}
    async with serve() as served:
        problems = await rejected(served, workflow({**step, "max_tokens": 100}))
    assert problems == {"steps[0].model": "no candidate: no key"}
