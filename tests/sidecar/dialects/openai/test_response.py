from typing import Any

import pytest

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import AnswerFacts, Completeness
from remora_sidecar.dialects.openai.response import ResponseReading

USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}
STATED = Usage(10, 5, 4, 3, 2)


def _response(**members: Any) -> dict[str, Any]:
    stated = {"object": "response", "id": "resp_1", "model": "gpt", "status": "completed"}
    return stated | {"output": [], "usage": USAGE, "error": None} | members


def _event(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}"} | members


def _progress(kind: str, **members: Any) -> dict[str, Any]:
    return _event(kind, response=_response(**members))


def _item(kind: str, index: int, **members: Any) -> dict[str, Any]:
    return _event(f"output_item.{kind}", output_index=index, item=members)


CREATED = _progress("created", status="in_progress", usage=None, service_tier="auto")
IN_BACKGROUND = _progress("created", status="queued", usage=None, background=True)
COMPLETED = _progress("completed", service_tier="flex")


def _reading(*values: Any) -> ResponseReading:
    reading = ResponseReading()
    for value in values:
        reading.take(value)
    return reading


def test_a_whole_response_is_read() -> None:
    facts = _reading(_response(service_tier="flex", background=True)).facts(Completeness.WHOLE)
    assert facts == AnswerFacts(
        model="gpt",
        finish_reason="completed",
        response_id="resp_1",
        usage=STATED,
        completeness=Completeness.WHOLE,
        service_tier="flex",
        in_background=True,
    )


def test_a_stream_states_what_its_last_event_says() -> None:
    later = _progress("completed", id="resp_2", model="gpt-2026", service_tier="flex")
    reading = _reading(CREATED, _event("output_text.delta", delta="hi there"), later)
    assert reading.facts(Completeness.WHOLE) == AnswerFacts(
        model="gpt-2026",
        finish_reason="completed",
        response_id="resp_2",
        usage=STATED,
        completeness=Completeness.WHOLE,
        service_tier="flex",
        output_tokens_estimate=2,
    )


@pytest.mark.parametrize(
    ("value", "reason", "status"),
    [
        (_response(), "completed", "completed"),
        (_response(status="cancelled", usage=None), "cancelled", "cancelled"),
        (_response(status="failed"), "failed", "failed"),
        (_response(status="complete"), "complete", "complete"),
        (
            _response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "max_output_tokens",
            "incomplete",
        ),
        (_response(status="incomplete", incomplete_details=None), "incomplete", "incomplete"),
        (_response(status="queued"), "", "queued"),
        (_response(status="in_progress"), "", "in_progress"),
        ({"object": "response.compaction", "output": [], "usage": USAGE}, "", ""),
        (COMPLETED, "completed", "completed"),
        (_progress("failed", status="failed"), "failed", "failed"),
        (_progress("completed", status="in_progress"), "completed", "completed"),
        (_event("incomplete", response={}), "incomplete", "incomplete"),
        (_event("completed"), "completed", "completed"),
        (_response(status="requires_action"), "requires_action", "requires_action"),
        (_progress("cancelled", status="cancelled"), "cancelled", "cancelled"),
        (_progress("done", status="incomplete"), "incomplete", "incomplete"),
        (CREATED, "", "in_progress"),
    ],
)
def test_a_response_ends_for_its_reason_else_with_its_status(
    value: dict[str, Any], reason: str, status: str
) -> None:
    reading = _reading(value)
    assert (reading.finish_reason, reading.status) == (reason, status)


@pytest.mark.parametrize(
    ("values", "pending"),
    [
        ([_response(status="queued", usage=None)], True),
        ([_response(status="in_progress", usage=None)], True),
        ([_response()], False),
        ([_response(status="cancelled", usage=None)], False),
        ([{"error": {"message": "no"}}], False),
        ([CREATED], False),
        ([IN_BACKGROUND], True),
        ([IN_BACKGROUND, _progress("in_progress", status="in_progress", usage=None)], True),
        ([IN_BACKGROUND, COMPLETED], False),
        ([], False),
    ],
    ids=[
        "queued", "in progress", "completed", "cancelled", "error", "cut stream",
        "cut background stream", "further on", "whole background stream", "nothing",
    ],
)  # fmt: skip
def test_a_response_is_pending_while_the_provider_goes_on(values: list[Any], pending: bool) -> None:
    facts = _reading(*values).facts(Completeness.UNKNOWN, "no usage")
    assert facts.pending is pending
    assert not (facts.pending and facts.usage_problem)


