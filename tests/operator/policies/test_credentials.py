"""Whose keys go where: a policy's author is not to be trusted with Secrets."""

import json

import pytest
from tests.operator.policies.objects import (
    cluster_policy,
    credential,
    pod,
    policy,
    provider,
    shelf_with,
)


def _keys(found):
    return json.loads(found.effective.canonical)["policy"]["spec"].get("credentials", [])


@pytest.mark.parametrize(
    ("asked", "label", "in_namespace", "is_sent"),
    [
        ("openai", "openai", "team-a", True),
        ("openai", None, "team-a", False),
        ("openai", "anthropic", "team-a", False),
        ("openai", "openai", "team-b", False),
        ("house-llm", "openai", "team-a", False),
        ("groq", "openai", "team-a", False),
        ("openai", "OpenAI", "team-a", False),
        ("openai", "", "team-a", False),
    ],
    ids=["its own", "no label", "another's", "elsewhere", "own host", "route", "case", "empty"],
)
def test_a_secret_goes_to_the_provider_that_it_names_and_nowhere_else(
    asked, label, in_namespace, is_sent
):
    shelf = shelf_with(
        provider(), policy("a", {"credentials": [credential(asked, "team-key")]}),
        secrets=[(in_namespace, "team-key", label)],
    )  # fmt: skip
    found = shelf.policy_for("team-a", {})
    if is_sent:
        assert _keys(found) == [credential(asked, "team-key")]
        assert [s.name for s in found.needs.secrets] == ["team-key"]
        return
    assert _keys(found) == [{"provider": asked, "onlyFrom": "policy"}]
    assert b"team-key" not in found.effective.canonical
    assert found.needs.secrets == ()
    assert f"remora.dev/provider={asked}" in str(found.withheld[0])


def test_a_mounted_key_can_not_be_turned_to_another_provider_later():
    shelf = shelf_with(
        provider(), policy("a", {"credentials": [credential("openai", "team-key")]}),
        secrets=[("team-a", "team-key", "openai")], pods=[pod("1")],
    )  # fmt: skip
    assert b"team-key" in shelf.policy_of("1").effective.canonical
    turned = {"credentials": [credential("house-llm", "team-key")], "intercept": ["house-llm"]}
    assert shelf.put(policy("a", turned, generation=2)) == {"1"}
    assert b"team-key" not in shelf.policy_of("1").effective.canonical


def test_taking_the_label_off_takes_the_key_back():
    shelf = shelf_with(
        policy("a", {"credentials": [credential("openai", "team-key")]}),
        secrets=[("team-a", "team-key", "openai")], pods=[pod("1"), pod("2", namespace="team-b")],
    )  # fmt: skip
    assert shelf.put_secret("team-a", "team-key", None) == {"1"}
    assert b"team-key" not in shelf.policy_of("1").effective.canonical
    assert shelf.put_secret("team-a", "team-key", "openai") == {"1"}
    assert shelf.put_secret("team-a", "team-key", "openai") == frozenset()


def test_keys_of_the_clusters_defaults_are_those_of_the_pods_namespace():
    defaults = cluster_policy("c", {"defaults": {"credentials": [credential("openai", "k")]}})
    shelf = shelf_with(defaults, secrets=[("team-b", "k", "openai")])
    assert _keys(shelf.policy_for("team-b", {})) == [credential("openai", "k")]
    assert _keys(shelf.policy_for("team-a", {})) == [{"provider": "openai", "onlyFrom": "policy"}]


def test_a_key_is_not_sent_in_plain_http_once_its_provider_has_no_tls():
    shelf = shelf_with(
        provider(), policy("a", {"credentials": [credential("house-llm", "k")]}),
        secrets=[("team-a", "k", "house-llm")],
    )  # fmt: skip
    assert _keys(shelf.policy_for("team-a", {})) == [credential("house-llm", "k")]
    shelf.put(provider(tls=False, generation=2))
    assert "TLS only" in shelf.policy_for("team-a", {}).why
