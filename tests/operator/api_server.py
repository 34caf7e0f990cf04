"""What an API server does to a pod around webhooks, as far as injection can notice it."""

import copy
from collections.abc import Iterator
from typing import Any

from tests.operator.pods import SA_MOUNT


def admitted(given: Any) -> dict[str, Any]:
    """Fill in defaults, and mount the ServiceAccount's token where nothing is mounted."""
    pod = copy.deepcopy(given)
    spec = pod["spec"]
    for name, value in {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30}.items():
        spec.setdefault(name, value)
    for volume in spec.setdefault("volumes", []):
        _default_volume(volume)
    token = {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    if not any(volume["name"] == "kube-api-access-x" for volume in spec["volumes"]):
        volume = {"name": "kube-api-access-x", "projected": {"sources": [token]}}
        spec["volumes"].append(volume)
        _default_volume(volume)
    for container in _containers(spec):
        _default_container(container)
        mounts = container.setdefault("volumeMounts", [])
        if not any(mount["mountPath"] == SA_MOUNT for mount in mounts):
            mounts.append({"name": "kube-api-access-x", "readOnly": True, "mountPath": SA_MOUNT})
    return pod


def _containers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in ("initContainers", "containers"):
        yield from spec.get(kind) or ()


def _default_volume(volume: dict[str, Any]) -> None:
    for kind in ("projected", "configMap", "secret"):
        if kind in volume:
            volume[kind].setdefault("defaultMode", 420)
    for source in volume.get("projected", {}).get("sources", ()):
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)


def _default_container(container: dict[str, Any]) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", "IfNotPresent")
    container.setdefault("resources", {})
    limits = container["resources"].get("limits", {})
    for name, amount in limits.items():
        container["resources"].setdefault("requests", {}).setdefault(name, amount)
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        if "fieldRef" in variable.get("valueFrom", {}):
            variable["valueFrom"]["fieldRef"].setdefault("apiVersion", "v1")
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        if kind in container:
            _default_probe(container[kind])


def _default_probe(probe: dict[str, Any]) -> None:
    defaults = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1}
    for name, value in {**defaults, "failureThreshold": 3}.items():
        probe.setdefault(name, value)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("scheme", "HTTP")
        probe["httpGet"].setdefault("path", "/")
