"""Which pods get a sidecar, which do not, and which may not start."""

import json

import pytest
from tests.cluster import objects
from tests.cluster.kubectl import until

pytestmark = pytest.mark.slow


def _containers(team, name):
    spec = team.get("pod", name)["spec"]
    return [c["name"] for c in (*spec.get("initContainers", ()), *spec["containers"])]


@pytest.mark.parametrize(
    ("namespace_labels", "pod_labels"),
    [
        pytest.param({}, {}, id="nobody asked"),
        pytest.param(objects.ENABLED, {"remora.dev/inject": "false"}, id="the pod opts out"),
        pytest.param({"remora.dev/injection": "disabled"}, objects.INJECT, id="the namespace does"),
    ],
)
def test_a_pod_that_is_not_chosen_stays_as_it_is(
    installed, make_team, image, namespace_labels, pod_labels
):
    team = make_team(namespace_labels)
    team.apply(objects.pod("agent", objects.pod_spec(objects.idle(image)), pod_labels))
    assert _containers(team, "agent") == ["agent"]


def test_a_dry_run_shows_the_pod_and_leaves_nothing(installed, team, image):
    pod = objects.pod("agent", objects.pod_spec(objects.idle(image)))
    said = team.run("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(pod))
    shown = json.loads(said)
    assert [c["name"] for c in shown["spec"]["initContainers"]] == ["remora-netinit", "remora"]
    assert team.get("pods")["items"] == []
    assert team.get("events")["items"] == []


def test_a_pod_that_could_step_around_the_sidecar_is_refused_with_the_reason(
    installed, team, image
):
    container = {**objects.idle(image), "securityContext": {"runAsUser": 1500}}
    made = team.create(objects.pod("agent", objects.pod_spec(container)))
    assert made.returncode != 0
    assert "remora refuses this pod" in made.stderr
    assert "1500" in made.stderr


def test_where_injection_is_enforced_a_pod_without_a_sidecar_is_denied(installed, make_team, image):
    with installed.enforced():
        team = make_team({**objects.ENABLED, "remora.dev/enforce": "true"})
        opted_out = {"remora.dev/inject": "false"}
        bare = objects.pod("bare", objects.pod_spec(objects.idle(image)), opted_out)
        until(lambda: team.create(bare).returncode != 0 or _again(team, bare), "it is denied")
        team.apply(objects.pod("agent", objects.pod_spec(objects.idle(image))))
        team.wait_ready("agent")


def _again(team, pod):
    """Take away a pod that a policy, applied a moment ago, did not stop yet."""
    team.delete(pod)
    return False
