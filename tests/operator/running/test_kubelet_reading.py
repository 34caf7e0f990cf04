"""What the kubelet of the tests makes of a pod's words: variables, commands, rights, the script."""

import subprocess
from pathlib import Path

import pytest

from remora.testing.kubelet import NotRunnable
from remora.testing.kubelet.rights import DEFAULT_CAPABILITIES, read_rights
from remora.testing.kubelet.sandbox import Bind, Sandbox, closed_ancestors
from remora.testing.kubelet.spec import read_pod
from remora.testing.kubelet.variables import command_line, environment, expanded

KNOWN = {"A": "a", "B": "$(A)", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("$(A)", "a"),
        ("-$(A)-$(A)-", "-a-a-"),
        ("$(B)", "$(A)"),  # what was put in is not looked at again
        ("$(EMPTY)", ""),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_references_mean_what_was_defined_before(text, meant):
    assert expanded(text, KNOWN) == meant


class Cluster:
    """One ConfigMap and one Secret."""

    def config_map(self, namespace, name):
        return {"key": b"of the map"} if (namespace, name) == ("team", "map") else None

    def secret(self, namespace, name):
        return {"key": b"of the secret"} if (namespace, name) == ("team", "secret") else None


def _variables(*env, env_from=(), **metadata):
    container = {"name": "app", "env": list(env), "envFrom": list(env_from)}
    pod = read_pod(
        {
            "metadata": {"name": "p", "namespace": "team", "uid": "u-1", **metadata},
            "spec": {"containers": [container]},
        }
    )
    return environment(
        pod.containers[0], pod, Cluster(), services={"HOST": "10.0.0.1"}, pod_ip="10.0.0.9"
    )


def _of(kind, name, key="key", **more):
    return {"name": "V", "valueFrom": {kind: {"name": name, "key": key, **more}}}


@pytest.mark.parametrize(
    ("env", "value"),
    [
        ([{"name": "V", "value": "x"}], "x"),
        ([{"name": "V"}], ""),
        ([{"name": "V", "value": "x"}, {"name": "V", "value": "y"}], "y"),
        ([{"name": "V", "value": "$(HOST):1"}], "10.0.0.1:1"),
        ([{"name": "V", "value": "$(W)"}, {"name": "W", "value": "later"}], "$(W)"),
        ([{"name": "W", "value": "w"}, {"name": "V", "value": "$(W)"}], "w"),
        ([_of("configMapKeyRef", "map")], "of the map"),
        ([_of("secretKeyRef", "secret")], "of the secret"),
    ],
)
def test_a_variable_is_a_literal_or_comes_from_elsewhere(env, value):
    assert _variables(*env)["V"] == value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "team"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "x"),
        ("metadata.annotations['a.b/c']", "y"),
        ("metadata.labels['none']", ""),
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "10.0.0.9"),
    ],
)
def test_the_downward_api_says_what_the_pod_is(path, value):
    field = {"name": "V", "valueFrom": {"fieldRef": {"fieldPath": path}}}
    assert _variables(field, labels={"app": "x"}, annotations={"a.b/c": "y"})["V"] == value


def test_sources_give_all_their_values_and_literals_win():
    sources = [{"prefix": "P_", "configMapRef": {"name": "map"}}, {"secretRef": {"name": "secret"}}]
    found = _variables({"name": "key", "value": "mine"}, env_from=sources)
    assert (found["P_key"], found["key"]) == ("of the map", "mine")


@pytest.mark.parametrize("kind", ["configMapKeyRef", "secretKeyRef"])
@pytest.mark.parametrize("missing", [{"name": "none"}, {"name": "map", "key": "none"}])
def test_what_is_missing_holds_up_the_container_unless_it_is_optional(kind, missing):
    assert "V" not in _variables(_of(kind, **missing, optional=True))
    with pytest.raises(NotRunnable, match="missing"):
        _variables(_of(kind, **missing))


@pytest.mark.parametrize(
    ("command", "args", "line"),
    [
        ([], [], ["entry", "default"]),
        ([], ["x"], ["entry", "x"]),
        (["own"], [], ["own"]),
        (["own"], ["$(A)"], ["own", "a"]),
        (["$(A)"], [], ["a"]),
    ],
)
def test_a_command_replaces_the_images_and_args_its_command(command, args, line):
    container = {"name": "app", "command": command, "args": args}
    pod = read_pod({"metadata": {"name": "p"}, "spec": {"containers": [container]}})
    assert command_line(pod.containers[0], ["entry"], ["default"], KNOWN) == line


@pytest.mark.parametrize(
    ("given", "capabilities"),
    [
        ({}, DEFAULT_CAPABILITIES),
        ({"drop": ["ALL"]}, set()),
        ({"drop": ["all"], "add": ["NET_ADMIN"]}, {"net_admin"}),
        ({"drop": ["CAP_NET_RAW"]}, DEFAULT_CAPABILITIES - {"net_raw"}),
        ({"add": ["SYS_PTRACE"]}, DEFAULT_CAPABILITIES | {"sys_ptrace"}),
        ({"add": ["ALL"]}, None),
    ],
)
def test_capabilities_are_added_and_dropped_as_runtimes_do(given, capabilities):
    assert read_rights({"capabilities": given}, {}).capabilities == capabilities


def test_a_container_has_its_pods_rights_where_it_does_not_say():
    pod = {"runAsUser": 5, "runAsGroup": 6, "runAsNonRoot": True, "fsGroup": 7}
    rights = read_rights({"runAsUser": 8, "allowPrivilegeEscalation": False}, pod)
    assert (rights.user, rights.group, rights.groups) == (8, 6, (7,))
    assert rights.must_not_be_root
    assert rights.arguments(8, 6)[:3] == ["--reuid=8", "--regid=6", "--groups=6,7"]
    assert rights.arguments(8, 6)[-1] == "--no-new-privs"
    assert "--no-new-privs" not in read_rights({}, pod).arguments(8, 6)


@pytest.mark.parametrize("field", ["hostNetwork", "hostPID", "hostIPC"])
def test_the_nodes_own_namespaces_are_not_given_away(field):
    with pytest.raises(NotRunnable, match="not given away"):
        read_pod({"metadata": {"name": "p"}, "spec": {"containers": [], field: True}})


def test_the_script_is_one_that_a_shell_reads_whatever_the_pod_says():
    nasty = 'it\'s $(id) `id` "$HOME"\n;&|'
    script = Sandbox(
        host_name="p",
        scratch=Path("/a b"),
        hidden=[Path("/c'd")],
        copies={"/e f": Path("/g")},
        binds=[Bind(Path("/h i"), "/j'k", True)],
        reads_only=True,
        working_dir=nasty,
        rights=["--reuid=1"],
        environment={"V": nasty},
        command=["echo", nasty],
    ).script()
    checked = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=True)
    assert checked.stderr == ""
    last = script.strip().rpartition("exec setpriv --reuid=1 ")[2]
    said = subprocess.run(
        ["sh", "-c", f"{last}; "], capture_output=True, text=True, check=True, cwd="/"
    )
    assert said.stdout == f"{nasty}\n"


def test_folders_that_not_everybody_may_pass_are_found_from_above(tmp_path):
    inner = tmp_path / "closed" / "open" / "closed too" / "x"
    inner.mkdir(parents=True)
    for name in ("closed", "closed/open/closed too"):
        (tmp_path / name).chmod(0o700)
    above = closed_ancestors([tmp_path])
    found = closed_ancestors([inner, tmp_path])
    assert found == (above or [tmp_path / "closed"])
