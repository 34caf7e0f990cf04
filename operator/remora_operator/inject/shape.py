"""A pod with its sidecar in place: which container stands where."""

from collections.abc import Mapping, Sequence
from typing import Any

from remora_operator.inject.adoption import adopt_container, adopt_volume
from remora_operator.inject.config import InjectionConfig
from remora_operator.inject.layout import (
    AUDIENCES,
    DEFAULT_CONTAINER_ANNOTATION,
    NETINIT,
    SIDECAR,
    SIDECAR_VOLUMES,
    STATUS_ANNOTATION,
)
from remora_operator.inject.outcome import (
    Cause,
    Json,
    Mode,
    RefusalReason,
    Refused,
    Warned,
)
from remora_operator.inject.own_containers import netinit_container, sidecar_container
from remora_operator.inject.plan import Plan
from remora_operator.inject.pod import Container, ContainerList, Pod
from remora_operator.inject.status import digest, status_text
from remora_operator.inject.trust import trusting_container
from remora_operator.inject.volumes import own_volumes


def reserved_causes(pod: Pod) -> tuple[Cause, ...]:
    """Say which of the user's containers mount what is the sidecar's alone."""
    causes = []
    for container in pod.own:
        for mount in container.mounts:
            volume = pod.volumes.get(mount.volume)
            where = f"container {container.name} mounts volume {mount.volume}"
            if mount.volume in SIDECAR_VOLUMES:
                text = f"{where}, which is the sidecar's alone"
                causes.append(Cause(RefusalReason.RESERVED_VOLUME, text))
            elif volume is not None and (audiences := sorted(volume.audiences & AUDIENCES)):
                text = f"{where} with a token for {audiences[0]}, which only the sidecar may hold"
                causes.append(Cause(RefusalReason.TOKEN_AUDIENCE, text))
    return tuple(causes)


def injected_pod(
    pod: Pod, plan: Plan, config: InjectionConfig
) -> tuple[Json, str, tuple[Warned, ...]]:
    """Return the pod as it should be, the digest of what it is given, and warnings.

    Raises:
        Refused: Something in it has a name of ours and is not ours.
    """
    ours = _own_containers(plan, config)
    volumes = own_volumes(config, plan.secrets)
    found = digest(ours, volumes)
    users, warnings = _users_containers(pod, plan)
    containers, inits = _placed(pod, ours, users, plan, config)
    before = pod.spec.get("initContainers")
    spec = _changed(
        pod.spec,
        initContainers=inits if inits or before else before,
        containers=containers,
        volumes=_volumes(pod, volumes),
    )
    metadata = _changed(pod.metadata, annotations=_annotations(pod, plan.mode, found))
    return _changed(pod.json, metadata=metadata, spec=spec), found, warnings


def _changed(json: Json, **members: Any) -> Json:
    """Return an object with members set; the same object if they are there already."""
    new = {name: value for name, value in members.items() if json.get(name) != value}
    return {**json, **new} if new else json


def _own_containers(plan: Plan, config: InjectionConfig) -> dict[str, Json]:
    sidecar: dict[str, Json] = {SIDECAR: sidecar_container(plan, config)}
    if plan.mode is Mode.EXPLICIT:
        return sidecar
    return {NETINIT: netinit_container(plan, config), **sidecar}


def _users_containers(
    pod: Pod, plan: Plan
) -> tuple[dict[ContainerList, list[Json]], tuple[Warned, ...]]:
    """Give every container of the user's what it needs; a mesh's proxy stays as it is."""
    lists: dict[ContainerList, list[Json]] = {"initContainers": [], "containers": []}
    warnings = list[Warned]()
    for container in pod.own:
        json = container.json
        if not container.is_mesh:
            json, said = trusting_container(container, plan, pod.volumes)
            warnings += said
        lists[container.kind].append(json)
    return lists, tuple(warnings)


def _placed(
    pod: Pod,
    ours: Mapping[str, Json],
    users: Mapping[ContainerList, Sequence[Json]],
    plan: Plan,
    config: InjectionConfig,
) -> tuple[list[Json], list[Json]]:
    """Put our containers where they belong; returns containers and init containers."""
    final = {name: _adopted(pod, json, config) for name, json in ours.items()}
    _refuse_strays(pod, ours)
    netinit = [final[NETINIT]] if NETINIT in final else []
    if plan.native:
        return [*users["containers"]], [*netinit, final[SIDECAR], *users["initContainers"]]
    return [final[SIDECAR], *users["containers"]], [*users["initContainers"], *netinit]


def _adopted(pod: Pod, wanted: Json, config: InjectionConfig) -> Json:
    named = _named(pod, str(wanted["name"]))
    if not named:
        return wanted
    if len(named) > 1:
        text = f"more than one container has the name {wanted['name']}, which is Remora's"
        raise Refused(Cause(RefusalReason.CONFLICT, text))
    return adopt_container(wanted, named[0].json, config.tolerated)


def _named(pod: Pod, name: str) -> list[Container]:
    return [container for container in pod.containers if container.name == name]


def _refuse_strays(pod: Pod, ours: Mapping[str, Json]) -> None:
    """Refuse redirect rules in explicit mode: nobody would serve what they redirect."""
    if NETINIT not in ours and _named(pod, NETINIT):
        text = f"container {NETINIT} belongs to transparent mode; remove it for explicit mode"
        raise Refused(Cause(RefusalReason.CONFLICT, text))


def _volumes(pod: Pod, wanted: Sequence[Json]) -> list[Json]:
    ours = {str(volume["name"]): volume for volume in wanted}
    there = [
        adopt_volume(ours[name], volume) if (name := volume.get("name")) in ours else volume
        for volume in pod.spec.get("volumes") or ()
    ]
    return [*there, *(volume for name, volume in ours.items() if name not in pod.volumes)]


def _annotations(pod: Pod, mode: Mode, found: str) -> Json:
    added = {STATUS_ANNOTATION: status_text(mode, found)}
    if DEFAULT_CONTAINER_ANNOTATION not in pod.annotations:
        first = next((c.name for c in pod.own if c.kind == "containers"), None)
        added |= {} if first is None else {DEFAULT_CONTAINER_ANNOTATION: first}
    return _changed(pod.annotations, **added)
