"""One replica, whole: real TLS, real gRPC and HTTP, against an API server's double."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import trustme
from tests.operator.pods import container, injected, pod

from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.kubernetes_objects import Refused, ResourcePath
from remora_operator.server import Operator, running_operator
from remora_operator.settings import OperatorSettings
from remora_proto.v1 import policy_pb2 as pb
from remora_proto.v1 import policy_pb2_grpc as pb_grpc

PATIENCE_S = 60.0
SYSTEM = "remora-system"
WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/remora-injector"
SECRETS = f"/api/v1/namespaces/{SYSTEM}/secrets"
POLICIES = "/apis/remora.dev/v1alpha1/namespaces/team-a/llmpolicies"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KubernetesApi]:
    """A cluster with a namespace whose pods are injected, and the webhook's configuration."""
    root, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    root.issue_cert("127.0.0.1").configure_cert(context)
    root.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    (tmp_path / "token").write_text("of-the-operator")
    cluster = KubernetesApi()
    cluster.callers.add("of-the-operator")
    for name, labels in {"team-a": {"remora.dev/injection": "enabled"}, SYSTEM: {}}.items():
        cluster.put(f"/api/v1/namespaces/{name}", _object("v1", "Namespace", labels=labels))
    entry = {"name": "namespace.injector.remora.dev", "clientConfig": {}}
    version = "admissionregistration.k8s.io/v1"
    cluster.put(WEBHOOK, {**_object(version, "MutatingWebhookConfiguration"), "webhooks": [entry]})
    async with cluster.serving(context):
        yield cluster


@pytest.fixture
def settings(cluster: KubernetesApi, tmp_path: Path) -> Callable[..., OperatorSettings]:
    """Make the settings of a replica."""

    def make(**given: Any) -> OperatorSettings:
        used = {
            "webhook_listen": "127.0.0.1:0",
            "grpc_listen": "127.0.0.1:0",
            "status_listen": "127.0.0.1:0",
            "kubernetes_api": cluster.url,
            "kubernetes_token_file": tmp_path / "token",
            "kubernetes_ca": tmp_path / "ca.crt",
            "linger_s": 0.0,
            "drain_s": 1.0,
        }
        return OperatorSettings(**{**used, **given})

    return make


@pytest.fixture
async def operator(settings: Callable[..., OperatorSettings]) -> AsyncIterator[Operator]:
    async with asyncio.timeout(PATIENCE_S):
        running = running_operator(settings())
        started = await running.__aenter__()
    try:
        yield started
    finally:
        await running.__aexit__(None, None, None)


def _object(version: str, kind: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


async def _until(ask: Callable[[], Any]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while not (found := ask()):  # noqa: ASYNC110 - it is told of by no event
            await asyncio.sleep(0.02)
    return found


def _get(cluster: KubernetesApi, path: str) -> Any:
    """An object of the double's, or nothing."""
    try:
        return cluster.objects.get(ResourcePath.parse(path))
    except Refused:
        return {}


def _list(cluster: KubernetesApi, path: str) -> list[Any]:
    return cluster.objects.list(ResourcePath.parse(path))


def _bundle(cluster: KubernetesApi) -> str:
    webhook = _get(cluster, WEBHOOK)["webhooks"][0]
    return base64.b64decode(webhook["clientConfig"].get("caBundle", "")).decode()


def _review(namespace: str, pod: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1f0e",
            "operation": "CREATE",
            "namespace": namespace,
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": pod,
        },
    }


async def _reviewed(cluster: KubernetesApi, operator: Operator, review: Any) -> Any:
    """Ask as the API server does: by the Service's name, trusting the caBundle alone."""
    trust = ssl.create_default_context(cadata=await _until(lambda: _bundle(cluster)))
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"https://{operator.webhook_address}/inject/namespace",
            json=review,
            ssl=trust,
            server_hostname=f"remora-operator.{SYSTEM}.svc",
        ) as answer,
    ):
        assert answer.status == 200
        return (await answer.json())["response"]


async def test_a_review_is_answered_by_the_certificate_that_the_ca_bundle_tells_of(
    cluster, operator
):
    response = await _reviewed(cluster, operator, _review("team-a", pod(container())))
    patch = json.loads(base64.b64decode(response["patch"]))
    assert response["allowed"]
    assert "remora-netinit" in json.dumps(patch)


async def test_whoever_is_selected_gets_the_trust_files(cluster, operator):
    path = "/api/v1/namespaces/team-a/configmaps/remora-trust"
    found = await _until(lambda: _get(cluster, path))
    assert "BEGIN CERTIFICATE" in found["data"]["serving-ca.pem"]
    assert "PRIVATE KEY" not in json.dumps(found)


