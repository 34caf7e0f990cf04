"""A container's environment: literals, references, sources and the downward API.

The order and the rules are the kubelet's: ``$(NAME)`` means what was defined before, services
included; an unknown name stays as it is, and ``$$`` is a dollar.
https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from remora.testing.kubelet.cluster import Cluster
from remora.testing.kubelet.spec import ContainerSpec, NotRunnable, PodSpec

type Json = Mapping[str, Any]

_REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")
_INDEXED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def expanded(text: str, known: Mapping[str, str]) -> str:
    """Put in what ``$(NAME)`` means."""

    def meant(match: re.Match[str]) -> str:
        name = match[1]
        return "$" if name is None else known.get(name, match[0])

    return _REFERENCE.sub(meant, text)


def field_value(pod: PodSpec, path: str, pod_ip: str) -> str:
    """Return what a ``fieldRef`` means.

    Raises:
        NotRunnable: There is no such field.
    """
    if indexed := _INDEXED.fullmatch(path):
        source = pod.labels if indexed[1] == "labels" else pod.annotations
        return source.get(indexed[2], "")
    fields = {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": pod.node,
        "spec.serviceAccountName": pod.service_account,
        "status.podIP": pod_ip,
        "status.podIPs": pod_ip,
        "status.hostIP": "192.0.2.1",
        "metadata.labels": _listed(pod.labels),
        "metadata.annotations": _listed(pod.annotations),
    }
    if path not in fields:
        raise NotRunnable(f"fieldRef {path!r} is not a field of the downward API")
    return fields[path]


def _listed(pairs: Mapping[str, str]) -> str:
    return "\n".join(f'{name}="{value}"' for name, value in sorted(pairs.items()))


def environment(
    container: ContainerSpec,
    pod: PodSpec,
    cluster: Cluster,
    *,
    services: Mapping[str, str],
    pod_ip: str,
) -> dict[str, str]:
    """Return a container's variables, without those of its image.

    Raises:
        NotRunnable: A ConfigMap, Secret or key that it can't do without is missing.
    """
    known = {**services}
    for source in container.env_from:
        known |= _sourced(source, pod, cluster)
    for variable in container.env:
        value = _value(variable, known, pod, cluster, pod_ip)
        if value is not None:
            known[variable["name"]] = value
    return known


def command_line(
    container: ContainerSpec,
    entrypoint: Sequence[str],
    command: Sequence[str],
    known: Mapping[str, str],
) -> list[str]:
    """Return what is run, of the image's and the pod's words.

    Raises:
        NotRunnable: There is nothing to run.
    """
    own = [expanded(word, known) for word in container.command]
    args = [expanded(word, known) for word in container.args]
    # A command of the pod's own leaves nothing of the image's.
    line = [*(own or entrypoint), *(args or ([] if own else command))]
    if not line:
        raise NotRunnable(f"container {container.name}: no command, and its image has none")
    return line


def _value(
    variable: Json, known: Mapping[str, str], pod: PodSpec, cluster: Cluster, pod_ip: str
) -> str | None:
    source = variable.get("valueFrom")
    if source is None:
        return expanded(variable.get("value") or "", known)
    if field := source.get("fieldRef"):
        return field_value(pod, field["fieldPath"], pod_ip)
    for kind, read in (
        ("configMapKeyRef", cluster.config_map),
        ("secretKeyRef", cluster.secret),
    ):
        if wanted := source.get(kind):
            found = (read(pod.namespace, wanted["name"]) or {}).get(wanted["key"])
            if found is None and not wanted.get("optional"):
                raise NotRunnable(f"{kind} {wanted['name']}/{wanted['key']} is missing")
            return None if found is None else found.decode()
    raise NotRunnable(f"variable {variable['name']}: {sorted(source)} is not supported here")


def _sourced(source: Json, pod: PodSpec, cluster: Cluster) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for kind, read in (("configMapRef", cluster.config_map), ("secretRef", cluster.secret)):
        if wanted := source.get(kind):
            found = read(pod.namespace, wanted["name"])
            if found is None and not wanted.get("optional"):
                raise NotRunnable(f"{kind} {wanted['name']} is missing")
            return {prefix + key: value.decode() for key, value in (found or {}).items()}
    return {}
