"""What injection is told besides the pod: the operator's configuration, and the namespace."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Literal

from remora import __version__
from remora.policy import EffectivePolicy, redirect_ports

ModeChoice = Literal["auto", "transparent", "explicit"]
NetworkProfile = Literal["default", "strict"]
PodSecurityLevel = Literal["privileged", "baseline", "restricted"]
LogLevel = Literal["debug", "info", "warning", "error"]
Verdict = Literal["refuse", "flag", "allow"]


class Hazard(Enum):
    """A way around the sidecar, or to what it holds, that a pod's own spec opens."""

    SIDECAR_UID = "sidecarUid"
    HOST_NETWORK = "hostNetwork"
    PRIVILEGED = "privileged"
    NET_ADMIN = "netAdmin"
    NET_RAW = "netRaw"
    SETUID = "setuid"
    SYS_ADMIN = "sysAdmin"
    SHARED_PROCESSES = "shareProcessNamespace"
    HOST_PID = "hostPid"
    OTHER_MESH = "otherMesh"
    PORT = "port"


SAFETY: Mapping[Hazard, Verdict] = MappingProxyType(
    {
        Hazard.SIDECAR_UID: "refuse",
        Hazard.HOST_NETWORK: "refuse",
        Hazard.PRIVILEGED: "refuse",
        Hazard.NET_ADMIN: "refuse",
        Hazard.NET_RAW: "flag",
        Hazard.SETUID: "flag",
        Hazard.SYS_ADMIN: "flag",
        Hazard.SHARED_PROCESSES: "flag",
        Hazard.HOST_PID: "flag",
        Hazard.OTHER_MESH: "refuse",
        Hazard.PORT: "refuse",
    }
)
"""What is done about each hazard where the configuration does not say."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container asks for and is held to, as Kubernetes quantities."""

    cpu_request: str
    cpu_limit: str
    memory_request: str
    memory_limit: str


@dataclass(frozen=True, slots=True)
class Network:
    """The redirect rules, which `remora netinit` and the sidecar are told alike.

    Attributes:
        ports: TCP ports to redirect besides 80 and 443.
        exclude_cidrs: Networks outside of it all.
        profile: How much else agents may reach.
    """

    ports: tuple[int, ...] = ()
    exclude_cidrs: tuple[str, ...] = ()
    profile: NetworkProfile = "default"


