"""Objects of the API server, read one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.policies.objects import custom, policy, provider

from remora.errors import ConfigError
from remora_operator.policies import ObjectKey, read_object


def test_what_the_api_server_adds_is_no_matter():
    reading = policy(spec={"capture": "full"}, generation=3)
    assert (reading.problems, reading.generation) == ((), 3)
    assert reading.document.spec.capture == "full"
    assert reading.key == ObjectKey("LLMPolicy", "team-a", "research")
    assert str(reading.key) == "LLMPolicy team-a/research"


@pytest.mark.parametrize(
    ("spec", "where", "what"),
    [
        ({"capture": "all"}, "spec.capture", "should be"),
        ({"captur": "full"}, "spec.captur", "did you mean 'capture'"),
        ({"budgets": [{"name": "a", "per": "task"}]}, "spec.budgets[0]", "maxCostUSD"),
        ({"routes": [{"name": "r", "match": {"condition": "1 +"}}]}, "spec.routes[0]", ""),
        ({"budgets": [{"name": "a/b", "per": "call", "maxTokens": 1}]}, "name", "floors"),
        ({"credentials": [{"provider": "ollama", "secretRef": {"name": "a", "key": "k"}}]},
         "spec.credentials[0].provider", "TLS only"),
        ("no mapping", "spec", "mapping"),
        ({"capture": "\ud800"}, "document", "no Unicode"),
        ({"intercept": {"a": {1, 2}}}, "document", "no JSON"),
    ],
    ids=["value", "field", "budget", "condition", "kept name", "open", "text", "surrogate", "set"],
)  # fmt: skip
def test_what_can_not_be_read_is_named_by_its_field(spec, where, what):
    reading = policy(spec=spec)
    assert reading.document is None
    assert any(where in p.where and what in p.what for p in reading.problems), reading.problems


def test_nesting_without_end_is_refused_not_followed():
    deep = {}
    for _ in range(400):
        deep = {"a": [deep]}
    assert "deeper" in policy(spec=deep).problems[0].what


def test_a_provider_that_takes_a_built_in_host_can_not_be_read():
    reading = provider(host="api.openai.com")
    assert "built-in provider 'openai'" in reading.problems[0].what
    assert provider("openai").document is None


def test_another_version_of_the_api_is_not_read():
    value = custom("LLMPolicy", "a", {}, namespace="n") | {"apiVersion": "remora.dev/v9"}
    assert read_object(value).problems[0].where == "apiVersion"


@pytest.mark.parametrize(
    ("spec", "labels", "priority"),
    [
        ({"selector": {"matchLabels": {"app": "a"}}, "priority": 7, "x": 1}, {"app": "a"}, 7),
        ({"selector": {"matchLabels": 7}, "x": 1}, {}, 0),
        ({"priority": "high"}, {}, None),
        ({"priority": True}, {}, None),
        (["odd"], {}, None),
    ],
    ids=["readable", "selector", "priority", "boolean", "all"],
)
def test_whom_an_unreadable_policy_is_for_is_read_as_far_as_it_goes(spec, labels, priority):
    reading = policy(spec=spec)
    assert (reading.document, reading.claim.priority) == (None, priority)
    assert dict(reading.claim.selector.match_labels) == labels


@pytest.mark.parametrize(
    "value",
    [{}, {"kind": "Pod", "metadata": {"name": "a"}}, {"kind": "LLMPolicy", "metadata": {}},
     {"kind": 7, "metadata": []}],
    ids=["empty", "other", "nameless", "odd"],
)  # fmt: skip
def test_what_is_no_object_of_ours_is_an_error(value):
    with pytest.raises(ConfigError):
        read_object(value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["selector", "priority", "models", "routes", "budgets", "credentials"]),
        _JSON,
    )
)
def test_any_spec_is_read_or_has_problems(spec):
    reading = policy(spec=spec)
    assert (reading.document is None) == bool(reading.problems)
