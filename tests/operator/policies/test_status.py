"""The status of policy objects."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.operator.policies.objects import (
    cluster_policy,
    credential,
    pod,
    policy,
    provider,
    shelf_with,
)

from remora.errors import Problem
from remora_operator.inject.config import SecretKey
from remora_operator.policies import Answers, ObjectKey, Provided, statuses

NOW = datetime(2026, 3, 4, 5, 6, 7, 890, tzinfo=UTC)
A = ObjectKey("LLMPolicy", "team-a", "a")


def _statuses(shelf, answers=None, before=None, now=NOW):
    return statuses(shelf, (answers or Answers()).of, before or {}, now)


def _conditions(status):
    return {one.type: (one.status, one.reason) for one in status.conditions}


def _applied(shelf, *uids):
    answers = Answers()
    for uid in uids:
        answers.applied(uid, shelf.policy_of(uid).version)
    return answers


def test_a_policy_without_pods_is_accepted_and_nothing_more():
    status = _statuses(shelf_with(policy("a", generation=4)))[A]
    assert _conditions(status) == {
        "Accepted": ("True", "Valid"),
        "Enforced": ("Unknown", "NoPods"),
        "Conflicted": ("False", "NoConflict"),
        "RestartRequired": ("False", "UpToDate"),
    }
    assert (status.observed_generation, status.pods, status.current) == (4, 0, 0)


def test_it_is_enforced_once_every_pod_has_confirmed_it():
    shelf = shelf_with(policy("a"), pods=[pod("1"), pod("2"), pod("3", namespace="team-b")])
    status = _statuses(shelf, _applied(shelf, "1"))[A]
    assert (status.pods, status.current) == (2, 1)
    assert _conditions(status)["Enforced"] == ("False", "Progressing")
    assert "team-a/agent-2" in status.conditions[1].message
    done = _statuses(shelf, _applied(shelf, "1", "2"))[A]
    assert _conditions(done)["Enforced"] == ("True", "AllPodsCurrent")


def test_what_another_replica_wrote_on_a_pod_counts():
    shelf = shelf_with(policy("a"), pods=[pod("1")])
    shelf.put_pod(pod("1", reported_version=shelf.policy_of("1").version))
    assert _statuses(shelf)[A].current == 1


def test_the_latest_refusal_is_said_with_its_field():
    shelf = shelf_with(policy("a"), pods=[pod("1"), pod("2")])
    answers, version = Answers(), shelf.policy_of("1").version
    answers.refused("2", version, [Problem("policy.spec.x", "is too new")])
    answers.refused("1", version, [Problem("policy.spec.y", "is unknown")])
    status = _statuses(shelf, answers)[A]
    assert _conditions(status)["Enforced"] == ("False", "Refused")
    error = status.to_json()["lastError"]
    assert error == {
        "pod": "team-a/agent-1", "fieldPath": "policy.spec.y", "reason": "is unknown"
    }  # fmt: skip
    answers.applied("1", version)
    assert _statuses(shelf, answers)[A].last_error.field_path == "policy.spec.x"


def test_a_refusal_of_an_earlier_document_is_over():
    shelf = shelf_with(policy("a"), pods=[pod("1")])
    answers = Answers()
    answers.refused("1", "0" * 64, [Problem("policy", "odd")])
    assert _statuses(shelf, answers)[A].last_error is None


@pytest.mark.parametrize(
    ("spec", "reason"),
    [({"captur": 1}, "Invalid"), ({"intercept": ["opnai"]}, "Unresolved")],
    ids=["itself", "others"],
)
def test_a_version_that_can_not_be_used_says_why_and_what_is_in_force(spec, reason):
    shelf = shelf_with(policy("a"), pods=[pod("1")])
    shelf.put(policy("a", spec, generation=2))
    status = _statuses(shelf, _applied(shelf, "1"))[A]
    assert _conditions(status)["Accepted"] == ("False", reason)
    assert "Generation 1 of it stays" in status.conditions[0].message
    assert "did you mean" in status.conditions[0].message
    assert _conditions(status)["Enforced"] == ("False", "EarlierGeneration")
    assert (status.observed_generation, status.current) == (2, 1)


def test_a_policy_that_never_could_be_read_says_that_pods_wait():
    status = _statuses(shelf_with(policy("a", {"x": 1}), pods=[pod("1")]))[A]
    assert "new ones wait" in status.conditions[0].message
    assert _conditions(status)["Enforced"] == ("False", "NotAccepted")


def test_both_of_a_tie_are_conflicted():
    shelf = shelf_with(policy("a"), policy("b"), policy("c", {"priority": -1}), pods=[pod("1")])
    found = _statuses(shelf, _applied(shelf, "1"))
    conflicted = {key.name: _conditions(one)["Conflicted"][0] for key, one in found.items()}
    assert conflicted == {"a": "True", "b": "True", "c": "False"}
    assert {key.name: one.pods for key, one in found.items()} == {"a": 1, "b": 0, "c": 0}


def test_second_defaults_are_conflicted_and_floors_hold_beside_them():
    shelf = shelf_with(
        cluster_policy("c", {"defaults": {}}), cluster_policy("d", {"defaults": {}}),
        cluster_policy("e", {"floors": {"opaque": "block"}}), pods=[pod("1")],
    )  # fmt: skip
    found = {key.name: one for key, one in _statuses(shelf, _applied(shelf, "1")).items()}
    assert _conditions(found["c"])["Conflicted"] == ("True", "SecondDefaults")
    assert _conditions(found["d"])["Conflicted"] == ("True", "SecondDefaults")
    assert _conditions(found["e"])["Conflicted"] == ("False", "NoConflict")
    assert (found["e"].pods, found["e"].current) == (1, 1)


def test_withheld_keys_say_what_to_do():
    spec = {"credentials": [credential("openai", "keys")]}
    shelf = shelf_with(policy("a", spec), pods=[pod("1")])
    enforced = _statuses(shelf, _applied(shelf, "1"))[A].conditions[1]
    assert (enforced.status, enforced.reason) == ("False", "CredentialsWithheld")
    assert "label the Secret keys" in enforced.message


@pytest.mark.parametrize(
    ("provided", "lacks"),
    [
        (Provided(frozenset({SecretKey("keys", "api-key")}), frozenset({8000})), None),
        (Provided(frozenset({SecretKey("keys", "api-key")}), None), None),
        (Provided(frozenset(), frozenset({8000})), "Secret keys key api-key"),
        (Provided(frozenset({SecretKey("keys", "api-key")}), frozenset()), "port 8000"),
        (None, None),
    ],
    ids=["has all", "explicit", "secret", "port", "not known"],
)
def test_what_only_a_new_pod_would_have_requires_a_restart(provided, lacks):
    spec = {"credentials": [credential("openai", "keys")], "intercept": ["openai", "house-llm"]}
    shelf = shelf_with(
        provider(ports=[8000]), policy("a", spec), secrets=[("team-a", "keys", "openai")],
        pods=[pod("1", provided=provided)],
    )  # fmt: skip
    found = _statuses(shelf)
    of_provider = found[ObjectKey("LLMProvider", "", "house-llm")].conditions[3]
    assert (of_provider.status == "True") == (lacks == "port 8000")
    found = found[A].conditions[3]
    assert (found.status == "True", found.type) == (lacks is not None, "RestartRequired")
    assert (lacks or "no pod lacks") in found.message


def test_providers_count_the_pods_that_have_them():
    shelf = shelf_with(
        provider(), policy("a", {"intercept": ["openai"]}),
        pods=[pod("1"), pod("2", namespace="team-b")],
    )  # fmt: skip
    found = _statuses(shelf, _applied(shelf, "1", "2"))[ObjectKey("LLMProvider", "", "house-llm")]
    assert (found.pods, found.current) == (1, 1)


def test_a_condition_is_dated_from_when_its_status_changed():
    shelf = shelf_with(policy("a"), pods=[pod("1")])
    first = _statuses(shelf)
    before = {key: one.conditions for key, one in first.items()}
    later = NOW + timedelta(hours=1)
    second = _statuses(shelf, _applied(shelf, "1"), before, later)[A].to_json()
    times = {one["type"]: one["lastTransitionTime"] for one in second["conditions"]}
    assert times["Accepted"] == "2026-03-04T05:06:07Z"
    assert times["Enforced"] == "2026-03-04T06:06:07Z"
    shelf.put(policy("a", generation=2))
    third = _statuses(shelf, _applied(shelf, "1"), before, later)[A]
    assert third.conditions[0].generation == 2
    assert third.conditions[0].since == NOW.replace(microsecond=0)


def test_what_a_sidecar_says_is_bounded_and_plain():
    answers = Answers()
    problems = [Problem("a\x1b[31m\n" * 200, "b\x00" * 999)] * 50
    refusal = answers.refused("1", "v" * 999, problems).refusal
    assert len(refusal.problems) == 8
    assert max(len(refusal.problems[0].where), len(refusal.problems[0].what)) <= 301
    assert (refusal.problems[0].where.isprintable(), len(refusal.version)) == (True, 65)
    assert answers.refused("1", "v", []).refusal.problems[0].what == "no reason was given"
    answers.forget("1")
    assert answers.of("1").refusal is None
