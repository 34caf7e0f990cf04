"""The operator's configuration of injection as people write it: a YAML document.

The same document stands in the operator's ConfigMap and is given to ``remora inject
--config``, so that both do the same. Everything has a default; docs/injection.md lists it.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from remora.client.address import check_address
from remora.errors import ConfigError, Problem
from remora.policy.model import PolicyModel, ResourceName
from remora.policy.problems import explain
from remora.policy.quantities import Quantity
from remora.policy.yaml_source import read_documents
from remora_operator.inject.config import (
    SAFETY,
    Hazard,
    InjectionConfig,
    LogLevel,
    ModeChoice,
    Network,
    NetworkProfile,
    PodSecurityLevel,
    Resources,
    Tolerated,
    Verdict,
)
from remora_operator.inject.layout import OWN_PORTS

_DEFAULT = InjectionConfig()

_INJECTED = frozenset(
    {
        "REMORA_MODE",
        "REMORA_LISTEN",
        "REMORA_SESSION_LISTEN",
        "REMORA_CONTROL_LISTEN",
        "REMORA_STATUS_LISTEN",
        "REMORA_OPERATOR",
        "REMORA_OPERATOR_CA",
        "REMORA_OPERATOR_TOKEN_FILE",
        "REMORA_AGGREGATOR",
        "REMORA_AGGREGATOR_CA",
        "REMORA_AGGREGATOR_TOKEN_FILE",
        "REMORA_TRUST_DIR",
        "REMORA_DATA_DIR",
        "REMORA_SECRETS_DIR",
        "REMORA_UPSTREAM_CA",
        "REMORA_POLICY",
        "REMORA_LABELS",
        "REMORA_SIDECAR_UID",
        "REMORA_REDIRECT_PORTS",
        "REMORA_EXCLUDE_CIDRS",
        "REMORA_NETWORK_PROFILE",
        "REMORA_NAMESPACE",
        "REMORA_POD_NAME",
        "REMORA_POD_UID",
        "REMORA_NODE",
        "REMORA_WORKLOAD",
        "REMORA_LOG_LEVEL",
        "REMORA_DRAIN_S",
        "REMORA_FLUSH_S",
    }
)
"""The injector sets these itself, or the sidecar in a pod can't do with another value."""


def _cpu(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,5}m?|0?\.\d{1,3}|[1-9]\d{0,2}\.\d{1,3}", text):
        raise ValueError("should be CPUs such as 100m, 0.5 or 2")
    return text


def _size(text: str) -> str:
    """Write a size as the API server does, or what it made of ours would look like a stranger's."""
    size = Quantity.parse(text)
    if size.bytes <= 0:
        raise ValueError("should be more than nothing")
    return str(size)


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("should be a network such as 10.0.0.0/8 or fd00::/8") from None
    if network.prefixlen == 0:
        raise ValueError("excludes every address, so nothing would be intercepted")
    return str(network)


def _port(port: int) -> int:
    if port in OWN_PORTS:
        raise ValueError("is a port of the sidecar's own")
    return port


def _aggregator(text: str) -> str:
    return text if text == "none" else check_address(text)


def _variable(name: str) -> str:
    if not re.fullmatch(r"(REMORA|OTEL)_[A-Z0-9_]+", name):
        raise ValueError("should begin with REMORA_ or OTEL_")
    if name in _INJECTED:
        raise ValueError("is set by injection itself")
    return name


