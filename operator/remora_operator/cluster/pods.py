"""Pods as the API server gives them: which have a sidecar, and what policy asks about those. Pure.

The shape tells, no label and no annotation: a container of the sidecar's name, and the volume that
holds its identity. A container of that name alone may still be one's author's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from remora_operator.cluster.objects import Json
from remora_operator.cluster.reports import reported_refusal, reported_version
from remora_operator.inject.config import SecretKey
from remora_operator.inject.layout import (
    IDENTITY_VOLUME,
    NETINIT,
    SECRETS_VOLUME,
    SIDECAR,
)
from remora_operator.policies import PodFacts, Provided

_OVER = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Agent:
    """A pod with a sidecar that is not over.

    Attributes:
        facts: What policy asks about it.
        started: When the kubelet took it up, or where it has not yet, when it was made; UTC.
        netinit_failure: What netinit said when it failed last; empty: it has not.
    """

    facts: PodFacts
    started: datetime
    netinit_failure: str = ""


class _Metadata(BaseModel):
    name: str
    namespace: str
    uid: str
    created: datetime = Field(alias="creationTimestamp")
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None


class _Variable(BaseModel):
    name: str
    value: str = ""


class _Mount(BaseModel):
    name: str


class _Container(BaseModel):
    name: str
    env: tuple[_Variable, ...] | None = None
    mounts: tuple[_Mount, ...] | None = Field(default=None, alias="volumeMounts")


class _Item(BaseModel):
    key: str


class _Secret(BaseModel):
    name: str
    items: tuple[_Item, ...] | None = None


class _Source(BaseModel):
    secret: _Secret | None = None


class _Projected(BaseModel):
    sources: tuple[_Source, ...] | None = None


class _Volume(BaseModel):
    name: str
    projected: _Projected | None = None


class _Spec(BaseModel):
    containers: tuple[_Container, ...]
    inits: tuple[_Container, ...] | None = Field(default=None, alias="initContainers")
    volumes: tuple[_Volume, ...] | None = None


class _Terminated(BaseModel):
    exit_code: int = Field(default=0, alias="exitCode")
    message: str = ""


class _State(BaseModel):
    terminated: _Terminated | None = None


class _ContainerStatus(BaseModel):
    name: str
    state: _State = _State()
    before: _State = Field(default=_State(), alias="lastState")


class _Status(BaseModel):
    phase: str = ""
    started: datetime | None = Field(default=None, alias="startTime")
    inits: tuple[_ContainerStatus, ...] | None = Field(default=None, alias="initContainerStatuses")


class _Pod(BaseModel):
    """What is needed of core/v1 Pod (https://kubernetes.io/docs/reference/, core/v1)."""

    metadata: _Metadata
    spec: _Spec
    status: _Status = _Status()


def read_agent(value: Json) -> Agent | None:
    """Read a pod; None if it has no sidecar, or is over."""
    if not _may_be_ours(value):
        return None
    try:
        pod = _Pod.model_validate(value)
    except ValidationError:
        return None
    volumes = {volume.name: volume for volume in pod.spec.volumes or ()}
    containers = {c.name: c for c in (*(pod.spec.inits or ()), *pod.spec.containers)}
    if IDENTITY_VOLUME not in volumes or pod.status.phase in _OVER:
        return None
    metadata = pod.metadata
    annotations = metadata.annotations or {}
    facts = PodFacts(
        uid=metadata.uid,
        namespace=metadata.namespace,
        name=metadata.name,
        labels=metadata.labels or {},
        reported_version=reported_version(annotations),
        reported_refusal=reported_refusal(annotations),
        provided=_shared(_provided(containers, volumes.get(SECRETS_VOLUME))),
    )
    started = (pod.status.started or metadata.created).astimezone(UTC)
    return Agent(facts, started, _netinit_failure(pod.status))


def _netinit_failure(status: _Status) -> str:
    for one in status.inits or ():
        ended = one.state.terminated or one.before.terminated
        if one.name == NETINIT and ended is not None and ended.exit_code:
            return ended.message.strip() or f"exit code {ended.exit_code}"
    return ""


def _may_be_ours(value: Json) -> bool:
    """Tell cheaply: most pods of a cluster are not, and all of them come along."""
    spec: Any = value.get("spec")
    if not isinstance(spec, dict):
        return False
    return _has_sidecar(spec.get("initContainers")) or _has_sidecar(spec.get("containers"))


def _has_sidecar(containers: object) -> bool:
    return isinstance(containers, list) and any(
        isinstance(one, dict) and one.get("name") == SIDECAR for one in containers
    )


@lru_cache(maxsize=4096)
def _shared(provided: Provided | None) -> Provided | None:
    """Let the many pods of a kind share one object."""
    return provided


def _provided(containers: Mapping[str, _Container], secrets: _Volume | None) -> Provided | None:
    is_mounted = any(m.name == SECRETS_VOLUME for m in containers[SIDECAR].mounts or ())
    mounted = frozenset(_keys(secrets)) if secrets is not None and is_mounted else frozenset()
    netinit = containers.get(NETINIT)
    if netinit is None:
        return Provided(mounted)
    ports = _ports(netinit)
    return None if ports is None else Provided(mounted, ports)


def _keys(volume: _Volume) -> Iterator[SecretKey]:
    projected = volume.projected or _Projected()
    for source in projected.sources or ():
        if source.secret is not None:
            for item in source.secret.items or ():
                yield SecretKey(source.secret.name, item.key)


def _ports(netinit: _Container) -> frozenset[int] | None:
    """Return the ports that are redirected as netinit was told; None: what it was is unknown."""
    values = {variable.name: variable.value for variable in netinit.env or ()}
    text = values.get("REMORA_REDIRECT_PORTS")
    if text is None:
        return None
    try:
        return frozenset(int(port) for port in text.split(",") if port)
    except ValueError:
        return None
