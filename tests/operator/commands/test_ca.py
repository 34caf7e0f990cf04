"""`remora ca`: what it shows, what it does, how it ends; by a kubeconfig, over real HTTP."""

import asyncio
import json
import threading
from concurrent.futures import Future
from dataclasses import dataclass

import pytest
from click.testing import CliRunner
from tests.operator.custody.staging import DAY_S, SYSTEM, Cluster, running_cluster

from remora.cli.main import _guarded
from remora.clock import SystemClock
from remora.testing.clock import NANOSECONDS, ManualClock
from remora_operator.commands.ca import command


@dataclass
class Operator:
    """A cluster that runs in a loop of its own, as commands have theirs."""

    loop: asyncio.AbstractEventLoop
    cluster: Cluster

    def keep(self, **settings):
        """Have a leader look at everything once."""

        async def kept():
            replica = self.cluster.replica(**settings)
            await replica.custodian.keep()
            return replica.said

        return asyncio.run_coroutine_threadsafe(kept(), self.loop).result(60)


@pytest.fixture
def operator(monkeypatch, tmp_path):
    started: Future[Operator] = Future()
    ended = []

    async def serve():
        now = SystemClock().now_unix_ns() // NANOSECONDS
        async with running_cluster(ManualClock(now * NANOSECONDS)) as cluster:
            end = asyncio.Event()
            ended.append(end)
            started.set_result(Operator(asyncio.get_running_loop(), cluster))
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    made = started.result(30)
    _write_kubeconfig(monkeypatch, tmp_path, made.cluster.api.url)
    yield made
    made.loop.call_soon_threadsafe(ended[0].set)
    thread.join(30)


def _write_kubeconfig(monkeypatch, folder, url):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "of-a-person"}}],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(document))
    monkeypatch.setenv("KUBECONFIG", str(file))


def _run(*arguments, **options):
    return CliRunner().invoke(command, arguments, **options)


def _exit_code(*arguments):
    return _guarded(lambda: command.main(list(arguments), standalone_mode=False))


def test_status_shows_both_cas_and_what_comes_next(operator):
    operator.keep()
    ran = _run("status")
    assert ran.exit_code == 0, ran.output
    assert "interception CA (Secret remora-system/remora-ca): steady\n" in ran.stdout
    assert "serving CA (Secret remora-system/remora-serving-ca): steady\n" in ran.stdout
    assert ran.stdout.count("root  CN=Remora") == 2
    assert "next  remora ca rotate begin: publish a new root beside it" in ran.stdout
    assert "next  the operator's leader renews it by itself" in ran.stdout
    assert "PRIVATE" not in ran.stdout


def test_status_as_json_is_for_programs(operator):
    operator.keep()
    said = json.loads(_run("status", "--json").stdout)
    assert said.keys() == {"interception", "serving"}
    ca = said["interception"]
    assert (ca["phase"], ca["next"], ca["held_by"]) == ("steady", "begin", [])
    assert (ca["usable"], ca["well"]) == (True, True)
    [root] = ca["roots"]
    assert root["signs"] is True
    assert len(root["sha256"]) == 64


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nothing was ever made", "is not there yet: the operator's leader makes it"),
        ("lost", "is gone, and its root"),
        ("damaged", "tls.key: holds no private key"),
        ("old", "ends at"),
    ],
)
def test_status_says_what_is_wrong_and_exits_with_1(operator, what, said):
    cluster = operator.cluster
    if what == "old":
        cluster.clock.step_wall(-(5 * 365 - 80) * DAY_S)
    if what != "nothing was ever made":
        operator.keep()
    if what == "lost":
        cluster.api.delete(f"{SYSTEM}/secrets/remora-ca")
    if what == "damaged":
        cluster.put_secret("remora-ca", {**cluster.secret("remora-ca"), "tls.key": b"x"})
    ran = _run("status")
    assert ran.exit_code == 1
    assert said in ran.stdout
    said_as_json = _run("status", "--json")
    assert said_as_json.exit_code == 1
    assert json.loads(said_as_json.stdout)["interception"]["well"] is False


def test_a_serving_ca_that_nobody_needs_is_no_fault(operator):
    operator.keep(webhook_certificate="certManager")
    annotations = {"cert-manager.io/certificate-name": "remora-operator"}
    operator.cluster.put_secret("remora-operator-tls", {}, annotations=annotations)
    ran = _run("status")
    assert ran.exit_code == 0, ran.output
    assert "not needed, cert-manager keeps our servers' certificates" in ran.stdout


def test_a_rotation_goes_step_by_step_and_says_what_holds_it(operator):
    operator.keep()
    begun = _run("rotate")
    assert begun.exit_code == 0, begun.output
    assert "interception CA: begin is done" in begun.stdout
    assert "next  remora ca rotate switch: let the new root sign" in begun.stdout
    assert "held  the trust files of these namespaces do not hold the new root yet: team-a" in (
        begun.stdout
    )
    operator.keep()
    held = _run("rotate")
    assert held.exit_code == 1
    assert "pods have the new root by" in held.stderr
    assert "do not hold" not in held.stderr
    assert held.stdout == ""

    assert _run("rotate", "switch", "--force").exit_code == 0
    operator.keep()
    assert "certificates of the old root are in use until" in _run("rotate").stderr
    shown = _run("status")
    assert shown.exit_code == 0
    assert "remora-ca): switched since" in shown.stdout
    assert "pods that know the old root alone: 0" in shown.stdout
    assert shown.stdout.count("root  CN=Remora root CA") == 2
    assert _run("rotate", "retire", "--force").exit_code == 0
    assert operator.keep() == ""


def test_a_lost_root_is_replaced_after_a_question(operator):
    operator.keep()
    operator.cluster.api.delete(f"{SYSTEM}/secrets/remora-ca")
    said_no = _run("replace", input="n\n")
    assert said_no.exit_code == 1
    assert "Running pods do not trust another root" in said_no.stderr
    assert operator.cluster.get(f"{SYSTEM}/secrets/remora-ca") is None
    assert _run("replace", input="y\n").exit_code == 0
    assert operator.keep() == ""
    refused = _run("replace", "-y")
    assert refused.exit_code == 1
    assert "nothing is wrong with it" in refused.stderr


def test_without_an_api_server_the_exit_code_is_3(operator):
    operator.cluster.api.fails_with = 503
    assert _exit_code("status") == 3
    assert _exit_code("rotate", "begin") == 3


def test_without_a_kubeconfig_or_its_context_the_exit_code_is_2(operator, monkeypatch):
    assert _exit_code("status", "--context", "none of these") == 2
    monkeypatch.delenv("KUBECONFIG")
    assert _exit_code("status") == 2


def test_a_missing_right_is_said(operator):
    operator.keep()
    operator.cluster.api.refuses = lambda method, path: (
        403 if method == "PUT" and "secrets" in path else None
    )
    ran = _run("rotate", "begin")
    assert "answered PUT" in str(ran.exception)
