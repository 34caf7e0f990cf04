"""Which pods have a sidecar, and what their spec gives it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.cluster.staging import agent_pod
from tests.operator.pods import container, named, pod

from remora_operator.cluster.pods import read_agent
from remora_operator.inject import PolicyNeeds
from remora_operator.inject.config import SecretKey
from remora_operator.policies import Provided

METADATA = {
    "name": "agent",
    "namespace": "team-a",
    "uid": "u-1",
    "creationTimestamp": "2026-01-01T00:00:00Z",
}
NEEDS = PolicyNeeds(secrets=(SecretKey("openai", "api-key"),), ports=(443, 8000))


def stored(made, *, status=None, **metadata):
    """A pod as the API server gives it."""
    whole = {**METADATA, **made["metadata"], **metadata}
    return {**made, "metadata": whole, "status": status or {"phase": "Pending"}}


def explicit(needs=None):
    made = pod(metadata={"annotations": {"remora.dev/mode": "explicit"}})
    from tests.operator.pods import injected

    return injected(made)


def test_an_injected_pod_is_ours():
    agent = read_agent(stored(agent_pod(app="research")))
    assert agent is not None
    facts = agent.facts
    assert (facts.uid, facts.namespace, facts.name) == ("u-1", "team-a", "agent")
    assert facts.labels == {"app": "research"}
    assert facts.reported_version == ""


@pytest.mark.parametrize(
    "made",
    [
        pod(),
        pod(container("remora")),
        pod(container("remora-netinit"), container("app")),
        pod(metadata={"annotations": {"remora.dev/status": '{"mode":"transparent"}'}}),
        pod(metadata={"labels": {"remora.dev/inject": "true"}}),
        pod(volumes=[{"name": "remora-identity", "emptyDir": {}}]),
    ],
    ids=[
        "no trace of it",
        "a container of the sidecar's name",
        "a container of netinit's name",
        "an annotation",
        "a label",
        "a volume of its name",
    ],
)
def test_nothing_but_the_shape_makes_a_pod_ours(made):
    assert read_agent(stored(made)) is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_is_over_counts_no_more(phase):
    assert read_agent(stored(agent_pod(), status={"phase": phase})) is None


def test_a_pods_start_is_the_kubelets_word_or_else_when_it_was_made():
    made = read_agent(stored(agent_pod()))
    started = read_agent(stored(agent_pod(), status={"startTime": "2026-01-01T02:00:00+01:00"}))
    assert made is not None
    assert started is not None
    assert made.started == datetime(2026, 1, 1, tzinfo=UTC)
    assert started.started == datetime(2026, 1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "read"),
    [("ab12" * 16, "ab12" * 16), ("", ""), ("v1; DROP", ""), ("a" * 65, ""), ("AB", "")],
)
def test_a_version_is_taken_only_if_it_may_be_one(written, read):
    value = stored(agent_pod())
    value["metadata"]["annotations"] = {"remora.dev/policy-version": written}
    agent = read_agent(value)
    assert agent is not None
    assert agent.facts.reported_version == read


def _provided(made):
    agent = read_agent(stored(made))
    assert agent is not None
    return agent.facts.provided


def test_what_injection_gave_is_what_is_provided():
    found = _provided(agent_pod(NEEDS))
    assert found is not None
    assert found.secrets == {SecretKey("openai", "api-key")}
    assert found.missing(NEEDS) == ()
    assert _provided(agent_pod()).missing(NEEDS) == ("Secret openai key api-key", "port 8000")


def test_in_explicit_mode_no_port_is_missing():
    assert _provided(explicit()) == Provided(frozenset(), None)


def test_a_secret_that_the_sidecar_does_not_mount_is_not_provided():
    made = agent_pod(NEEDS)
    sidecar = named(made, "remora")
    sidecar["volumeMounts"] = [
        mount for mount in sidecar["volumeMounts"] if mount["name"] != "remora-secrets"
    ]
    assert _provided(made).secrets == frozenset()


@pytest.mark.parametrize("ports", [None, "443,http", "²"])
def test_where_netinit_was_told_what_nobody_can_read_nothing_is_said(ports):
    made = agent_pod(NEEDS)
    netinit = named(made, "remora-netinit")
    others = [v for v in netinit["env"] if v["name"] != "REMORA_REDIRECT_PORTS"]
    told = [] if ports is None else [{"name": "REMORA_REDIRECT_PORTS", "value": ports}]
    netinit["env"] = [*others, *told]
    assert _provided(made) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(_JSON, st.sampled_from(["metadata", "spec", "status"]))
def test_a_pod_of_whatever_shape_is_ours_or_is_not(value, where):
    read_agent({**stored(agent_pod()), where: value})


@given(_JSON, st.sampled_from(["containers", "initContainers", "volumes"]))
def test_a_spec_of_whatever_shape_is_ours_or_is_not(value, where):
    made = stored(agent_pod())
    read_agent({**made, "spec": {**made["spec"], where: value}})