def test_caches_are_read_in_perplexitys_words() -> None:
    details = {"cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}
    usage = {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": details}
    assert _reading(_response(usage=usage)).usage == Usage(10, 5, 4, 3)


def test_usage_that_is_stated_before_the_end_does_not_count() -> None:
    begun = _progress("in_progress", status="in_progress", usage={"input_tokens": 0})
    assert _reading(begun).usage is None
    assert _reading(_response(status="in_progress")).usage is None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (_response(usage=None), "no usage"),
        (_response(usage=None, status="incomplete"), "no usage"),
        (_response(usage=None, status="cancelled"), ""),
        (_response(usage=None, status="failed"), ""),
        (_response(usage=None, status="queued"), ""),
        (_response(), ""),
    ],
)
def test_usage_is_owed_by_a_response_that_succeeded(value: dict[str, Any], problem: str) -> None:
    assert _reading(value).facts(Completeness.WHOLE, "no usage").usage_problem == problem


def test_usage_that_can_not_be_read_is_told_with_the_keys_there_are() -> None:
    reading = _reading({"id": "r", "output": [], "usage": {"tokens": 1, "input_tokens": "7"}})
    assert reading.usage is None
    assert reading.usage_searched == (
        "searched usage for prompt_tokens, completion_tokens, input_tokens, output_tokens; "
        "found id, output, usage; in usage: tokens, input_tokens"
    )


@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param(
            {"type": "error", "error": {"type": "server_error", "code": None, "message": "m"}},
            CallError("server_error", "m"),
            id="event with an object",
        ),
        pytest.param(
            {"type": "error", "code": "ERR", "message": "m", "param": None},
            CallError("ERR", "m"),
            id="event that is the object",
        ),
        pytest.param({"type": "error"}, CallError("provider_error", ""), id="event alone"),
        pytest.param(
            _progress("failed", status="failed", error={"code": "server_error", "message": "m"}),
            CallError("server_error", "m"),
            id="failed stream",
        ),
        pytest.param(
            _response(status="failed", error={"code": "rate_limit_exceeded", "message": "m"}),
            CallError("rate_limit_exceeded", "m"),
            id="failed response",
        ),
        pytest.param(
            _event("failed", response={}),
            CallError("provider_error", "the response failed without saying why"),
            id="failed without a word",
        ),
        pytest.param(
            _event("failed", error={"type": "t", "message": "m"}),
            CallError("t", "m"),
            id="Perplexity",
        ),
        pytest.param({"error": {"code": 502, "message": "m"}}, CallError("502", "m"), id="bare"),
        pytest.param(_response(), None, id="null"),
        pytest.param(_event("mcp_call.failed", error={"message": "m"}), None, id="of a tool"),
    ],
)
def test_errors_are_read_wherever_they_stand(value: dict[str, Any], error: Any) -> None:
    assert _reading(value).error == error


def test_the_first_error_counts() -> None:
    first = {"type": "error", "code": "first", "message": ""}
    reading = _reading(first, _progress("failed", status="failed", error={"code": "second"}))
    assert reading.error == CallError("first", "")
    assert reading.ended


def test_an_answer_with_an_error_status_is_an_error_whatever_its_shape() -> None:
    reading = ResponseReading(failed=True)
    reading.take({"detail": "no such model"})
    assert reading.error == CallError("provider_error", "no such model")
    assert not reading.ended


def test_the_name_of_the_event_stands_for_a_missing_type() -> None:
    reading = ResponseReading()
    reading.take({"response": _response()}, b"response.completed")
    assert (reading.ended, reading.usage) == (True, STATED)
    reading.take({"message": "m", "code": "late"}, b"error")
    assert reading.error == CallError("late", "m")


CALLS: list[tuple[dict[str, Any], str | None]] = [
    ({"type": "reasoning"}, None),
    ({"type": "web_search_call", "action": {"type": "search"}}, "web_search"),
    ({"type": "function_call", "name": "f"}, "f"),
    ({"type": "custom_tool_call", "name": "c"}, "c"),
    ({"type": "mcp_list_tools", "name": "m"}, None),
    ({"type": "mcp_approval_request", "name": "m"}, None),
    ({"type": "mcp_call", "name": "m", "server_label": "s"}, "m"),
    ({"type": "file_search_call"}, "file_search"),
    ({"type": "code_interpreter_call"}, "code_interpreter"),
    ({"type": "computer_call"}, "computer"),
    ({"type": "image_generation_call"}, "image_generation"),
    ({"type": "local_shell_call"}, "local_shell"),
    ({"type": "shell_call_output"}, None),
    ({"type": "apply_patch_call"}, "apply_patch"),
    ({"type": "tool_search_call"}, "tool_search"),
    ({"type": "tool_search_output"}, None),
    ({"type": "message", "content": [{"text": "hi"}]}, None),
    ({"type": 7}, None),
]


def test_calls_of_tools_are_named_in_the_order_of_the_output() -> None:
    names = tuple(name for _, name in CALLS if name)
    items = [item for item, _ in CALLS]
    assert _reading(_response(output=items)).tool_names == names
    added = [_item("added", index, **item) for index, item in enumerate(items)]
    done = [_item("done", index, **item) for index, item in enumerate(items)]
    assert _reading(*added).tool_names == names
    assert _reading(*done).tool_names == names
    assert _reading(*added, *reversed(done), COMPLETED).tool_names == names


