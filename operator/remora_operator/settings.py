"""The operator's settings: read once from the environment, all problems reported at once."""

import re
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from remora.policy.model import ResourceName
from remora.setting_problems import config_error

ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its ServiceAccount's token and the root of the API server's certificate."""

NOWHERE = "none"

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})")


def _listen_address(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[1]) > 65535:
        raise ValueError(f"{text!r} is not host:port (IPv6 as [::]:port)")
    return text


def _api_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+/?", text):
        raise ValueError(f"{text!r} is not of the form https://host or https://host:port")
    return text


ListenAddress = Annotated[str, AfterValidator(_listen_address)]


class OperatorSettings(BaseSettings):
    """Every setting; the variable is the field's name with ``REMORA_OPERATOR_``."""

    model_config = SettingsConfigDict(
        env_prefix="REMORA_OPERATOR_", env_ignore_empty=True, frozen=True
    )

    namespace: ResourceName = Field(
        default="remora-system",
        description="Namespace of the operator's own Secrets, ConfigMaps, Lease and Services.",
    )
    pod_name: str = Field(
        default="", description="Names this replica in the Lease. Default: the host's name."
    )
    config: Path | None = Field(
        default=None,
        description=(
            "The configuration of injection, a YAML file (docs/injection.md), read again when it "
            "changes. Without it: all defaults."
        ),
    )
    webhook_listen: ListenAddress = Field(
        default="0.0.0.0:9443", description="Where the admission webhook listens, by TLS."
    )
    grpc_listen: ListenAddress = Field(
        default="0.0.0.0:9444", description="Where sidecars ask for policies and certificates."
    )
    status_listen: ListenAddress = Field(
        default="0.0.0.0:8080",
        description="Where `/healthz`, `/readyz` and `/metrics` are served, without TLS.",
    )
    webhook_certificate: Literal["selfManaged", "certManager"] = Field(
        default="selfManaged",
        description=(
            "Who keeps the Secret `remora-operator-tls` and the webhook's `caBundle`: the operator "
            "itself, or cert-manager."
        ),
    )
    interception_ca: Literal["selfManaged", "brought"] = Field(
        default="selfManaged",
        description=(
            "Who makes the Secret `remora-ca`, whose root agents trust: the operator once, or you "
            "(or cert-manager) before it starts."
        ),
    )
    kubernetes_api: Annotated[str, AfterValidator(_api_url)] = Field(
        default="https://kubernetes.default.svc", description="URL of the API server."
    )
    kubernetes_token_file: Path = Field(
        default=ACCOUNT_FOLDER / "token",
        description="File with the token that the operator shows to the API server.",
    )
    kubernetes_ca: Path = Field(
        default=ACCOUNT_FOLDER / "ca.crt",
        description="PEM file with the root that signed the API server's certificate.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    linger_s: float = Field(
        default=5.0,
        ge=0,
        le=600,
        description=(
            "Seconds that a replica that was told to stop goes on answering, until the cluster "
            "sends reviews elsewhere."
        ),
    )
    drain_s: float = Field(
        default=10.0, ge=0, le=600, description="Seconds that what is under way gets at the end."
    )

    @property
    def replica(self) -> str:
        """This replica's name."""
        return self.pod_name or socket.gethostname()


class KubectlSettings(BaseSettings):
    """What tells kubectl, and a person's commands of ours, where the cluster is."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True)

    kubeconfig: str = ""
    kubernetes_service_host: str = ""
    kubernetes_service_port: int = 443

    @property
    def place(self) -> str:
        """Where the kubeconfig is; several files, as kubectl merges them, with colons between."""
        return self.kubeconfig or "~/.kube/config"

    @property
    def has_kubeconfig(self) -> bool:
        """Whether there is a kubeconfig, said or in its usual place."""
        return bool(self.kubeconfig) or Path(self.place).expanduser().exists()

    @property
    def is_pod(self) -> bool:
        """Whether this process runs in a pod of a cluster."""
        return bool(self.kubernetes_service_host)

    @property
    def pod_api_url(self) -> str:
        """The API server, from within a pod."""
        host = self.kubernetes_service_host
        place = f"[{host}]" if ":" in host else host
        return f"https://{place}:{self.kubernetes_service_port}"


def read_settings(**overrides: object) -> OperatorSettings:
    """Read the environment.

    Raises:
        ConfigError: With every problem found.
    """
    try:
        return OperatorSettings(**overrides)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        raise config_error(error, prefix="REMORA_OPERATOR_") from None
