"""The kubelet of the tests, with shells for containers: does it do what Kubernetes documents?"""

import asyncio
import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from remora.testing.kubelet import Image, Kubelet, Phase
from remora.testing.network import POD_IPV4

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]

WAITS = "trap 'exit 0' TERM; touch /run/up; while :; do sleep 0.05; done"
STUBBORN = "trap '' TERM; touch /run/up; while :; do sleep 0.05; done"
ASKED = {"periodSeconds": 1, "timeoutSeconds": 30}
"""Every 50 ms, at the pace of these tests; what is slow is no failure."""


class Cluster:
    """One ConfigMap, whose value a test may change."""

    def __init__(self):  # noqa: D107
        self.value = b"first"

    def config_map(self, namespace, name):
        return {"file": self.value} if name == "map" else None

    def secret(self, namespace, name):
        return None

    def token(self, pod, audience, life_s):
        return f"{pod.namespace}/{pod.name}/{pod.uid}/{audience}/{life_s}"


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def run(pods_run, network, tmp_path, cluster):
    """Give what runs a pod of shells; fields are its spec's."""

    def running(*containers, inits=(), **spec):
        pod = {
            "metadata": {"name": "p", "namespace": "team", "uid": "u-1"},
            "spec": {
                "restartPolicy": "Never", "containers": containers, "initContainers": inits, **spec
            },
        }  # fmt: skip
        images = {"image": Image(files={"/etc/of-the-image": b"it"})}
        kubelet = Kubelet(tmp_path / "kubelet", cluster, images.__getitem__, pace=0.05)
        return kubelet.running(pod, network)

    return running


def sh(name, script, **fields):
    return {"name": name, "image": "image", "command": ["sh", "-c", script], **fields}


def sidecar(name, script=WAITS, **fields):
    """A sidecar that listens to signals by the time it has started up."""
    probe = {**ASKED, "exec": {"command": ["test", "-e", "/run/up"]}, "failureThreshold": 600}
    return sh(name, script, restartPolicy="Always", startupProbe=probe, **fields)


def happenings(pod):
    return [(event.container, event.what) for event in pod.events]


async def test_containers_start_in_their_order_and_sidecars_end_in_reverse(run):
    slow = f"sleep 0.3; {WAITS}"
    inits = [sh("first", "true"), sidecar("a", slow), sidecar("b"), sh("last", "")]
    async with run(sh("app", "true"), inits=inits) as pod:
        assert await pod.completed() is Phase.SUCCEEDED, pod.report()
    assert happenings(pod) == [
        ("first", "started"), ("first", "started up"), ("first", "ended 0"),
        ("a", "started"), ("a", "started up"),
        ("b", "started"), ("b", "started up"),
        ("last", "started"), ("last", "started up"), ("last", "ended 0"),
        ("app", "started"), ("app", "started up"), ("app", "ended 0"),
        ("b", "told to end"), ("b", "ended 0"),
        ("a", "told to end"), ("a", "ended 0"),
    ]  # fmt: skip


async def test_an_init_container_that_fails_ends_the_pod_and_its_sidecars(run):
    async with run(sh("app", "true"), inits=[sidecar("a"), sh("bad", "exit 7")]) as pod:
        assert await pod.completed() is Phase.FAILED
    assert pod.state("bad").codes == [7]
    assert pod.state("a").codes == [0]
    assert pod.state("app").starts == 0
    assert "bad" in pod.reason


@pytest.mark.parametrize(
    ("policy", "code", "starts", "phase"),
    [("Never", 3, 1, Phase.FAILED), ("OnFailure", 0, 1, Phase.SUCCEEDED)],
)
async def test_a_pod_ends_as_its_containers_do(run, policy, code, starts, phase):
    async with run(sh("app", f"exit {code}"), restartPolicy=policy) as pod:
        assert await pod.completed() is phase
    assert pod.state("app").starts == starts


async def test_a_container_is_restarted_until_it_ends_well(run):
    volume = {"name": "v", "emptyDir": {}}
    counting = "echo x >> /v/n; [ $(wc -l < /v/n) = 3 ]"
    mounts = [{"name": "v", "mountPath": "/v"}]
    async with run(
        sh("app", counting, volumeMounts=mounts), volumes=[volume], restartPolicy="OnFailure"
    ) as pod:
        assert await pod.completed() is Phase.SUCCEEDED, pod.report()
    assert pod.state("app").codes == [1, 1, 0]


