"""Uninstalled, Remora leaves nothing behind that holds up a pod."""

import pytest
from tests.cluster import objects
from tests.cluster.kubectl import Kubectl

pytestmark = pytest.mark.slow


def test_after_an_uninstall_pods_start_without_a_sidecar(installed, team, image):
    try:
        installed.remove()
        team.apply(objects.pod("agent", objects.pod_spec(objects.idle(image))))
        team.wait_ready("agent")
        assert "initContainers" not in team.get("pod", "agent")["spec"]
        left = Kubectl().run(
            "get",
            "mutatingwebhookconfigurations,validatingadmissionpolicies,"
            "validatingadmissionpolicybindings,customresourcedefinitions,clusterroles",
            "-o", "name",
        )  # fmt: skip
        assert [name for name in left.splitlines() if "remora" in name] == []
    finally:
        installed.put()


def test_installing_again_holds_up_no_pod(installed, team, image):
    installed.put()
    team.apply(objects.pod("agent", objects.pod_spec(objects.idle(image))))
    names = [c["name"] for c in team.get("pod", "agent")["spec"]["initContainers"]]
    assert names == ["remora-netinit", "remora"]
