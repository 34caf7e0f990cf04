"""The aggregator's settings: read once from the environment, all problems reported at once."""

import re
from datetime import time
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from remora.client.address import is_on_this_machine
from remora.policy.quantities import Duration, Quantity
from remora.setting_problems import config_error
from remora_aggregator.store.postgres.dsn import place_of, unfit
from remora_aggregator.web.host_names import host_of

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})|unix:/.+")

DEFAULT_HTTP_LISTEN = "127.0.0.1:15091"
NOWHERE = "none"

_ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its ServiceAccount's token and the root of the API server's certificate."""


def default_data_dir() -> Path:
    """Where a local aggregator keeps its records."""
    return Path.home() / ".local" / "share" / "remora" / "aggregator"


def _api_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+/?", text):
        raise ValueError(f"{text!r} is not of the form https://host or https://host:port")
    scheme, _, place = text.rstrip("/").partition("://")
    if scheme == "http" and not is_on_this_machine(place if ":" in place else f"{place}:80"):
        raise ValueError(f"{text!r} would show tokens to the network: https:// is needed")
    return text


def _listen_address(text: str) -> str:
    """Unlike a client's address, a listener's may have port 0: any free one."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[1] or 0) > 65535:
        raise ValueError(f"{text!r} is not host:port (IPv6 as [::1]:port) nor unix:/path")
    return text


def _database(given: SecretStr) -> SecretStr:
    """Say what is wrong without a word of what was given: it may hold a password."""
    problem = unfit(given.get_secret_value())
    if problem:
        raise ValueError(problem)
    return given


def _http_address(text: str) -> str:
    return text if text == NOWHERE else _listen_address(text)


def _hosts(value: object) -> object:
    if not isinstance(value, str):
        return value
    hosts = tuple(part.strip() for part in value.split(",") if part.strip())
    for host in hosts:
        if not host_of(host):
            raise ValueError(f"{host!r} is no name or address (IPv6 as [::1])")
    return hosts


def _no_bound(value: object) -> object:
    return None if value == NOWHERE else value


