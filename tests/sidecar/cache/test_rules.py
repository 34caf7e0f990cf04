import json

import pytest

from remora.records import CacheVerdict, CallError
from remora_sidecar.cache.directives import Directives
from remora_sidecar.cache.rules import (
    BYPASS,
    HIT,
    CacheRules,
    Plan,
    after,
    before,
    kept_headers,
    verdict_field,
)
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness

ALL = CacheRules(read=True, write=True)
ASKED = CallRequest("chat", model="m", samples=False)
WHOLE = AnswerFacts(completeness=Completeness.WHOLE)
NONE = Directives()


def planned(rules=ALL, request=ASKED, dialect="openai-chat", directives=NONE, **body):
    return before(rules, request, dialect, json.dumps(body).encode(), directives)


def test_a_call_that_promises_one_answer_is_looked_up_and_kept():
    assert planned() == Plan(look_up=True, store=True)


@pytest.mark.parametrize(
    ("rules", "request_", "reason"),
    [
        (CacheRules(), ASKED, "off"),
        (ALL, CallRequest("image_generation", samples=False), "operation"),
        (ALL, CallRequest("realtime", samples=False), "operation"),
        (ALL, CallRequest("", samples=False), "operation"),
        (ALL, CallRequest("chat", samples=True), "sampling"),
        (ALL, CallRequest("chat", samples=False, reads_back=True), "reads-back"),
        (ALL, CallRequest("chat", samples=False, problem="no JSON"), "unreadable"),
    ],
    ids=["off", "images", "realtime", "nothing", "sampling", "reads back", "unreadable"],
)
def test_some_calls_pass_the_cache_by(rules, request_, reason):
    plan = planned(rules, request_)

    assert (plan.look_up, plan.store, plan.reason) == (False, False, reason)
    assert plan.unanswered == CacheVerdict(BYPASS, reason)


def test_samples_are_cached_where_policy_says_so():
    rules = CacheRules(read=True, write=True, sampling=True)

    assert planned(rules, CallRequest("chat", samples=True)).store


def test_policy_may_allow_reading_alone():
    plan = planned(CacheRules(read=True))

    assert (plan.look_up, plan.store) == (True, False)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai-responses", {"background": True}),
        ("openai-responses", {"conversation": "conv_1"}),
        ("openai-responses", {"conversation": {"id": "conv_1"}}),
        ("openai-responses", {"tools": [{"type": "function"}, {"type": "mcp"}]}),
        ("openai-responses", {"tools": [{"type": "code_interpreter", "container": "c"}]}),
        ("openai-responses", {"tools": [{"type": "shell", "environment": {"container_id": "c"}}]}),
        ("anthropic-messages", {"container": "container_1"}),
        ("anthropic-messages", {"container": {"id": "container_1", "skills": []}}),
        ("anthropic-messages", {"mcp_servers": [{"url": "u"}]}),
    ],
    ids=str,
)
def test_calls_that_depend_on_what_changes_elsewhere_pass_the_cache_by(dialect, body):
    assert planned(dialect=dialect, **body).reason == "stateful"


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai-chat", {"container": "c"}),
        ("openai-responses", {"background": False, "conversation": None}),
        ("openai-responses", {"previous_response_id": "resp_1", "store": True}),
        ("openai-responses", {"tools": [{"type": "function"}, 3, {"type": ["mcp"]}]}),
        ("openai-responses", {"tools": "mcp"}),
        (
            "openai-responses",
            {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        ),
        ("openai-responses", {"tools": [{"type": "shell", "environment": {"type": "local"}}]}),
        ("anthropic-messages", {"container": {"skills": [{"skill_id": "xlsx"}]}}),
        ("anthropic-messages", {"mcp_servers": []}),
    ],
    ids=str,
)
def test_others_do_not(dialect, body):
    assert planned(dialect=dialect, **body).reason == ""


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff", b"null"])
def test_any_body_is_looked_into(body):
    assert before(ALL, ASKED, "openai-responses", body, NONE).look_up


@pytest.mark.parametrize(
    ("directives", "plan", "said"),
    [
        (Directives(no_store=True), (False, False, "no-store"), "bypass; reason=no-store"),
        (Directives(no_cache=True), (False, True, "no-cache"), "bypass; reason=no-cache"),
        (Directives(max_age_s=5), (True, True, ""), "miss"),
        (Directives(only_if_cached=True), (True, True, ""), "miss"),
    ],
    ids=["no-store", "no-cache", "max-age", "only-if-cached"],
)
def test_the_request_may_say_otherwise(directives, plan, said):
    found = planned(directives=directives)

    assert (found.look_up, found.store, found.reason) == plan
    assert (found.max_age_s, found.only_cached) == (directives.max_age_s, directives.only_if_cached)
    assert verdict_field(found.unanswered) == said.encode()


def test_who_wants_only_what_is_cached_is_told_so_even_where_nothing_can_be():
    assert planned(CacheRules(), directives=Directives(only_if_cached=True)).only_cached


def stored(**changes):
    return after(ALL, **({"status": 200, "facts": WHOLE, "body_bytes": 9, "whole": True} | changes))


def test_a_whole_successful_answer_is_kept():
    assert stored() == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *(({"status": status}, "status") for status in (0, 201, 202, 206, 304, 400, 429, 500, 529)),
        ({"whole": False}, "incomplete"),
        ({"facts": AnswerFacts(completeness=Completeness.CUT)}, "incomplete"),
        ({"facts": AnswerFacts(completeness=Completeness.UNKNOWN)}, "incomplete"),
        (
            {"facts": AnswerFacts(error=CallError("e", "m"), completeness=Completeness.WHOLE)},
            "error",
        ),
        ({"facts": AnswerFacts(pending=True, completeness=Completeness.WHOLE)}, "pending"),
        ({"facts": AnswerFacts(in_background=True, completeness=Completeness.WHOLE)}, "pending"),
        ({"body_bytes": ALL.max_body_bytes + 1}, "size"),
    ],
    ids=str,
)
def test_no_other_answer_is(changes, reason):
    assert stored(**changes) == reason


def test_a_hit_tells_its_age():
    assert verdict_field(CacheVerdict(HIT, age_s=12.9)) == b"hit; age=12"
    assert verdict_field(CacheVerdict(HIT, age_s=-3)) == b"hit; age=0"


def test_of_the_header_only_what_is_of_the_answer_is_kept():
    kept = ((b"Content-Type", b"application/json"), (b"x-request-id", b"req_1"))
    dropped = (
        (b"Set-Cookie", b"__cf_bm=1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Content-Length", b"9"),
        (b"x-ratelimit-remaining-requests", b"1"),
        (b"anthropic-ratelimit-tokens-remaining", b"1"),
        (b"Remora-Call-Id", b"1"),
    )

    assert kept_headers((kept[0], *dropped, kept[1])) == kept
