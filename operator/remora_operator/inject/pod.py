"""The pod as injection sees it: typed, and only what is asked of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from remora_operator.inject.layout import MESH_CONTAINERS, OWN_CONTAINERS
from remora_operator.inject.outcome import Json
from remora_operator.inject.reading import (
    as_object,
    flag,
    malformed,
    member,
    number,
    objects,
    text,
    text_map,
    texts,
)

ContainerList = Literal["initContainers", "containers"]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a container.

    Attributes:
        name: Its name.
        value: Its literal value; None where it comes from elsewhere and can't be seen.
    """

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume's place in a container."""

    volume: str
    path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Rights:
    """What a container's processes may do.

    Attributes:
        user: The user they start as; None: the image decides.
        non_root: Root is refused by the kubelet.
        escalation: They may gain rights that they did not start with.
        privileged: They may do everything.
        added: Capabilities added, in capitals, without ``CAP_``.
        dropped: Capabilities dropped, alike.
    """

    user: int | None
    non_root: bool
    escalation: bool
    privileged: bool
    added: frozenset[str]
    dropped: frozenset[str]

    def may_have(self, capability: str) -> bool:
        """Tell whether a process can come to use a capability that containers have by default."""
        if self.added & {capability, "ALL"}:
            return True
        if self.dropped & {capability, "ALL"}:
            return False
        starts_as_root = not self.non_root and self.user in (None, 0)
        return starts_as_root or self.escalation


@dataclass(frozen=True, slots=True)
class Container:
    """A container of the pod's."""

    name: str
    kind: ContainerList
    json: Json
    variables: tuple[Variable, ...]
    has_sources: bool
    mounts: tuple[Mount, ...]
    ports: tuple[int, ...]
    rights: Rights
    limits: Json
    requests: Json

    @property
    def is_ours(self) -> bool:
        """Whether it has a name of ours."""
        return self.name in OWN_CONTAINERS

    @property
    def is_mesh(self) -> bool:
        """Whether it is another mesh's proxy, which is left alone."""
        return self.name in MESH_CONTAINERS


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of the pod's.

    Attributes:
        name: Its name.
        json: As it stands in the spec.
        audiences: Of the ServiceAccount tokens in it.
        never_written: Nobody can make a folder in it, the container runtime included.
    """

    name: str
    json: Json
    audiences: frozenset[str]
    never_written: bool


@dataclass(frozen=True, slots=True)
class Owner:
    """The controller of a pod."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Pod:
    """What injection asks of a pod."""

    json: Json
    metadata: Json
    spec: Json
    name: str
    generate_name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner: Owner | None
    containers: tuple[Container, ...]
    volumes: Mapping[str, Volume]
    host_network: bool
    host_pid: bool
    shared_processes: bool
    runtime_class: str
    node_name: str
    operating_system: str
    has_pod_resources: bool
    grace_s: int
    restart_policy: str

    @property
    def own(self) -> tuple[Container, ...]:
        """The user's containers: those that may call providers."""
        return tuple(c for c in self.containers if not c.is_ours)


def read_pod(json: object) -> Pod:
    """Read a pod.

    Raises:
        Refused: Something in it is not what the API says; it names the field.
    """
    root = as_object(json, "pod")
    metadata = member(root, "metadata", "pod")
    spec = member(root, "spec", "pod")
    grace_s = number(spec, "terminationGracePeriodSeconds", "spec")
    return Pod(
        json=root,
        metadata=metadata,
        spec=spec,
        name=text(metadata, "name", "metadata"),
        generate_name=text(metadata, "generateName", "metadata"),
        labels=text_map(metadata, "labels", "metadata"),
        annotations=text_map(metadata, "annotations", "metadata"),
        owner=_owner(metadata),
        containers=_containers(spec),
        volumes=_volumes(spec),
        host_network=flag(spec, "hostNetwork", "spec") or False,
        host_pid=flag(spec, "hostPID", "spec") or False,
        shared_processes=flag(spec, "shareProcessNamespace", "spec") or False,
        runtime_class=text(spec, "runtimeClassName", "spec"),
        node_name=text(spec, "nodeName", "spec"),
        operating_system=_operating_system(spec),
        has_pod_resources=bool(member(spec, "resources", "spec")),
        grace_s=30 if grace_s is None else grace_s,
        restart_policy=text(spec, "restartPolicy", "spec") or "Always",
    )


