"""`remora doctor` against a cluster over real HTTP: what it asks, what it prints, how it exits."""

import asyncio
import json

import pytest
from click.testing import CliRunner
from tests.operator.diagnosis.clusters import (
    PEM,
    TRUST_KEYS,
    bare_pod,
    current_version,
    deployment,
    hooks,
    namespace,
    running_pod,
)

from remora.testing.kubernetes_api import KubernetesApi
from remora_operator.commands.doctor import command

TEAM = "/api/v1/namespaces/team"
APPS = "/apis/apps/v1/namespaces/team"
BATCH = "/apis/batch/v1/namespaces/team"
HOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/remora-injector"


def _owned(one, kind, name, uid):
    owner = {"kind": kind, "name": name, "uid": uid, "controller": True}
    return {**one, "metadata": {**one["metadata"], "ownerReferences": [owner]}}


def _put(server, path, one, **metadata):
    return server.put(path, {**one, "metadata": {**one["metadata"], **metadata}})


@pytest.fixture
async def cluster(tmp_path, monkeypatch):
    """A Deployment whose one pod is injected and well, and a kubeconfig that leads there."""
    async with KubernetesApi().serving() as server:
        server.put(TEAM, namespace())
        server.put(HOOKS, hooks(PEM))
        slice_path = "/apis/discovery.k8s.io/v1/namespaces/remora-system/endpointslices/o-1"
        labels = {"kubernetes.io/service-name": "remora-operator"}
        server.put(slice_path, {"metadata": {"labels": labels}, "endpoints": [{}]})
        trust = {"metadata": {}, "data": dict.fromkeys(TRUST_KEYS, "x")}
        server.put(f"{TEAM}/configmaps/remora-trust", trust)
        made = _put(server, f"{APPS}/deployments/web", deployment())
        template = {"metadata": {"labels": {"app": "web"}}, "spec": made["spec"]}
        server.put(
            f"{APPS}/replicasets/web-5d",
            _owned(template, "Deployment", "web", made["metadata"]["uid"]),
        )
        _add_pod(server, running_pod(deployment()))
        monkeypatch.setenv("KUBECONFIG", str(_kubeconfig(tmp_path, server.url)))
        yield server


def _add_pod(server, one):
    [maker] = [
        change.object for change in server.objects.changes
        if change.object["metadata"]["name"] == "web-5d"
    ]  # fmt: skip
    owned = _owned(one, "ReplicaSet", "web-5d", maker["metadata"]["uid"])
    server.put(f"{TEAM}/pods/{one['metadata']['name']}", owned)


def _kubeconfig(folder, url):
    file = folder / "kubeconfig"
    context = {"cluster": "c", "user": "u", "namespace": "team"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": context}],
        "current-context": "here",
    }
    file.write_text(json.dumps(document))
    return file


