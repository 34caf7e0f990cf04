"""What users may write, and what they are told of what they may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import ConfigError
from remora.policy import load_documents
from remora.policy.support import ENFORCED
from remora.policy.yaml_source import MAX_DEPTH, MAX_FILE_CHARACTERS

DESIGN_EXAMPLE = """\
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {name: research, namespace: team-a}
spec:
  selector: {matchLabels: {app: research}}
  priority: 0
  intercept: [openai, anthropic, internal-vllm]
  opaque: block
  includeUsage: auto
  capture: metadata
  models: {allow: ["gpt-4o*", "claude-*"], deny: []}
  routes:
  - name: chat
    match: {models: ["gpt-4o", "auto"], operations: [chat], condition: "request.messages.size() < 40"}
    router: {policy: weighted, candidates: [{model: gpt-4o-mini, weight: 9}, {model: gpt-4o, weight: 1}]}
    fallback: [{model: gpt-4.1-mini}, {provider: groq, model: llama-3.3-70b-versatile}]
    retry: {attempts: 2, initial: 500ms, max: 5s}
    timeouts: {connect: 5s, firstByte: 30s, idle: 60s}
  cache: {mode: readwrite, ttl: 24h, maxSize: 256Mi, scope: pod}
  budgets:
  - {name: per-task, per: task, maxCostUSD: "0.25", onExceed: downgrade, downgradeTo: gpt-4o-mini}
  - {name: daily, per: namespace, maxCostUSD: "50", window: 1d, onExceed: block}
  credentials:
  - {provider: openai, secretRef: {name: openai, key: api-key}}
---
apiVersion: remora.dev/v1alpha1
kind: LLMProvider
metadata: {name: internal-vllm}
spec: {hosts: [vllm.ml.svc.cluster.local], ports: [8000], tls: false, dialects: [openai-chat], prices: []}
"""  # noqa: E501 - as the design has it

HEAD = "apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\nmetadata: {name: p}\n"
PROVIDER = "apiVersion: remora.dev/v1alpha1\nkind: LLMProvider\nmetadata: {name: mine}\n"


def _problems(text):
    with pytest.raises(ConfigError) as refusal:
        load_documents({"policy.yaml": text})
    return [str(problem) for problem in refusal.value.problems]


def _outcome(text):
    """The problems of a text; none, if it could be read."""
    try:
        load_documents({"policy.yaml": text})
    except ConfigError as refusal:
        return refusal.problems
    return ()


def test_the_designs_own_example_is_taken_without_a_warning():
    documents = load_documents({"policy.yaml": DESIGN_EXAMPLE})
    assert [policy.metadata.name for policy in documents.policies] == ["research"]
    assert [provider.metadata.name for provider in documents.providers] == ["internal-vllm"]
    assert documents.warnings == ()


def test_a_document_of_what_is_enforced_is_taken():
    text = HEAD + (
        "spec:\n  selector: {matchLabels: {app: a}}\n  priority: 5\n  intercept: [openai, mine]\n"
        "  opaque: block\n  capture: full\n---\n"
        + PROVIDER
        + "spec: {hosts: ['*.llm.example.com'], dialects: [openai-chat]}\n"
    )
    documents = load_documents({"policy.yaml": text})
    assert documents.policies[0].spec.intercept == ("openai", "mine")
    assert documents.providers[0].spec.hosts == ("*.llm.example.com",)


def test_every_problem_of_every_file_is_said_at_once():
    with pytest.raises(ConfigError) as refusal:
        load_documents(
            {
                "a.yaml": HEAD + "spec: {capture: everything, opaque: maybe}",
                "b.yaml": "]",
                "c.yaml": HEAD.replace("name: p", "name: q") + "spec: {intercept: [opnai]}",
            }
        )
    files = [str(problem).split(":")[0] for problem in refusal.value.problems]
    assert sorted(files) == ["a.yaml", "a.yaml", "b.yaml", "c.yaml"]


def test_no_value_is_ever_quoted_where_a_key_may_have_slipped_in():
    problems = _problems(HEAD + "spec: {capture: sk-live-secret, sk-live-secret: 1}")
    assert not any(
        "sk-live-secret" in problem.split("spec.sk-live-secret")[0] for problem in problems
    )


@pytest.mark.parametrize(
    "text",
    ["", "\n", "---\n---\n", "# only a comment\n"],
    ids=["nothing", "blank", "empty documents", "comment"],
)
def test_nothing_is_no_problem(text):
    assert load_documents({"policy.yaml": text}).policies == ()


def test_a_bomb_of_aliases_is_refused():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    assert any("too large" in problem for problem in _problems("\n".join(lines)))


def test_a_document_that_is_too_deep_is_refused():
    depth = MAX_DEPTH + 10
    assert any("deep" in problem for problem in _problems("a: " + "[" * depth + "]" * depth))


def test_a_file_that_is_too_large_is_refused():
    assert any("larger" in problem for problem in _problems("#" * (MAX_FILE_CHARACTERS + 1)))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_no_text_raises_anything_but_a_list_of_problems(text):
    assert _outcome(text) is not None


@given(st.text(alphabet="abc:{}[]\n -&*!|>'\"#%@`,?\t", max_size=60))
def test_no_broken_yaml_raises_anything_but_a_list_of_problems(text):
    problems = _outcome(HEAD + "spec: " + text)
    assert all(problem.where.startswith("policy.yaml") for problem in problems)


def test_every_enforced_field_is_a_field_of_its_kind():
    from remora.policy.problems import fields_below
    from remora.policy.spec import KINDS

    for kind, fields in ENFORCED.items():
        for field in fields:
            *path, name = field.split(".")
            assert name in fields_below(KINDS[kind], path), f"{kind} {field}"
