"""What floors do to a policy, and that the result travels unharmed."""

import json

from hypothesis import given
from hypothesis import strategies as st

from remora.policy import PolicyDocuments, effective_policy
from remora.policy.canonical import effective_from_canonical
from remora.policy.limits import ModelRules
from remora.policy.spec import KINDS, LLMPolicy

API = "remora.dev/v1alpha1"


def _document(kind, name, spec):
    head = {"apiVersion": API, "kind": kind, "metadata": {"name": name}}
    return KINDS[kind].model_validate({**head, "spec": spec})


def _effective(spec, *floors, defaults=None):
    clusters = [
        _document("ClusterLLMPolicy", f"c{number}", {"floors": floor})
        for number, floor in enumerate(floors)
    ]
    if defaults is not None:
        clusters.append(_document("ClusterLLMPolicy", "defaults", {"defaults": defaults}))
    policies = () if spec is None else (_document("LLMPolicy", "p", spec),)
    return effective_policy(PolicyDocuments(policies, tuple(clusters)), {})


def _read_again(effective):
    policy = json.loads(effective.canonical)["policy"]
    return LLMPolicy.model_validate(policy)


def test_a_model_has_to_be_permitted_by_the_policy_and_by_every_floor():
    models = _effective(
        {"models": {"allow": ["gpt-*", "claude-*"], "deny": ["*-preview"]}},
        {"models": {"allow": ["*-mini", "claude-*"]}},
        {"models": {"deny": ["claude-1*"]}},
    ).rules.models
    permitted = ["gpt-4o", "gpt-4o-mini", "claude-4", "claude-1.3", "gpt-5-mini-preview", "o3-mini"]
    assert [name for name in permitted if models.permits(name)] == ["gpt-4o-mini", "claude-4"]


def test_a_floor_restricts_a_policy_that_allows_everything():
    effective = _effective({}, {"models": {"allow": ["gpt-*"]}})
    assert effective.rules.models.permits("GPT-4o")
    assert not effective.rules.models.permits("claude-4")
    assert effective.opaque == "block"


GLOBS = st.lists(st.text("ab*?", min_size=1, max_size=3), max_size=3)
LISTS = st.lists(GLOBS.filter(bool), max_size=2)
MODELS = st.fixed_dictionaries({}, optional={"allow": GLOBS, "within": LISTS, "deny": GLOBS})
SPECS = st.fixed_dictionaries(
    {"models": MODELS}, optional={"capture": st.sampled_from(["metadata", "redacted", "full"])}
)


@given(MODELS, st.lists(MODELS, max_size=3), st.text("ab", max_size=4))
def test_what_is_permitted_is_what_policy_and_floors_permit(own, floors, name):
    merged = _effective({"models": own}, *({"models": floor} for floor in floors)).rules.models
    every = [ModelRules.model_validate(rules) for rules in (own, *floors)]
    assert merged.permits(name) is all(rules.permits(name) for rules in every)


def test_all_budgets_apply_and_those_of_floors_carry_their_policys_name():
    budget = {"name": "daily", "per": "namespace", "maxCostUSD": "5", "window": "1d"}
    floor = {"budgets": [{**budget, "maxCostUSD": "50"}]}
    effective = _effective({"budgets": [budget]}, floor, floor)
    assert [budget.name for budget in effective.rules.budgets] == ["daily", "c0/daily", "c1/daily"]


def test_the_longest_name_of_a_cluster_policy_fits_before_a_budgets():
    name = ".".join(["a" * 63] * 3) + "." + "a" * 61
    floors = {"budgets": [{"name": "b" * 63, "per": "pod", "maxTokens": 1}]}
    cluster = _document("ClusterLLMPolicy", name, {"floors": floors})
    effective = effective_policy(PolicyDocuments(cluster_policies=(cluster,)), {})
    assert _read_again(effective).spec == effective.rules


def test_credentials_of_a_policy_stay_and_floors_bring_none():
    key = {"provider": "openai", "secretRef": {"name": "keys", "key": "openai"}}
    effective = _effective({"credentials": [key]}, {"capture": "metadata"})
    assert [credential.provider for credential in effective.rules.credentials] == ["openai"]


def test_who_was_selected_and_how_is_no_part_of_what_travels():
    spec = {"selector": {"matchLabels": {}}, "priority": 7, "capture": "full"}
    assert _effective(spec).version == _effective({"capture": "full"}).version


def test_of_defaults_the_same_travels_as_of_a_policy():
    own, default = _effective({"capture": "full"}), _effective(None, defaults={"capture": "full"})
    assert own.rules == default.rules


BUDGETS = st.lists(
    st.sampled_from(["one", "two"]).map(
        lambda name: {"name": name, "per": "pod", "maxTokens": 9, "window": "1h"}
    ),
    max_size=2,
    unique_by=lambda budget: budget["name"],
)
FLOORS = st.fixed_dictionaries({"models": MODELS, "budgets": BUDGETS})


@given(SPECS, BUDGETS, st.lists(FLOORS, max_size=2))
def test_what_travels_is_read_as_the_same_rules_of_the_same_version(spec, budgets, floors):
    sent = _effective({**spec, "budgets": budgets}, *floors)
    policy = _read_again(sent)
    assert policy.spec == sent.rules
    again = effective_policy(PolicyDocuments((policy,)), {})
    assert (again.canonical, again.version) == (sent.canonical, sent.version)


def test_providers_that_routes_and_credentials_name_travel_without_being_intercepted():
    speaks = {"dialects": ["openai-chat"]}
    providers = tuple(
        _document("LLMProvider", name, {**speaks, "hosts": [f"{name}.example.com"]})
        for name in ("routed", "keyed", "idle")
    )
    spec = {
        "intercept": ["openai"],
        "routes": [{"name": "r", "fallback": [{"provider": "routed", "model": "m"}]}],
        "credentials": [{"provider": "keyed", "onlyFrom": "policy"}],
    }
    documents = PolicyDocuments((_document("LLMPolicy", "p", spec),), (), providers)
    effective = effective_policy(documents, {})
    assert effective.intercept == ("openai",)
    assert [provider.metadata.name for provider in effective.providers] == ["keyed", "routed"]


def test_a_route_that_no_call_reaches_is_noted():
    effective = _effective({"routes": [{"name": "all"}, {"name": "late"}]})
    assert effective.notes == (
        "routes[1]: route 'late' never has a call, since 'all' before it takes all that it "
        "takes: put it first, or remove it",
    )


def test_a_merged_document_is_read_where_those_of_people_would_be_refused():
    enforced = _effective({"capture": "full"}, {"capture": "metadata", "opaque": "block"})
    assert effective_from_canonical(enforced.canonical).rules == enforced.rules
