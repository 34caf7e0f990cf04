"""A cluster in which all is well, and what is known of a workload in it."""

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import trustme
from tests.operator.pods import CONFIG, injected, pod

from remora_operator.diagnosis import Diagnosis, Evidence, diagnose
from remora_operator.diagnosis.reading import read_hooks, read_seen_namespace, read_seen_pod
from remora_operator.inject import Namespace
from remora_operator.policies import PolicyShelf

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONG_AGO = "2026-01-01T00:00:00Z"
LATELY = "2026-11-20T11:00:00Z"
POLICY_VERSION = "remora.dev/policy-version"
TRUST_KEYS = frozenset({"ca.pem", "bundle.pem", "truststore.p12", "serving-ca.pem"})

_AUTHORITY = trustme.CA(key_type=trustme.KeyType.ECDSA)
PEM = _AUTHORITY.cert_pem.bytes()


def namespace(enabled: bool = True, changed: str = LONG_AGO, **labels: str) -> dict[str, Any]:
    own = {"remora.dev/injection": "enabled"} if enabled else {}
    fields = {"f:metadata": {"f:labels": {"f:remora.dev/injection": {}}}}
    return {
        "kind": "Namespace",
        "metadata": {
            "name": "team",
            "labels": own | labels,
            "managedFields": [{"time": changed, "fieldsV1": fields}],
        },
    }


def hooks(bundle: bytes = PEM, policy: str = "Fail", **metadata: str) -> dict[str, Any]:
    """As k8s/base/webhook.yaml has it, as far as anybody looks at it here."""

    def entry(name: str, of_namespace: dict[str, Any], of_pod: list[dict[str, Any]]) -> Any:
        return {
            "name": f"{name}.injector.remora.dev",
            "failurePolicy": policy,
            "clientConfig": {"caBundle": base64.b64encode(bundle).decode()},
            "namespaceSelector": {"matchExpressions": [of_namespace]},
            "objectSelector": {"matchExpressions": of_pod},
        }

    label, pod_label = "remora.dev/injection", "remora.dev/inject"
    enabled = {"key": label, "operator": "In", "values": ["enabled"]}
    neither = {"key": label, "operator": "NotIn", "values": ["enabled", "disabled"]}
    not_out = {"key": pod_label, "operator": "NotIn", "values": ["false"]}
    chosen = {"key": pod_label, "operator": "In", "values": ["true"]}
    return {
        "metadata": {"creationTimestamp": LONG_AGO} | metadata,
        "webhooks": [entry("namespace", enabled, [not_out]), entry("pod", neither, [chosen])],
    }


def deployment(template: dict[str, Any] | None = None, **labels: str) -> dict[str, Any]:
    made = pod() if template is None else template
    metadata = {**made["metadata"], "labels": {"app": "web", **made["metadata"].get("labels", {})}}
    metadata.pop("name", None)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "team", "uid": "d1", "labels": labels},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": metadata, "spec": made["spec"]},
        },
    }


def running_pod(
    top: dict[str, Any], name: str = "web-1", created: str = LATELY, config: Any = CONFIG
) -> dict[str, Any]:
    """A pod of a workload, injected, with a sidecar that is well."""
    template = top["spec"].get("template", top)
    made = pod(metadata={**template["metadata"], "name": name}, **template["spec"])
    done = injected(made, Namespace("team", {"remora.dev/injection": "enabled"}), config)
    done["metadata"] |= {"creationTimestamp": created, "namespace": "team"}
    done["metadata"]["annotations"][POLICY_VERSION] = current_version()
    done["status"] = {
        "phase": "Running",
        "initContainerStatuses": [netinit_status(), sidecar_status()],
    }
    return done


def netinit_status(**fields: Any) -> dict[str, Any]:
    done = {"exitCode": 0, "reason": "Completed"}
    return {"name": "remora-netinit", "state": {"terminated": done}, "ready": True} | fields


def sidecar_status(**fields: Any) -> dict[str, Any]:
    running = {"startedAt": LATELY}
    state = {"name": "remora", "state": {"running": running}, "started": True, "ready": True}
    return {**state, "restartCount": 0} | fields


def bare_pod(top: dict[str, Any], name: str = "web-0", created: str = LATELY) -> dict[str, Any]:
    template = top["spec"].get("template", top)
    metadata = {**template["metadata"], "name": name, "creationTimestamp": created}
    return {"kind": "Pod", "metadata": metadata, "spec": template["spec"], "status": {}}


def current_version() -> str:
    shelf = PolicyShelf()
    shelf.complete()
    return shelf.policy_for("team", {}).version


def evidence(top: dict[str, Any] | None = None, *pods: dict[str, Any], **fields: Any) -> Evidence:
    top = deployment() if top is None else top
    found = Evidence(
        top=top,
        namespace="team",
        pods=tuple(map(read_seen_pod, pods or [running_pod(top)])),
        now=NOW,
        seen_namespace=read_seen_namespace(namespace()),
        hooks=read_hooks(hooks()),
        ready_operators=2,
        trust_keys=TRUST_KEYS,
    )
    return replace(found, **fields)


def found(given: Evidence, *, notes: bool = False) -> dict[str, str]:
    """What is found, by its kind: problems only, or notes as well."""
    diagnosis: Diagnosis = diagnose(given)
    shown = [f for f in diagnosis.findings if notes or f.weight.value == "problem"]
    return {finding.kind: f"{finding.where}: {finding.what} → {finding.todo}" for finding in shown}
