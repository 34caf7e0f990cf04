"""Which policy a pod gets, and what floors do to it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import ConfigError
from remora.policy import PolicySource, effective_policy, load_documents
from remora.providers import ProviderRegistry

API = "apiVersion: remora.dev/v1alpha1\n"


def _policy(name, spec):
    return f"{API}kind: LLMPolicy\nmetadata: {{name: {name}}}\nspec: {json.dumps(spec)}\n"


def _cluster(name, spec):
    return f"{API}kind: ClusterLLMPolicy\nmetadata: {{name: {name}}}\nspec: {json.dumps(spec)}\n"


def _provider(name, **spec):
    spec = {"dialects": ["openai-chat"], **spec}
    return f"{API}kind: LLMProvider\nmetadata: {{name: {name}}}\nspec: {json.dumps(spec)}\n"


def _effective(*documents, labels=None, preset=None):
    loaded = load_documents({"policy.yaml": "---\n".join(documents)})
    return effective_policy(loaded, labels or {}, preset)


def test_without_documents_everything_is_recorded_and_nothing_changed():
    policy = _effective()
    assert policy.source is PolicySource.NONE
    assert (policy.capture, policy.opaque) == ("metadata", "allow")
    assert policy.intercept == tuple(sorted(ProviderRegistry.builtin().names))


def test_the_preset_applies_where_no_policy_is_given():
    assert _effective(preset="tracker").capture == "full"
    assert _effective(_policy("p", {}), preset="tracker").capture == "metadata"


def test_the_highest_matching_priority_wins_whole():
    documents = (
        _policy("low", {"priority": 1, "capture": "full", "opaque": "block"}),
        _policy("high", {"priority": 2, "intercept": ["openai"]}),
        _policy("other", {"priority": 9, "selector": {"matchLabels": {"app": "x"}}}),
    )
    policy = _effective(*documents, labels={"app": "mine"})
    assert (policy.name, policy.capture, policy.opaque) == ("high", "metadata", "allow")
    assert policy.intercept == ("openai",)
    assert _effective(*documents, labels={"app": "x"}).name == "other"


def test_of_equal_ones_the_first_by_name_wins_and_it_is_said():
    policy = _effective(_policy("b", {"capture": "full"}), _policy("a", {}))
    assert policy.name == "a"
    assert any("b" in note for note in policy.notes)


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({}, True),
        ({"matchLabels": {"app": "a"}}, True),
        ({"matchLabels": {"app": "b"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, True),
        ({"matchLabels": {"app": "a"},
          "matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
    ],
    ids=lambda value: json.dumps(value)[:60],
)  # fmt: skip
def test_selectors_choose_as_kubernetes_does(selector, matches):
    policy = _effective(_policy("p", {"selector": selector}), labels={"app": "a"})
    assert (policy.name == "p") is matches


def test_cluster_defaults_apply_where_no_policy_matches():
    cluster = _cluster("c", {"defaults": {"capture": "full"}})
    assert _effective(cluster).capture == "full"
    assert _effective(cluster, _policy("p", {})).capture == "metadata"


CAPTURES = st.sampled_from(["metadata", "full"])
OPAQUES = st.sampled_from([None, "allow", "block"])


@given(CAPTURES, OPAQUES, st.lists(st.tuples(CAPTURES, OPAQUES), max_size=3))
def test_no_policy_goes_below_a_floor(capture, opaque, floors):
    spec = {"capture": capture} | ({"opaque": opaque} if opaque else {})
    documents = [_policy("p", spec)]
    for number, (floor_capture, floor_opaque) in enumerate(floors):
        floor = {"capture": floor_capture} | ({"opaque": floor_opaque} if floor_opaque else {})
        documents.append(_cluster(f"c{number}", {"floors": floor}))
    policy = _effective(*documents)
    captures = [capture, *(floor for floor, _ in floors)]
    assert policy.capture == ("metadata" if "metadata" in captures else "full")
    blocked = "block" in [opaque, *(floor for _, floor in floors)]
    assert policy.opaque == ("block" if blocked else "allow")


def test_the_version_is_the_same_however_it_was_written():
    one = _effective(_policy("p", {"capture": "full", "intercept": ["openai", "anthropic"]}))
    other = _effective(_policy("p", {"intercept": ["openai", "anthropic"], "capture": "full"}))
    third = _effective(_policy("p", {"capture": "full"}))
    assert one.version == other.version != third.version


def test_a_defined_provider_is_intercepted_unless_others_are_named():
    mine = _provider("mine", hosts=["llm.example.com"])
    assert "mine" in _effective(mine).intercept
    assert "mine" not in _effective(mine, _policy("p", {"intercept": ["openai"]})).intercept


ACROSS = {
    "nobody says it": ([{}], False),
    "one document says it": ([{}, {"learning": {"acrossNamespaces": True}}], True),
    "another forbids it": (
        [{"learning": {"acrossNamespaces": True}}, {"learning": {"acrossNamespaces": False}}],
        False,
    ),
    "no document": ([], False),
}


@pytest.mark.parametrize(("specs", "across"), ACROSS.values(), ids=ACROSS)
def test_namespaces_learn_from_each_other_where_a_cluster_lets_them(specs, across):
    clusters = [_cluster(f"c{number}", spec) for number, spec in enumerate(specs)]
    policy = _effective(_policy("p", {}), *clusters)
    assert policy.across_namespaces is across
    assert ("learning" in json.loads(policy.canonical)) is across


def test_a_policy_of_a_namespace_can_not_let_itself_learn_from_others():
    with pytest.raises(ConfigError, match=r"spec\.learning: unknown field"):
        _effective(_policy("p", {"learning": {"acrossNamespaces": True}}))