Cpu = Annotated[str, AfterValidator(_cpu)]
Size = Annotated[str, AfterValidator(_size)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^\S+$")]
Port = Annotated[StrictInt, Field(ge=1, le=65535), AfterValidator(_port)]


class Amounts(PolicyModel):
    """CPU and memory."""

    cpu: Cpu
    memory: Size


class ContainerResources(PolicyModel):
    """What a container asks for and is held to, as in a container's ``resources``."""

    requests: Amounts
    limits: Amounts

    @property
    def value(self) -> Resources:
        """The same as injection takes it."""
        return Resources(
            self.requests.cpu, self.limits.cpu, self.requests.memory, self.limits.memory
        )


class ResourceSettings(PolicyModel):
    """Resources of our containers.

    Attributes:
        sidecar: In most pods.
        guaranteed: Of the sidecar in pods of the QoS class Guaranteed: requests equal limits.
        netinit: Of netinit.
    """

    sidecar: ContainerResources | None = None
    guaranteed: ContainerResources | None = None
    netinit: ContainerResources | None = None

    @model_validator(mode="after")
    def _guaranteed_is_guaranteed(self) -> Self:
        if self.guaranteed is not None and self.guaranteed.requests != self.guaranteed.limits:
            raise ValueError("guaranteed: requests should equal limits")
        return self


class NetworkSettings(PolicyModel):
    """The redirect rules."""

    redirect_ports: tuple[Port, ...] = ()
    exclude_cidrs: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    profile: NetworkProfile = "default"


class ToleratedSettings(PolicyModel):
    """What other webhooks may add to our containers, besides what is known already."""

    variables: tuple[Text, ...] = ()
    mount_paths: tuple[Text, ...] = ()
    images: tuple[Text, ...] = ()


class InjectionSettings(PolicyModel):
    """The document; its fields are those of `InjectionConfig`, which explains them."""

    image: Text = _DEFAULT.image
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = _DEFAULT.image_pull_policy
    mode: ModeChoice = _DEFAULT.mode
    operator_address: Annotated[str, AfterValidator(check_address)] = _DEFAULT.operator_address
    aggregator_address: Annotated[str, AfterValidator(_aggregator)] = _DEFAULT.aggregator_address
    excluded_namespaces: tuple[ResourceName, ...] = tuple(sorted(_DEFAULT.excluded_namespaces))
    native_sidecars: StrictBool = _DEFAULT.native_sidecars
    default_pod_security: PodSecurityLevel = _DEFAULT.default_pod_security
    incapable_runtime_classes: tuple[ResourceName, ...] = tuple(
        sorted(_DEFAULT.incapable_runtime_classes)
    )
    sidecar_uid: Annotated[StrictInt, Field(ge=1, le=2**31 - 1)] = _DEFAULT.sidecar_uid
    netinit_as_root: StrictBool = _DEFAULT.netinit_as_root
    resources: ResourceSettings = ResourceSettings()
    network: NetworkSettings = NetworkSettings()
    trust_overlay: StrictBool = _DEFAULT.trust_overlay
    trust_source: Literal["configMap", "clusterTrustBundle"] = _DEFAULT.trust_source
    bypass: tuple[Text, ...] = _DEFAULT.bypass
    upstream_ca: StrictBool = _DEFAULT.upstream_ca
    sidecar_variables: Mapping[Annotated[str, AfterValidator(_variable)], str] = Field(
        default_factory=dict
    )
    status_listen: Literal["0.0.0.0:15021", "[::]:15021"] = _DEFAULT.status_listen
    startup_seconds: Annotated[StrictInt, Field(ge=5, le=3600)] = _DEFAULT.startup_s
    data_size: Size = _DEFAULT.data_size
    token_seconds: Annotated[StrictInt, Field(ge=600, le=86400)] = _DEFAULT.token_s
    log_level: LogLevel = _DEFAULT.log_level
    safety: Mapping[Hazard, Verdict] = Field(default_factory=dict)
    tolerated: ToleratedSettings = ToleratedSettings()

    def config(self) -> InjectionConfig:
        """Return the configuration as injection takes it."""
        names = {field.name for field in fields(InjectionConfig)} & type(self).model_fields.keys()
        same: dict[str, Any] = {name: getattr(self, name) for name in names}
        resources, tolerated = self.resources, self.tolerated
        return InjectionConfig(
            **same
            | {
                "excluded_namespaces": frozenset(self.excluded_namespaces),
                "incapable_runtime_classes": frozenset(self.incapable_runtime_classes),
                "sidecar_resources": _or(resources.sidecar, _DEFAULT.sidecar_resources),
                "guaranteed_resources": _or(resources.guaranteed, _DEFAULT.guaranteed_resources),
                "netinit_resources": _or(resources.netinit, _DEFAULT.netinit_resources),
                "network": Network(
                    self.network.redirect_ports, self.network.exclude_cidrs, self.network.profile
                ),
                "startup_s": self.startup_seconds,
                "token_s": self.token_seconds,
                "safety": {**SAFETY, **self.safety},
                "tolerated": _tolerated(tolerated),
            }
        )


def _or(written: ContainerResources | None, default: Resources) -> Resources:
    return default if written is None else written.value


def _tolerated(written: ToleratedSettings) -> Tolerated:
    known = _DEFAULT.tolerated
    return Tolerated(
        variables=known.variables | set(written.variables),
        mount_paths=known.mount_paths | set(written.mount_paths),
        images=written.images,
    )


def read_config(file: str, text: str) -> InjectionConfig:
    """Read the document.

    Args:
        file: Its name, for messages.
        text: YAML, one document; an empty text is all defaults.

    Raises:
        ConfigError: With every problem, with line and column.
    """
    documents, problems = read_documents(file, text)
    if problems:
        raise ConfigError(problems)
    if not documents:
        return InjectionConfig()
    if len(documents) > 1:
        raise ConfigError([Problem(documents[1].where(), "there should be one document only")])
    [document] = documents
    try:
        return InjectionSettings.model_validate(document.value).config()
    except ValidationError as error:
        found = explain(InjectionSettings, error)
        raise ConfigError([Problem(document.where(p), what) for p, what in found]) from None
