"""What changes while agents run: policies, roots, and who is there to serve them."""

import json

import pytest
from tests.cluster import objects
from tests.cluster.kubectl import until

pytestmark = pytest.mark.slow

WITHIN_S = 2.0
"""From ``kubectl apply`` to the first call that is judged by it."""


def _calls(team, pod):
    lines = team.run("logs", pod, "-c", "agent").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def _now_s(team, pod):
    """The clock of the pod's node: the agent's lines are dated by it."""
    return float(team.exec(pod, "python3", "-c", "import time; print(time.time())"))


@pytest.fixture
def caller(team, provider, image):
    """An agent that makes ten calls a second, and goes on."""
    container = objects.agent(image, provider.url, times=0, pause_s=0.1)
    team.apply(objects.pod("caller", objects.pod_spec(container)))
    team.wait_ready("caller")
    until(lambda: any(call["status"] == 200 for call in _calls(team, "caller")), "calls go through")
    return "caller"


def test_a_changed_policy_is_enforced_within_two_seconds(team, caller):
    denied = objects.policy("models", models={"deny": ["gpt-*"]})
    team.apply(denied)
    applied_s = _now_s(team, caller)

    first = until(
        lambda: next((c for c in _calls(team, caller) if c["status"] == 403), None),
        "a call is refused",
        within_s=60,
    )

    assert first["at"] - applied_s <= WITHIN_S
    until(lambda: _condition(team, "Enforced") == "True", "the status says so", within_s=60)
    status = team.get("llmpolicy", "models")["status"]
    assert status["pods"] == {"selected": 1, "current": 1}
    pod = team.get("pod", caller)
    assert len(pod["metadata"]["annotations"]["remora.dev/policy-version"]) == 64


def _condition(team, kind):
    conditions = team.get("llmpolicy", "models").get("status", {}).get("conditions", [])
    return next((c["status"] for c in conditions if c["type"] == kind), None)


def test_a_policy_that_cant_be_meant_is_refused_by_the_server(installed, team):
    wrong = objects.policy("wrong", budgets=[{"name": "b", "per": "moon", "maxCostUSD": "1"}])
    made = team.create(wrong)
    assert made.returncode != 0
    assert "spec.budgets[0].per" in made.stderr


def test_a_budget_of_nothing_stops_an_agent(installed, team, provider, image):
    nothing = {"name": "none", "per": "pod", "maxTokens": 1, "onExceed": "block"}
    team.apply(objects.policy("models", budgets=[nothing]))
    until(lambda: _condition(team, "Accepted") == "True", "the policy is accepted", within_s=60)
    spec = objects.pod_spec(objects.agent(image, provider.url, times=5), restartPolicy="Never")
    team.apply(objects.pod("agent", spec))
    until(lambda: team.get("pod", "agent")["status"]["phase"] == "Failed", "the agent gave up")
    assert _calls(team, "agent")[-1]["status"] == 429


def test_the_root_is_replaced_under_traffic_and_no_call_fails(installed, team, caller):
    before = len(_calls(team, caller))
    _ca(installed, "rotate", "begin")
    # Before the kubelets have written the new root everywhere, only force switches.
    _ca(installed, "rotate", "switch", "--force")
    # A new intermediate comes with the next certificate: the sidecar is told at once.
    until(lambda: len(_calls(team, caller)) > before + 100, "calls go on", within_s=120)
    late = objects.pod("late", objects.pod_spec(objects.idle(installed.image)))
    team.apply(late)
    team.wait_ready("late")

    failed = [call for call in _calls(team, caller)[before:] if call["status"] != 200]

    assert failed == []


def _ca(installed, *arguments):
    return installed.system.run(
        "exec", "deployment/remora-operator", "--", "remora", "ca", *arguments
    )


def test_calls_go_on_while_the_operator_is_away(installed, team, caller):
    before = len(_calls(team, caller))
    installed.system.run("scale", "deployment/remora-operator", "--replicas=0")
    try:
        until(lambda: len(_calls(team, caller)) > before + 50, "calls go on", within_s=120)
    finally:
        installed.system.run("scale", "deployment/remora-operator", "--replicas=2")
        installed.system.rolled_out("deployment/remora-operator")
    assert all(call["status"] == 200 for call in _calls(team, caller)[before:])


def test_one_operator_pod_is_killed_and_pods_are_injected_all_the_same(installed, team, image):
    pods = installed.system.get("pods", "-l", "app.kubernetes.io/component=operator")["items"]
    installed.system.run(
        "delete", "pod", pods[0]["metadata"]["name"], "--grace-period=0", "--force"
    )
    team.apply(objects.pod("agent", objects.pod_spec(objects.idle(image))))
    team.wait_ready("agent")
    names = [c["name"] for c in team.get("pod", "agent")["spec"]["initContainers"]]
    assert names == ["remora-netinit", "remora"]
    installed.system.rolled_out("deployment/remora-operator")


def test_a_killed_sidecar_comes_back_and_no_record_is_lost(installed, team, caller):
    _kill_sidecar(team, caller)
    seen = len(_calls(team, caller))
    until(
        lambda: [c["status"] for c in _calls(team, caller)[seen:]][-20:] == [200] * 20,
        "calls go through again",
        within_s=120,
    )
    calls = _calls(team, caller)
    team.run("delete", "pod", caller, "--wait=false")

    def all_there():
        good = sum(call["status"] == 200 for call in calls)
        found = installed.records("--where", f"namespace={team.namespace}", "--limit", "10000")
        return len([r for r in found if r["status_code"] == 200]) >= good

    until(all_there, "every answered call has a record", within_s=120)


def _kill_sidecar(team, pod):
    """Stop the first process of its container; no other signal reaches that from within."""
    restarts = _restarts(team, pod)
    team.tried("exec", pod, "-c", "remora", "--", "python3", "-c", "import os; os.kill(1, 15)")
    until(lambda: _restarts(team, pod) > restarts, "the kubelet starts it anew", within_s=120)


def _restarts(team, pod):
    statuses = team.get("pod", pod)["status"].get("initContainerStatuses", [])
    return sum(one["restartCount"] for one in statuses if one["name"] == "remora")
