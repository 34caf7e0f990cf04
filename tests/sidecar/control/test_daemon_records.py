"""Calls in the fourteen fields of the published client."""

import gzip
import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import brotli
import pytest
import zstandard

from remora.records import (
    PARSE_FAILED_MODEL,
    Attribution,
    Body,
    CacheVerdict,
    CallError,
    CallRecord,
    Cost,
    EndReason,
    Usage,
)
from remora_sidecar.control.daemon_records import daemon_record

FIELDS = [
    "data_id", "combo_id", "agent_id", "model", "prompt_tokens", "completion_tokens",
    "latency_seconds", "request_url", "request_body", "response_body", "timestamp", "cached",
    "status_code", "error",
]  # fmt: skip
ASKED = {"model": "gpt-4o", "messages": []}
ANSWERED = {"id": "c1", "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
STARTED_NS = 1_782_000_000_123_456_789


def body(value: object) -> Body:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Body(content, len(content))


CALL = CallRecord(
    call_id="1" * 32,
    started_unix_ns=STARTED_NS,
    url="https://api.openai.com/v1/chat/completions",
    attribution=Attribution("sess_1", "node=gpt-4o::dp_1", "node=gpt-4o"),
    requested_model="gpt-4o",
    sent_model="gpt-4o",
    response_model="gpt-4o-2024-08-06",
    status_code=200,
    end_reason=EndReason.COMPLETED,
    usage=Usage(input_tokens=10, output_tokens=5),
    cost=Cost(Decimal(1), Decimal(1), Decimal(0), "list", "2026-01-01"),
    latency_s=0.42,
    request_body=body(ASKED),
    response_body=body(ANSWERED),
)
UNREAD = replace(
    CALL,
    usage=None,
    error=CallError("usage_unreadable", "token usage could not be read: none of: usage"),
)


def test_a_call_has_the_fourteen_fields_in_their_order():
    shown = daemon_record(CALL)

    assert list(shown) == FIELDS
    assert shown == {
        "data_id": "node=gpt-4o::dp_1",
        "combo_id": "node=gpt-4o",
        "agent_id": None,
        "model": "gpt-4o",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "latency_seconds": 0.42,
        "request_url": "https://api.openai.com/v1/chat/completions",
        "request_body": ASKED,
        "response_body": ANSWERED,
        "timestamp": "2026-06-21T00:00:00.123456+00:00",
        "cached": False,
        "status_code": 200,
        "error": None,
    }


def test_a_timestamp_has_its_offset_and_microseconds_even_where_they_are_none():
    written = daemon_record(replace(CALL, started_unix_ns=10**18))["timestamp"]

    assert written.endswith(".000000+00:00")
    assert datetime.fromisoformat(written).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("names", "status", "shown"),
    [
        pytest.param(("gpt-4o", "mini", "mini-7"), 200, "mini", id="after routing"),
        pytest.param(("", "", "served"), 200, "served", id="as served"),
        pytest.param(("", "", ""), 404, "unknown", id="nobody said"),
    ],
)
def test_the_model_is_that_after_routing_else_as_served(names, status, shown):
    requested, sent, response = names
    call = replace(
        CALL,
        requested_model=requested,
        sent_model=sent,
        response_model=response,
        status_code=status,
    )

    assert daemon_record(call)["model"] == shown


@pytest.mark.parametrize(("sent", "shown"), [("gpt-4o", "gpt-4o"), ("", PARSE_FAILED_MODEL)])
def test_usage_that_can_not_be_read_is_an_error_and_never_a_silent_zero(sent, shown):
    found = daemon_record(replace(UNREAD, requested_model=sent, sent_model=sent))

    assert found["model"] == shown
    assert (found["prompt_tokens"], found["completion_tokens"]) == (0, 0)
    assert found["error"].startswith("agentopt proxy could not extract token usage: ")
    assert "none of: usage" in found["error"]
    assert found["error"].endswith("URL=https://api.openai.com/v1/chat/completions")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        pytest.param({"status_code": 500}, "HTTP 500", id="a status alone"),
        pytest.param(
            {"status_code": 429, "error": CallError("rate_limit", "slow down")},
            "HTTP 429",
            id="a status with a message",
        ),
        pytest.param(
            {"status_code": 0, "error": CallError("connect", "refused by 127.0.0.1")},
            "refused by 127.0.0.1",
            id="no answer",
        ),
        pytest.param({"error": CallError("overloaded", "")}, "overloaded", id="no message"),
        pytest.param(
            {"end_reason": EndReason.CLIENT_GONE},
            "the agent left before the answer's end",
            id="the agent left",
        ),
        pytest.param(
            {"end_reason": EndReason.PROVIDER_CUT},
            "the provider broke the answer off",
            id="a cut stream",
        ),
    ],
)
def test_what_went_wrong_is_one_line(changed, error):
    assert daemon_record(replace(CALL, **changed))["error"] == error


@pytest.mark.parametrize(
    ("verdict", "latency_s"),
    [
        pytest.param(CacheVerdict("hit", original_latency_s=3.5), 3.5, id="known"),
        pytest.param(CacheVerdict("hit"), 0.42, id="unknown"),
    ],
)
def test_a_cached_answer_has_the_latency_it_once_had(verdict, latency_s):
    shown = daemon_record(replace(CALL, cached=True, cache=verdict))

    assert (shown["cached"], shown["latency_seconds"]) == (True, latency_s)
    assert daemon_record(replace(CALL, cache=verdict))["latency_seconds"] == 0.42


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(None, id="not kept"),
        pytest.param(Body(b'{"model": "gp', 100, truncated=True), id="cut"),
        pytest.param(body(b"[1, 2]"), id="a list"),
        pytest.param(body(b"\xff\xfe no json"), id="no JSON"),
        pytest.param(body(b""), id="empty"),
        pytest.param(body(b'{"a":' * 100_000), id="nested too deeply"),
        pytest.param(body(b"\x1f\x8b broken"), id="broken gzip"),
    ],
)
def test_a_body_that_is_no_json_object_is_an_empty_one(kept):
    shown = daemon_record(replace(CALL, request_body=kept, response_body=kept))

    assert (shown["request_body"], shown["response_body"]) == ({}, {})


@pytest.mark.parametrize(
    "compress",
    [
        pytest.param(gzip.compress, id="gzip"),
        pytest.param(brotli.compress, id="br"),
        pytest.param(zstandard.compress, id="zstd"),
    ],
)
def test_a_compressed_body_is_read(compress):
    kept = body(compress(json.dumps(ANSWERED).encode()))

    assert daemon_record(replace(CALL, response_body=kept))["response_body"] == ANSWERED


def test_a_streams_answer_is_an_empty_body():
    shown = daemon_record(replace(CALL, stream=True))

    assert (shown["request_body"], shown["response_body"]) == (ASKED, {})