async def test_an_event_tells_of_the_pod(cluster, operator):
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "agent-5d9c", "uid": "77"}
    given = pod(container(), metadata={"ownerReferences": [{**owner, "controller": True}]})
    await _reviewed(cluster, operator, _review("team-a", given))
    events = "/apis/events.k8s.io/v1/namespaces/team-a/events"
    event = (await _until(lambda: _list(cluster, events)))[0]
    assert event["regarding"]["name"] == "agent-5d9c"


async def test_where_nothing_can_be_redirected_an_event_says_what_to_do(cluster, operator):
    failed = {"terminated": {"exitCode": 3, "message": "nft: Operation not permitted"}}
    statuses = [{"name": "remora-netinit", "state": {"waiting": {}}, "lastState": failed}]
    spec = injected(pod(container()))["spec"]
    uid = cluster.add_pod(
        "team-a", "agent", spec=spec, status={"phase": "Pending", "initContainerStatuses": statuses}
    )
    events = "/apis/events.k8s.io/v1/namespaces/team-a/events"
    event = (await _until(lambda: _list(cluster, events)))[0]
    assert (event["reason"], event["regarding"]["uid"]) == ("NetinitFailed", uid)
    assert "nft: Operation not permitted" in event["note"]
    assert "remora.dev/mode: explicit" in event["note"]


async def test_a_sidecar_gets_its_policy_and_what_becomes_of_it_stands_in_the_status(
    cluster, operator
):
    _injected_pod(cluster)
    root = base64.b64decode(_get(cluster, f"{SECRETS}/remora-operator-tls")["data"]["ca.crt"])
    target = (("grpc.ssl_target_name_override", f"remora-operator.{SYSTEM}.svc"),)
    async with grpc.aio.secure_channel(
        operator.grpc_address, grpc.ssl_channel_credentials(root), options=target
    ) as channel:
        call = pb_grpc.PolicyServiceStub(channel).Watch(
            metadata=(("authorization", "Bearer of-the-pod"),)
        )
        await call.write(pb.WatchPolicyRequest(hello=pb.WatchPolicyRequest.Hello()))
        first = await asyncio.wait_for(call.read(), PATIENCE_S)
        await call.write(
            pb.WatchPolicyRequest(applied=pb.WatchPolicyRequest.Applied(version=first.version))
        )

        policy = {
            **_object("remora.dev/v1alpha1", "LLMPolicy"),
            "spec": {"models": {"deny": ["gpt-4o"]}},
        }
        cluster.put(f"{POLICIES}/models", policy)
        second = await asyncio.wait_for(call.read(), PATIENCE_S)
        document = json.loads(second.document)
        assert document["policy"]["spec"]["models"]["deny"] == ["gpt-4o"]
        await call.write(
            pb.WatchPolicyRequest(applied=pb.WatchPolicyRequest.Applied(version=second.version))
        )

        def status() -> Any:
            found = _get(cluster, f"{POLICIES}/models").get("status", {})
            return found if found.get("pods", {}).get("current") == 1 else None

        found = await _until(status)
        conditions = {c["type"]: c["status"] for c in found["conditions"]}
        assert (conditions["Accepted"], conditions["Enforced"]) == ("True", "True")

        def mark() -> Any:
            agent = _get(cluster, "/api/v1/namespaces/team-a/pods/agent")
            return agent["metadata"].get("annotations", {}).get("remora.dev/policy-version")

        assert await _until(mark) == second.version
        call.cancel()


def _injected_pod(cluster: KubernetesApi) -> str:
    spec = injected(pod(container()))["spec"]
    return cluster.add_pod(
        "team-a", "agent", token="of-the-pod", audience="remora-operator", spec=spec
    )


async def _got(address: str, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def test_probes_and_metrics_say_how_it_is(operator):
    assert (await _got(operator.status_address, "/healthz"))[0] == 200
    status, text = await _got(operator.status_address, "/readyz")
    assert (status, json.loads(text)) == (200, {"ready": True, "problems": []})
    metrics = (await _got(operator.status_address, "/metrics"))[1]
    for name in ("remora_injections_total", "remora_operator_ca_not_after_seconds"):
        assert f"# TYPE {name.removesuffix('_total')}" in metrics


async def test_of_two_replicas_one_makes_the_root_and_both_serve_by_it(cluster, settings):
    async with (
        asyncio.timeout(PATIENCE_S),
        running_operator(settings(pod_name="one")) as one,
        running_operator(settings(pod_name="two")) as two,
    ):
        review = _review("team-a", pod(container()))
        answers = [await _reviewed(cluster, replica, review) for replica in (one, two)]
        assert answers[0] == answers[1]
    made = [path for method, path in cluster.requests if method == "POST" and path == SECRETS]
    assert len(made) == len(_list(cluster, SECRETS))