@dataclass(frozen=True, slots=True)
class Tolerated:
    """What other webhooks may add to the sidecar's containers without making a stranger of them.

    Attributes:
        variables: Names of variables.
        mount_paths: Where volumes may be mounted.
        images: Other spellings of the image, for registries that a webhook writes in.
    """

    variables: frozenset[str] = frozenset(
        {
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_DEFAULT_REGION",
            "AWS_REGION",
            "AWS_ROLE_ARN",
            "AWS_STS_REGIONAL_ENDPOINTS",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AZURE_AUTHORITY_HOST",
            "AZURE_CLIENT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_TENANT_ID",
        }
    )
    mount_paths: frozenset[str] = frozenset(
        {
            "/var/run/secrets/kubernetes.io/serviceaccount",  # by the API server itself
            "/var/run/secrets/eks.amazonaws.com/serviceaccount",
            "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
            "/var/run/secrets/azure/tokens",
        }
    )
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InjectionConfig:
    """How pods are injected in this cluster; docs/injection.md has the table.

    Attributes:
        image: Of both containers.
        image_pull_policy: Of both containers.
        mode: How calls reach the sidecar where a pod does not say.
        operator_address: ``host:port`` of the operator, by which the sidecar reaches it.
        aggregator_address: ``host:port`` of the aggregator; ``none``: there is none.
        excluded_namespaces: Never injected, whatever their labels.
        native_sidecars: The server runs native sidecars (from Kubernetes 1.29 on).
        default_pod_security: What namespaces enforce that carry no label about it.
        incapable_runtime_classes: RuntimeClasses whose pods can't have redirect rules.
        sidecar_uid: User and group of the sidecar.
        netinit_as_root: Root without privilege escalation; else user 65534 with it, which needs
            an image whose ``nft`` has the file capability.
        sidecar_resources: Of the sidecar.
        guaranteed_resources: Of the sidecar in pods of the QoS class Guaranteed.
        netinit_resources: Of netinit.
        network: The redirect rules.
        trust_overlay: Mount the bundle over the system's, where a pod does not say.
        trust_source: Where the trust files come from. ClusterTrustBundles have no Java
            truststore: that file comes from the ConfigMap in any case.
        bypass: What programs reach without the proxy in explicit mode, besides this machine.
        upstream_ca: The ConfigMap has extra roots for the sidecar, too.
        sidecar_variables: More settings of the sidecar.
        status_listen: Where the sidecar answers probes; the second where pods have IPv6 alone.
        startup_s: How long the sidecar may take to become ready.
        data_size: Bound of the sidecar's volume, spool and cache together.
        token_s: Life of the sidecar's tokens; the kubelet renews them.
        log_level: How much the sidecar logs, where a pod does not say.
        safety: What is done about each hazard.
        tolerated: What other webhooks may add to our containers.
    """

    image: str = f"remora:{__version__}"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    mode: ModeChoice = "auto"
    operator_address: str = "remora-operator.remora-system.svc:15443"
    aggregator_address: str = "remora-aggregator.remora-system.svc:15090"
    excluded_namespaces: frozenset[str] = frozenset(
        {"kube-system", "kube-public", "kube-node-lease", "remora-system"}
    )
    native_sidecars: bool = True
    default_pod_security: PodSecurityLevel = "privileged"
    incapable_runtime_classes: frozenset[str] = frozenset({"gvisor", "runsc"})
    sidecar_uid: int = 1500
    netinit_as_root: bool = True
    sidecar_resources: Resources = Resources("100m", "1", "128Mi", "512Mi")
    guaranteed_resources: Resources = Resources("250m", "250m", "512Mi", "512Mi")
    netinit_resources: Resources = Resources("100m", "100m", "128Mi", "128Mi")
    network: Network = Network()
    trust_overlay: bool = True
    trust_source: Literal["configMap", "clusterTrustBundle"] = "configMap"
    bypass: tuple[str, ...] = (
        "$(KUBERNETES_SERVICE_HOST)",
        "kubernetes.default.svc",
        ".svc",
        ".cluster.local",
    )
    upstream_ca: bool = False
    sidecar_variables: Mapping[str, str] = field(default_factory=dict)
    status_listen: Literal["0.0.0.0:15021", "[::]:15021"] = "0.0.0.0:15021"
    startup_s: int = 120
    data_size: str = "1Gi"
    token_s: int = 3600
    log_level: LogLevel = "info"
    safety: Mapping[Hazard, Verdict] = field(default_factory=lambda: SAFETY)
    tolerated: Tolerated = Tolerated()


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key of a Secret that a credential names."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class PolicyNeeds:
    """What a pod's policy needs that only a pod's spec can give.

    Attributes:
        secrets: What the sidecar reads keys from. Whoever fills this has checked that policy
            may use them.
        ports: Ports of the intercepted providers.
        hosts: Host patterns of the cluster's own providers.
    """

    secrets: tuple[SecretKey, ...] = ()
    ports: tuple[int, ...] = ()
    hosts: tuple[str, ...] = ()


def policy_needs(policy: EffectivePolicy) -> PolicyNeeds:
    """Return what a policy needs of the pod."""
    references = [key.secret_ref for key in policy.rules.credentials if key.secret_ref is not None]
    secrets = {SecretKey(r.name, r.key) for r in references if _can_be_a_key(r.key)}
    hosts = [host for provider in policy.providers for host in provider.spec.hosts]
    return PolicyNeeds(
        secrets=tuple(sorted(secrets, key=lambda secret: (secret.name, secret.key))),
        ports=redirect_ports(policy),
        hosts=tuple(sorted(set(hosts))),
    )


def _can_be_a_key(key: str) -> bool:
    """Tell whether a Secret can have such a key; a pod that names another one is never valid."""
    return key != "." and not key.startswith("..")


def _nothing_needed(_labels: Mapping[str, str]) -> PolicyNeeds:
    return PolicyNeeds()


@dataclass(frozen=True, slots=True)
class Namespace:
    """The namespace of a pod.

    Attributes:
        name: Its name.
        labels: Its labels; None where the namespace is not known (any more).
        chosen: The API server's own selectors have chosen the pod: no label seen here that is
            older than theirs unselects it.
        needs: What the policy of a pod with given labels needs of it.
    """

    name: str
    labels: Mapping[str, str] | None = field(default_factory=dict)
    chosen: bool = False
    needs: Callable[[Mapping[str, str]], PolicyNeeds] = _nothing_needed

    @property
    def known_labels(self) -> Mapping[str, str]:
        """Its labels, as far as they are known."""
        return self.labels or {}


def bypass_for(entries: Sequence[str], hosts: Sequence[str]) -> tuple[str, ...]:
    """Return what to reach without the proxy: no suffix that covers a provider's host."""
    return tuple(
        entry
        for entry in entries
        if not (entry.startswith(".") and any(host.endswith(entry) for host in hosts))
    )
