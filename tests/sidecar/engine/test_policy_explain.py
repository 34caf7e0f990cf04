"""What `remora policy explain` foresees is what the engine then does, over real sockets."""

import asyncio
import gzip
import json
from dataclasses import replace
from decimal import Decimal

import pytest

from remora.cli.policy_question import PolicyQuestion, UnsentRequest
from remora.cli.recorded_request import recorded_request
from remora.errors import BadRequest
from remora.learning import Arm, ArmScore, Beta, GoalScores
from remora.policy import effective_policy, load_documents
from remora.records import Attribution
from remora.testing.double_answer import Answer
from remora_sidecar.commands.policy_explain import answer
from remora_sidecar.policy.score_book import ScoreSnapshot
from remora_sidecar.score_file import SCORE_FILE, written

URL = "https://api.openai.com/v1/chat/completions"
PATH = "/v1/chat/completions"
JSON = ("Content-Type", "application/json")
SIGNED = ("Authorization", "AWS4-HMAC-SHA256 Credential=x")
NOON_UNIX_NS = 1_790_000_000_000_000_000

OK = Answer(
    headers=(JSON,),
    body=json.dumps(
        {
            "model": "gpt-4o",
            "choices": [{"index": 0, "message": {"content": "x"}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }
    ).encode(),
)


def body(model="gpt-4o", **more):
    asked = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
    return json.dumps({**asked, **more}).encode()


def route(policy="conditional", *candidates, **more):
    named = [{"model": model} for model in candidates or ("gpt-4o-mini", "gpt-4o")]
    return {"name": "r", "router": {"policy": policy, "candidates": named}, **more}


def effective(spec, *documents):
    policy = {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMPolicy",
        "metadata": {"name": "test"},
        "spec": spec,
    }
    texts = "\n---\n".join(json.dumps(one) for one in (policy, *documents))
    return effective_policy(load_documents({"policy.yaml": texts}), {})


def question(spec, content=None, headers=(), *, url=URL, method="POST", **more):
    request = UnsentRequest(method, url, (JSON, *headers), body() if content is None else content)
    return PolicyQuestion(effective(spec), request, NOON_UNIX_NS, **more)


@pytest.fixture(autouse=True)
def _settings(monkeypatch, tmp_path):
    """Settings as the sidecar of these tests has them."""
    monkeypatch.setenv("REMORA_SECRETS_DIR", str(tmp_path / "secrets"))
    monkeypatch.setenv("REMORA_DATA_DIR", str(tmp_path / "data"))


SPECS = {
    "nothing": {},
    "a route": {"routes": [route()]},
    "a seeded choice": {"routes": [{"name": "r", "router": {
        "policy": "random", "seed": 7, "candidates": [{"model": "gpt-4o"}, {"model": "o3"}]}}]},
    "the cheapest": {"routes": [route("cheapest")]},
    "candidates left out": {
        "models": {"deny": ["o3"]},
        "routes": [{**route("round-robin", "o3", "gpt-4o"), "fallback": [
            {"provider": "anthropic", "model": "claude-x"}, {"provider": "groq", "model": "l"}]}],
    },
    "a condition": {"routes": [{
        "name": "r", "match": {"condition": "request.max_tokens < 50"}}]},
    "budgets": {"budgets": [
        {"name": "a", "per": "pod", "maxCostUSD": "1", "window": "1d"},
        {"name": "b", "per": "call", "maxTokens": 5000}]},
    "a downgrade": {"budgets": [
        {"name": "a", "per": "pod", "maxTokens": 1, "onExceed": "downgrade",
         "downgradeTo": "gpt-4o-mini"}]},
    "a rate": {"rates": [{"name": "slow", "requestsPerMinute": 1}]},
    "a denied model": {"models": {"allow": ["claude-*"]}},
    "a budget that is too small": {"budgets": [{"name": "b", "per": "pod", "maxTokens": 10}]},
    "a task": {"requireTask": True},
    "a body": {"maxRequestBody": 10},
    "nobody left": {"models": {"deny": ["o3", "gpt-4o"]}, "routes": [route("random", "o3")]},
    "no key at all": {"credentials": [{"provider": "*", "onlyFrom": "policy"}]},
}  # fmt: skip


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
async def test_what_is_foreseen_is_what_the_record_says(ruled, spec):
    async with ruled({**spec, "capture": "full"}) as carrying:
        carrying.double.script(OK)
        agent = await carrying.agent()
        got = await agent.ask("POST", PATH, [("Host", "api.openai.com"), JSON], body())
        record = await carrying.record()
    request, _ = recorded_request(record)
    asked = PolicyQuestion(
        effective({**spec, "capture": "full"}),
        request,
        record.started_unix_ns,
        attribution=record.attribution,
        used=record.usage,
    )
    foreseen = await asyncio.to_thread(answer, asked)

    assert foreseen.receipt == record.receipt
    if record.receipt.refused_by:
        assert foreseen.refusal.status == got.status
        assert foreseen.refusal.message == record.error.message
        assert foreseen.stops == ()
    else:
        assert (foreseen.stops[0].provider, foreseen.stops[0].model) == (
            record.provider,
            record.sent_model,
        )


@pytest.mark.parametrize(
    ("content", "headers", "why"),
    [
        (body(), [SIGNED], "it is signed"),
        (gzip.compress(body()), [("Content-Encoding", "gzip")], "its body is encoded"),
        (b"{", [], "its body can't be read"),
        (None, [("Upgrade", "websocket")], "it is a WebSocket"),
    ],
    ids=["signed", "encoded", "unreadable", "websocket"],
)
def test_a_request_that_may_not_change_is_left_as_it_is(content, headers, why):
    anything = {"routes": [{**route(), "match": {"operations": ["chat"]}}]}
    foreseen = answer(question(anything, content, headers))
    assert [stop.model for stop in foreseen.stops] == [foreseen.model]
    assert f"the route 'r' left the call as it was: {why}" in foreseen.notes


@pytest.mark.parametrize(
    ("opaque", "code"), [("allow", None), ("block", "BODY_TOO_LARGE")], ids=["allowed", "blocked"]
)
def test_a_body_too_large_to_be_read_goes_by_what_is_said_of_opaque_calls(
    monkeypatch, opaque, code
):
    monkeypatch.setenv("REMORA_HELD_BODY_BYTES", "20")
    foreseen = answer(question({"opaque": opaque}))
    assert (foreseen.refusal.code if foreseen.refusal else None) == code
    assert "the body is larger than 20 bytes and is not read" in foreseen.notes


@pytest.mark.parametrize(
    ("cache", "content", "headers", "expected"),
    [
        ({"mode": "disabled"}, body(), [], None),
        ({"mode": "readwrite"}, body(temperature=0), [], (True, True, "")),
        ({"mode": "read"}, body(temperature=0), [], (True, False, "")),
        ({"mode": "readwrite"}, body(), [], (False, False, "sampling")),
        ({"mode": "readwrite", "sampling": True}, body(), [], (True, True, "")),
        (
            {"mode": "readwrite"},
            body(temperature=0),
            [("Cache-Control", "no-cache")],
            (False, True, "no-cache"),
        ),
    ],
    ids=["off", "both", "read", "sampling", "sampling allowed", "no-cache"],
)
def test_what_the_cache_would_do_is_foreseen(cache, content, headers, expected):
    found = answer(question({"cache": cache}, content, headers)).cache
    assert (None if found is None else (found.reads, found.writes, found.reason)) == expected


KEYED = {"credentials": [{"provider": "openai", "secretRef": {"name": "openai", "key": "api-key"}}]}


@pytest.mark.parametrize(
    ("key", "problem"),
    [("sk-there-0123456789", ""), (None, "no key for 'openai'"), ("two\nlines", "can't be used")],
    ids=["there", "missing", "unusable"],
)
def test_a_key_is_looked_for_and_never_shown(tmp_path, key, problem):
    if key is not None:
        folder = tmp_path / "secrets" / "openai"
        folder.mkdir(parents=True)
        (folder / "api-key").write_text(key)
    foreseen = answer(question(KEYED))
    (stop,) = foreseen.stops
    assert stop.key == "policy"
    assert problem in stop.problem
    assert bool(problem) == bool(stop.problem)
    assert key is None or key not in repr(foreseen)


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com:443/v1/chat/completions", "openai"),
        ("https://user:word@api.openai.com/v1/chat/completions#top", "openai"),
        ("http://localhost:11434/api/chat", "ollama"),
        ("http://localhost:8000/v1/chat/completions", "vllm"),
        ("http://localhost:8000/somebody/elses", ""),
        ("http://api.openai.com/v1/chat/completions", ""),
        ("https://example.com", ""),
    ],
)
def test_whose_call_it_is_follows_from_its_url(url, provider):
    foreseen = answer(question({}, url=url))
    assert foreseen.provider == provider
    assert (foreseen.receipt is None) == (not provider)
    assert "word" not in foreseen.url


