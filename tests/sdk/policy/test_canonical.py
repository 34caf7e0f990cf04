"""The document that travels, read back."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import ConfigError
from remora.policy import effective_from_canonical, effective_policy, load_documents
from remora.policy.canonical import MAX_DOCUMENT_BYTES
from remora.policy.support import ENFORCED

PAGES = sorted((Path(__file__).parents[3] / "docs").glob("*.md"))
API = "remora.dev/v1alpha1"


def _policy(spec, name="p"):
    return {"apiVersion": API, "kind": "LLMPolicy", "metadata": {"name": name}, "spec": spec}


def _provider(**spec):
    spec = {"hosts": ["llm.mine.example"], "dialects": ["openai-chat"], **spec}
    return {"apiVersion": API, "kind": "LLMProvider", "metadata": {"name": "mine"}, "spec": spec}


def _cluster(spec):
    return {
        "apiVersion": API,
        "kind": "ClusterLLMPolicy",
        "metadata": {"name": "all"},
        "spec": spec,
    }


def _effective(*documents, labels=None):
    text = "\n---\n".join(map(json.dumps, documents))
    return effective_policy(load_documents({"p.yaml": text}), labels or {})


def _assert_comes_back(effective):
    again = effective_from_canonical(effective.canonical, effective.version)
    stays = dict.fromkeys(("source", "notes", "rules"))
    assert {**vars(again), **stays} == {**vars(effective), **stays}
    fields = set(type(effective.rules).model_fields) & set(type(again.rules).model_fields)
    assert {f: getattr(again.rules, f) for f in fields} == {
        f: getattr(effective.rules, f) for f in fields
    }
    assert hashlib.sha256(again.canonical).hexdigest() == effective.version


def _examples():
    """The YAML examples of the pages that this release takes."""
    for page in PAGES:
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        for number, block in enumerate(b for b in blocks if f"apiVersion: {API}" in b):
            try:
                documents = load_documents({page.name: block})
            except ConfigError:
                continue
            yield pytest.param(documents, id=f"{page.stem}-{number}")


@pytest.mark.parametrize("documents", list(_examples()))
def test_every_example_comes_back_as_it_was(documents):
    choices = [p.spec.selector.match_labels for p in documents.policies] or [{}]
    for labels in choices:
        _assert_comes_back(effective_policy(documents, labels))


FIELDS = {
    "selector": st.just({"matchLabels": {"app": "a"}}),
    "priority": st.integers(-5, 5),
    "opaque": st.sampled_from(["allow", "block"]),
    "includeUsage": st.sampled_from(["auto", "never"]),
    "capture": st.sampled_from(["metadata", "full"]),
    "intercept": st.lists(st.sampled_from(["openai", "anthropic", "mine"]), unique=True),
    "models": st.fixed_dictionaries(
        {}, optional={"allow": st.just(["gpt-*"]), "deny": st.just(["o1*", "ü*"])}
    ),
    "maxRequestBody": st.sampled_from([1, "3Mi", "1.5k"]),
    "requireTask": st.booleans(),
    "breaker": st.just({"openFor": "1.5s"}),
    "cache": st.builds(
        lambda mode, ttl: {"mode": mode, "ttl": ttl, "maxSize": "1Gi"},
        st.sampled_from(["disabled", "read", "readwrite"]),
        st.sampled_from(["90m", "1d", "500ms"]),
    ),
    "budgets": st.lists(
        st.sampled_from(["0.25", "50", "0.10", "100.000"]), max_size=3
    ).map(lambda most: [{"name": f"b{n}", "per": "task", "maxCostUSD": m}
                        for n, m in enumerate(most)]),
    "rates": st.just([{"name": "r", "models": ["gpt-*"], "requestsPerMinute": 3}]),
    "routes": st.just([
        {
            "name": "chat",
            "match": {"models": ["gpt-4o"], "operations": ["chat"]},
            "router": {"policy": "weighted", "candidates": [{"model": "a", "weight": 2},
                                                            {"model": "b", "weight": 0}]},
            "fallback": [{"provider": "groq", "model": "c"}],
            "retry": {"attempts": 3, "max": "5s"},
            "timeouts": {"connect": "5s", "total": "1m"},
        }
    ]),
    "credentials": st.just(
        [{"provider": "openai", "secretRef": {"name": "openai", "key": "api-key"}}]
    ),
}  # fmt: skip
ENFORCED_FIELDS = {
    name: values for name, values in FIELDS.items() if f"spec.{name}" in ENFORCED["LLMPolicy"]
}
FLOORS = {"opaque": st.just("block"), "capture": st.sampled_from(["metadata", "full"])}


@given(
    st.fixed_dictionaries({}, optional=ENFORCED_FIELDS),
    st.fixed_dictionaries({}, optional=FLOORS),
    st.booleans(),
)
def test_every_policy_comes_back_as_it_was(spec, floors, is_plain):
    provider = _provider(tls=False, ports=[8000]) if is_plain else _provider()
    _assert_comes_back(
        _effective(_policy(spec), _cluster({"floors": floors}), provider, labels={"app": "a"})
    )


def test_what_the_sender_selected_is_not_selected_again():
    sent = _effective(
        _policy({"selector": {"matchLabels": {"app": "a"}}, "capture": "full"}), labels={"app": "a"}
    )
    assert effective_from_canonical(sent.canonical).capture == "full"


def _written(policy=None, providers=(), **more):
    policy = _policy({}) if policy is None else policy
    return json.dumps({"policy": policy, "providers": list(providers), **more}).encode()


def test_what_learned_routing_may_do_travels():
    sent = _effective(_policy({}), _cluster({"learning": {"acrossNamespaces": True}}))
    assert effective_from_canonical(sent.canonical).across_namespaces
    assert not effective_from_canonical(_effective(_policy({})).canonical).across_namespaces
    assert sent.version != _effective(_policy({})).version


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"", "document: is not JSON in UTF-8"),
        (b"{", "document: is not JSON in UTF-8"),
        (b"\xff", "document: is not JSON in UTF-8"),
        (b"[" * 100_000, "document: is not JSON in UTF-8"),
        (b"[" * 60 + b"]" * 60, "document: nested deeper than 48 levels"),
        (b" " * (MAX_DOCUMENT_BYTES + 1), "document: larger than 4194304 bytes"),
        (b'{"a":1,"a":2}', "document: has a field that stands twice"),
        (b'{"a":NaN}', "document: holds NaN, which is no JSON"),
        (b"[]", "document: should be a mapping of fields"),
        (b"{}", "policy: is required"),
        (b'{"polcy":{}}', "polcy: unknown field; did you mean 'policy'?"),
        (b'{"policy":{},"providers":{}}', "providers: should be a list"),
        (_written(learning=[]), "learning: should be a mapping"),
        (_written(learning={"across": True}), "learning: should be a mapping"),
        (_written(learning={"acrossNamespaces": 1}), "learning.acrossNamespaces: should be true"),
        (_written(_cluster({})), "document: should be one LLMPolicy with its LLMProviders"),
        (_written(_provider()), "document: should be one LLMPolicy with its LLMProviders"),
        (
            _written(_policy({"captur": "full"})),
            "policy.spec.captur: unknown field; did you mean 'capture'?",
        ),
        (_written(_policy({"capture": "all"})), "policy.spec.capture: "),
        (_written(_policy({"intercept": ["opnai"]})), "policy.spec.intercept[0]: no provider"),
        (
            _written(providers=[_provider(hosts=["api.openai.com"])]),
            "providers[0].spec.hosts[0]: 'api.openai.com' is or holds a host of the built-in",
        ),
        (_written(providers=[_provider(), _provider()]), "providers[1].metadata.name: "),
        (_written({"kind": "LLMPolicy"}), "policy.apiVersion: should be"),
    ],
)  # fmt: skip
def test_what_can_not_be_used_is_refused_by_the_path_of_its_field(document, problem):
    with pytest.raises(ConfigError) as refused:
        effective_from_canonical(document)
    assert any(str(found).startswith(problem) for found in refused.value.problems)


def test_a_field_that_nothing_enforces_is_refused():
    with pytest.raises(ConfigError, match=r"providers\[0\]\.spec\.futureField: unknown"):
        effective_from_canonical(_written(providers=[_provider(futureField=1)]))


def test_every_problem_is_said_at_once():
    document = _written(_policy({"capture": "all", "opaque": 3}), [_provider(ports=[0])])
    with pytest.raises(ConfigError) as refused:
        effective_from_canonical(document)
    assert [problem.where for problem in refused.value.problems] == [
        "policy.spec.opaque",
        "policy.spec.capture",
        "providers[0].spec.ports[0]",
    ]


def test_bytes_that_are_not_those_of_the_version_are_refused():
    sent = _effective(_policy({}))
    with pytest.raises(ConfigError, match="not those that its version names"):
        effective_from_canonical(sent.canonical + b" ", sent.version)


def test_no_text_without_meaning_gets_through():
    document = _written().replace(b'"p"', b'"\\ud800"')
    with pytest.raises(ConfigError):
        effective_from_canonical(document)


@given(st.binary() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
       lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(
           ["policy", "providers", "spec", "kind", "metadata"]), inner)).map(
               lambda value: json.dumps(value).encode()))  # fmt: skip
def test_whatever_comes_is_taken_or_refused(document):
    try:
        effective_from_canonical(document)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - either outcome is fine