async def test_a_sidecar_that_dies_is_restarted_whatever_the_policy_says(run):
    app = {**sidecar("app"), "restartPolicy": None}
    async with run(app, inits=[sidecar("a")]) as pod:
        await pod.running()
        pod.state("a").process.signal(signal.SIGKILL)
        await pod.until(lambda: pod.happened("started up").count("a") == 2)
        pod.state("app").process.signal(signal.SIGTERM)
        assert await pod.completed() is Phase.SUCCEEDED, pod.report()
    assert pod.state("a").codes[0] == 128 + signal.SIGKILL


async def test_a_container_that_its_liveness_probe_finds_dead_is_restarted(run):
    probe = {**ASKED, "exec": {"command": ["test", "-e", "/run/alive"]}, "failureThreshold": 2}
    started = {**probe, "failureThreshold": 600}  # else its file may be removed before it is there
    app = sh("app", f"touch /run/alive; {WAITS}", startupProbe=started, livenessProbe=probe)
    async with run(app, restartPolicy="Always") as pod:
        await pod.running()
        removed = await pod.exec("app", ["rm", "/run/alive"])
        assert not removed.returncode, removed.stderr
        await pod.until(lambda: pod.state("app").starts == 2)
    assert ("app", "unhealthy") in happenings(pod)


SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, self.client_address[0], flush=True)
        self.send_response(200 if self.path == "/good" else 503)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("0.0.0.0", 8000), Handler)