def test_calls_that_only_the_items_tell_are_kept_where_the_end_leaves_them_out() -> None:
    call = _item("added", 0, type="function_call", name="f")
    assert _reading(call, _progress("completed", output=[])).tool_names == ("f",)
    other = [{"type": "function_call", "name": "g"}]
    assert _reading(call, _progress("completed", output=other)).tool_names == ("g",)


def test_a_response_with_endless_calls_is_bounded() -> None:
    call = {"type": "function_call", "name": "f"}
    reading = _reading(*(_item("added", index, **call) for index in range(1000)))
    assert len(reading.tool_names) == 256
    assert len(_reading(_response(output=[call] * 1000)).tool_names) == 256


def _search(action: str = "") -> dict[str, Any]:
    return {"type": "web_search_call"} | ({"action": {"type": action}} if action else {})


@pytest.mark.parametrize(
    ("members", "searches"),
    [
        ({"output": []}, None),
        ({"output": [_search("search"), _search("open_page"), _search()]}, 2),
        ({"output": [_search()], "tool_usage": {"web_search": {"num_requests": 3}}}, 3),
        ({"output": [_search()], "tool_usage": {"web_search": {"num_requests": 0}}}, 0),
        ({"output": [_search()], "tool_usage": {"web_search": None}}, 1),
        (
            {"usage": USAGE | {"server_side_tool_usage_details": {"web_search_calls": 4}}},
            4,
        ),
        ({"usage": USAGE | {"server_tool_use_details": {"web_search_requests": 5}}}, 5),
    ],
    ids=["none", "of the items", "charged", "none charged", "not said", "xAI", "OpenRouter"],
)
def test_searches_are_those_charged_else_those_that_the_items_tell(
    members: dict[str, Any], searches: int | None
) -> None:
    usage = _reading(_response(**members)).usage
    assert usage is not None
    assert usage.web_searches == searches


@pytest.mark.parametrize(
    ("value", "has_output", "tokens"),
    [
        (CREATED, False, 0),
        (_item("added", 0, type="message", content=[]), False, 0),
        (_item("added", 0, type="reasoning", summary=[]), False, 0),
        (_event("content_part.added", part={"type": "output_text", "text": ""}), False, 0),
        (_event("output_text.delta", delta=""), False, 0),
        (_event("web_search_call.in_progress"), False, 0),
        (_item("done", 0, type="mcp_list_tools", tools=[{}]), False, 0),
        ({"type": "error", "error": {"message": "m"}}, False, 0),
        (_item("added", 0, type="function_call", name="f"), True, 0),
        (_item("added", 0, type="web_search_call"), True, 0),
        (_item("done", 0, type="reasoning", encrypted_content="x"), True, 0),
        (_event("output_text.delta", delta="x" * 8), True, 2),
        (_event("refusal.delta", delta="x" * 8), True, 2),
        (_event("reasoning_text.delta", delta="x" * 8), True, 2),
        (_event("reasoning_summary_text.delta", delta="x" * 8), True, 2),
        (_event("function_call_arguments.delta", delta="x" * 8), True, 2),
        (_event("custom_tool_call_input.delta", delta="x" * 8), True, 2),
        (_event("mcp_call_arguments.delta", delta="x" * 8), True, 2),
        (_event("code_interpreter_call_code.delta", delta="x" * 8), True, 2),
        (_event("audio.transcript.delta", delta="x" * 8), True, 2),
        (_event("audio.delta", delta="x" * 8), True, 0),
        (_event("shell_call_output_content.delta", delta={"stdout": "x"}), True, 0),
        (_event("image_generation_call.partial_image", partial_image_b64="x"), True, 0),
        (_progress("completed", output=[{"type": "message"}]), True, 0),
    ],
    ids=str,
)
def test_the_first_output_is_what_the_model_says(
    value: dict[str, Any], has_output: bool, tokens: int
) -> None:
    reading = _reading(value)
    assert (reading.has_output, reading.output_tokens_estimate) == (has_output, tokens)


@pytest.mark.parametrize(
    ("front", "event", "reason"),
    [
        (b"", b"response.completed", "completed"),
        (b'{"type":"response.completed","respo', b"", "completed"),
        (b' { "type" : "response.incomplete", ', b"", "incomplete"),
        (b'{"type":"response.output_item.done"', b"", ""),
        (b'{"response":{"type":"response.completed"', b"", ""),
        (b'{"type":"response.compl', b"", ""),
        (b"\xff", b"\xff", ""),
    ],
)
def test_the_end_is_known_of_an_event_that_was_too_large(
    front: bytes, event: bytes, reason: str
) -> None:
    reading = _reading(CREATED)
    reading.take_unread(front, event)
    assert (reading.ended, reading.finish_reason) == (reason != "", reason)
    assert reading.usage is None
    assert reading.has_output