def _time_of_day(text: str) -> str:
    if text != NOWHERE and not re.fullmatch(r"(?:[01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError(f"{text!r} is no time of day such as 03:00, nor {NOWHERE}")
    return text


type Bound[T] = Annotated[T | None, NoDecode, BeforeValidator(_no_bound)]


class AggregatorSettings(BaseSettings):
    """Every setting; the variable is the field's name with ``REMORA_AGGREGATOR_``."""

    model_config = SettingsConfigDict(
        env_prefix="REMORA_AGGREGATOR_", env_ignore_empty=True, frozen=True
    )

    listen: Annotated[str, AfterValidator(_listen_address)] = Field(
        default="127.0.0.1:15090",
        description="`host:port` or `unix:/path`; beyond loopback only with TLS and tokens.",
    )
    data_dir: Path = Field(
        default_factory=default_data_dir, description="Where the records are stored."
    )
    database: Annotated[SecretStr, AfterValidator(_database)] | None = Field(
        default=None,
        description=(
            "PostgreSQL to store records in, instead of the data directory: `postgresql://…` or "
            "`key=value …`, as libpq takes them."
        ),
    )
    database_password_file: Path | None = Field(
        default=None,
        description="File with the database's password; read again for each connection.",
    )
    token_file: Path | None = Field(
        default=None,
        description=(
            "Who may do what: lines of `TOKEN NAMESPACES [ROLE] [NAME]`. Without it, Kubernetes "
            "and client certificates: anyone, on loopback only."
        ),
    )
    kubernetes_api: Annotated[str, AfterValidator(_api_url)] | None = Field(
        default=None,
        description=(
            "URL of the API server that reviews pods' tokens; in a cluster "
            "`https://kubernetes.default.svc`."
        ),
    )
    kubernetes_token_file: Path = Field(
        default=_ACCOUNT_FOLDER / "token",
        description="File with the token that the aggregator shows to the API server.",
    )
    kubernetes_ca: Path = Field(
        default=_ACCOUNT_FOLDER / "ca.crt",
        description="PEM file with the root that signed the API server's certificate.",
    )
    tls_cert: Path | None = Field(
        default=None, description="PEM file with the server's certificate and its chain."
    )
    tls_key: Path | None = Field(default=None, description="PEM file with the certificate's key.")
    client_ca: Path | None = Field(
        default=None,
        description=(
            "PEM file with who signs clients' certificates; with it every gRPC client needs one."
        ),
    )
    connections: int = Field(
        default=12_000, ge=1, le=1_000_000, description="gRPC connections that may stand at once."
    )
    calls_a_connection: int = Field(
        default=200,
        ge=1,
        le=100_000,
        description="gRPC calls, streams among them, that may be under way on one connection.",
    )
    calls_each: int = Field(
        default=20_000,
        ge=1,
        description=(
            "gRPC calls, streams among them, that one caller may have under way; a pod by its own "
            "token at most 64."
        ),
    )
    bytes_in_flight: int = Field(
        default=256 * 1024 * 1024,
        ge=1024 * 1024,
        description="Bytes of messages that are read at once; as many again may wait for that.",
    )
    messages_per_s: float = Field(
        default=5_000,
        ge=0,
        description="Messages that each caller may send in a second, on average; 0: no limit.",
    )
    records_per_s: float = Field(
        default=20_000,
        ge=0,
        description=(
            "Records and signals that each caller may send in a second, on average; 0: no limit."
        ),
    )
    bytes_per_s: float = Field(
        default=128 * 1024 * 1024,
        ge=0,
        description="Bytes that each caller may send in a second, on average; 0: no limit.",
    )
    queries_per_s: float = Field(
        default=100,
        ge=0,
        description="Questions that each caller may ask in a second, on average; 0: no limit.",
    )
    http_listen: Annotated[str, AfterValidator(_http_address)] = Field(
        default=DEFAULT_HTTP_LISTEN,
        description=(
            "Where HTTP is served: `host:port` or `unix:/path`, `none` for nowhere; beyond "
            "loopback only with TLS, tokens and `REMORA_AGGREGATOR_HTTP_HOSTS`. Unless it is set, "
            "any free port where `REMORA_AGGREGATOR_LISTEN` has port 0, and nowhere where its "
            "port is taken."
        ),
    )
    http_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)] = Field(
        default=(),
        description=(
            "Names and addresses, beside those of loopback, that HTTP is asked by; comma-separated."
        ),
    )
    sign_in_key_file: Path | None = Field(
        default=None,
        description=(
            "Secret that seals sign-in cookies, at least 32 random bytes; the same for all "
            "replicas. Default: made in the data directory."
        ),
    )
    keep_records: Bound[Duration] = Field(
        default=Duration.parse("400d"),
        description=(
            "How long records are kept after they came, such as `90d`, and sums by hour, session "
            "and task, tasks and executions of workflows; `none`: for good."
        ),
    )
    keep_bodies: Bound[Duration] = Field(
        default=Duration.parse("30d"),
        description="How long captured bodies are kept, such as `12h`; `none`: as long as records.",
    )
    keep_signals: Bound[Duration] = Field(
        default=Duration.parse("90d"),
        description=(
            "How long signals, and trials of calls, are kept; what was learned of them stays. "
            "`none`: for good."
        ),
    )
    keep_spans: Bound[Duration] = Field(
        default=Duration.parse("30d"),
        description=("How long spans and capsules of Kalibr's clients are kept; `none`: for good."),
    )
    span_signature_key_file: Path | None = Field(
        default=None,
        description=(
            "Secret that Kalibr's clients sign spans with (`X-Signature` on `/api/v1/traces`). "
            "With it unsigned ones are refused; without it nobody looks at signatures."
        ),
    )
    keep_daily_sums: Bound[Duration] = Field(
        default=None, description="How long sums by day are kept; `none`: for good."
    )
    records_size: Bound[Quantity] = Field(
        default=None,
        description=(
            "How much room records may take without bodies, such as `20Gi`; the oldest go first."
        ),
    )
    bodies_size: Bound[Quantity] = Field(
        default=None,
        description="How much room captured bodies may take, compressed; the oldest go first.",
    )
    lease_s: float = Field(
        default=60.0,
        ge=20,
        le=3600,
        description=(
            "Seconds that a sidecar may use its part of a shared budget without asking again."
        ),
    )
    lease_per_mille: int = Field(
        default=20,
        ge=1,
        le=1000,
        description=(
            "Part of a shared budget, in thousandths, that one sidecar is granted at a time."
        ),
    )
    pause_tasks: Bound[Duration] = Field(
        default=Duration.parse("15m"),
        description="How long nobody has to call for a task until it is paused; `none`: never.",
    )
    complete_tasks: Bound[Duration] = Field(
        default=Duration.parse("1d"),
        description=(
            "How long a task has to be paused so until it counts as completed; `none`: never."
        ),
    )
    refit_at: Annotated[str, AfterValidator(_time_of_day)] = Field(
        default="03:00",
        description=(
            "Time of day, in UTC, at which router versions are made anew of what was learned, and "
            "judged; `none`: never."
        ),
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    drain_s: float = Field(
        default=3.0, ge=0, le=600, description="Seconds that streams get when told to stop."
    )

    @property
    def place(self) -> str:
        """Say where records are stored, without whatever opens it."""
        if self.database is None:
            return str(self.data_dir)
        return place_of(self.database.get_secret_value())

    @property
    def has_own_http_listen(self) -> bool:
        """Whether somebody said where HTTP is served."""
        return "http_listen" in self.model_fields_set

    @property
    def http_address(self) -> str:
        """Where HTTP is served; empty: nowhere."""
        if self.http_listen == NOWHERE:
            return ""
        is_any = self.listen.endswith(":0") and not self.has_own_http_listen
        return f"{DEFAULT_HTTP_LISTEN.rpartition(':')[0]}:0" if is_any else self.http_listen

    @property
    def refit_time(self) -> time | None:
        """When router versions are made anew, in UTC; None: never."""
        return None if self.refit_at == NOWHERE else time.fromisoformat(self.refit_at)

    @property
    def is_open(self) -> bool:
        """Whether nobody has to say who it is."""
        return self.token_file is None and self.kubernetes_api is None and self.client_ca is None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.database is None and self.database_password_file is not None:
            raise ValueError("REMORA_AGGREGATOR_DATABASE_PASSWORD_FILE needs …_DATABASE")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("TLS needs both REMORA_AGGREGATOR_TLS_CERT and …_TLS_KEY")
        if self.client_ca is not None and self.tls_cert is None:
            raise ValueError("REMORA_AGGREGATOR_CLIENT_CA needs TLS (…_TLS_CERT, …_TLS_KEY)")
        self._check_http()
        exposed = not is_on_this_machine(self.listen)
        if exposed and (self.tls_cert is None or self.is_open):
            raise ValueError(
                f"{self.listen} is not loopback: that needs TLS (REMORA_AGGREGATOR_TLS_CERT, "
                "…_TLS_KEY) and tokens (REMORA_AGGREGATOR_TOKEN_FILE; or …_KUBERNETES_API, or "
                "…_CLIENT_CA); `remora aggregator init` makes certificate, key and tokens"
            )
        return self

    def _check_http(self) -> None:
        listen = self.http_address
        if not listen or is_on_this_machine(listen):
            return
        if self.tls_cert is None or self.is_open or not self.http_hosts:
            raise ValueError(
                f"{listen} is not loopback: for HTTP that needs TLS and tokens, as for "
                "REMORA_AGGREGATOR_LISTEN, and the names it is asked by "
                "(REMORA_AGGREGATOR_HTTP_HOSTS)"
            )


def read_settings(**overrides: object) -> AggregatorSettings:
    """Read the environment.

    Raises:
        ConfigError: With every problem found.
    """
    try:
        return AggregatorSettings(**overrides)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        raise config_error(error, prefix="REMORA_AGGREGATOR_") from None
