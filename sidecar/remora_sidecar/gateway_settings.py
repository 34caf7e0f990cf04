"""A gateway's settings: a sidecar's, but for what its command line says.

Only the command line opens a gateway to other machines; no variable does.
"""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from remora.setting_problems import config_error
from remora_sidecar.settings import (
    NO_AGGREGATOR,
    Address,
    Addresses,
    AggregatorAddress,
    SidecarSettings,
)


class GatewaySettings(SidecarSettings):
    """What differs: where it listens, and what stands where no variable says anything."""

    listen: Addresses = (("127.0.0.1", 0),)
    control_listen: Address = ("127.0.0.1", 9000)
    status_listen: Address = ("127.0.0.1", 0)
    preset: Literal["none", "tracker", "tracker-cached"] = "tracker-cached"
    aggregator: AggregatorAddress = NO_AGGREGATOR


def read_gateway_settings(host: str, port: int, cache_dir: Path) -> GatewaySettings:
    """Read the environment, and take from the command line where to listen and keep things.

    Raises:
        ConfigError: With every problem found.
    """
    try:
        return GatewaySettings(
            mode="explicit",
            listen=((host, 0),),
            control_listen=(host, port),
            data_dir=cache_dir,
        )
    except ValidationError as error:
        raise config_error(error) from None
