"""`spec.signals`: what is taken, what is refused, and where."""

from decimal import Decimal
from typing import Any

import pytest

from remora.errors import ConfigError
from remora.policy import effective_from_canonical, effective_policy, load_documents
from remora.policy.effective import EffectivePolicy

KEY = """
  credentials: [{provider: openai, secretRef: {name: openai, key: api-key}}]"""
JUDGE = 'judge: {provider: openai, model: gpt-4o-mini, maxCostUSD: "1"}'


def policy(signals: str, more: str = KEY) -> str:
    """A document with these signals."""
    return f"""\
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {{name: test}}
spec:{more}
  signals:
    {signals}
"""


def effective(text: str) -> EffectivePolicy:
    return effective_policy(load_documents({"policy.yaml": text}), {})


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_documents({"policy.yaml": text})
    return str(caught.value)


def test_what_the_issue_asks_for_can_be_written_and_travels() -> None:
    signals = f"""checks:
    - {{goal: "ticket-*", schema: {{type: object, required: [id]}}, maxChars: 4000}}
    - {{goal: tests, code: python, refusals: ignore}}
    - {{goal: mood, labels: [good, bad]}}
    - {{goal: short, ratio: {{min: 0.01, max: 0.4}}, minChars: 10}}
    {JUDGE[:-1]}, sample: 0.5, window: 1h, threshold: 0.8}}
    classifier: {{provider: openai, model: gpt-4o-mini, below: 0.7, maxCostUSD: "0.5"}}"""
    made = effective(policy(signals))
    judge = made.rules.signals.judge
    assert judge is not None
    assert (judge.sample, judge.threshold, judge.window.seconds) == (0.5, 0.8, 3600)
    assert judge.max_cost_usd == Decimal(1)
    again = effective_from_canonical(made.canonical, made.version)
    assert again.rules.signals == made.rules.signals


def test_without_a_word_nothing_is_asked_and_the_version_stays_as_it_was() -> None:
    rules = effective(policy("checks: []", "")).rules
    assert not rules.signals.asked()
    assert b"signals" not in effective(policy("checks: []", "")).canonical


@pytest.mark.parametrize(
    ("signals", "more", "says"),
    [
        ("checks: [{json: true}]", "", "spec.signals.checks[0].goal: is required"),
        ("checks: [{goal: a, code: cobol}]", "", "spec.signals.checks[0].code"),
        ("checks: [{goal: a, schema: {type: nonsense}}]", "", "schema: is no JSON Schema"),
        ("checks: [{goal: a, schema: {pattern: '(a'}}]", "", "is no regular expression"),
        ("checks: [{goal: a, schema: 1}]", "", "should be a JSON Schema"),
        ("checks: [{goal: a, minChars: 5, maxChars: 4}]", "", "minChars should not be greater"),
        ("checks: [{goal: a, labels: [x], json: true}]", "", "labels are checked by themselves"),
        ("checks: [{goal: a, ratio: {}}]", "", "a ratio needs min or max"),
        ("checks: [{goal: a, ratio: {min: 0.5, max: 0.1}}]", "", "min should not be greater"),
        ("checks: [{goal: a, lenght: 1}]", "", "unknown field"),
        (JUDGE.replace('"1"', "1"), KEY, "should be a decimal string"),
        ("judge: {provider: openai, model: m}", KEY, "judge.maxCostUSD: is required"),
        (JUDGE.replace("}", ", sample: 1.5}"), KEY, "judge.sample"),
        (JUDGE.replace("}", ", sample: true}"), KEY, "judge.sample"),
        (JUDGE.replace("}", ", window: 10ms}"), KEY, "should be one second or longer"),
        (JUDGE.replace("openai", "opneai"), KEY, "no provider 'opneai'"),
        (JUDGE, "", "there is no key for 'openai'"),
        (JUDGE, "\n  credentials: [{provider: openai, onlyFrom: policy}]", "there is no key"),
        (JUDGE, f"{KEY}\n  intercept: [anthropic]", "calls to 'openai' are not intercepted"),
        (JUDGE.replace("openai", "azure-openai"), KEY, "has no host of one name"),
        (JUDGE.replace("openai", "anthropic-aws"), KEY, "does not speak openai-chat"),
        (JUDGE.replace("judge", "classifier").replace("openai", "groq"), KEY, "no key for 'groq'"),
    ],
)
def test_what_can_not_be_enforced_is_refused_with_its_place(
    signals: str, more: str, says: str
) -> None:
    said = problem(policy(signals, more))
    assert says in said
    assert "policy.yaml" in said


def test_a_provider_of_ones_own_may_need_no_key() -> None:
    own = """---
apiVersion: remora.dev/v1alpha1
kind: LLMProvider
metadata: {name: in-house}
spec: {hosts: [llm.internal.example], dialects: [openai-chat]}
"""
    made = effective(policy(JUDGE.replace("openai", "in-house"), " ") + own)
    assert [p.metadata.name for p in made.providers] == ["in-house"]


def test_defaults_of_a_cluster_are_checked_alike() -> None:
    text = f"""\
apiVersion: remora.dev/v1alpha1
kind: ClusterLLMPolicy
metadata: {{name: all}}
spec:
  defaults:
    signals:
      {JUDGE}
"""
    assert "spec.defaults.signals.judge.provider: there is no key" in problem(text)
    keyed = text + "    credentials: [{provider: openai, secretRef: {name: openai, key: k}}]\n"
    rules: Any = effective(keyed).rules
    assert rules.signals.judge.model == "gpt-4o-mini"
