"""The operator as it is installed: the API server has the manifests, and allows what RBAC does."""

import asyncio
import base64
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import grpc
import pytest
import trustme
from tests.operator.packaging.access import Attempt, allows
from tests.operator.packaging.rendered import SYSTEM, charted, kustomized, only
from tests.operator.pods import container, injected, pod

from remora.policy.spec import API_VERSION
from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.kubernetes_objects import Refused, ResourcePath
from remora_operator.server import Operator, running_operator
from remora_operator.settings import OperatorSettings
from remora_proto.v1 import policy_pb2 as pb
from remora_proto.v1 import policy_pb2_grpc as pb_grpc

PATIENCE_S = 60.0
WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/remora-injector"
POLICY = "/apis/remora.dev/v1alpha1/namespaces/team/llmpolicies/models"
CLUSTER = "/apis/remora.dev/v1alpha1"
POD = "/api/v1/namespaces/team/pods/agent"
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
EVERYBODYS = ("/version",)
"""What the ClusterRole ``system:public-info-viewer`` of every cluster allows to anybody."""

INSTALLS = {"kustomize": kustomized, "helm": charted}


def _attempt(method: str, path: str, query: str = "") -> Attempt:
    """Read a request as an API server's authorizer does: a field selector may name the object."""
    at, asked = ResourcePath.parse(path), parse_qs(query)
    *group, _, plural = at.kind.split("/")
    verb, name = VERBS[method], at.name
    if method == "GET" and not name:
        verb = "watch" if asked.get("watch") == ["true"] else "list"
        fields = asked.get("fieldSelector", [""])[0].split(",")
        named = [field.partition("=")[2] for field in fields if field.startswith("metadata.name=")]
        name = named[0].lstrip("=") if named else ""
    resource = f"{plural}/{at.subresource}" if at.subresource else plural
    return Attempt(verb, "".join(group), resource, at.namespace, name)


class Guarded:
    """An API server with the manifests applied, which asks RBAC of them."""

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        """Take what was applied."""
        self.api = KubernetesApi()
        self.api.refuses = self._refuses
        self.refused: list[Attempt] = []
        self.objects = objects

    def _allows(self, attempt: Attempt) -> bool:
        return allows(self.objects, "remora-operator", SYSTEM, attempt)

    def _refuses(self, method: str, path: str) -> int | None:
        if path in EVERYBODYS:
            return None
        attempt = _attempt(method, path)
        if attempt.verb == "list" or self._allows(attempt):
            return None  # lists are looked at when their selectors are known
        self.refused.append(attempt)
        return 403

    def tried(self) -> Iterator[Attempt]:
        """Give everything that was asked for."""
        for method, path in self.api.requests:
            if path in EVERYBODYS:
                continue
            attempt = _attempt(method, path)
            if attempt.verb != "list":
                yield attempt
        for asked in self.api.asked:
            url = urlsplit(asked)
            yield _attempt("GET", url.path, url.query)

    def get(self, path: str) -> Any:
        """Return an object, or nothing."""
        try:
            return self.api.objects.get(ResourcePath.parse(path))
        except Refused:
            return {}


def _object(kind: str, version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, **fields}


def _namespace(injection: str | None) -> dict[str, Any]:
    labels = {} if injection is None else {"remora.dev/injection": injection}
    return _object("Namespace", metadata={"labels": labels})


@pytest.fixture(params=INSTALLS)
async def guarded(request, tmp_path):
    objects = INSTALLS[request.param]()
    root, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    root.issue_cert("127.0.0.1").configure_cert(context)
    root.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    (tmp_path / "token").write_text("of-the-operator")
    document = only(objects, "ConfigMap", "remora-config")["data"]["injection.yaml"]
    (tmp_path / "injection.yaml").write_text(document)
    guarded = Guarded(objects)
    api = guarded.api
    api.put(WEBHOOK, only(objects, "MutatingWebhookConfiguration", "remora-injector"))
    for name, injection in {"team": "enabled", SYSTEM: None}.items():
        api.put(f"/api/v1/namespaces/{name}", _namespace(injection))
    spec = {"models": {"deny": ["gpt-4o"]}}
    api.put(POLICY, _object("LLMPolicy", API_VERSION, metadata={}, spec=spec))
    floors = _object(
        "ClusterLLMPolicy", API_VERSION, metadata={}, spec={"floors": {"opaque": "block"}}
    )
    api.put(f"{CLUSTER}/clusterllmpolicies/company", floors)
    served = {"hosts": ["vllm.models.svc.cluster.local"], "dialects": ["openai-chat"]}
    provider = _object("LLMProvider", API_VERSION, metadata={}, spec=served)
    api.put(f"{CLUSTER}/llmproviders/in-house", provider)
    agent = injected(pod(container()))
    api.add_pod(
        "team", "agent", token="of-the-pod", audience="remora-operator",
        spec=agent["spec"], metadata={"annotations": agent["metadata"]["annotations"]},
    )  # fmt: skip
    async with api.serving(context):
        yield guarded