@pytest.mark.parametrize("url", ["ftp://x/", "https:///path", "https://x:99999/", "https://[", ""])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(BadRequest, match="URL"):
        answer(question({}, url=url))


def test_what_is_said_of_the_call_goes_before_its_headers():
    spec = {"budgets": [{"name": "b", "per": "task", "maxTokens": 1_000_000}]}
    headers = [("remora-task", "t1"), ("remora-agent-id", "a1")]
    by_header = answer(question(spec, headers=headers))
    assert [one.name for one in by_header.receipt.budgets] == ["b"]
    condition = "task.id + session.agent_id == 't2a1' && session.id == 's'"
    conditioned = {"routes": [{**route(), "match": {"condition": condition}}]}
    said = Attribution(task_id="t2", session_id="s")
    asked = question(conditioned, headers=headers, attribution=said)
    assert answer(asked).receipt.rule == "r"


def test_labels_of_the_question_go_before_the_settings(monkeypatch):
    monkeypatch.setenv("REMORA_LABELS", "app=mine")
    spec = {"routes": [{**route(), "match": {"condition": "pod.labels.app == 'mine'"}}]}
    asked = question(spec)
    assert answer(asked).receipt.rule == "r"
    assert answer(replace(asked, labels={"app": "other"})).receipt.rule == ""


