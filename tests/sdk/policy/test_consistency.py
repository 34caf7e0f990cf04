"""What is found between fields and documents: names that nobody has, keys in the open, ties."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import ConfigError
from remora.policy import load_documents
from remora.policy.globs import Glob
from remora.policy.reachability import shadowed_routes
from remora.policy.selector import LabelSelector
from remora.policy.spec import CallRules

API = "apiVersion: remora.dev/v1alpha1\n"
HEAD = f"{API}kind: LLMPolicy\nmetadata: {{name: p}}\n"
OPEN = (
    f"---\n{API}kind: LLMProvider\nmetadata: {{name: mine}}\n"
    "spec: {hosts: [llm.example.com], tls: false, dialects: [openai-chat]%s}\n"
)
KEY = "secretRef: {name: keys, key: one}"


def _problems(text):
    try:
        load_documents({"policy.yaml": text})
    except ConfigError as refusal:
        return [str(problem) for problem in refusal.problems]
    return []


UNKNOWN = {
    "a candidate's": (
        "spec:\n  routes:\n  - name: r\n    router: {policy: random, candidates: "
        "[{model: a}, {provider: opnai, model: b}]}",
        "policy.yaml:7:56 spec.routes[0].router.candidates[1].provider: "
        "no provider 'opnai'; did you mean 'openai'?",
    ),
    "a fallback's": (
        "spec: {routes: [{name: r, fallback: [{provider: goq, model: b}]}]}",
        "policy.yaml:4:39 spec.routes[0].fallback[0].provider: "
        "no provider 'goq'; did you mean 'groq'?",
    ),
    "a credential's": (
        f"spec: {{credentials: [{{provider: antropic, {KEY}}}]}}",
        "policy.yaml:4:23 spec.credentials[0].provider: "
        "no provider 'antropic'; did you mean 'anthropic'?",
    ),
}


@pytest.mark.parametrize(("spec", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_provider_that_nobody_knows_is_named_with_its_place(spec, message):
    assert _problems(HEAD + spec) == [message]


def test_the_defaults_of_a_cluster_are_looked_at_as_policies_are():
    text = (
        f"{API}kind: ClusterLLMPolicy\nmetadata: {{name: c}}\n"
        "spec: {defaults: {routes: [{name: r, fallback: [{provider: goq, model: b}]}]}}"
    )
    assert _problems(text) == [
        "policy.yaml:4:50 spec.defaults.routes[0].fallback[0].provider: "
        "no provider 'goq'; did you mean 'groq'?"
    ]


def test_a_star_stands_for_every_provider_of_a_credential():
    assert _problems(HEAD + "spec: {credentials: [{provider: '*', onlyFrom: policy}]}") == []


CREDENTIALS = {
    "in plain HTTP": ("mine", KEY, "", True),
    "in plain HTTP that is allowed": ("mine", KEY, ", allowInsecure: true", False),
    "in plain HTTP to a built-in one": ("ollama", KEY, "", True),
    "over TLS": ("openai", KEY, "", False),
    "no key at all": ("mine", "onlyFrom: policy", "", False),
}


@pytest.mark.parametrize(
    ("provider", "key", "allowed", "refused"), CREDENTIALS.values(), ids=CREDENTIALS
)
def test_a_key_is_taken_only_where_it_goes_over_tls(provider, key, allowed, refused):
    spec = f"spec: {{credentials: [{{provider: {provider}, {key}}}]}}\n"
    said = _problems(HEAD + spec + OPEN % allowed)
    assert [("TLS only" in problem) for problem in said] == [True] * refused


def test_a_name_of_floors_is_taken_by_no_budget_of_a_document():
    budgets = "[{name: corp/daily, per: pod, maxTokens: 1}]"
    text = HEAD + f"spec: {{budgets: {budgets}}}\n---\n{API}kind: ClusterLLMPolicy\n"
    text += f"metadata: {{name: corp}}\nspec: {{floors: {{budgets: {budgets}}}}}\n"
    assert [problem.partition(" ")[2] for problem in _problems(text)] == [
        "spec.budgets[0].name: a name with '/' is kept for the budgets of floors: leave it out",
        "spec.floors.budgets[0].name: a name with '/' is kept for the budgets of floors: "
        "leave it out",
    ]


ROUTES = {
    "all before one": ([{}, {"models": ["gpt-*"]}], [1]),
    "one before all": ([{"models": ["gpt-*"]}, {}], []),
    "wider models first": ([{"models": ["gpt-*"]}, {"models": ["gpt-4o*", "GPT-5"]}], [1]),
    "one model more": ([{"models": ["gpt-*"]}, {"models": ["gpt-4o", "o3"]}], []),
    "a star is all": ([{"models": ["*"]}, {}], [1]),
    "a condition lets some by": ([{"condition": "request.stream"}, {"models": ["a"]}], []),
    "a condition behind": ([{}, {"condition": "request.stream"}], [1]),
    "another operation": ([{}, {"operations": ["embeddings"]}], []),
    "an answering operation": ([{}, {"operations": ["chat"]}], [1]),
    "one operation before all": ([{"operations": ["chat"]}, {}], []),
    "all the operations by name": (
        [{"operations": ["chat", "text_completion", "generate_content"]}, {}],
        [1],
    ),
    "two together are not found": (
        [{"operations": ["chat"]}, {"operations": ["text_completion", "generate_content"]}, {}],
        [],
    ),
}


@pytest.mark.parametrize(("matches", "shadowed"), ROUTES.values(), ids=ROUTES)
def test_a_route_behind_one_that_takes_all_of_it_is_found(matches, shadowed):
    routes = [{"name": f"r{number}", "match": match} for number, match in enumerate(matches)]
    found = shadowed_routes(CallRules.model_validate({"routes": routes}))
    assert [route.index for route in found] == shadowed


PATTERNS = st.text("ab*?", min_size=1, max_size=5)


@given(PATTERNS, PATTERNS, st.text("ab", max_size=6))
def test_a_pattern_that_covers_another_takes_all_that_the_other_takes(wide, narrow, name):
    if Glob(wide).covers(Glob(narrow)) and Glob(narrow).matches(name):
        assert Glob(wide).matches(name)


@given(PATTERNS)
def test_every_pattern_covers_itself_and_a_star_covers_every_pattern(pattern):
    assert Glob(pattern).covers(Glob(pattern.upper()))
    assert Glob("*").covers(Glob(pattern))


VALUES = st.sampled_from(["x", "y"])
REQUIREMENTS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "key": st.sampled_from(["a", "b"]),
                "operator": st.sampled_from(["In", "NotIn"]),
                "values": st.lists(VALUES, min_size=1, max_size=2),
            }
        ),
        st.fixed_dictionaries(
            {
                "key": st.sampled_from(["a", "b"]),
                "operator": st.sampled_from(["Exists", "DoesNotExist"]),
            }
        ),
    ),
    max_size=3,
)
SELECTORS = st.fixed_dictionaries(
    {}, optional={"matchLabels": st.dictionaries(st.just("a"), VALUES),
                  "matchExpressions": REQUIREMENTS}
).map(LabelSelector.model_validate)  # fmt: skip
POSSIBLE_LABELS = [
    {key: value for key, value in (("a", a), ("b", b)) if value}
    for a in ("", "x", "y", "z")
    for b in ("", "x", "y", "z")
]


@given(SELECTORS, SELECTORS)
def test_selectors_meet_where_some_labels_are_selected_by_both(one, other):
    both = [labels for labels in POSSIBLE_LABELS if one.matches(labels) and other.matches(labels)]
    assert one.meets(other) is bool(both)


def _warnings(*documents):
    loaded = load_documents({"policy.yaml": "---\n".join(documents)})
    return [str(warning) for warning in loaded.warnings]


def _policy(name, spec="{}", namespace=None):
    metadata = f"{{name: {name}" + (f", namespace: {namespace}" if namespace else "") + "}"
    return f"{API}kind: LLMPolicy\nmetadata: {metadata}\nspec: {spec}\n"


TIES = {
    "both take all": (_policy("a"), _policy("b"), True),
    "other priorities": (_policy("a", "{priority: 1}"), _policy("b"), False),
    "other labels": (
        _policy("a", "{selector: {matchLabels: {app: x}}}"),
        _policy("b", "{selector: {matchLabels: {app: y}}}"),
        False,
    ),
    "other namespaces": (_policy("a", namespace="n"), _policy("b", namespace="m"), False),
    "a namespace and none": (_policy("a", namespace="n"), _policy("b"), True),
}


@pytest.mark.parametrize(("one", "other", "tied"), TIES.values(), ids=TIES)
def test_policies_that_may_tie_are_warned_of(one, other, tied):
    assert any("same priority" in warning for warning in _warnings(one, other)) is tied


def test_a_tie_is_said_where_the_loser_stands():
    assert _warnings(_policy("b", "{priority: 0}"), _policy("a")) == [
        "policy.yaml:4:8 spec.priority: may select the same pods as LLMPolicy 'a' with the same "
        "priority, which then applies as the first by name: give them different priorities"
    ]


def test_second_defaults_of_a_cluster_are_warned_of():
    clusters = [
        f"{API}kind: ClusterLLMPolicy\nmetadata: {{name: {name}}}\nspec: {{defaults: {{}}}}\n"
        for name in ("b", "a")
    ]
    assert _warnings(*clusters) == [
        "policy.yaml:4:8 spec.defaults: never apply: those of ClusterLLMPolicy 'a' do, "
        "as the first by name"
    ]


def _learning(*routers):
    routes = [
        {"name": f"r{at}", "match": {"models": [f"m{at}"]},
         "router": {"policy": "learned", "candidates": [{"model": "m"}], **router}}
        for at, router in enumerate(routers)
    ]  # fmt: skip
    return _warnings(_policy("a", json.dumps({"routes": routes})))


LEARNED = {
    "one goal in one way": ([{"goal": "g", "staleness": "1d"}] * 2, []),
    "other goals": ([{"goal": "g", "updates": "gated"}, {"goal": "h"}], []),
    "what decides is each route's own": ([{"goal": "g", "band": 0.1}, {"goal": "g"}], []),
    "live is what is meant": ([{"goal": "g", "updates": "live"}, {"goal": "g"}], []),
    "scores made otherwise": (
        [{"goal": "g", "staleness": "1d"}, {"goal": "g", "updates": "gated"}],
        ["staleness", "updates"],
    ),
    "of goals that no route names": ([{}, {"updates": "gated"}], ["updates"]),
}


@pytest.mark.parametrize(("routers", "fields"), LEARNED.values(), ids=LEARNED)
def test_routes_that_want_one_goals_scores_made_otherwise_are_warned_of(routers, fields):
    found = _learning(*routers)
    assert len(found) == len(fields)
    for warning, field in zip(found, fields, strict=True):
        assert "spec.routes[1].router" in warning
        assert f"says another {field}" in warning