async def _until(ask: Callable[[], Any]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while not (found := ask()):  # noqa: ASYNC110 - it is told of by no event
            await asyncio.sleep(0.02)
    return found


async def _asked(operator: Operator, entry: Any) -> Any:
    """Ask as the API server does by an entry of the webhook configuration."""
    trust = ssl.create_default_context(
        cadata=base64.b64decode(entry["clientConfig"]["caBundle"]).decode()
    )
    service = entry["clientConfig"]["service"]
    pods = {"group": "", "version": "v1", "resource": "pods"}
    review = {
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "1", "operation": "CREATE", "namespace": "team", "resource": pods,
                    "object": pod(metadata={"labels": {"remora.dev/inject": "true"}})},
    }  # fmt: skip
    url = f"https://{operator.webhook_address}{service['path']}"
    name = f"{service['name']}.{service['namespace']}.svc"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=review, ssl=trust, server_hostname=name) as answer,
    ):
        return (await answer.json())["response"]


async def _applies(operator: Operator, guarded: Guarded) -> str:
    """Be the pod's sidecar: fetch the policy and say that it is in force."""
    secret = guarded.get(f"/api/v1/namespaces/{SYSTEM}/secrets/remora-operator-tls")
    root = grpc.ssl_channel_credentials(base64.b64decode(secret["data"]["ca.crt"]))
    target = (("grpc.ssl_target_name_override", f"remora-operator.{SYSTEM}.svc"),)
    async with grpc.aio.secure_channel(operator.grpc_address, root, options=target) as channel:
        token = (("authorization", "Bearer of-the-pod"),)
        call = pb_grpc.PolicyServiceStub(channel).Watch(metadata=token)
        await call.write(pb.WatchPolicyRequest(hello=pb.WatchPolicyRequest.Hello()))
        sent = await asyncio.wait_for(call.read(), PATIENCE_S)
        applied = pb.WatchPolicyRequest.Applied(version=sent.version)
        await call.write(pb.WatchPolicyRequest(applied=applied))
        await _until(lambda: guarded.get(POLICY).get("status", {}).get("pods", {}).get("current"))
        await _until(lambda: _mark(guarded) == sent.version)
        call.cancel()
    return str(sent.version)


def _mark(guarded: Guarded) -> str:
    annotations = guarded.get(POD)["metadata"].get("annotations", {})
    return str(annotations.get("remora.dev/policy-version", ""))


def _trust(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/remora-trust"


@pytest.mark.timeout(300)  # the operator looks at everything each half minute
async def test_the_operator_does_its_work_with_the_rights_that_it_is_given(guarded, tmp_path):
    settings = OperatorSettings(
        webhook_listen="127.0.0.1:0", grpc_listen="127.0.0.1:0", status_listen="127.0.0.1:0",
        kubernetes_api=guarded.api.url, kubernetes_token_file=tmp_path / "token",
        kubernetes_ca=tmp_path / "ca.crt", config=tmp_path / "injection.yaml",
        linger_s=0.0, drain_s=1.0,
    )  # fmt: skip
    async with running_operator(settings) as operator:
        entries = await _until(
            lambda: [e for e in guarded.get(WEBHOOK)["webhooks"] if "caBundle" in e["clientConfig"]]
        )
        for entry in entries:
            assert (await _asked(operator, entry))["patch"]
        await _until(lambda: guarded.get(_trust("team")))
        await _applies(operator, guarded)
        events = ResourcePath.parse("/apis/events.k8s.io/v1/namespaces/team/events")
        await _until(lambda: guarded.api.objects.list(events))

        for path in ("clusterllmpolicies/company", "llmproviders/in-house"):
            await _until(lambda path=path: guarded.get(f"{CLUSTER}/{path}").get("status"))

        # More roots reach what is there, and a namespace that is not selected any more is let go.
        extra = {"corporate.pem": trustme.CA().cert_pem.bytes().decode()}
        bundles = f"/api/v1/namespaces/{SYSTEM}/configmaps/remora-extra-bundles"
        guarded.api.put(bundles, _object("ConfigMap", metadata={}, data=extra))
        before = guarded.get(_trust("team"))["data"]["bundle.pem"]
        guarded.api.put("/api/v1/namespaces/later", _namespace("enabled"))
        await _until(lambda: guarded.get(_trust("team"))["data"]["bundle.pem"] != before)
        await _until(lambda: guarded.get(_trust("later")))
        guarded.api.put("/api/v1/namespaces/later", _namespace("disabled"))
        await _until(lambda: not guarded.get(_trust("later")))

    tried = set(guarded.tried())
    assert guarded.refused == []
    assert {one for one in tried if not guarded._allows(one)} == set()
    done = {(one.verb, one.resource) for one in tried}
    assert _given(guarded) - done == {("update", "secrets")}, "when certificates are renewed"


def _given(guarded: Guarded) -> set[tuple[str, str]]:
    """Give all that the operator's account may do, whatever the names."""
    bound = [one for one in guarded.objects if one["kind"] in ("Role", "ClusterRole")]
    return {
        (verb, resource)
        for one in bound
        for rule in one["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
