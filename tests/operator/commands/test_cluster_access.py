"""Where a person's commands find the cluster: what kubectl would ask, by the same kubeconfig."""

import base64
import json
import ssl
from pathlib import Path

import pytest
import trustme

from remora.errors import ConfigError, Unavailable
from remora.testing.kubernetes_api import KubernetesApi
from remora_operator.commands import cluster_access
from remora_operator.commands.cluster_access import cluster_api, current_namespace

_POD = "/api/v1/namespaces/team-a/pods/agent"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a pod nor a home with a kubeconfig, wherever the tests run."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def root() -> trustme.CA:
    return trustme.CA()


def _base64(pem: trustme.Blob) -> str:
    return base64.b64encode(pem.bytes()).decode()


@pytest.fixture
def kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: trustme.CA):
    """Write a kubeconfig with one user's fields, and name it."""

    def write(url: str, user: dict[str, object], **cluster: object) -> Path:
        trusted = {"certificate-authority-data": _base64(root.cert_pem)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "main",
            "contexts": [
                {"name": "main", "context": {"cluster": "c", "user": "u", "namespace": "team-a"}},
                {"name": "other", "context": {"cluster": "c", "user": "u"}},
            ],
            "clusters": [{"name": "c", "cluster": {"server": url, **(cluster or trusted)}}],
            "users": [{"name": "u", "user": user}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(document))
        monkeypatch.setenv("KUBECONFIG", str(path))
        return path

    return write


def _serving(root: trustme.CA, *, asks: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    root.issue_cert("127.0.0.1").configure_cert(context)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        root.configure_trust(context)
    return context


async def _asked(context: str | None = None) -> object:
    async with cluster_api(context) as api:
        return await api.get(_POD)


async def test_a_token_of_the_kubeconfig_is_shown(kubeconfig, root):
    cluster = KubernetesApi()
    cluster.callers.add("my-token")
    async with cluster.serving(_serving(root)):
        cluster.add_pod("team-a", "agent")
        kubeconfig(cluster.url, {"token": "my-token"})
        assert (await _asked())["metadata"]["name"] == "agent"
        kubeconfig(cluster.url, {"token": "another"})
        with pytest.raises(Unavailable, match="401"):
            await _asked()


async def test_a_login_plug_in_is_run(kubeconfig, root, tmp_path):
    cluster = KubernetesApi()
    cluster.callers.add("of-the-plug-in")
    plug_in = tmp_path / "login"
    said = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "of-the-plug-in"},
    }
    plug_in.write_text(f"#!/bin/sh\necho '{json.dumps(said)}'\n")
    plug_in.chmod(0o700)
    run = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(plug_in),
        "interactiveMode": "Never",
    }
    async with cluster.serving(_serving(root)):
        cluster.add_pod("team-a", "agent")
        kubeconfig(cluster.url, {"exec": run})
        assert (await _asked())["metadata"]["name"] == "agent"


async def test_a_client_certificate_is_shown(kubeconfig, root):
    mine = root.issue_cert("a-person")
    user = {
        "client-certificate-data": _base64(mine.cert_chain_pems[0]),
        "client-key-data": _base64(mine.private_key_pem),
    }
    cluster = KubernetesApi()
    async with cluster.serving(_serving(root, asks=True)):
        cluster.add_pod("team-a", "agent")
        kubeconfig(cluster.url, user)
        assert (await _asked("other"))["metadata"]["name"] == "agent"
        kubeconfig(cluster.url, {})
        with pytest.raises(Unavailable):
            await _asked()


async def test_a_server_is_not_believed_without_its_root_unless_the_kubeconfig_says_so(
    kubeconfig, root
):
    cluster = KubernetesApi()
    async with cluster.serving(_serving(trustme.CA())):
        cluster.add_pod("team-a", "agent")
        kubeconfig(cluster.url, {})
        with pytest.raises(Unavailable, match="certificate verify failed"):
            await _asked()
        kubeconfig(cluster.url, {}, **{"insecure-skip-tls-verify": True})
        assert (await _asked())["metadata"]["name"] == "agent"


async def test_in_a_pod_its_own_account_is_meant(monkeypatch, tmp_path, root):
    cluster = KubernetesApi()
    cluster.callers.add("of-the-account")
    for name, content in {"token": b"of-the-account", "namespace": b"tools"}.items():
        (tmp_path / name).write_bytes(content)
    root.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    monkeypatch.setattr(cluster_access, "ACCOUNT_FOLDER", tmp_path)
    async with cluster.serving(_serving(root)):
        cluster.add_pod("team-a", "agent")
        host, _, port = cluster.url.removeprefix("https://").rpartition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        assert (await _asked())["metadata"]["name"] == "agent"
        assert current_namespace(None) == "tools"


def test_the_namespace_is_the_contexts(kubeconfig):
    kubeconfig("https://127.0.0.1:1", {})
    assert current_namespace(None) == "team-a"
    assert current_namespace("other") == "default"


async def _namespace(context: str | None) -> str:
    return current_namespace(context)


@pytest.mark.parametrize("ask", [_asked, _namespace], ids=["api", "namespace"])
async def test_without_any_cluster_it_is_said_where_one_was_looked_for(ask):
    with pytest.raises(ConfigError, match=r"kubeconfig ~/\.kube/config"):
        await ask(None)


@pytest.mark.parametrize("ask", [_asked, _namespace], ids=["api", "namespace"])
async def test_a_context_that_is_not_there_is_named(kubeconfig, ask):
    path = kubeconfig("https://127.0.0.1:1", {})
    with pytest.raises(ConfigError, match=rf"kubeconfig {path}, context 'none'"):
        await ask("none")


@pytest.mark.parametrize("text", ["", "[]", "{", "current-context: main"])
async def test_a_kubeconfig_that_is_none_is_named(kubeconfig, text):
    path = kubeconfig("https://127.0.0.1:1", {})
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"kubeconfig {path}"):
        await _asked()
