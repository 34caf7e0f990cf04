"""The custom resource definitions: structural, bounded, and of one opinion with the models."""

import copy
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import jsonschema
import pytest
from cel_expr_python import cel
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from remora.policy.crd import custom_resource_definitions
from remora.policy.crd_files import manifests
from remora.policy.crd_rules import RULES
from remora.policy.limits import RedactionPattern
from remora.policy.model import PolicyModel
from remora.policy.quantities import Duration, Quantity
from remora.policy.spec import KINDS

FOLDER = Path(__file__).parents[3] / "k8s/crds"
DEFINITIONS = {
    definition["spec"]["names"]["kind"]: definition for definition in custom_resource_definitions()
}
SCHEMAS = {
    kind: definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for kind, definition in DEFINITIONS.items()
}
NAMES = {
    "LLMPolicy": ("llmpolicies.remora.dev", "Namespaced"),
    "ClusterLLMPolicy": ("clusterllmpolicies.remora.dev", "Cluster"),
    "LLMProvider": ("llmproviders.remora.dev", "Cluster"),
}
STRUCTURE = {
    "type", "description", "properties", "additionalProperties", "items", "required", "default",
    "format", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}  # fmt: skip
VALUES = {
    "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "maxProperties", "enum", "anyOf",
}  # fmt: skip


