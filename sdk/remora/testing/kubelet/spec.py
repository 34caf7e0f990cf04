"""A pod as the kubelet reads it: typed, and only what running it needs.

Fields and defaults are those of
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from remora.testing.kubelet.probe_spec import Handler, Probe, read_handler, read_probe
from remora.testing.kubelet.rights import Rights, read_rights

type Json = Mapping[str, Any]

_GRACE_S = 30


class NotRunnable(Exception):
    """A pod or container that a kubelet would not start; the text says what and why."""


class RestartPolicy(Enum):
    """What becomes of containers that have ended."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"

    def restarts(self, code: int) -> bool:
        """Tell whether a container that ended with a code is started again."""
        return self is RestartPolicy.ALWAYS or (self is RestartPolicy.ON_FAILURE and code != 0)


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume's place in a container."""

    volume: str
    path: str
    sub_path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container.

    Attributes:
        command: Instead of the image's entrypoint, if there is any.
        args: Instead of the image's command, if there are any.
        env: As it stands in the spec.
        env_from: As it stands in the spec.
        is_sidecar: An init container that goes on running.
        rights: What its processes may do.
        post_start: What is run as soon as it has started, before the next one is.
        pre_stop: What is run before it is told to stop.
    """

    name: str
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    working_dir: str
    env: tuple[Json, ...]
    env_from: tuple[Json, ...]
    mounts: tuple[Mount, ...]
    is_sidecar: bool
    rights: Rights
    startup: Probe | None
    readiness: Probe | None
    liveness: Probe | None
    post_start: Handler | None
    pre_stop: Handler | None
    termination_path: str


@dataclass(frozen=True, slots=True)
class PodSpec:
    """One pod.

    Attributes:
        fs_group: The group that volumes belong to; None: nobody asked for one.
        grace_s: How long it gets to end.
    """

    json: Json
    name: str
    namespace: str
    uid: str
    service_account: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    inits: tuple[ContainerSpec, ...]
    containers: tuple[ContainerSpec, ...]
    volumes: tuple[Json, ...]
    restart_policy: RestartPolicy
    shares_processes: bool
    fs_group: int | None
    node: str
    host_aliases: tuple[Json, ...]
    grace_s: float

    @property
    def same_user(self) -> int | None:
        """The one user that all containers are to run as; None if they differ or do not say."""
        users = {container.rights.user for container in (*self.inits, *self.containers)}
        return users.pop() if len(users) == 1 else None


def read_pod(json: Json) -> PodSpec:
    """Read a pod that was admitted.

    Raises:
        NotRunnable: It asks for what this kubelet has not.
    """
    metadata, spec = json["metadata"], json["spec"]
    if spec.get("hostNetwork") or spec.get("hostPID") or spec.get("hostIPC"):
        raise NotRunnable("the node's own namespaces are not given away")
    security = spec.get("securityContext") or {}
    return PodSpec(
        json=json,
        name=metadata["name"],
        namespace=metadata.get("namespace", "default"),
        uid=metadata.get("uid", ""),
        service_account=spec.get("serviceAccountName") or "default",
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        inits=_containers(spec.get("initContainers"), security),
        containers=_containers(spec["containers"], security),
        volumes=tuple(spec.get("volumes") or ()),
        restart_policy=RestartPolicy(spec.get("restartPolicy", "Always")),
        shares_processes=bool(spec.get("shareProcessNamespace")),
        fs_group=security.get("fsGroup"),
        node=spec.get("nodeName") or "node-1",
        host_aliases=tuple(spec.get("hostAliases") or ()),
        grace_s=_grace(spec),
    )


def _grace(spec: Json) -> float:
    given = spec.get("terminationGracePeriodSeconds")
    return float(_GRACE_S if given is None else given)


def _containers(listed: Sequence[Json] | None, security: Json) -> tuple[ContainerSpec, ...]:
    return tuple(_container(json, security) for json in listed or ())


def _container(json: Json, security: Json) -> ContainerSpec:
    lifecycle = json.get("lifecycle") or {}
    return ContainerSpec(
        name=json["name"],
        image=json.get("image", ""),
        command=tuple(json.get("command") or ()),
        args=tuple(json.get("args") or ()),
        working_dir=json.get("workingDir") or "/",
        env=tuple(json.get("env") or ()),
        env_from=tuple(json.get("envFrom") or ()),
        mounts=tuple(_mount(mount) for mount in json.get("volumeMounts") or ()),
        is_sidecar=json.get("restartPolicy") == "Always",
        rights=read_rights(json.get("securityContext") or {}, security),
        startup=read_probe(json.get("startupProbe"), json),
        readiness=read_probe(json.get("readinessProbe"), json),
        liveness=read_probe(json.get("livenessProbe"), json),
        post_start=read_handler(lifecycle.get("postStart"), json),
        pre_stop=read_handler(lifecycle.get("preStop"), json),
        termination_path=json.get("terminationMessagePath") or "/dev/termination-log",
    )


def _mount(json: Json) -> Mount:
    return Mount(
        volume=json["name"],
        path=json["mountPath"],
        sub_path=json.get("subPath") or "",
        read_only=bool(json.get("readOnly")),
    )
