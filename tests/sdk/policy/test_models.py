"""What a model writes, it reads again."""

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from remora.policy.globs import Glob
from remora.policy.quantities import Duration, Quantity
from remora.policy.spec import KINDS, LLMPolicy
from remora.providers import DIALECTS

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
MODELS = st.from_regex(r"[a-z][-a-z0-9./:]{0,12}", fullmatch=True)
GLOBS = st.lists(st.from_regex(r"[a-zA-Z0-9*?\[\]-]{1,12}", fullmatch=True), max_size=3)
MILLISECONDS = st.integers(1_000, 10**9)
DURATIONS = MILLISECONDS.map(lambda ms: str(Duration(ms)))
MONEY = st.decimals(0, 10**6, places=6).map(lambda amount: f"{amount:f}")
OPAQUE = st.sampled_from(["allow", "block"])
CAPTURE = st.sampled_from(["metadata", "redacted", "full"])
TARGETS = st.fixed_dictionaries({"model": MODELS}, optional={"provider": NAMES})

LEARNED_TARGETS = st.fixed_dictionaries(
    {"model": MODELS},
    optional={
        "parameters": st.dictionaries(
            st.sampled_from(["temperature", "a.b", "seed"]),
            st.booleans() | st.floats(-2, 2) | st.text("ab\u00fc", max_size=3),
        )
    },
)


def _named(entries):
    return st.lists(entries, max_size=2, unique_by=lambda entry: entry["name"])


RULES = {
    "intercept": st.lists(NAMES, max_size=3, unique=True),
    "opaque": OPAQUE,
    "includeUsage": st.sampled_from(["auto", "never"]),
    "capture": CAPTURE,
    "models": st.fixed_dictionaries({}, optional={"allow": GLOBS, "deny": GLOBS}),
    "routes": _named(
        st.fixed_dictionaries(
            {"name": NAMES},
            optional={
                "match": st.fixed_dictionaries({}, optional={"models": GLOBS}),
                "router": TARGETS.map(
                    lambda target: {"policy": "weighted", "candidates": [{**target, "weight": 1}]}
                )
                | st.fixed_dictionaries(
                    {
                        "policy": st.just("learned"),
                        "candidates": st.lists(LEARNED_TARGETS, min_size=1, max_size=1),
                    },
                    optional={
                        "goal": NAMES,
                        "risk": st.sampled_from(["low", "medium", "high"]),
                        "explorationRate": st.floats(0, 1),
                        "minSamples": st.integers(0, 99),
                        "staleness": DURATIONS,
                        "updates": st.sampled_from(["live", "gated"]),
                    },
                ),
                "fallback": st.lists(TARGETS, max_size=2),
                "retry": st.just({"attempts": 3, "initial": "1s", "max": "2s"}),
                "timeouts": st.fixed_dictionaries({}, optional={"firstByte": DURATIONS}),
            },
        )
    ),
    "cache": st.fixed_dictionaries(
        {"mode": st.sampled_from(["disabled", "read", "readwrite"])},
        optional={
            "ttl": DURATIONS,
            "maxSize": st.integers(0, 10**12).map(lambda size: str(Quantity(size))),
        },
    ),
    "budgets": _named(
        st.fixed_dictionaries(
            {"name": NAMES, "per": st.sampled_from(["task", "pod"]), "maxCostUSD": MONEY},
            optional={"window": DURATIONS, "maxTokens": st.integers(0, 10**9)},
        )
    ),
    "credentials": st.lists(
        st.fixed_dictionaries(
            {"provider": NAMES, "secretRef": st.fixed_dictionaries({"name": NAMES, "key": NAMES})}
        ),
        max_size=2,
        unique_by=lambda credential: credential["provider"],
    ),
}

SELECTOR = st.fixed_dictionaries({}, optional={"matchLabels": st.dictionaries(NAMES, NAMES)})
FLOORS = st.fixed_dictionaries(
    {}, optional={key: RULES[key] for key in ("models", "budgets", "opaque", "capture")}
)
SPECS = {
    "LLMPolicy": st.fixed_dictionaries(
        {}, optional={**RULES, "selector": SELECTOR, "priority": st.integers(-9, 9)}
    ),
    "ClusterLLMPolicy": st.fixed_dictionaries(
        {}, optional={"defaults": st.fixed_dictionaries({}, optional=RULES), "floors": FLOORS}
    ),
    "LLMProvider": st.fixed_dictionaries(
        {
            "hosts": st.lists(NAMES.map("{}.example.com".format), min_size=1, max_size=3),
            "dialects": st.lists(st.sampled_from(sorted(DIALECTS)), min_size=1, max_size=3),
        },
        optional={
            "ports": st.lists(st.integers(1, 65535), max_size=2),
            "tls": st.booleans(),
            "allowInsecure": st.booleans(),
            "prices": st.lists(
                st.fixed_dictionaries(
                    {
                        "model": st.just("llama-*"),
                        "inputPerMillionUSD": MONEY,
                        "outputPerMillionUSD": MONEY,
                    }
                ),
                max_size=2,
            ),
        },
    ),
}


def _documents(kind):
    head = {"apiVersion": st.just("remora.dev/v1alpha1"), "kind": st.just(kind)}
    metadata = st.fixed_dictionaries({"name": NAMES})
    return st.fixed_dictionaries({**head, "metadata": metadata, "spec": SPECS[kind]})


@given(st.sampled_from(sorted(KINDS)).flatmap(_documents))
def test_what_a_document_writes_it_reads_again(document):
    model = KINDS[document["kind"]].model_validate(document)
    for short in (False, True):
        dumped = model.model_dump(mode="json", by_alias=True, exclude_defaults=short)
        head = {"apiVersion": document["apiVersion"], "kind": document["kind"]}
        again = type(model).model_validate({**json.loads(json.dumps(dumped)), **head})
        assert again == model


def test_the_parts_of_a_document_keep_their_types():
    policy = LLMPolicy.model_validate(
        {
            "apiVersion": "remora.dev/v1alpha1",
            "kind": "LLMPolicy",
            "metadata": {"name": "p"},
            "spec": {
                "models": {"allow": ["gpt-*"]},
                "cache": {"mode": "read", "ttl": "90m", "maxSize": "1Mi"},
                "budgets": [{"name": "b", "per": "pod", "maxCostUSD": "0.10"}],
            },
        }
    )
    assert policy.spec.models.allow == (Glob("gpt-*"),)
    assert policy.spec.cache.ttl == Duration(5_400_000)
    assert policy.spec.cache.max_size == Quantity(1 << 20)
    assert policy.spec.budgets[0].max_cost_usd == Decimal("0.1")
