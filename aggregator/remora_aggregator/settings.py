"""The aggregator's settings: read once from the environment, all problems reported at once."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from remora.client.address import is_on_this_machine
from remora.setting_problems import config_error

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})|unix:/.+")


def default_data_dir() -> Path:
    """Where a local aggregator keeps its records."""
    return Path.home() / ".local" / "share" / "remora" / "aggregator"


def _listen_address(text: str) -> str:
    """Unlike a client's address, a listener's may have port 0: any free one."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[1] or 0) > 65535:
        raise ValueError(f"{text!r} is not host:port (IPv6 as [::1]:port) nor unix:/path")
    return text


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
    token_file: Path | None = Field(
        default=None,
        description="Who may connect: lines of `TOKEN NAMESPACE`. Default: anyone on loopback.",
    )
    tls_cert: Path | None = Field(
        default=None, description="PEM file with the server's certificate and its chain."
    )
    tls_key: Path | None = Field(default=None, description="PEM file with the certificate's key.")
    drain_s: float = Field(
        default=3.0, ge=0, le=600, description="Seconds that streams get when told to stop."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("TLS needs both REMORA_AGGREGATOR_TLS_CERT and …_TLS_KEY")
        exposed = not is_on_this_machine(self.listen)
        if exposed and (self.tls_cert is None or self.token_file is None):
            raise ValueError(
                f"{self.listen} is not loopback: that needs TLS (REMORA_AGGREGATOR_TLS_CERT, "
                "…_TLS_KEY) and tokens (REMORA_AGGREGATOR_TOKEN_FILE); "
                "`remora aggregator init` makes all three"
            )
        return self


def read_settings(**overrides: object) -> AggregatorSettings:
    """Read the environment.

    Raises:
        ConfigError: With every problem found.
    """
    try:
        return AggregatorSettings(**overrides)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        raise config_error(error, prefix="REMORA_AGGREGATOR_") from None