def test_prices_of_ones_own_count_as_they_do_in_the_sidecar():
    own = {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMProvider",
        "metadata": {"name": "mine"},
        "spec": {
            "hosts": ["llm.example.org"],
            "dialects": ["openai-chat"],
            "prices": [{"model": "*", "inputPerMillionUSD": "0", "outputPerMillionUSD": "10"}],
        },
    }
    asked = question({}, url="https://llm.example.org/v1/chat/completions")
    priced = replace(asked, policy=effective({"routes": [route("cheapest")]}, own))
    found = answer(priced).receipt.candidates
    assert [one.est_cost_usd for one in found] == [Decimal("0.001"), Decimal("0.001")]


LEARNED = {
    "routes": [
        {
            "name": "r",
            "router": {
                "policy": "learned",
                "explorationRate": 0,
                "candidates": [
                    {"model": "gpt-4o"},
                    {"model": "gpt-4o", "parameters": {"temperature": 0}},
                ],
            },
        }
    ]
}


def test_learned_routing_is_foreseen_by_the_scores_that_are_kept(tmp_path):
    arms = (
        ArmScore(Arm("openai", "gpt-4o"), Beta(10, 990), 1_000),
        ArmScore(Arm("openai", "gpt-4o", {"temperature": 0}), Beta(990, 10), 1_000),
    )
    known = ScoreSnapshot(GoalScores("support", arms), "digest")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / SCORE_FILE).write_bytes(written([known]))
    foreseen = answer(question(LEARNED, headers=[("remora-goal", "support")]))
    assert [c.propensity for c in foreseen.receipt.candidates] == [0.0, 1.0]
    assert foreseen.receipt.scores == "digest"
    assert any("goal 'support' by the scores kept last" in note for note in foreseen.notes)


def test_without_scores_learned_routing_is_foreseen_to_try_all_alike():
    foreseen = answer(question(LEARNED, headers=[("remora-risk", "medium")]))
    assert [c.propensity for c in foreseen.receipt.candidates] == [0.5, 0.5]
    assert foreseen.receipt.risk == "medium"
    assert any("no scores are kept of the goal 'general'" in note for note in foreseen.notes)
