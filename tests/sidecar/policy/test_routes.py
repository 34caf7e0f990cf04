"""Which route has a call, and which of its candidates may be taken: tables."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.policy.limits import ModelRules
from remora.policy.routing import Candidate, Route, Target
from remora.providers import ProviderRegistry
from remora_sidecar.dialects.parameters import parameters
from remora_sidecar.policy.routes import Asked, Dropped, ModelGate, Routes, Sieve, host_of

REGISTRY = ProviderRegistry.builtin()
OPENAI = REGISTRY.get("openai")
ASKED = Asked(OPENAI, "openai-chat", "chat", "gpt-4o", "/v1/chat/completions")


def route(name="r", **match):
    return Route.model_validate({"name": name, "match": match})


def never(_):
    raise AssertionError("no condition stands there")


TAKEN = {
    "nothing said takes prompts": ({}, "chat", "gpt-4o", True),
    "text completions are prompts": ({}, "text_completion", "m", True),
    "what Gemini calls prompts is": ({}, "generate_content", "m", True),
    "embeddings are not": ({}, "embeddings", "m", False),
    "lists of models are not": ({}, "list_models", "", False),
    "moderations are not": ({}, "moderation", "m", False),
    "an operation that is named": ({"operations": ["embeddings"]}, "embeddings", "m", True),
    "a prompt where another is named": ({"operations": ["embeddings"]}, "chat", "m", False),
    "one of two operations": ({"operations": ["chat", "embeddings"]}, "chat", "m", True),
    "a model that is named": ({"models": ["gpt-4o"]}, "chat", "gpt-4o", True),
    "a model that a glob takes": ({"models": ["gpt-*"]}, "chat", "gpt-4o-mini", True),
    "a model in other letters": ({"models": ["gpt-4o"]}, "chat", "GPT-4o", True),
    "another model": ({"models": ["gpt-4o"]}, "chat", "o1", False),
    "no model where one is named": ({"models": ["gpt-4o"]}, "chat", "", False),
    "one of two models": ({"models": ["o1", "gpt-4o"]}, "chat", "gpt-4o", True),
    "the model of another operation": (
        {"models": ["m"], "operations": ["embeddings"]}, "chat", "m", False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("match", "operation", "model", "taken"), TAKEN.values(), ids=TAKEN)
def test_a_route_takes_what_it_names(match, operation, model, taken):
    routes = Routes([route(**match)])
    for _ in range(2):  # the second is remembered
        assert (routes.of(operation, model, never) is not None) == taken


def test_the_first_route_that_takes_a_call_has_it():
    routes = Routes([route("o", models=["o1"]), route("all"), route("gpt", models=["gpt-4o"])])
    assert routes.of("chat", "gpt-4o", never).name == "all"
    assert routes.of("chat", "o1", never).name == "o"


@pytest.mark.parametrize(
    ("holding", "had_by", "asked"),
    [
        ({"a", "b"}, "a", ["a"]),
        ({"b"}, "b", ["a", "b"]),
        (set(), "rest", ["a", "b"]),
    ],
    ids=["the first holds", "the second holds", "none holds"],
)
def test_conditions_are_asked_in_order_and_no_further_than_needed(holding, had_by, asked):
    said = []
    routes = Routes([route("a", condition="true"), route("b", condition="true"), route("rest")])
    found = routes.of("chat", "m", lambda one: said.append(one.name) or one.name in holding)
    assert (found.name, said) == (had_by, asked)


def test_a_condition_is_asked_again_for_every_call():
    answers = iter([True, False])
    routes = Routes([route("a", condition="true")])
    assert routes.of("chat", "m", lambda _: next(answers)) is not None
    assert routes.of("chat", "m", lambda _: next(answers)) is None


def test_a_condition_of_a_route_that_does_not_take_the_model_is_not_asked():
    routes = Routes([route("a", models=["o1"], condition="true")])
    assert routes.of("chat", "gpt-4o", never) is None


def test_no_routes_are_no_routes():
    assert not Routes([])
    assert Routes([]).of("chat", "m", never) is None


def test_agents_that_ask_for_ever_new_models_fill_no_memory():
    routes, gate = Routes([route()]), ModelGate(ModelRules(deny=["o1"]))
    for number in range(5_000):
        assert routes.of("chat", f"m{number}", never) is not None
        assert gate.permits(f"m{number}")
    assert len(routes._remembered) == len(gate._remembered) == 2_048


def sieve(
    keys=("groq", "anthropic", "aws-bedrock", "google", "azure-openai", "fireworks"), **models
):
    return Sieve(REGISTRY, ModelGate(ModelRules(**models)), lambda one: one.name in keys)


ANTHROPIC = ASKED._replace(
    provider=REGISTRY.get("anthropic"), dialect="anthropic-messages", path="/v1/messages"
)
SEALED = ASKED._replace(sealed="it is signed")
UNKNOWN_PATH = ASKED._replace(path="/my/own/gateway")

SIEVED = {
    "another model": (ASKED, {"model": "gpt-4o-mini"}, ""),
    "the same model": (ASKED, {"model": "gpt-4o"}, ""),
    "the same provider by name": (ASKED, {"provider": "openai", "model": "o1"}, ""),
    "a provider that speaks the dialect": (ASKED, {"provider": "groq", "model": "m"}, ""),
    "a second dialect of a provider": (ASKED, {"provider": "anthropic", "model": "m"}, ""),
    "nobody's provider": (ASKED, {"provider": "nobody", "model": "m"}, "unknown_provider"),
    "another dialect": (ASKED, {"provider": "aws-bedrock", "model": "m"}, "address"),
    "a dialect that it does not speak": (
        ANTHROPIC, {"provider": "groq", "model": "m"}, "dialect",
    ),
    "a denied model": (ASKED, {"model": "gpt-3.5-turbo"}, "model_denied"),
    "a denied model elsewhere": (
        ASKED, {"provider": "groq", "model": "gpt-3.5-turbo"}, "model_denied",
    ),
    "no key for another provider": (ASKED, {"provider": "together", "model": "m"}, "credential"),
    "only patterns of hosts": (ASKED, {"provider": "azure-openai", "model": "m"}, "address"),
    "a path that nobody knows elsewhere": (
        UNKNOWN_PATH, {"provider": "groq", "model": "m"}, "address",
    ),
    "a path that nobody knows, in its place": (UNKNOWN_PATH, {"model": "m"}, ""),
    "a sealed request asked for what it asks for": (SEALED, {"model": "gpt-4o"}, ""),
    "a sealed request asked for more": (SEALED, {"model": "o1"}, "it is signed"),
    "a sealed request elsewhere": (SEALED, {"provider": "groq", "model": "m"}, "it is signed"),
}  # fmt: skip


@pytest.mark.parametrize("asked", [ASKED, SEALED], ids=["open", "sealed"])
def test_a_candidate_with_parameters_needs_a_request_that_may_change(asked):
    set_ = {"temperature": 0}
    candidate = Candidate.model_validate({"model": "gpt-4o", "parameters": set_})
    found = sieve().sorted(asked, [candidate])
    if asked is SEALED:
        assert found.dropped == (Dropped("openai", "gpt-4o", "it is signed", parameters(set_)),)
    else:
        (offer,) = found.offers
        assert offer.key == 'openai/gpt-4o {"temperature":0}'


@pytest.mark.parametrize(("asked", "target", "why"), SIEVED.values(), ids=SIEVED)
@pytest.mark.parametrize("made", [Candidate, Target], ids=["candidate", "fallback"])
def test_what_may_not_be_taken_is_dropped_with_the_word_for_why(asked, target, why, made):
    found = sieve(deny=["gpt-3.5*"]).sorted(asked, [made.model_validate(target)])
    if why:
        (dropped,) = found.dropped
        assert dropped == Dropped(target.get("provider", "openai"), target["model"], why)
        assert found.offers == ()
    else:
        (offer,) = found.offers
        assert offer.key == f"{target.get('provider', asked.provider.name)}/{target['model']}"
        assert found.dropped == ()


def test_candidates_keep_their_order_and_what_policy_says_of_them():
    targets = [Candidate(model=name, weight=n) for n, name in enumerate(("a", "x", "b"), 1)]
    found = sieve(deny=["x"]).sorted(ASKED, targets)
    assert [(o.model, o.candidate.weight) for o in found.offers] == [("a", 1), ("b", 3)]
    assert [d.model for d in found.dropped] == ["x"]


def test_a_candidate_at_the_asked_provider_needs_no_key_of_policys():
    found = sieve(keys=()).sorted(ASKED, [Candidate(model="o1")])
    assert len(found.offers) == 1


def test_a_provider_that_was_defined_anew_is_the_one_that_was_asked():
    own = replace(OPENAI, base_paths={})
    found = sieve().sorted(ASKED._replace(provider=own), [Target(provider="openai", model="m")])
    assert found.offers[0].provider is own


@pytest.mark.parametrize(
    ("provider", "host"),
    [("openai", "api.openai.com"), ("aws-bedrock", None), ("azure-openai", None)],
)
def test_a_provider_of_patterns_alone_has_no_host_to_send_to(provider, host):
    assert host_of(REGISTRY.get(provider)) == host


PERMITTED = {
    "nothing said": ({}, "m", True),
    "nothing said of no model": ({}, "", True),
    "allowed": ({"allow": ["gpt-*"]}, "gpt-4o", True),
    "not allowed": ({"allow": ["gpt-*"]}, "o1", False),
    "no model where some are allowed": ({"allow": ["*"]}, "", False),
    "denied": ({"deny": ["o1*"]}, "o1-pro", False),
    "denied though allowed": ({"allow": ["*"], "deny": ["o1*"]}, "o1", False),
    "no model where some are denied": ({"deny": ["o1"]}, "", False),
    "allowed but not by the floor": ({"allow": ["*"], "within": [["gpt-*"]]}, "o1", False),
    "allowed by all floors": ({"within": [["gpt-*"], ["*-4o"]]}, "gpt-4o", True),
}


@pytest.mark.parametrize(("rules", "model", "permitted"), PERMITTED.values(), ids=PERMITTED)
def test_models_are_permitted_by_name(rules, model, permitted):
    gate = ModelGate(ModelRules.model_validate(rules))
    for _ in range(2):  # the second is remembered
        assert gate.permits(model) == permitted
    assert gate.restricts == bool(rules)


@given(st.lists(st.sampled_from(["gpt-4o", "o1", "x", ""]), max_size=30))
def test_what_is_remembered_is_what_would_be_found(models):
    rules = ModelRules(allow=["gpt-*", "o*"], deny=["o1"])
    gate = ModelGate(rules)
    assert [gate.permits(m) for m in models] == [bool(m) and rules.permits(m) for m in models]
