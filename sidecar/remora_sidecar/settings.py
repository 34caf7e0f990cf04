"""The sidecar's settings: read once from the environment, all problems reported at once."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from remora.client.address import check_address
from remora.setting_problems import config_error
from remora_sidecar.model.connect_to import ConnectTo

NO_AGGREGATOR = "none"
DEFAULT_HELD_BODY_BYTES = 32 * 1024 * 1024


def default_data_dir() -> Path:
    """Where a local sidecar keeps its CA, spool and installation id."""
    return Path.home() / ".local" / "share" / "remora" / "sidecar"


def parse_address(text: str) -> tuple[str, int]:
    """Read ``host:port`` or ``[v6]:port``; raises ValueError that says what is wrong."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]\s]+)):(\d{1,5})", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not host:port (IPv6 as [::1]:port)")
    port = int(match[3])
    if port > 65535:
        raise ValueError(f"port {port} in {text!r} is out of range")
    return match[1] or match[2], port


def format_address(address: tuple[str, int]) -> str:
    """Write an address as ``host:port``, IPv6 in brackets."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Tell whether a literal address or ``localhost`` is loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _addresses(value: object) -> object:
    if not isinstance(value, str):
        return value
    parsed, problems = [], []
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            parsed.append(parse_address(part))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(parsed)


def _address(value: object) -> object:
    return parse_address(value) if isinstance(value, str) else value


def _all_loopback(addresses: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    if not addresses:
        raise ValueError("it names no address")
    wide = [format_address(address) for address in addresses if not is_loopback(address[0])]
    if wide:
        raise ValueError(f"only loopback addresses can be listened on here, not {', '.join(wide)}")
    return addresses


def _loopback(address: tuple[str, int]) -> tuple[str, int]:
    return _all_loopback((address,))[0]


def _aggregator(text: str) -> str:
    return text if text == NO_AGGREGATOR else check_address(text)


def _file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"there is no file or folder {path}")
    return path


def _connect_to(value: object) -> object:
    return ConnectTo.parse(value) if isinstance(value, str) else value


def _labels(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise ValueError("labels are written key=value,key=value")
    return {key.strip(): label.strip() for key, _, label in pairs}


Address = Annotated[tuple[str, int], NoDecode, BeforeValidator(_address)]
LoopbackAddress = Annotated[Address, AfterValidator(_loopback)]
Addresses = Annotated[tuple[tuple[str, int], ...], NoDecode, BeforeValidator(_addresses)]
LoopbackAddresses = Annotated[Addresses, AfterValidator(_all_loopback)]
AggregatorAddress = Annotated[str, AfterValidator(_aggregator)]
ExistingFile = Annotated[Path, AfterValidator(_file)]
Labels = Annotated[Mapping[str, str], NoDecode, BeforeValidator(_labels)]


class SidecarSettings(BaseSettings):
    """Every setting of the sidecar; the variable is the field's name with ``REMORA_``."""

    model_config = SettingsConfigDict(
        env_prefix="REMORA_", env_ignore_empty=True, arbitrary_types_allowed=True, frozen=True
    )

    mode: Literal["transparent", "explicit"] = Field(
        default="explicit",
        description=(
            "How agents reach the sidecar: by redirect rules (`transparent`) "
            "or as an HTTP proxy (`explicit`)."
        ),
    )
    listen: LoopbackAddresses = Field(
        default=(("127.0.0.1", 15001), ("::1", 15001)),
        description=(
            "Where the interceptor listens; loopback only. IPv6 is skipped, and said, "
            "where the machine has none."
        ),
    )
    session_listen: LoopbackAddress = Field(
        default=("127.0.0.1", 15002),
        description="Where a transparent sidecar also serves explicit mode, for sessions.",
    )
    control_listen: LoopbackAddress = Field(
        default=("127.0.0.1", 15080),
        description="Control calls: sessions, environment, administration; loopback only.",
    )
    status_listen: Address = Field(
        default=("127.0.0.1", 15021),
        description="`/healthz`, `/readyz`, `/metrics`; in pods all interfaces.",
    )
    aggregator: AggregatorAddress = Field(
        default="127.0.0.1:15090",
        description=(
            "`host:port` or `unix:/path` of the aggregator; `none` keeps records in the spool."
        ),
    )
    aggregator_token_file: ExistingFile | None = Field(
        default=None, description="File with the token sent to the aggregator."
    )
    aggregator_ca: ExistingFile | None = Field(
        default=None, description="PEM file with the root that signed the aggregator's certificate."
    )
    operator: Annotated[str, AfterValidator(check_address)] | None = Field(
        default=None,
        description=(
            "`host:port` or `unix:/path` of the operator, which sends the policy and signs the "
            "certificates; not beside `REMORA_POLICY`."
        ),
    )
    operator_token_file: ExistingFile | None = Field(
        default=None, description="File with the token sent to the operator."
    )
    operator_ca: ExistingFile | None = Field(
        default=None, description="PEM file with the root that signed the operator's certificate."
    )
    trust_dir: Path | None = Field(
        default=None,
        description=(
            "Folder of the trust files for agents; no key is ever in it. "
            "Default: `trust` in the data directory."
        ),
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="CA key (0600), spool, installation id, admin token. Never shared with agents.",
    )
    policy: Annotated[Path, AfterValidator(_existing)] | None = Field(
        default=None, description="File or folder of YAML policy documents."
    )
    secrets_dir: Path = Field(
        default=Path("/var/run/remora/secrets"),
        description=(
            "Folder of the keys that policy's credentials name, as `NAME/KEY`. Without a file, "
            "the variable `NAME_KEY` in capitals counts."
        ),
    )
    preset: Literal["none", "tracker", "tracker-cached"] = Field(
        default="none",
        description=(
            "What applies where no policy is given: `tracker` captures bodies, "
            "`tracker-cached` answers from the cache as well."
        ),
    )
    labels: Labels = Field(
        default_factory=dict, description="Labels of a local sidecar, `key=value,key=value`."
    )
    upstream_ca: ExistingFile | None = Field(
        default=None, description="PEM file of extra roots trusted towards providers."
    )
    connect_to: Annotated[ConnectTo, NoDecode, BeforeValidator(_connect_to)] = Field(
        default_factory=ConnectTo,
        description="Where to dial instead, in curl's `--connect-to` syntax, comma-separated.",
    )
    held_body_bytes: int = Field(
        default=DEFAULT_HELD_BODY_BYTES,
        ge=0,
        le=1 << 30,
        description="A request body is held up to this size; a larger one is opaque.",
    )
    captured_body_bytes: int = Field(
        default=1024 * 1024,
        ge=0,
        le=64 * 1024 * 1024,
        description="How much of each body is kept where policy captures bodies.",
    )
    session_ports: int = Field(
        default=1000,
        ge=0,
        le=20_000,
        description=(
            "How many sessions may have a port of their own, as those of AgentOpt's client have; "
            "those that ended in the last minute are counted."
        ),
    )
    spool_bytes: int = Field(
        default=256 * 1024 * 1024, ge=1024 * 1024, description="Bound of the spool on disk."
    )
    journal_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=1024 * 1024,
        description=(
            "Bound of the journal that trackers query on disk; bodies of the oldest calls go first."
        ),
    )
    cache_memory_bytes: int = Field(
        default=32 * 1024 * 1024,
        ge=0,
        le=1 << 40,
        description="Bound of the response cache in memory; 0 keeps it on disk alone.",
    )
    cache_key_file: ExistingFile | None = Field(
        default=None,
        description=(
            "Secret that seals what is kept at `REMORA_CACHE_URL`, at least 32 random bytes; "
            "the same for all sidecars that share."
        ),
    )
    cache_url: SecretStr | None = Field(
        default=None,
        description=(
            "Redis or Valkey that `cache.scope: namespace` shares answers in: "
            "`redis://`, `rediss://` or `unix://`."
        ),
    )
    answer_headers: Literal["on", "off"] = Field(
        default="on", description="Whether answers carry `remora-*` headers."
    )
    admin_token_file: ExistingFile | None = Field(
        default=None,
        description="Token of admin calls. Default: made in the data directory, mode 0600.",
    )
    drain_s: float = Field(
        default=5.0, ge=0, le=600, description="Seconds that calls in flight get when told to stop."
    )
    flush_s: float | None = Field(
        default=None,
        ge=0,
        le=600,
        description=(
            "Seconds that records get after that to be delivered. Default: as many as calls get, "
            "at most 3; in a pod what is left of its grace period, at most 20."
        ),
    )
    linger_s: float | None = Field(
        default=None,
        ge=0,
        description=(
            "Stop when no program has held a session for so many seconds "
            "(`remora run` sets it). Default: never."
        ),
    )
    namespace: str = Field(
        default="local", min_length=1, description="Namespace of the pod, from the downward API."
    )
    pod_name: str = Field(default="", description="Name of the pod, from the downward API.")
    pod_uid: str = Field(default="", description="Uid of the pod. Default: the installation id.")
    workload: str = Field(default="", description="Name of the pod's workload.")
    node: str = Field(default="", description="Name of the node.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much is logged to stderr."
    )

    @field_validator("policy")
    @classmethod
    def _policy_has_one_origin(cls, policy: Path | None, info: ValidationInfo) -> Path | None:
        if policy is not None and info.data.get("operator") is not None:
            raise ValueError(
                "REMORA_OPERATOR is set as well: policies come from one of them, unset the other"
            )
        return policy

    @field_validator("cache_url")
    @classmethod
    def _cache_url_can_be_used(
        cls, url: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        if url is None:
            return None
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in ("redis", "rediss", "unix") or not (parts.netloc or parts.path):
            raise ValueError("it should begin with redis://, rediss:// or unix://")
        if parts.scheme != "unix" and parts.port == 0:
            raise ValueError("port 0 is no port")
        if info.data.get("cache_key_file", ...) is None:
            raise ValueError("it needs REMORA_CACHE_KEY_FILE: answers are sealed before they leave")
        return url

    @property
    def in_pod(self) -> bool:
        """Whether agents share the sidecar's network and not its owner's rights."""
        return self.mode == "transparent" or bool(self.pod_uid or self.pod_name)

    @property
    def trust_folder(self) -> Path:
        """Where the trust files go."""
        return self.trust_dir or self.data_dir / "trust"


def read_settings(**overrides: object) -> SidecarSettings:
    """Read the environment.

    Raises:
        ConfigError: With every problem found.
    """
    try:
        return SidecarSettings(**overrides)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        raise config_error(error) from None