def _nodes(schema, path=""):
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _nodes(inner, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from _nodes(schema[word], f"{path}[]")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_the_names_that_users_type(kind):
    definition = DEFINITIONS[kind]
    spec, version = definition["spec"], definition["spec"]["versions"][0]
    assert (definition["metadata"]["name"], spec["scope"]) == NAMES[kind]
    assert (spec["group"], version["name"]) == ("remora.dev", "v1alpha1")
    assert spec["names"]["plural"] + "." + spec["group"] == definition["metadata"]["name"]
    assert version["subresources"] == {"status": {}}
    assert "conditions" in SCHEMAS[kind]["properties"]["status"]["properties"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_structural(kind):
    for path, node in _nodes(SCHEMAS[kind]):
        assert set(node) <= STRUCTURE | VALUES, path
        if node.get("x-kubernetes-int-or-string"):
            assert "type" not in node, path
            assert node["anyOf"] == [{"type": "integer"}, {"type": "string"}], path
            continue
        if node == {"x-kubernetes-preserve-unknown-fields": True}:
            continue  # anything at all
        assert isinstance(node["type"], str), path
        assert not ("properties" in node and "additionalProperties" in node), path
        for branch in node.get("anyOf", ()):
            assert set(branch) <= VALUES, path
        assert set(node.get("required", ())) <= set(node.get("properties", {})), path
        assert not ("default" in node and node["type"] in ("object", "array")), path


@pytest.mark.parametrize("kind", KINDS)
def test_every_text_list_and_map_has_a_bound_so_that_rules_cost_little(kind):
    below = {"string": "maxLength", "array": "maxItems"}
    for path, node in _nodes(SCHEMAS[kind]["properties"]["spec"]):
        bound = below.get(node.get("type"))
        if "additionalProperties" in node:
            bound = "maxProperties"
        assert bound is None or bound in node or "enum" in node, path


def test_every_check_of_a_model_has_its_rules():
    def models(root):
        for sub in root.__subclasses__():
            yield sub
            yield from models(sub)

    checked = {
        model
        for model in models(PolicyModel)
        # The operator's settings are built on the same base and are in no manifest.
        if model.__module__.startswith("remora.policy.")
        and (
            model.__pydantic_decorators__.model_validators
            or model.__pydantic_decorators__.field_validators
        )
    }
    uncovered = {m for m in checked if not any(base in RULES for base in m.__mro__)}
    # What a regex of RE2 is, no rule can tell.
    assert uncovered - {RedactionPattern} == set()


def test_the_manifests_are_those_of_the_models():
    written = {file.name: file.read_text() for file in FOLDER.glob("*.yaml")}
    assert written == dict(manifests()), "make crds"


def test_the_module_writes_the_manifests(tmp_path):
    command = [sys.executable, "-m", "remora.policy.crd_files", str(tmp_path / "crds")]
    subprocess.run(command, check=True, timeout=60)
    read = YAML(typ="safe").load((tmp_path / "crds/llmproviders.yaml").read_text())
    assert read == DEFINITIONS["LLMProvider"]


# What an API server does with a document: defaults, then the schema, then the rules.


def _defaulted(schema, value):
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name not in value and "default" in inner:
                value[name] = copy.deepcopy(inner["default"])
            if name in value:
                _defaulted(inner, value[name])
    elif isinstance(value, list):
        for entry in value:
            _defaulted(schema.get("items", {}), entry)


@cache
def _rule(text):
    return cel.NewEnv(variables={"self": cel.Type.DYN}).compile(text)


def _broken(schema, value):
    for rule in schema.get("x-kubernetes-validations", ()):
        if not _holds(rule["rule"], value):
            yield rule["message"]
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from _broken(inner, value[name])
    elif isinstance(value, list):
        for entry in value:
            yield from _broken(schema.get("items", {}), entry)


def _holds(text, value):
    result = _rule(text).eval(data={"self": value})
    return result.value() is True


def _refused(kind, spec):
    """What the API server says against a document, if anything."""
    schema, document = SCHEMAS[kind], {"metadata": {"name": "p"}, "spec": copy.deepcopy(spec)}
    _defaulted(schema, document)
    errors = [error.message for error in jsonschema.Draft4Validator(schema).iter_errors(document)]
    return errors or list(_broken(schema, document))


def _is_read(kind, spec):
    """Whether the models take the document that an API server hands out."""
    document = {"metadata": {"name": "p"}, "spec": copy.deepcopy(spec)}
    _defaulted(SCHEMAS[kind], document)
    try:
        KINDS[kind].model_validate({"apiVersion": "remora.dev/v1alpha1", "kind": kind, **document})
    except ValidationError:
        return False
    return True


def _route(**fields):
    return {"routes": [{"name": "r", **fields}]}


def _router(policy, *candidates, **fields):
    named = [{"model": f"m{number}", **extra} for number, extra in enumerate(candidates)]
    return _route(router={"policy": policy, "candidates": named, **fields})


def _budget(**fields):
    return {"budgets": [{"name": "b", "per": "task", **fields}]}


KEY = {"secretRef": {"name": "keys", "key": "openai"}}
HOST = {"hosts": ["llm.example.com"], "dialects": ["openai-chat"]}

GOOD = {
    "nothing": ("LLMPolicy", {}),
    "a selector": (
        "LLMPolicy",
        {"selector": {"matchLabels": {"app": "a"},
                      "matchExpressions": [{"key": "b", "operator": "In", "values": ["c"]}]}},
    ),
    "a size as a number": ("LLMPolicy", {"maxRequestBody": 4096}),
    "a size as text": ("LLMPolicy", {"cache": {"mode": "read", "maxSize": "1.5Gi"}}),
    "weights": ("LLMPolicy", _router("weighted", {"weight": 0}, {"weight": 1})),
    "conditions": ("LLMPolicy", _router("conditional", {"condition": "request.stream"}, {})),
    "a seed": ("LLMPolicy", _router("random", {}, seed=-3)),
    "sticky": ("LLMPolicy", _router("sticky", {}, by="task")),
    "a plugin": ("LLMPolicy", _router("plugin", {}, plugin="mine")),
    "learned": (
        "LLMPolicy",
        _router(
            "learned", {"parameters": {"temperature": 0.5, "generationConfig.topK": 3}}, {},
            goal="support chat", risk="high", explorationRate=0.25, minSamples=0, band=1,
            rollbackThreshold=0, staleness="1d", updates="gated",
        ),
    ),
    "parameters without learning": ("LLMPolicy", _router("random", {"parameters": {"seed": 7}})),
    "a cluster that learns as one": ("ClusterLLMPolicy", {"learning": {"acrossNamespaces": True}}),
    "a retry": ("LLMPolicy", _route(retry={"attempts": 3, "initial": "1s", "max": "1m30s"})),
    "a retry of days": ("LLMPolicy", _route(retry={"initial": "1s", "max": "1d"})),
    "timeouts": ("LLMPolicy", _route(timeouts={"connect": "5s", "total": "10m"})),
    "a budget": ("LLMPolicy", _budget(maxCostUSD="0.25", window="1d")),
    "a downgrade": (
        "LLMPolicy",
        _budget(maxTokens=0, onExceed="downgrade", downgradeTo="gpt-4o-mini"),
    ),
    "a rate": ("LLMPolicy", {"rates": [{"name": "r", "requestsPerMinute": 1}]}),
    "a key": ("LLMPolicy", {"credentials": [{"provider": "openai", **KEY}]}),
    "no key of the agent's": (
        "LLMPolicy",
        {"credentials": [{"provider": "*", "onlyFrom": "policy"}]},
    ),
    "several lists": ("LLMPolicy", {"models": {"within": [["gpt-*"], ["*-mini"]]}}),
    "floors": (
        "ClusterLLMPolicy",
        {"floors": {"models": {"deny": ["o1"]}, **_budget(maxTokens=1)}},
    ),
    "defaults": ("ClusterLLMPolicy", {"defaults": _router("cheapest", {}, {})}),
    "a provider": ("LLMProvider", HOST),
    "a wide provider": ("LLMProvider", {**HOST, "hosts": ["*.llm.example.com"]}),
    "an address": ("LLMProvider", {**HOST, "hosts": ["10.0.0.1", "::1"], "tls": False}),
    "prices": (
        "LLMProvider",
        {**HOST, "prices": [{"model": "*", "inputPerMillionUSD": "1",
                             "outputPerMillionUSD": "2.5"}]},
    ),
}  # fmt: skip

BAD = {
    "an unknown value": ("LLMPolicy", {"capture": "all"}),
    "a provider twice": ("LLMPolicy", {"intercept": ["openai", "openai"]}),
    "a route twice": ("LLMPolicy", {"routes": [{"name": "r"}, {"name": "r"}]}),
    "a budget twice": (
        "LLMPolicy",
        {"budgets": [{"name": "b", "per": "pod", "maxTokens": 1}] * 2},
    ),
    "a rate twice": ("LLMPolicy", {"rates": [{"name": "r", "tokensPerMinute": 1}] * 2}),
    "a credential twice": ("LLMPolicy", {"credentials": [{"provider": "openai", **KEY}] * 2}),
    "a name with a space": ("LLMPolicy", {"routes": [{"name": "a b"}]}),
    "a name too long": ("LLMPolicy", {"routes": [{"name": "a" * 64}]}),
    "no values": (
        "LLMPolicy",
        {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
    ),
    "values too many": (
        "LLMPolicy",
        {"selector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}},
    ),
    "a label without a key": ("LLMPolicy", {"selector": {"matchLabels": {"": "a"}}}),
    "no candidate": ("LLMPolicy", _router("random")),
    "a weight missing": ("LLMPolicy", _router("weighted", {"weight": 1}, {})),
    "no weight": ("LLMPolicy", _router("weighted", {"weight": 0})),
    "a weight too many": ("LLMPolicy", _router("random", {"weight": 1})),
    "a condition too many": ("LLMPolicy", _router("random", {"condition": "request.stream"})),
    "a seed too many": ("LLMPolicy", _router("cheapest", {}, seed=1)),
    "sticky elsewhere": ("LLMPolicy", _router("random", {}, by="task")),
    "no plugin": ("LLMPolicy", _router("plugin", {})),
    "a plugin too many": ("LLMPolicy", _router("random", {}, plugin="mine")),
    "a goal too many": ("LLMPolicy", _router("random", {}, goal="g")),
    "a risk too many": ("LLMPolicy", _router("random", {}, risk="low")),
    "a rate too many": ("LLMPolicy", _router("random", {}, explorationRate=0.1)),
    "samples too many": ("LLMPolicy", _router("random", {}, minSamples=1)),
    "a threshold too many": ("LLMPolicy", _router("random", {}, rollbackThreshold=0.1)),
    "staleness too much": ("LLMPolicy", _router("random", {}, staleness="1d")),
    "a band too many": ("LLMPolicy", _router("random", {}, band=0.1)),
    "updates too many": ("LLMPolicy", _router("random", {}, updates="live")),
    "a goal with an end of line": ("LLMPolicy", _router("learned", {}, goal="a\nb")),
    "a goal too long": ("LLMPolicy", _router("learned", {}, goal="g" * 129)),
    "an unknown risk": ("LLMPolicy", _router("learned", {}, risk="none")),
    "a rate past all": ("LLMPolicy", _router("learned", {}, explorationRate=1.5)),
    "a rate as text": ("LLMPolicy", _router("learned", {}, explorationRate="0.1")),
    "a band below nothing": ("LLMPolicy", _router("learned", {}, band=-0.1)),
    "no staleness": ("LLMPolicy", _router("learned", {}, staleness="0s")),
    "too many parameters": (
        "LLMPolicy", _router("random", {"parameters": {f"p{n}": n for n in range(17)}}),
    ),
    "an empty glob": ("LLMPolicy", {"models": {"allow": [""]}}),
    "an empty list": ("LLMPolicy", {"models": {"within": [[]]}}),
    "no duration": ("LLMPolicy", _route(timeouts={"connect": "soon"})),
    "no time": ("LLMPolicy", _route(timeouts={"idle": "0s"})),
    "parts of a millisecond": ("LLMPolicy", _route(timeouts={"idle": "1.5ms"})),
    "a shrinking pause": ("LLMPolicy", _route(retry={"initial": "10s", "max": "1s"})),
    "a pause past the default": ("LLMPolicy", _route(retry={"initial": "6s"})),
    "a pause of days": ("LLMPolicy", _route(retry={"initial": "1d", "max": "1h"})),
    "too many attempts": ("LLMPolicy", _route(retry={"attempts": 11})),
    "a breaker that never opens": ("LLMPolicy", {"breaker": {"window": "0s"}}),
    "a cache of no time": ("LLMPolicy", {"cache": {"mode": "read", "ttl": "0s"}}),
    "a cache without mode": ("LLMPolicy", {"cache": {"ttl": "1s"}}),
    "a limit of nothing": ("LLMPolicy", _budget()),
    "money as a number": ("LLMPolicy", _budget(maxCostUSD=1)),
    "money with a sign": ("LLMPolicy", _budget(maxCostUSD="-1")),
    "a downgrade that is not taken": ("LLMPolicy", _budget(maxTokens=1, downgradeTo="m")),
    "a window of a call": (
        "LLMPolicy",
        {"budgets": [{"name": "b", "per": "call", "maxTokens": 1, "window": "1d"}]},
    ),
    "a short window": ("LLMPolicy", _budget(maxTokens=1, window="999ms")),
    "a window of no days": ("LLMPolicy", _budget(maxTokens=1, window="0d")),
    "a budget with a floor's name": (
        "LLMPolicy", {"budgets": [{"name": "c/b", "per": "pod", "maxTokens": 1}]},
    ),
    "a rate of nothing": ("LLMPolicy", {"rates": [{"name": "r"}]}),
    "a rate of none": ("LLMPolicy", {"rates": [{"name": "r", "requestsPerMinute": 0}]}),
    "a credential of nothing": ("LLMPolicy", {"credentials": [{"provider": "openai"}]}),
    "a key for all": ("LLMPolicy", {"credentials": [{"provider": "*", **KEY}]}),
    "a size of no unit": ("LLMPolicy", {"maxRequestBody": "1X"}),
    "a size below nothing": ("LLMPolicy", {"maxRequestBody": -1}),
    "a budget of floors twice": (
        "ClusterLLMPolicy",
        {"floors": {"budgets": [{"name": "b", "per": "pod", "maxTokens": 1}] * 2}},
    ),
    "bad defaults": ("ClusterLLMPolicy", {"defaults": _budget()}),
    "no host": ("LLMProvider", {**HOST, "hosts": []}),
    "no dialect": ("LLMProvider", {"hosts": ["llm.example.com"]}),
    "an unknown dialect": ("LLMProvider", {**HOST, "dialects": ["morse"]}),
    "a URL": ("LLMProvider", {**HOST, "hosts": ["https://llm.example.com"]}),
    "a port in a host": ("LLMProvider", {**HOST, "hosts": ["llm.example.com:80"], "tls": False}),
    "a glob in a host": ("LLMProvider", {**HOST, "hosts": ["api-*.example.com"]}),
    "a whole domain": ("LLMProvider", {**HOST, "hosts": ["*.com"]}),
    "an address over TLS": ("LLMProvider", {**HOST, "hosts": ["10.0.0.1"]}),
    "a port of no use": ("LLMProvider", {**HOST, "ports": [0]}),
}  # fmt: skip

LEFT_TO_THE_OPERATOR = {
    "a public suffix": ("LLMProvider", {**HOST, "hosts": ["*.co.uk"]}),
    "more than ten years": ("LLMPolicy", _budget(maxTokens=1, window="3651d")),
    "a parameter that is a list": ("LLMPolicy", _router("random", {"parameters": {"stop": ["x"]}})),
    "a parameter that is the model": (
        "LLMPolicy", _router("random", {"parameters": {"model": "m"}}),
    ),
    "one arm twice": (
        "LLMPolicy", _route(router={"policy": "learned", "candidates": [{"model": "m"}] * 2}),
    ),
    "pauses of days": ("LLMPolicy", _route(retry={"initial": "2d", "max": "1d"})),
}  # fmt: skip

MODELS_TAKE = {"a budget with a floor's name"}
"""For what is merged already; `load_documents` refuses it."""


@pytest.mark.parametrize(("kind", "spec"), GOOD.values(), ids=GOOD)
def test_a_good_document_is_taken_by_the_cluster_and_by_the_models(kind, spec):
    assert _refused(kind, spec) == []
    assert _is_read(kind, spec)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_document_is_refused_by_the_cluster_and_by_the_models(case):
    kind, spec = BAD[case]
    assert _refused(kind, spec)
    assert _is_read(kind, spec) is (case in MODELS_TAKE)


@pytest.mark.parametrize(("kind", "spec"), LEFT_TO_THE_OPERATOR.values(), ids=LEFT_TO_THE_OPERATOR)
def test_what_rules_can_not_tell_the_models_refuse(kind, spec):
    assert _refused(kind, spec) == []
    assert not _is_read(kind, spec)


def test_defaults_are_those_of_the_models():
    for spec in ({}, {"cache": {"mode": "read"}}, _budget(maxTokens=1), _route(retry={})):
        document = {"metadata": {"name": "p"}, "spec": copy.deepcopy(spec)}
        _defaulted(SCHEMAS["LLMPolicy"], document)
        head = {"apiVersion": "remora.dev/v1alpha1", "kind": "LLMPolicy"}
        with_defaults = KINDS["LLMPolicy"].model_validate({**head, **document})
        assert (
            with_defaults.spec
            == KINDS["LLMPolicy"].model_validate({**head, **document, "spec": spec}).spec
        )


def _pattern(*path):
    node = SCHEMAS["LLMPolicy"]["properties"]["spec"]
    for name in path:
        node = node.get("items", node)["properties"][name]
    return node["pattern"]


@given(st.from_regex(_pattern("cache", "ttl"), fullmatch=True))
def test_a_duration_that_the_schema_takes_is_read_unless_it_is_too_long(text):
    try:
        Duration.parse(text)
    except ValueError as error:
        assert "3650d" in str(error)  # noqa: PT017 - most texts are read


@given(st.integers(0, 3650 * 86_400_000), st.integers(0, 2**59), st.decimals(0, 10**9, places=4))
def test_what_the_models_write_the_schema_takes(milliseconds, size_bytes, usd):
    texts = {
        str(Duration(milliseconds)): _pattern("cache", "ttl"),
        str(Quantity(size_bytes)): _pattern("cache", "maxSize"),
        f"{usd:f}": _pattern("budgets", "maxCostUSD"),
    }
    assert all(re.fullmatch(pattern, text, re.ASCII) for text, pattern in texts.items())


def test_patterns_are_those_that_the_servers_regex_engine_knows():
    for schema in SCHEMAS.values():
        for path, node in _nodes(schema):
            text = node.get("pattern", "")
            assert not re.search(r"\(\?|\\[1-9]", text), path
            re.compile(text)
