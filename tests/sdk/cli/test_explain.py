"""`remora explain`: what is told of recorded calls, to a person and to a program."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.cli.explanation import explanation
from remora.cli.receipt_json import parameters_json, receipt_json
from remora.receipt import BudgetReceipt, CandidateReceipt, Receipt
from remora.record_wire import to_message
from remora.records import (
    Attempt,
    Attribution,
    CacheVerdict,
    CallError,
    CallRecord,
    Cost,
    EndReason,
    Outcome,
    Usage,
)
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"

COST = Cost(Decimal("0.003"), Decimal("0.001"), Decimal("0.002"), "list", "2026-01-01")

RECEIPT = Receipt(
    policy="research",
    policy_version="0123456789abcdef" * 4,
    rule="chat",
    router="weighted",
    propensity=0.9,
    candidates=(
        CandidateReceipt("openai", "gpt-4o-mini", 0.9, Decimal("0.00012")),
        CandidateReceipt("openai", "gpt-4o", 0.1),
        CandidateReceipt("anthropic", "claude-x", filtered_out_by="dialect"),
        CandidateReceipt("openai", "o3", filtered_out_by="it is signed"),
    ),
    fallback=("openai/gpt-4o", "groq/llama"),
    budgets=(
        BudgetReceipt(
            name="daily", per="namespace", result="warn", spent_usd=Decimal("49.5"),
            limit_usd=Decimal(50), spent_tokens=10, limit_tokens=1000,
            resets_unix_ns=1_790_000_000_000_000_000,
        ),
        BudgetReceipt("cap", "call", "ok", limit_usd=Decimal("0.25")),
    ),
    credential="policy",
)  # fmt: skip

CALL = CallRecord(
    call_id=f"{1:032x}",
    started_unix_ns=1_790_000_000_000_000_000,
    provider="openai",
    dialect="openai-chat",
    operation="chat",
    requested_model="gpt-4o",
    sent_model="gpt-4o",
    response_model="gpt-4o-2024-08-06",
    status_code=200,
    end_reason=EndReason.COMPLETED,
    usage=Usage(input_tokens=10, output_tokens=5),
    cost=COST,
    latency_s=0.5,
    cache=CacheVerdict("miss"),
    attempts=(
        Attempt(
            "openai", "gpt-4o-mini", 500, 0.1, CallError("server_error", "it broke"),
            failure="server", cost=COST,
        ),
        Attempt("openai", "gpt-4o", 200, 0.4),
    ),
    receipt=RECEIPT,
    notes=("something worth a note",),
)  # fmt: skip

LEARNED = replace(
    CALL,
    attribution=Attribution(goal="extract"),
    attempts=(Attempt("openai", "gpt-4o", 200, 0.4, parameters='{"temperature":0.2}'),),
    receipt=RECEIPT._replace(
        router="learned",
        risk="low",
        reason="thompson",
        scores="abcdef0123456789" * 4,
        candidates=(
            CandidateReceipt("openai", "gpt-4o", note="tied", propensity=0.0),
            CandidateReceipt("openai", "gpt-4o", parameters='{"temperature":0.2}', propensity=0.9),
        ),
    ),
    outcome=Outcome("check_failed", 0.0, 0.6, "malformed_output", ("json", "length")),
)

REFUSED = replace(
    CALL,
    call_id=f"{2:032x}",
    status_code=0,
    end_reason=EndReason.REFUSED,
    error=CallError("BUDGET_EXCEEDED", "what is left does not cover the call"),
    usage=None,
    cost=None,
    cache=None,
    attempts=(),
    response_model="",
    receipt=RECEIPT._replace(refused_by="BUDGET_EXCEEDED"),
)

FAILED = replace(
    CALL,
    status_code=404,
    error=CallError("http_error", "HTTP 404"),
    usage=None,
    cost=None,
    response_model="",
)

UNANSWERED = replace(
    FAILED,
    status_code=0,
    end_reason=EndReason.NO_ANSWER,
    error=CallError("connect", "no way"),
)

SERVED = "HTTP 200, served as gpt-4o-2024-08-06"

CACHED = replace(
    CALL, cached=True, attempts=(), sent_model="gpt-4o-mini", cache=CacheVerdict("hit", age_s=3.0)
)

RELAYED = CallRecord(
    call_id=f"{3:032x}",
    started_unix_ns=0,
    provider="openai",
    opaque=True,
    notes=("the body is larger than 5 bytes and was not read",),
)


def told(record: CallRecord) -> dict[str, list[str]]:
    """Read the explanation back: what is said below each name."""
    found: dict[str, list[str]] = {}
    name = ""
    for text in explanation(record):
        name = text[:12].strip() or name
        found.setdefault(name, []).append(text[12:])
    return found


def test_a_learned_choice_is_explained_with_its_chances_and_its_outcome():
    said = told(LEARNED)
    assert said["goal"] == ["extract"]
    assert said["learned"] == [
        "thompson: it may be better than what is thought to be the best; risk low;"
        " by scores abcdef012345"
    ]
    assert said["candidates"] == [
        "openai/gpt-4o: price unknown, a chance of 0.0%, as good as a cheaper or faster one",
        'openai/gpt-4o {"temperature":0.2}: chosen, price unknown, a chance of 90.0%',
    ]
    assert said["attempts"] == ['openai/gpt-4o {"temperature":0.2}: HTTP 200, 400ms']
    assert said["answer"] == [
        "check failed, malformed_output, fails json, length, strength 0, confidence 0.6"
    ]


def test_a_learned_choice_shows_its_parameters_as_an_object():
    shown = receipt_json(LEARNED)
    plain, tuned = shown["candidates"]
    assert (plain["parameters"], plain["note"]) == (None, "tied")
    assert (tuned["parameters"], tuned["reasons"]) == ({"temperature": 0.2}, ["chosen", "fallback"])
    assert shown["decision"]["reason"] == "thompson"
    assert shown["attempts"][0]["parameters"] == {"temperature": 0.2}


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a":NaN}', "[" * 100_000], ids=lambda t: t[:9])
def test_parameters_that_are_no_object_are_none(text):
    assert parameters_json(text) is None


def test_an_answer_of_the_cache_names_the_one_that_can_have_made_it():
    only = LEARNED.receipt._replace(candidates=LEARNED.receipt.candidates[1:])
    kept = replace(LEARNED, attempts=(), cached=True, receipt=only)
    assert receipt_json(kept)["candidates"][0]["reasons"] == ["chosen", "fallback"]


def test_a_routed_call_is_explained_from_its_rule_to_its_outcome():
    assert told(CALL) == {
        "call": [CALL.call_id],
        "asked for": ["gpt-4o (chat)"],
        "policy": ["research, version 0123456789ab"],
        "rule": ["chat"],
        "router": ["weighted; its choice had a chance of 90.0%"],
        "candidates": [
            "openai/gpt-4o-mini: chosen, likely to cost $0.00012, score 0.9",
            "openai/gpt-4o: price unknown, score 0.1",
            "anthropic/claude-x: left out: its provider does not speak the call's dialect",
            "openai/o3: left out: it is signed",
        ],
        "fallback": ["openai/gpt-4o", "groq/llama"],
        "budgets": [
            "daily (per namespace): warn; used $49.50 of $50.00 and 10 of 1,000 tokens before, "
            "begins anew at 2026-09-21T14:13:20Z",
            "cap (per call): ok; used $0 of $0.25 before",
        ],
        "key": ["the policy's"],
        "cache": ["miss"],
        "attempts": [
            "openai/gpt-4o-mini: HTTP 500, server, 100ms: it broke",
            "openai/gpt-4o: HTTP 200, 400ms",
        ],
        "outcome": ["success, HTTP 200, served as gpt-4o-2024-08-06, $0.003, 500ms"],
        "notes": ["something worth a note"],
    }


@pytest.mark.parametrize(
    ("record", "name", "said"),
    [
        (REFUSED, "outcome", "refused: BUDGET_EXCEEDED: what is left does not cover the call"),
        (CACHED, "outcome", f"success, {SERVED}, out of the cache, 500ms"),
        (CACHED, "cache", "hit"),
        (replace(CALL, cache=CacheVerdict("bypass", "sampling")), "cache", "bypass: sampling"),
        (replace(CALL, cost=None), "outcome", f"success, {SERVED}, price unknown, 500ms"),
        (replace(CALL, receipt=RECEIPT._replace(rule="")), "rule", "none took the call"),
        (RELAYED, "policy", "was not asked: the record has no receipt"),
        (RELAYED, "asked for", "no model (not read)"),
        (RELAYED, "outcome", "unknown, <1ms"),
        (UNANSWERED, "outcome", "no_answer: connect: no way, 500ms"),
        (FAILED, "outcome", "error: http_error: HTTP 404, 500ms"),
        (replace(CALL, notes=("\x1b[2Jgone",)), "notes", "\\x1b[2Jgone"),
    ],
    ids=[
        "refused", "cached", "hit", "bypassed", "no price", "no rule", "no receipt", "unread",
        "unread outcome", "no answer", "an error", "control characters",
    ],
)  # fmt: skip
def test_what_is_special_of_a_call_is_said(record, name, said):
    assert told(record)[name] == [said]


def test_nothing_is_said_of_the_key_of_a_call_that_was_not_sent():
    assert [one for one in (REFUSED, CACHED, RELAYED) if "key" in told(one)] == []


def test_whom_the_call_was_to_ask_first_is_marked_also_where_the_cache_answered():
    assert "chosen" in told(CACHED)["candidates"][0]
    assert not any("chosen" in text for text in told(REFUSED)["candidates"])


_words = st.text(max_size=8)
_money = st.none() | st.decimals(allow_nan=False, allow_infinity=False)
_sums = {
    "spent_usd": _money,
    "limit_usd": _money,
    "resets_unix_ns": st.none() | st.integers(0, 2**64 - 1),  # as the wire form has it
}


@given(
    st.builds(
        CallRecord,
        call_id=_words,
        started_unix_ns=st.integers(0, 2**62),
        requested_model=_words,
        end_reason=st.sampled_from(EndReason),
        error=st.none() | st.builds(CallError, _words, _words),
        usage=st.none() | st.just(Usage()),
        cost=st.none() | st.just(COST),
        cache=st.none() | st.builds(CacheVerdict, _words, _words),
        cached=st.booleans(),
        opaque=st.booleans(),
        attempts=st.lists(
            st.builds(Attempt, _words, _words, st.integers(0, 599), st.floats(0, 1e6)), max_size=2
        ).map(tuple),
        receipt=st.none()
        | st.builds(
            Receipt,
            policy=_words,
            policy_version=_words,
            propensity=st.none() | st.floats(0, 1),
            router=_words,
            budgets=st.lists(
                st.builds(BudgetReceipt, _words, _words, _words, spent_tokens=st.none(), **_sums),
                max_size=1,
            ).map(tuple),
            candidates=st.lists(
                st.builds(CandidateReceipt, _words, _words, est_cost_usd=_money), max_size=2
            ).map(tuple),
            credential=_words,
            refused_by=_words,
        ),
    )
)
def test_no_record_is_too_odd_to_be_explained(record):
    assert all(text.isprintable() for text in explanation(record))
    assert json.dumps(receipt_json(record))


def test_json_speaks_the_words_of_receipts():
    shown = receipt_json(CALL)
    assert shown["receipt_id"] == CALL.call_id
    assert shown["candidates"][0] == {
        "model_id": "gpt-4o-mini",
        "provider": "openai",
        "score": 0.9,
        "est_cost_usd": "0.00012",
        "reasons": ["chosen"],
        "filtered_out_by": None,
        "parameters": None,
        "propensity": None,
        "note": None,
    }
    assert [one["reasons"] for one in shown["candidates"][1:]] == [["fallback"], [], []]
    assert [one["filtered_out_by"] for one in shown["candidates"][2:]] == [
        "dialect",
        "it is signed",
    ]
    assert shown["decision"]["model_id"] == "gpt-4o"
    assert shown["decision"]["requested_model_id"] == "gpt-4o"
    assert shown["decision"]["strategy"] == "single"
    assert shown["decision"]["fallback_chain"] == ["openai/gpt-4o", "groq/llama"]
    assert shown["decision"]["propensity"] == 0.9
    assert shown["execution"] == {
        "actual_cost_usd": "0.003",
        "actual_latency_ms": 500.0,
        "status": "success",
    }
    assert shown["budgets"][0]["resets_at"].startswith("2026-09-21T14:13:20")


def test_json_of_a_refused_call_names_nobody_that_was_asked():
    decision = receipt_json(REFUSED)["decision"]
    assert (decision["model_id"], decision["provider"], decision["credential"]) == (None,) * 3
    assert decision["refused_by"] == "BUDGET_EXCEEDED"
    assert receipt_json(REFUSED)["execution"]["status"] == "refused"


def test_json_of_a_record_without_a_receipt_is_null_where_nothing_is_known():
    shown = receipt_json(RELAYED)
    assert (shown["policy"], shown["rule"], shown["candidates"]) == (None, None, [])
    assert shown["decision"]["credential"] is None


def _keys(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def test_the_page_names_every_key_of_a_receipt():
    page = PAGE.read_text()
    assert [key for key in _keys(receipt_json(CALL)) if f"`{key}`" not in page] == []


@pytest.fixture
async def remora():
    """Run the command against an aggregator with three calls in it."""

    async def reports():
        yield pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid="pod-1"))
        entries = [
            pb.ReportRequest.Entry(sequence=number, record=to_message(record))
            for number, record in enumerate([CALL, REFUSED, RELAYED])
        ]
        yield pb.ReportRequest(entries=entries)

    async with temporary_aggregator() as aggregator:
        async with grpc.aio.insecure_channel(aggregator.address) as channel:
            async for _ in pb_grpc.RecordServiceStub(channel).Report(reports()):
                pass

        async def run(*arguments):
            command = [sys.executable, "-P", "-m", "remora", *arguments]
            return await asyncio.to_thread(
                subprocess.run,
                [*command, "--aggregator", aggregator.address],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip

        yield run


async def test_a_recorded_call_is_explained_as_it_was_recorded(remora):
    for record in (CALL, REFUSED, RELAYED):
        ended = await remora("explain", record.call_id)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.splitlines() == list(explanation(record))


async def test_json_is_one_line_and_stands_in_the_record_as_well(remora):
    shown = await remora("explain", "--json", CALL.call_id)
    (line,) = shown.stdout.splitlines()
    assert json.loads(line) == receipt_json(CALL)
    listed = await remora("records", CALL.call_id)
    assert json.loads(listed.stdout)["receipt"] == receipt_json(CALL)
    unread = await remora("records", RELAYED.call_id)
    assert json.loads(unread.stdout)["receipt"] is None


async def test_a_call_that_nobody_recorded_is_1(remora):
    ended = await remora("explain", "0" * 32)
    assert ended.returncode == 1
    assert f"has no call {'0' * 32}" in ended.stderr


def test_without_an_aggregator_explain_says_what_to_do():
    command = [sys.executable, "-P", "-m", "remora", "explain", "1" * 32]
    ended = subprocess.run(
        [*command, "--aggregator", "127.0.0.1:1"], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 3
    assert "no aggregator answers at 127.0.0.1:1" in ended.stderr
