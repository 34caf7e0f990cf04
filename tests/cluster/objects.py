"""What the suite puts into a cluster: a provider of its own, and agents that call it."""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

SYSTEM = "remora-system"
SUITE_LABEL = {"remora-suite": "true"}
ENABLED = {"remora.dev/injection": "enabled"}
INJECT = {"remora.dev/inject": "true"}

ROOT_FILE = "/tmp/ca.pem"  # noqa: S108 - in the provider's pod
"""Where the suite's own provider writes its root."""

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "runAsUser": 2000,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""As the Pod Security level restricted wants every container."""

CALL = """
import json, os, sys, time, urllib.error, urllib.request
url, model, times, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
for number in range(times) if times else iter(int, 1):
    request = urllib.request.Request(
        url + "/v1/chat/completions", json.dumps(body).encode(),
        {"content-type": "application/json", "authorization": "Bearer sk-of-the-agent"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError as error:
        status = type(error).__name__ + ": " + str(error)
    print(json.dumps({"at": time.time(), "status": status}), flush=True)
    if times and status != 200:
        sys.exit(1)
    time.sleep(pause)
"""
"""An agent: ``URL MODEL TIMES PAUSE_S``; a line of JSON for each call; 0 times: without end."""


def namespace(name: str, labels: Mapping[str, str] | None = None) -> Json:
    """A namespace of the suite's."""
    return _object("v1", "Namespace", name, labels={**SUITE_LABEL, **(labels or {})})


def agent(
    image: str, url: str, *, model: str = "gpt-4o-mini", times: int = 1, pause_s: float = 0.0
) -> dict[str, Any]:
    """The container of an agent that makes calls and then ends."""
    return {
        "name": "agent",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", CALL, url, model, str(times), str(pause_s)],
        "securityContext": dict(RESTRICTED),
    }


def idle(image: str) -> dict[str, Any]:
    """The container of an agent that waits to be told by ``kubectl exec``."""
    return {**agent(image, ""), "command": ["sleep", "infinity"]}


def pod_spec(*containers: Json, init: Json | None = None, **fields: Any) -> dict[str, Any]:
    """A pod's spec."""
    spec = {"containers": list(containers), "terminationGracePeriodSeconds": 15, **fields}
    return spec if init is None else {**spec, "initContainers": [init]}


def pod(name: str, spec: Json, labels: Mapping[str, str] | None = None, **metadata: Any) -> Json:
    """A pod."""
    return {**_object("v1", "Pod", name, labels=labels or {}, **metadata), "spec": spec}


def deployment(name: str, spec: Json, labels: Mapping[str, str]) -> Json:
    """A Deployment of one replica."""
    wanted = {"app": name, **labels}
    template = {"metadata": {"labels": wanted}, "spec": spec}
    selector = {"matchLabels": {"app": name}}
    body = {"replicas": 1, "selector": selector, "template": template}
    return {**_object("apps/v1", "Deployment", name), "spec": body}


def job(name: str, spec: Json) -> Json:
    """A Job that is tried once."""
    template = {"spec": {**spec, "restartPolicy": "Never"}}
    return {**_object("batch/v1", "Job", name), "spec": {"backoffLimit": 0, "template": template}}


def cron_job(name: str, spec: Json) -> Json:
    """A CronJob that nobody waits for: the suite starts a Job from it."""
    template = {"spec": {"backoffLimit": 0, "template": job(name, spec)["spec"]["template"]}}
    return {
        **_object("batch/v1", "CronJob", name),
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": template},
    }


def policy(name: str, **spec: Any) -> Json:
    """An LLMPolicy for every agent of its namespace."""
    return {**_object("remora.dev/v1alpha1", "LLMPolicy", name), "spec": spec}


def provider(name: str, host: str, port: int, *, tls: bool) -> Json:
    """An LLMProvider that speaks Chat Completions."""
    spec: dict[str, Any] = {"hosts": [host], "dialects": ["openai-chat"], "tls": tls}
    return {
        **_object("remora.dev/v1alpha1", "LLMProvider", name, labels=SUITE_LABEL),
        "spec": {**spec, "ports": [port]},
    }


def double(image: str, host: str) -> tuple[Json, ...]:
    """A provider of the suite's own: it answers on port 443 by TLS."""
    container = {
        **idle(image),
        "name": "provider",
        "command": ["python3", "-m", "remora.testing.double_command", "--listen", "0.0.0.0:8443",
                    "--tls-name", host, "--ca-out", ROOT_FILE],
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
    }  # fmt: skip
    service = {
        **_object("v1", "Service", host.partition(".")[0]),
        "spec": {
            "selector": {"app": "provider"},
            "ports": [{"port": 443, "targetPort": 8443}],
        },
    }
    return deployment("provider", pod_spec(container), {}), service


def _object(version: str, kind: str, name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}}