def _owner(metadata: Json) -> Owner | None:
    for owner in objects(metadata, "ownerReferences", "metadata"):
        if owner.get("controller") is True:
            path = "metadata.ownerReferences"
            return Owner(text(owner, "kind", path), text(owner, "name", path))
    return None


def _operating_system(spec: Json) -> str:
    named = text(member(spec, "os", "spec"), "name", "spec.os")
    return named or text_map(spec, "nodeSelector", "spec").get("kubernetes.io/os", "")


def _containers(spec: Json) -> tuple[Container, ...]:
    defaults = member(spec, "securityContext", "spec")
    kinds: tuple[ContainerList, ...] = ("initContainers", "containers")
    found = tuple(
        _container(json, kind, f"spec.{kind}[{index}]", defaults)
        for kind in kinds
        for index, json in enumerate(objects(spec, kind, "spec"))
    )
    if not any(c.kind == "containers" and not c.is_ours for c in found):
        raise malformed("spec.containers", "should have a container that is not Remora's")
    return found


def _container(json: Json, kind: ContainerList, path: str, defaults: Json) -> Container:
    resources = member(json, "resources", path)
    return Container(
        name=text(json, "name", path),
        kind=kind,
        json=json,
        variables=tuple(
            _variable(variable, f"{path}.env[{index}]")
            for index, variable in enumerate(objects(json, "env", path))
        ),
        has_sources=bool(objects(json, "envFrom", path)),
        mounts=tuple(
            _mount(mount, f"{path}.volumeMounts") for mount in objects(json, "volumeMounts", path)
        ),
        ports=_ports(json, path),
        rights=_rights(member(json, "securityContext", path), defaults, path),
        limits=member(resources, "limits", f"{path}.resources"),
        requests=member(resources, "requests", f"{path}.resources"),
    )


def _variable(json: Json, path: str) -> Variable:
    seen = json.get("valueFrom") is None
    return Variable(text(json, "name", path), text(json, "value", path) if seen else None)


def _mount(json: Json, path: str) -> Mount:
    return Mount(
        volume=text(json, "name", path),
        path=text(json, "mountPath", path),
        read_only=flag(json, "readOnly", path) or False,
    )


def _ports(json: Json, path: str) -> tuple[int, ...]:
    """Return the TCP ports that a container declares."""
    ports = objects(json, "ports", path)
    declared = (
        number(port, "containerPort", f"{path}.ports")
        for port in ports
        if port.get("protocol") in (None, "", "TCP")
    )
    return tuple(port for port in declared if port is not None)


def _rights(own: Json, pod: Json, path: str) -> Rights:
    where = f"{path}.securityContext"
    capabilities = member(own, "capabilities", where)
    user = number(own, "runAsUser", where)
    non_root = flag(own, "runAsNonRoot", where)
    escalation = flag(own, "allowPrivilegeEscalation", where)
    return Rights(
        user=number(pod, "runAsUser", "spec.securityContext") if user is None else user,
        non_root=bool(
            flag(pod, "runAsNonRoot", "spec.securityContext") if non_root is None else non_root
        ),
        escalation=escalation is not False,
        privileged=flag(own, "privileged", where) or False,
        added=_capabilities(capabilities, "add", where),
        dropped=_capabilities(capabilities, "drop", where),
    )


def _capabilities(json: Json, name: str, path: str) -> frozenset[str]:
    """Read names of capabilities as container runtimes do: in any case, with or without CAP_."""
    names = texts(json, name, f"{path}.capabilities")
    return frozenset(name.upper().removeprefix("CAP_") for name in names)


_WRITTEN_BY_NOBODY = frozenset({"configMap", "secret", "projected", "downwardAPI", "image"})


def _volumes(spec: Json) -> Mapping[str, Volume]:
    found = enumerate(objects(spec, "volumes", "spec"))
    volumes = (_volume(json, f"spec.volumes[{index}]") for index, json in found)
    return {volume.name: volume for volume in volumes}


def _volume(json: Json, path: str) -> Volume:
    sources = objects(member(json, "projected", path), "sources", f"{path}.projected")
    tokens = (member(s, "serviceAccountToken", f"{path}.projected.sources") for s in sources)
    return Volume(
        name=text(json, "name", path),
        json=json,
        audiences=frozenset(text(t, "audience", path) for t in tokens if t),
        never_written=not _WRITTEN_BY_NOBODY.isdisjoint(json),
    )