open("/run/up", "w").close()
server.serve_forever()
"""
WHEN_UP = "until test -e /run/up; do sleep 0.05; done"


@pytest.mark.parametrize(
    ("probe", "passes"),
    [
        ({"httpGet": {"port": "web", "path": "/good"}}, True),
        ({"httpGet": {"port": 8000, "path": "/bad"}}, False),
        ({"tcpSocket": {"port": 8000}}, True),
        ({"tcpSocket": {"port": 8001}}, False),
    ],
)
async def test_probes_ask_from_outside_the_pod(run, probe, passes):
    server = {
        "name": "app", "image": "image", "ports": [{"name": "web", "containerPort": 8000}],
        "command": ["python3", "-c", SERVER],
        "startupProbe": {**ASKED, **probe},
        "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", WHEN_UP]}}},
    }  # fmt: skip
    if shutil.which("python3", path="/usr/bin:/bin") is None:
        pytest.skip("the system has no Python")
    async with run(server) as pod:
        await pod.until(lambda: pod.happened("started up") or pod.happened("unhealthy"))
        assert bool(pod.happened("started up")) is passes, pod.report()
        if probe.get("httpGet"):
            assert POD_IPV4 not in pod.log("app")
            assert probe["httpGet"]["path"] in pod.log("app")


async def test_hooks_run_before_the_next_container_and_before_the_end(run):
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "sleep 0.3; touch /v/post"]}},
        "preStop": {"exec": {"command": ["touch", "/v/pre"]}},
    }
    mounts = [{"name": "v", "mountPath": "/v"}]
    waits = "trap 'ls /v; exit 0' TERM; while :; do sleep 0.05; done"
    async with run(
        sh("a", waits, lifecycle=hooks, volumeMounts=mounts),
        sh("b", "ls /v", volumeMounts=mounts),
        volumes=[{"name": "v", "emptyDir": {}}],
    ) as pod:
        await pod.until(lambda: pod.state("b").codes)
        assert pod.log("b") == "post\n"
        await pod.delete()
    assert pod.log("a").split() == ["post", "pre"]


async def test_what_does_not_end_in_time_is_killed(run):
    app = {**sidecar("app", STUBBORN), "restartPolicy": None}
    async with run(app, inits=[sidecar("a")], terminationGracePeriodSeconds=1) as pod:
        await pod.running()
        await pod.delete()
    assert happenings(pod)[-5:] == [
        ("app", "told to end"), ("app", "killed"), ("app", "ended 137"),
        ("a", "told to end"), ("a", "ended 0"),
    ]  # fmt: skip


STATUS = "grep -E '^(Uid|Gid|Groups|CapBnd|CapEff|NoNewPrivs)' /proc/self/status"


def _status(log):
    return {line.split(":")[0]: line.split()[1:] for line in log.splitlines()}


@pytest.mark.parametrize(
    ("rights", "found"),
    [
        ({}, {"Uid": "0", "CapBnd": "00000000a80425fb", "CapEff": "00000000a80425fb"}),
        ({"runAsUser": 9}, {"Uid": "9", "CapBnd": "00000000a80425fb", "CapEff": "0" * 16}),
        (
            {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}},
            {"CapBnd": "0000000000001000", "CapEff": "0000000000001000", "NoNewPrivs": "0"},
        ),
        (
            {
                "allowPrivilegeEscalation": False, "runAsUser": 0,
                "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            },
            {"CapEff": "0000000000001000", "NoNewPrivs": "1"},
        ),
        ({"runAsUser": 9, "runAsGroup": 8}, {"Gid": "8", "Groups": "8"}),
    ],
    ids=["nothing said", "a user", "one capability", "no escalation", "a group"],
)  # fmt: skip
async def test_processes_have_the_rights_that_their_container_is_given(run, rights, found):
    async with run(sh("app", STATUS, securityContext=rights)) as pod:
        assert await pod.completed() is Phase.SUCCEEDED, pod.report()
    status = _status(pod.log("app"))
    assert {name: status[name][0] for name in found} == found


async def test_who_must_not_be_root_is_not_started_as_root(run):
    async with run(sh("app", "true", securityContext={"runAsNonRoot": True})) as pod:
        assert await pod.completed() is Phase.FAILED
    assert "runAsNonRoot" in pod.reason
    assert pod.state("app").starts == 0


async def test_a_read_only_root_can_not_be_written_and_volumes_can(run):
    script = "for f in /x /tmp/x /etc/x /v/x; do (: > $f) 2>/dev/null && echo $f; done; true"
    mounts = [{"name": "v", "mountPath": "/v"}]
    safe = {"readOnlyRootFilesystem": True, "runAsUser": 9}
    async with run(
        sh("app", script, securityContext=safe, volumeMounts=mounts),
        volumes=[{"name": "v", "emptyDir": {}}],
    ) as pod:
        await pod.completed()
    assert pod.log("app").split() == ["/v/x"]


def _exist(*paths):
    return [path for path in paths if Path(path).exists()]


async def test_what_a_container_writes_is_its_own_and_never_the_machines(run):
    script = "cat /etc/of-the-image; echo x >> /etc/of-the-image; : > /etc/made-here; ls /etc/made*"
    async with run(
        sh("a", script), sh("b", "cat /etc/of-the-image; ls /etc/made-here; true"), inits=[]
    ) as pod:
        await pod.completed()
    assert pod.log("a").split() == ["it/etc/made-here"]
    assert pod.log("b").startswith("it")
    assert "/etc/made-here\n" not in pod.log("b")
    assert not await asyncio.to_thread(_exist, "/etc/of-the-image", "/etc/made-here")


PROJECTED = {
    "name": "v",
    "projected": {
        "sources": [
            {"configMap": {"name": "map", "items": [{"key": "file", "path": "deep/file"}]}},
            {"serviceAccountToken": {"audience": "x", "expirationSeconds": 600, "path": "token"}},
            {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"secret": {"name": "none", "optional": True}},
        ]
    },
}


async def test_volumes_hold_what_is_projected_into_them(run):
    mounts = [{"name": "v", "mountPath": "/var/run/v", "readOnly": True}]
    script = "cd /var/run/v; cat deep/file; echo; cat token; echo; cat n; echo; touch new; ls -L"
    async with run(sh("app", script, volumeMounts=mounts), volumes=[PROJECTED]) as pod:
        await pod.completed()
    lines = [line for line in pod.log("app").splitlines() if "new" not in line]
    assert lines == ["first", "team/p/u-1/x/600", "p", "deep", "n", "token"]


async def test_folders_are_refreshed_and_files_mounted_from_them_are_not(run, cluster):
    volume = {"name": "v", "configMap": {"name": "map"}}
    mounts = [
        {"name": "v", "mountPath": "/folder"},
        {"name": "v", "mountPath": "/etc/one", "subPath": "file"},
    ]
    async with run(sh("app", WAITS, volumeMounts=mounts), volumes=[volume]) as pod:
        await pod.running()
        cluster.value = b"second"
        pod.refresh_volumes()
        done = await pod.exec("app", ["cat", "/folder/file", "/etc/one"])
    assert done.stdout == "secondfirst"


@pytest.mark.parametrize(
    ("pod_wide", "user", "owner"),
    [({}, 9, "9:0 600"), ({"fsGroup": 7}, 9, "0:7 640"), ({}, None, "0:0 644")],
    ids=["one user", "a group of the pod's", "nothing said"],
)
async def test_a_token_is_read_by_those_that_it_is_for(run, pod_wide, user, owner):
    mounts = [{"name": "v", "mountPath": "/v"}]
    rights = {} if user is None else {"runAsUser": user}
    script = "stat -L -c '%u:%g %a' /v/token; cat /v/token"
    async with run(
        sh("app", script, volumeMounts=mounts, securityContext=rights),
        volumes=[PROJECTED],
        securityContext=pod_wide,
    ) as pod:
        assert await pod.completed() is Phase.SUCCEEDED, pod.report()
    assert pod.log("app") == f"{owner}\nteam/p/u-1/x/600"


@pytest.mark.parametrize("shares", [False, True])
async def test_processes_of_other_containers_are_seen_only_if_the_pod_shares_them(run, shares):
    seen = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done"
    async with run(sh("a", WAITS), sh("b", WAITS), shareProcessNamespace=shares) as pod:
        await pod.running()
        done = await pod.exec("b", ["sh", "-c", seen])
    assert done.stdout.count("trap 'exit 0' TERM") == (2 if shares else 1)


async def test_containers_share_a_network_and_their_names(run):
    said = "cat /etc/hostname; hostname; getent hosts api.openai.com | cut -d' ' -f1"
    async with run(sh("app", said)) as pod:
        await pod.completed()
    assert pod.log("app").split() == ["p", "p", "2001:db8:10::10"]


async def test_a_command_in_a_container_has_its_files_variables_and_rights(run):
    env = [{"name": "V", "value": "v"}]
    rights = {"runAsUser": 9, "allowPrivilegeEscalation": False}
    async with run(
        sh("app", f"echo x > /tmp/own; {WAITS}", env=env, securityContext=rights)
    ) as pod:
        await pod.running()
        await pod.until(lambda: True)
        done = await pod.exec("app", ["sh", "-c", f"cat; echo $V; id -u; {STATUS}"], stdin="in ")
        failed = await pod.exec("app", ["sh", "-c", "exit 4"])
        with pytest.raises(TimeoutError):
            await pod.exec("app", ["sleep", "600"], timeout_s=0.2)
    assert done.stdout.startswith("in v\n9\n")
    assert _status(done.stdout.partition("9\n")[2])["NoNewPrivs"] == ["1"]
    assert failed.returncode == 4


async def test_a_missing_config_map_holds_up_the_pod_with_the_reason(run):
    volume = {"name": "v", "configMap": {"name": "none"}}
    async with run(sh("app", "true"), volumes=[volume]) as pod:
        assert await pod.completed() is Phase.FAILED
    assert pod.reason == "configMap none is missing"


def _left():
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return listed.stdout + Path("/proc/self/mounts").read_text()


async def test_nothing_is_left_of_a_pod_even_after_a_failure(run, tmp_path):
    stubborn = sidecar("a", STUBBORN)
    made = run(sh("app", "sleep 6543 & sleep 6543"), inits=[stubborn], shareProcessNamespace=True)
    with contextlib.suppress(ZeroDivisionError):
        async with made as pod:
            await pod.running()
            _ = 1 / 0
    left = await asyncio.to_thread(_left)
    assert "sleep 6543" not in left
    assert str(tmp_path) not in left


def _wait_until_gone(pid):
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            assert select.select([descriptor], [], [], 30)[0], "it goes on"
        finally:
            os.close(descriptor)


async def test_a_pod_dies_with_who_started_it(pods_run, network, tmp_path):
    program = f"""
import asyncio, os, signal, sys
from pathlib import Path
from remora.testing.kubelet import Image, Kubelet
from remora.testing.network import Namespace, Network
async def main():
    network = Network(Namespace({network.pod.name!r}), Namespace({network.internet.name!r}), {{}})
    kubelet = Kubelet(Path({str(tmp_path)!r}), None, lambda name: Image())
    app = {{"name": "app", "command": ["sleep", "7654"]}}
    pod = {{"metadata": {{"name": "p"}}, "spec": {{"containers": [app]}}}}
    async with kubelet.running(pod, network) as running:
        await running.running()
        print(running.state("app").process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-P", "-c", program], capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    await asyncio.to_thread(_wait_until_gone, int(done.stdout))


def test_without_root_it_says_what_is_needed(pods_run, network):
    asked = "from remora.testing.kubelet import why_not; print(why_not())"
    said = network.pod.run([sys.executable, "-c", asked], uid=1000)
    assert said.stdout.strip() == "network namespaces need root"
