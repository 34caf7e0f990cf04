"""Every kind of agent: labelled, and nothing else done to it."""

import json

import pytest
from tests.cluster import objects
from tests.cluster.kubectl import until

pytestmark = pytest.mark.slow


def _one(records):
    assert len(records) == 1
    return records[0]


def test_a_labelled_pods_call_is_recorded_as_its_own(installed, provider, make_team, image):
    team = make_team()  # the pod's label is enough
    spec = objects.pod_spec(objects.agent(image, provider.url), restartPolicy="Never")
    team.apply(objects.pod("agent", spec, objects.INJECT))
    until(lambda: team.get("pod", "agent")["status"]["phase"] == "Succeeded", "the agent is done")

    record = _one(installed.records_of(team.namespace))

    pod = team.get("pod", "agent")
    assert record["namespace"] == team.namespace
    assert record["pod_uid"] == pod["metadata"]["uid"]
    assert (record["provider"], record["status_code"]) == (provider.name, 200)
    assert record["requested_model"] == "gpt-4o-mini"


def test_the_agents_container_stays_as_its_author_wrote_it(team, provider, image):
    container = {**objects.idle(image), "env": [{"name": "MINE", "value": "as it was"}]}
    team.apply(objects.pod("agent", objects.pod_spec(container)))
    team.wait_ready("agent")

    found = team.get("pod", "agent")["spec"]["containers"]

    assert [one["name"] for one in found] == ["agent"]
    assert found[0]["command"] == container["command"]
    assert {"name": "MINE", "value": "as it was"} in found[0]["env"]
    assert found[0]["securityContext"] == container["securityContext"]


def test_a_deployments_pods_are_injected(installed, team, provider, image):
    agent = objects.agent(image, provider.url, times=0, pause_s=1)
    team.apply(objects.deployment("agent", objects.pod_spec(agent), {}))
    team.rolled_out("deployment/agent")

    records = installed.records_of(team.namespace, at_least=2)

    assert {record["status_code"] for record in records} == {200}


def test_a_job_completes(installed, team, provider, image):
    team.apply(objects.job("once", objects.pod_spec(objects.agent(image, provider.url, times=3))))
    team.wait_complete("once")
    assert len(installed.records_of(team.namespace, at_least=3)) == 3


def test_a_cron_jobs_job_completes(installed, team, provider, image):
    team.apply(objects.cron_job("nightly", objects.pod_spec(objects.agent(image, provider.url))))
    team.run("create", "job", "tonight", "--from=cronjob/nightly")
    team.wait_complete("tonight")
    _one(installed.records_of(team.namespace))


def test_calls_of_init_containers_are_recorded(installed, team, provider, image):
    first = {**objects.agent(image, provider.url, model="gpt-4o"), "name": "prepare"}
    spec = objects.pod_spec(objects.agent(image, provider.url), init=first)
    team.apply(objects.job("two-steps", spec))
    team.wait_complete("two-steps")

    records = installed.records_of(team.namespace, at_least=2)

    assert sorted(record["requested_model"] for record in records) == ["gpt-4o", "gpt-4o-mini"]


def test_a_restricted_namespaces_agent_calls_through_the_proxy(
    installed, make_team, provider, image
):
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    team = make_team({**objects.ENABLED, **level})
    team.apply(objects.job("once", objects.pod_spec(objects.agent(image, provider.url))))
    team.wait_complete("once")
    _one(installed.records_of(team.namespace))


def test_the_cas_key_is_in_no_file_and_no_variable_of_the_agent(team, provider, image):
    team.apply(objects.pod("agent", objects.pod_spec(objects.idle(image))))
    team.wait_ready("agent")
    looked = team.exec(
        "agent", "sh", "-c",
        "env; grep -rls 'PRIVATE KEY' /run /var/run /etc/ssl /tmp 2>/dev/null; true",
        container="agent",
    )  # fmt: skip
    assert "PRIVATE KEY" not in looked
    assert not [line for line in looked.splitlines() if line.startswith("/")]


def test_a_pod_says_how_it_was_injected(team, provider, image):
    team.apply(objects.pod("agent", objects.pod_spec(objects.idle(image))))
    team.wait_ready("agent")
    status = json.loads(team.get("pod", "agent")["metadata"]["annotations"]["remora.dev/status"])
    assert status["mode"] == "transparent"
    until(
        lambda: "Injected" in team.run("get", "events", "-o", "jsonpath={.items[*].reason}"),
        "an Event says so",
        within_s=60,
    )
