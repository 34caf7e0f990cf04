"""What is in force for which pod."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operator.policies.objects import (
    cluster_policy,
    pod,
    policy,
    provider,
    shelf_with,
)

from remora.policy import effective_from_canonical
from remora_operator.inject.config import SecretKey
from remora_operator.policies import Held, ObjectKey, PodPolicy, PolicyShelf

RESEARCH = {"selector": {"matchLabels": {"app": "research"}}}


def _spec(shelf, labels=None, namespace="team-a"):
    found = shelf.policy_for(namespace, labels or {})
    assert isinstance(found, PodPolicy), found
    return json.loads(found.effective.canonical)["policy"]["spec"]


@pytest.mark.parametrize(
    ("readings", "labels", "name"),
    [
        ([], {}, "default"),
        ([policy("a")], {}, "a"),
        ([policy("a", namespace="team-b")], {}, "default"),
        ([policy("a", RESEARCH)], {"app": "research"}, "a"),
        ([policy("a", RESEARCH)], {"app": "other"}, "default"),
        ([policy("a"), policy("b", {"priority": 1})], {}, "b"),
        ([policy("b"), policy("a")], {}, "a"),
        ([cluster_policy("c", {"defaults": {"capture": "full"}})], {}, "c"),
        ([cluster_policy("c", {"defaults": {}}), policy("a")], {}, "a"),
    ],
    ids=["nothing", "all", "elsewhere", "labels", "others", "priority", "tie", "defaults", "own"],
)
def test_a_pod_has_the_policy_that_selects_it(readings, labels, name):
    found = shelf_with(*readings).policy_for("team-a", labels)
    assert found.effective.name == name


def test_what_travels_is_what_the_version_names_and_a_sidecar_reads():
    shelf = shelf_with(policy("a", {"intercept": ["openai", "house-llm"]}), provider(ports=[8000]))
    found = shelf.policy_for("team-a", {})
    assert effective_from_canonical(found.effective.canonical, found.version).name == "a"
    assert found.hosts == ("*.api.openai.com", "api.openai.com", "vllm.example.com")
    assert found.needs.ports == (443, 8000)
    assert found.source == ObjectKey("LLMPolicy", "team-a", "a")


def test_floors_hold_for_every_policy():
    floors = cluster_policy("limits", {"floors": {"models": {"deny": ["o1*"]}}})
    assert _spec(shelf_with(floors, policy("a")))["models"] == {"deny": ["o1*"]}


def test_policies_of_one_priority_are_tied_where_they_meet():
    shelf = shelf_with(policy("b"), policy("a", RESEARCH), policy("c", {"priority": -1}))
    tied = shelf.policy_for("team-a", {"app": "research"})
    assert [key.name for key in tied.tied] == ["a", "b"]
    assert tied.source.name == "a"
    assert shelf.policy_for("team-a", {}).tied == ()


def test_nobody_has_a_policy_before_all_is_read():
    shelf = PolicyShelf()
    assert shelf.put(policy("a")) == shelf.put_pod(pod()) == frozenset()
    assert "has not read" in shelf.policy_of("pod-1").why
    assert "has not read" in shelf.policy_for("team-a", {}).why
    assert shelf.complete() == {"pod-1"}
    assert shelf.policy_of("pod-1").effective.name == "a"


def test_a_change_concerns_only_pods_whose_document_is_another():
    pods = [pod("1"), pod("2", labels={"app": "research"}), pod("3", namespace="team-b")]
    shelf = shelf_with(policy("all"), pods=pods)
    assert shelf.put(policy("r", RESEARCH | {"priority": 1})) == {"2"}
    assert shelf.put(policy("all", {"priority": -3}, generation=2)) == frozenset()
    assert shelf.put(policy("b", {"capture": "full"}, namespace="team-b")) == {"3"}
    assert shelf.put(cluster_policy("c", {"floors": {"capture": "redacted"}})) == {"3"}
    assert shelf.put(cluster_policy("d", {"floors": {"opaque": "block"}})) == {"1", "2", "3"}
    assert shelf.remove(ObjectKey("ClusterLLMPolicy", "", "d")) == {"1", "2", "3"}
    assert shelf.remove(ObjectKey("LLMPolicy", "team-a", "r")) == {"2"}
    assert shelf.remove(ObjectKey("LLMPolicy", "team-a", "r")) == frozenset()


def test_pods_come_change_and_go():
    shelf = shelf_with(policy("all"), policy("r", RESEARCH | {"priority": 1}))
    assert shelf.put_pod(pod("1")) == {"1"}
    assert shelf.put_pod(pod("1")) == frozenset()
    assert shelf.put_pod(pod("1", labels={"app": "research"})) == {"1"}
    assert shelf.remove_pod("1") == {"1"}
    assert (shelf.policy_of("1"), shelf.remove_pod("1")) == (None, frozenset())
    assert shelf.put(policy("all", {"capture": "full"}, generation=2)) == frozenset()


@pytest.mark.parametrize(
    "bad",
    [{"captur": "x"}, {"intercept": ["opnai"]}, {"routes": 7}, {"priority": "high"},
     {"routes": [{"name": "a", "fallback": [{"provider": "nobody", "model": "m"}]}]}],
    ids=["field", "provider", "type", "priority", "route"],
)  # fmt: skip
def test_the_last_good_version_stays_in_force(bad):
    shelf = shelf_with(policy("a", {"capture": "full"}), pods=[pod("1")])
    assert shelf.put(policy("a", bad, generation=2)) == frozenset()
    assert _spec(shelf) == {"capture": "full"}
    assert shelf.put(policy("a", {"capture": "redacted"}, generation=3)) == {"1"}
    assert _spec(shelf) == {"capture": "redacted"}


def test_however_often_it_is_got_wrong_the_last_good_version_stays():
    shelf = shelf_with(policy("a", {"capture": "full"}))
    for generation in range(2, 40):
        shelf.put(policy("a", {"intercept": [f"nobody-{generation}"]}, generation=generation))
    assert _spec(shelf) == {"capture": "full"}


def test_another_object_of_the_name_inherits_nothing():
    shelf = shelf_with(policy("a", {"capture": "full"}, uid="first"))
    shelf.put(policy("a", {"captur": 1}, uid="second"))
    assert isinstance(shelf.policy_for("team-a", {}), Held)


@pytest.mark.parametrize(
    ("bad", "labels", "is_held"),
    [
        ({"x": 1}, {}, True),
        (RESEARCH | {"x": 1}, {}, False),
        (RESEARCH | {"x": 1}, {"app": "research"}, True),
        ({"x": 1, "priority": -1}, {}, False),
        ({"priority": "high"}, {}, True),
        ({"intercept": ["opnai"]}, {}, True),
    ],
    ids=["all", "others", "selected", "lower", "priority", "provider"],
)
def test_nothing_takes_the_place_of_a_policy_that_never_could_be_read(bad, labels, is_held):
    found = shelf_with(policy("good"), policy("bad", bad)).policy_for("team-a", labels)
    assert isinstance(found, Held) == is_held
    if is_held:
        assert "LLMPolicy team-a/bad" in found.why


def test_floors_that_never_could_be_read_hold_everybody():
    shelf = shelf_with(policy("a"), pods=[pod("1")])
    assert shelf.put(cluster_policy("limits", {"floors": {"opaque": "maybe"}})) == frozenset()
    assert "ClusterLLMPolicy limits" in shelf.policy_for("team-a", {}).why
    assert shelf.policy_of("1").effective.name == "a"
    shelf.put_pod(pod("2"))
    assert isinstance(shelf.policy_of("2"), Held)
    assert shelf.remove(ObjectKey("ClusterLLMPolicy", "", "limits")) == {"2"}


def test_a_policy_comes_into_force_with_the_provider_that_it_names():
    shelf = shelf_with(policy("a", {"intercept": ["house-llm"]}), pods=[pod("1")])
    assert "no provider 'house-llm'" in shelf.policy_of("1").why
    assert shelf.put(provider()) == {"1"}
    assert shelf.policy_of("1").hosts == ("vllm.example.com",)


def test_a_policy_whose_provider_goes_is_held_not_replaced_by_an_older_one():
    shelf = shelf_with(provider(), policy("a", {"capture": "full"}), pods=[pod("1")])
    shelf.put(policy("a", {"intercept": ["house-llm"]}, generation=2))
    version = shelf.policy_of("1").version
    assert shelf.remove(ObjectKey("LLMProvider", "", "house-llm")) == frozenset()
    assert shelf.policy_of("1").version == version
    assert isinstance(shelf.policy_for("team-a", {}), Held)


def test_a_provider_that_was_there_once_counts_in_whatever_order_it_came_and_went():
    versions = [policy("a"), policy("a", {"intercept": ["house-llm"]}, generation=2)]
    before, after = shelf_with(provider()), shelf_with(*versions)
    before.remove(ObjectKey("LLMProvider", "", "house-llm"))
    for version in versions:
        before.put(version)
    after.put(provider())
    after.remove(ObjectKey("LLMProvider", "", "house-llm"))
    assert before.policy_for("team-a", {}) == after.policy_for("team-a", {})
    assert isinstance(after.policy_for("team-a", {}), Held)


def test_of_providers_with_one_host_the_oldest_has_it():
    older = provider("z", created="2025-01-01T00:00:00Z")
    shelf = shelf_with(provider("a"), older)
    standings = {one.key.name: one for one in shelf.standings()}
    assert standings["z"].document is not None
    assert standings["a"].document is None
    assert "provider 'z'" in standings["a"].problems[0].what
    assert shelf.policy_for("team-a", {}).effective.providers[0].metadata.name == "z"


_VERSIONS = [
    {"capture": "full"}, {"captur": 1}, {"intercept": ["house-llm"]}, {"intercept": ["nobody"]},
    {"priority": 3}, RESEARCH, {"priority": "odd"}, {"budgets": 7},
    {"credentials": [{"provider": "house-llm", "secretRef": {"name": "s", "key": "k"}}]},
]  # fmt: skip


@st.composite
def _events(draw):
    """Versions of some objects, each as an event, and two orders of them."""
    events = []
    for name in ("a", "b"):
        specs = draw(st.lists(st.sampled_from(_VERSIONS), max_size=4))
        events += [
            ("put", policy(name, spec, generation=g)) for g, spec in enumerate(specs, start=1)
        ]
    if draw(st.booleans()):
        open_or_not = draw(st.lists(st.booleans(), min_size=1, max_size=2))
        events += [
            ("put", provider(tls=tls, generation=g)) for g, tls in enumerate(open_or_not, start=1)
        ]
    if draw(st.booleans()):
        events.append(("put", cluster_policy("c", {"floors": {"opaque": "block"}})))
    events.append(("put_secret", "team-a", "s", "house-llm"))
    events += [("put_pod", pod("1")), ("put_pod", pod("2", labels={"app": "research"}))]
    return draw(st.permutations(events)), draw(st.permutations(events)), draw(st.booleans())


def _after(events, *, complete_first):
    shelf = PolicyShelf()
    if complete_first:
        shelf.complete()
    told = set()
    for call, *values in events:
        told |= getattr(shelf, call)(*values)
    if not complete_first:
        told |= shelf.complete()
    return shelf, told


def _in_force(shelf):
    found = [shelf.policy_for("team-a", labels) for labels in ({}, {"app": "research"})]
    return [one.version if isinstance(one, PodPolicy) else type(one) for one in found]


@settings(max_examples=200, deadline=None)
@given(_events())
def test_any_order_of_the_same_events_gives_the_same_documents(drawn):
    one, other, complete_first = drawn
    first, _ = _after(one, complete_first=complete_first)
    second, told = _after(other, complete_first=True)
    assert _in_force(first) == _in_force(second)
    served = {uid for uid in ("1", "2") if isinstance(second.policy_of(uid), PodPolicy)}
    assert served <= told


def test_a_late_older_version_changes_nothing():
    shelf = shelf_with(policy("a", {"capture": "full"}, generation=5), pods=[pod("1")])
    assert shelf.put(policy("a", {"capture": "redacted"}, generation=4)) == frozenset()
    assert [one.generation for one in shelf.standings()] == [5]


def test_a_change_of_a_providers_hosts_changes_certificates():
    shelf = shelf_with(provider(), policy("a", {"intercept": ["house-llm"]}), pods=[pod("1")])
    assert shelf.put(provider(host="llm.example.org", generation=2)) == {"1"}
    assert shelf.policy_of("1").hosts == ("llm.example.org",)


def test_secrets_are_needed_only_as_far_as_they_may_be_used():
    keys = [
        {"provider": "openai", "secretRef": {"name": "own", "key": "k"}},
        {"provider": "groq", "secretRef": {"name": "other", "key": "k"}},
    ]
    shelf = shelf_with(
        policy("a", {"credentials": keys}),
        secrets=[("team-a", "own", "openai"), ("team-b", "other", "groq")],
    )
    assert shelf.policy_for("team-a", {}).needs.secrets == (SecretKey("own", "k"),)
