from typing import Any

import pytest

from remora.records import CallError, Usage
from remora_sidecar.dialects.anthropic.message import MessageReading

USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 3,
    "cache_read_input_tokens": 4,
    "output_tokens": 5,
}


def _start(usage: Any = USAGE, **message: Any) -> dict[str, Any]:
    begun = {"type": "message", "id": "msg_1", "model": "claude", "content": [], "usage": usage}
    return {"type": "message_start", "message": begun | message}


def _block(**block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 0, "content_block": block}


def _delta(**delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def _end(reason: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


STOP = {"type": "message_stop"}


def _reading(*values: Any) -> MessageReading:
    reading = MessageReading()
    for value in values:
        reading.take(value)
    return reading


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(USAGE, Usage(17, 5, 4, 3), id="input with both of its caches"),
        pytest.param({"input_tokens": 1, "output_tokens": 2}, Usage(1, 2), id="no cache named"),
        pytest.param(
            USAGE
            | {
                "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
                "output_tokens_details": {"thinking_tokens": 4},
                "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 9},
            },
            Usage(17, 5, 4, 3, 4, cache_write_1h_tokens=2, web_searches=1),
            id="details",
        ),
        pytest.param(
            {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": None}
            | {"cache_creation": None, "server_tool_use": None, "output_tokens_details": 7},
            Usage(1, 2),
            id="nulls",
        ),
        pytest.param({"output_tokens": 2}, Usage(None, 2), id="no input stated"),
        pytest.param(
            {"cache_read_input_tokens": 2, "output_tokens": 2},
            Usage(None, 2, 2),
            id="a part of the input is not the input",
        ),
        pytest.param({"input_tokens": True, "output_tokens": -1}, None, id="no counts"),
        pytest.param(
            {"input_tokens": 2**63 - 1, "output_tokens": 1}, Usage(2**63 - 1, 1), id="max"
        ),
        pytest.param(
            USAGE | {"input_tokens": 2**63 - 1}, Usage(None, 5, 4, 3), id="a sum over the maximum"
        ),
        pytest.param(None, None, id="null"),
        pytest.param([], None, id="list"),
    ],
)
def test_usage_of_a_whole_message_is_read(usage: Any, expected: Usage | None) -> None:
    assert _reading({"type": "message", "usage": usage}).usage == expected


def test_figures_of_a_later_event_replace_those_before_and_others_stay() -> None:
    usage = USAGE | {"cache_creation": {"ephemeral_1h_input_tokens": 3}, "service_tier": "batch"}
    grown = {"input_tokens": 400, "output_tokens": 50, "cache_read_input_tokens": None}
    reading = _reading(_start(usage), _end(**grown), _end(None, output_tokens=60), STOP)
    assert reading.usage == Usage(407, 60, 4, 3, cache_write_1h_tokens=3)
    assert reading.service_tier == "batch"
    assert reading.finish_reason == "end_turn"


@pytest.mark.parametrize(
    ("stated", "tier"),
    [
        ({}, ""),
        ({"service_tier": "priority", "speed": "standard"}, "priority"),
        ({"service_tier": "standard", "speed": "fast"}, "fast"),
        ({"service_tier": None, "speed": ["fast"]}, ""),
    ],
    ids=["none", "tier", "speed", "nonsense"],
)
def test_the_tier_is_the_one_with_the_price(stated: Any, tier: str) -> None:
    assert _reading(_start(USAGE | stated), _end(output_tokens=1)).service_tier == tier


def test_a_stream_without_its_end_states_the_prompt_and_an_estimate_of_its_output() -> None:
    begun = _reading(_start(USAGE | {"output_tokens": 1}))
    assert begun.usage == Usage(17, 1, 4, 3, estimated=True)
    begun.take(_delta(type="text_delta", text="x" * 400))
    assert begun.usage == Usage(17, 100, 4, 3, estimated=True)
    assert begun.output_tokens_estimate == 100
    begun.take(_end(output_tokens=90))
    assert begun.usage == Usage(17, 90, 4, 3)


def test_a_whole_stream_that_never_counted_its_output_states_an_estimate_of_it() -> None:
    text = _delta(type="text_delta", text="x" * 400)
    uncounted = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    reading = _reading(_start(USAGE | {"output_tokens": 0}), text, uncounted, STOP)
    assert reading.usage == Usage(17, 100, 4, 3, estimated=True)


@pytest.mark.parametrize(
    ("event", "is_output"),
    [
        (_start(), False),
        ({"type": "ping"}, False),
        (_block(type="text", text=""), False),
        (_block(type="thinking", thinking="", signature=""), False),
        (_delta(type="text_delta", text=""), False),
        (_delta(type="input_json_delta", partial_json=""), False),
        (_delta(type="signature_delta", signature=""), False),
        (_end(output_tokens=1), False),
        (STOP, False),
        (_block(type="text", text="hi"), True),
        (_block(type="redacted_thinking", data="Eo"), True),
        (_block(type="tool_use", id="t", name="f", input={}), True),
        (_block(type="web_search_tool_result", content=[{}]), True),
        (_delta(type="text_delta", text="h"), True),
        (_delta(type="thinking_delta", thinking="h"), True),
        (_delta(type="input_json_delta", partial_json="{"), True),
        (_delta(type="signature_delta", signature="Eo"), True),
        (_delta(type="citations_delta", citation={"type": "c"}), True),
        (_delta(type="compaction_delta", content="so far"), True),
    ],
    ids=str,
)
def test_the_first_output_is_what_the_model_made(event: Any, is_output: bool) -> None:
    assert _reading(event).has_output is is_output


def test_tools_that_the_provider_runs_are_called_too() -> None:
    kinds = ["tool_use", "server_tool_use", "mcp_tool_use", "text", "mcp_tool_result"]
    blocks = [{"type": kind, "name": kind} for kind in kinds]
    names = ("tool_use", "server_tool_use", "mcp_tool_use")
    assert _reading(*(_block(**block) for block in blocks)).tool_names == names
    assert _reading({"type": "message", "content": [*blocks, 7]}).tool_names == names
    assert len(_reading(*[_block(**blocks[0])] * 1000).tool_names) == 256


def test_after_a_fallback_the_model_is_the_one_that_took_over() -> None:
    block = _block(**{"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}})
    assert _reading(_start(model="a"), block).model == "b"
    assert _reading(_start(model="a"), _block(type="fallback")).model == "a"


@pytest.mark.parametrize(
    ("value", "event", "failed", "error"),
    [
        pytest.param(
            {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
            b"error",
            False,
            CallError("overloaded_error", "m"),
            id="event",
        ),
        pytest.param(
            {"type": "error", "error": {"type": "t", "message": "m"}},
            b"",
            True,
            CallError("t", "m"),
            id="body",
        ),
        pytest.param({"message": "m"}, b"", True, CallError("provider_error", "m"), id="AWS"),
        pytest.param({"error": {"code": 5}}, b"", False, CallError("5", ""), id="a proxy's"),
        pytest.param({"type": "message", "error": None}, b"", False, None, id="null"),
    ],
)
def test_errors_are_read(value: Any, event: bytes, failed: bool, error: CallError | None) -> None:
    reading = MessageReading(failed=failed)
    reading.take(value, event)
    reading.take({"type": "error", "error": {"message": "later"}} if error else {})
    assert reading.error == error


def test_missing_usage_is_told_by_what_was_searched_and_found() -> None:
    reading = _reading({"type": "message", "content": [], "usage": {"tokens": 3}})
    assert reading.usage_searched == (
        "searched usage for input_tokens, output_tokens; "
        "found type, content, usage; in usage: tokens"
    )
