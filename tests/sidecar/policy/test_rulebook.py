"""A policy's rules compiled once for many calls."""

import json

import pytest

from remora.policy import effective_policy, load_documents
from remora.providers import ProviderRegistry
from remora_sidecar.policy.key_plan import UNTOUCHED
from remora_sidecar.policy.rulebook import rulebook

REGISTRY = ProviderRegistry.builtin()
TO = {"policy": "random", "candidates": [{"model": "gpt-4o-mini"}]}
KEY = {"provider": "groq", "secretRef": {"name": "groq", "key": "api-key"}}


def compiled(**spec):
    policy = {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMPolicy",
        "metadata": {"name": "p"},
        "spec": spec,
    }
    documents = load_documents({"p.yaml": json.dumps(policy)})
    return rulebook(effective_policy(documents, {}), REGISTRY)


STEERS = {
    "nothing": ({}, False),
    "capture": ({"capture": "full"}, False),
    "a cache": ({"cache": {"mode": "readwrite"}}, False),
    "opaque calls blocked": ({"opaque": "block"}, False),
    "a breaker": ({"breaker": {"consecutiveFailures": 3}}, False),
    "providers to intercept": ({"intercept": ["openai"]}, False),
    "a route": ({"routes": [{"name": "r", "router": TO}]}, True),
    "a route that only tries again": ({"routes": [{"name": "r", "retry": {}}]}, True),
    "models allowed": ({"models": {"allow": ["*"]}}, True),
    "models denied": ({"models": {"deny": ["o1"]}}, True),
    "a budget": ({"budgets": [{"name": "b", "per": "pod", "maxTokens": 1}]}, True),
    "a rate": ({"rates": [{"name": "r", "requestsPerMinute": 1}]}, True),
    "a key": ({"credentials": [KEY]}, True),
    "the agents' keys stripped": (
        {"credentials": [{"provider": "*", "onlyFrom": "policy"}]}, True,
    ),
    "a size of bodies": ({"maxRequestBody": "1Mi"}, True),
    "a task": ({"requireTask": True}, True),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "steers"), STEERS.values(), ids=STEERS)
def test_calls_are_looked_at_only_where_something_could_become_of_it(spec, steers):
    assert compiled(**spec).steers == steers


def test_every_condition_is_compiled_once():
    routed = {"name": "a", "match": {"condition": "request.stream"}, "router": TO}
    chosen = {
        "name": "b",
        "match": {"condition": "request.stream"},
        "router": {
            "policy": "conditional",
            "candidates": [{"model": "a", "condition": 'request.model == "a"'}, {"model": "b"}],
        },
    }
    found = compiled(routes=[routed, chosen, {"name": "c"}]).conditions
    assert set(found) == {"request.stream", 'request.model == "a"'}


def test_the_receipt_names_policy_and_version():
    found, changed = compiled(), compiled(requireTask=True)
    assert found.receipt.policy == "p"
    assert len(found.receipt.policy_version) == 64
    assert found.receipt.policy_version != changed.receipt.policy_version
    assert found.receipt == compiled().receipt


@pytest.mark.parametrize(
    ("credentials", "provider", "replaced", "stripped"),
    [
        ([], "groq", False, False),
        ([KEY], "groq", True, True),
        ([KEY], "openai", False, False),
        ([KEY, {"provider": "*", "onlyFrom": "policy"}], "openai", False, True),
        ([KEY, {"provider": "*", "onlyFrom": "policy"}], "groq", True, True),
    ],
    ids=["none", "its own", "another's", "none, and the agent's stripped", "its own of all"],
)
def test_what_becomes_of_a_key_is_worked_out_once(credentials, provider, replaced, stripped):
    book = compiled(credentials=credentials)
    plan = book.key_plan(REGISTRY.get(provider))
    assert (plan.replace is not None) == replaced
    assert (plan is UNTOUCHED) == (not replaced and not stripped)
    assert book.key_plan(REGISTRY.get(provider)) is plan


def test_only_providers_with_a_key_of_policys_are_candidates_elsewhere():
    found = compiled(credentials=[KEY]).sieve
    assert found._has_key(REGISTRY.get("groq"))
    assert not found._has_key(REGISTRY.get("together"))


@pytest.mark.parametrize(
    ("provider", "signs"), [("aws-bedrock", True), ("groq", False)], ids=["AWS", "Groq"]
)
def test_it_is_known_beforehand_whether_requests_may_be_signed(provider, signs):
    assert compiled(credentials=[{**KEY, "provider": provider}]).signs == signs
