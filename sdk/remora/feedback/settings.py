"""The settings of feedback: read once, when it is first used."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from remora.setting_problems import config_error


class FeedbackSettings(BaseSettings):
    """How a program reports feedback; the variable is the field's name with ``REMORA_``."""

    model_config = SettingsConfigDict(env_prefix="REMORA_", env_ignore_empty=True, frozen=True)

    feedback: Literal["on", "off"] = Field(
        default="on", description="`off`: nothing is reported; calls are checked as ever."
    )
    feedback_dir: Path | None = Field(
        default=None,
        description=(
            "Folder in which the processes of a program share sessions. Default: each process "
            "knows its own, in memory."
        ),
    )


def read_feedback_settings() -> FeedbackSettings:
    """Read the environment; raises ConfigError with every problem found."""
    try:
        return FeedbackSettings()
    except ValidationError as error:
        raise config_error(error) from None
