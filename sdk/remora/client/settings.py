"""The settings of programs that ask an aggregator: read once, all problems reported at once."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from remora.client.address import check_address
from remora.client.target import AggregatorTarget
from remora.setting_problems import config_error


def _address(text: str) -> str:
    if text == "none":
        raise ValueError("it is switched off here; name an aggregator as host:port")
    return check_address(text)


def _file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


class ClientSettings(BaseSettings):
    """Where the aggregator is; the variable is the field's name with ``REMORA_``."""

    model_config = SettingsConfigDict(env_prefix="REMORA_", env_ignore_empty=True, frozen=True)

    aggregator: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:15090", description="`host:port` of the aggregator, or `unix:/path`."
    )
    aggregator_token_file: Annotated[Path, AfterValidator(_file)] | None = Field(
        default=None, description="File with the token sent to the aggregator."
    )
    aggregator_ca: Annotated[Path, AfterValidator(_file)] | None = Field(
        default=None, description="PEM file with the root that signed the aggregator's certificate."
    )

    @property
    def target(self) -> AggregatorTarget:
        """The aggregator that is meant."""
        return AggregatorTarget(self.aggregator, self.aggregator_token_file, self.aggregator_ca)


def read_client_settings(aggregator: str | None = None) -> ClientSettings:
    """Read the environment.

    Args:
        aggregator: An address that goes before the variable's.

    Raises:
        ConfigError: With every problem found.
    """
    try:
        return ClientSettings() if aggregator is None else ClientSettings(aggregator=aggregator)
    except ValidationError as error:
        raise config_error(error) from None