async def _asked(*arguments):
    """Run the command in a thread: it has a loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, command, list(arguments))


@pytest.mark.parametrize(
    "target", ["deployment/web", "deploy/web", "pod/web-1", "web-1", "po/web-1", "rs/web-5d"]
)
async def test_where_all_is_well_it_exits_with_0(cluster, target):
    done = await _asked(target)

    assert done.exit_code == 0, done.output
    assert "in team: " in done.output
    assert "problem" not in done.output


async def test_it_says_what_is_wrong_where_and_what_to_do(cluster):
    _add_pod(cluster, bare_pod(deployment()))

    done = await _asked("deployment/web")

    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0] == "deployment/web in team: 1 of 2 pods have a sidecar"
    assert lines[1].startswith("  problem: NotInjected: pod web-0: it has no sidecar")
    assert lines[2] == "    → kubectl rollout restart deployment/web -n team"


async def test_a_pod_is_explained_by_what_makes_it(cluster):
    cluster.put(TEAM, namespace(enabled=False))
    labelled = deployment(**{"remora.dev/inject": "true"})
    _put(cluster, f"{APPS}/deployments/web", labelled)
    _add_pod(cluster, bare_pod(labelled))

    done = await _asked("web-0")

    assert done.exit_code == 1
    assert "pod/web-0 (of deployment/web) in team: has no sidecar" in done.output
    assert "stands on the Deployment" in done.output


async def test_json_is_one_object_a_line(cluster):
    _add_pod(cluster, bare_pod(deployment()))

    done = await _asked("deployment/web", "pod/web-1", "--json")

    first, second = map(json.loads, done.output.splitlines())
    assert first["target"] == "deployment/web"
    assert first["workload"] == {"kind": "Deployment", "name": "web"}
    assert first["pods"] == {"seen": 2, "injected": 1}
    [found] = [one for one in first["findings"] if one["weight"] == "problem"]
    assert found.keys() == {"kind", "weight", "where", "what", "todo"}
    assert (found["kind"], found["where"]) == ("NotInjected", "pod web-0")
    assert second["pods"] == {"seen": 1, "injected": 1}
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("kind", "plural", "path"),
    [
        ("StatefulSet", "statefulsets", APPS),
        ("DaemonSet", "daemonsets", APPS),
        ("Job", "jobs", BATCH),
    ],
)
async def test_other_workloads_have_pods_of_their_own(cluster, kind, plural, path):
    top = deployment() | {"kind": kind}
    made = _put(cluster, f"{path}/{plural}/db", top, name="db", uid=f"uid-{kind}")
    own = bare_pod(top, "db-0")
    own["metadata"]["labels"] = {"app": "web"}
    owned = _owned(own, kind, "db", made["metadata"]["uid"])
    cluster.put(f"{TEAM}/pods/db-0", owned)

    done = await _asked(f"{kind.lower()}/db")

    assert f"{kind.lower()}/db in team: 0 of 1 pods" in done.output
    assert "NotInjected: pod db-0" in done.output


async def test_a_cron_job_is_asked_for_the_pods_of_its_newest_jobs(cluster):
    job = {"metadata": {}, "spec": deployment()["spec"]}
    cron = {"kind": "CronJob", "metadata": {"uid": "c"}, "spec": {"jobTemplate": job}}
    cluster.put(f"{BATCH}/cronjobs/nightly", cron)
    for day in range(1, 6):
        made = {"created": f"2026-11-0{day}T00:00:00Z", "name": f"nightly-{day}"}
        one = {**job, "metadata": {"uid": f"j{day}", "creationTimestamp": made["created"]}}
        cluster.put(f"{BATCH}/jobs/{made['name']}", _owned(one, "CronJob", "nightly", "c"))
        pod = _owned(bare_pod(deployment()), "Job", made["name"], f"j{day}")
        cluster.put(f"{TEAM}/pods/{made['name']}-x", pod)

    done = await _asked("cj/nightly")

    assert "cronjob/nightly in team: 0 of 3 pods" in done.output
    assert "nightly-5-x" in done.output
    assert "nightly-1-x" not in done.output


async def test_what_controllers_complain_of_is_read_from_events(cluster):
    for number, message in enumerate(["an old complaint", "the newest complaint"]):
        event = {
            "metadata": {},
            "involvedObject": {"name": "web-5d"},
            "reason": "FailedCreate",
            "message": message,
            "lastTimestamp": f"2026-11-20T1{number}:00:00Z",
        }
        cluster.put(f"{TEAM}/events/e{number}", event)

    done = await _asked("deployment/web")

    assert "PodsNotCreated: deployment/web: pods can't be created: the newest" in done.output


async def test_policies_and_configuration_are_those_of_the_cluster(cluster):
    spec = {"models": 7}
    cluster.put(
        "/apis/remora.dev/v1alpha1/namespaces/team/llmpolicies/p",
        {"apiVersion": "remora.dev/v1alpha1", "metadata": {}, "spec": spec},
    )
    cluster.put(
        "/api/v1/namespaces/remora-system/configmaps/remora-config",
        {"metadata": {}, "data": {"injection.yaml": "mode: magic"}},
    )
    done = await _asked("deployment/web")

    assert "PolicyHeld" in done.output
    assert "ConfigUnreadable: ConfigMap remora-config in remora-system" in done.output
    assert "magic" in done.output or "mode" in done.output


async def test_what_may_not_be_asked_is_said_and_the_rest_is_told(cluster, monkeypatch):
    forbidden = (
        "/mutatingwebhookconfigurations/",
        "/endpointslices",
        "/llmpolicies",
        "/configmaps/",
    )
    _forbid(cluster, monkeypatch, forbidden)

    done = await _asked("deployment/web")

    assert done.exit_code == 0
    assert done.output.count("NotAsked") == 5
    assert "Missing" not in done.output
    assert "NotReady" not in done.output


def _forbid(server, monkeypatch, paths):
    from remora.testing.kubernetes_objects import Refused

    admit = server._admit

    def refuse(request):
        if any(path in request.path for path in paths):
            raise Refused(403, "Forbidden", "you may not")
        admit(request)

    monkeypatch.setattr(server, "_admit", refuse)


async def test_no_secret_is_read_and_nothing_is_written(cluster):
    await _asked("deployment/web")
    assert {method for method, _ in cluster.requests} == {"GET"}
    assert not [path for _, path in cluster.requests if "/secrets" in path]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deployment/nobody"], "there is no deployment/nobody in namespace team"),
        (["deployment/web", "-n", "other"], "there is no deployment/web in namespace other"),
        (["service/web"], "'service' is none of pod, deployment"),
        (["deployment/Web"], "is no name of an object"),
        (["pod/../x"], "is none of"),
        (["deployment/web", "--context", "moon"], "moon"),
        ([], "Missing argument"),
    ],
)
async def test_what_can_not_be_asked_exits_with_2(cluster, arguments, said):
    done = await _asked(*arguments)
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_an_api_server_that_refuses_exits_with_2(cluster, status):
    cluster.fails_with = status
    done = await _asked("deployment/web")
    assert done.exit_code == 2
    assert str(status) in done.output


async def test_without_a_cluster_it_exits_with_2(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(_kubeconfig(tmp_path, "http://127.0.0.1:9")))
    done = await _asked("deployment/web")
    assert done.exit_code == 2
    assert "the API server can't be asked" in done.output


def test_the_version_that_pods_have_is_the_one_without_policies():
    assert len(current_version()) == 64
