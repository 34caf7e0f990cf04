"""The configuration of injection in a file that may change while the operator runs.

A ConfigMap that is mounted is written anew by the kubelet. What can't be read is said, and the
last good one stays in force.
"""

import asyncio
import logging
from pathlib import Path
from typing import Final

from remora.errors import ConfigError, Problem
from remora.pauses import Sleep
from remora_operator.inject.config import InjectionConfig
from remora_operator.inject.settings import read_config

logger = logging.getLogger(__name__)

LOOK_S: Final = 5.0


class InjectionFile:
    """What is in force of one file.

    Attributes:
        config: In force.
        problems: Why the file as it is now is not in force; empty where it is.
    """

    def __init__(self, file: Path | None) -> None:
        """Read the file; without one the defaults stand for good.

        Raises:
            ConfigError: With every problem: an operator does not start with what it can't read.
        """
        self._file = file
        self._text = "" if file is None else _text(file)
        self.config = InjectionConfig() if file is None else read_config(str(file), self._text)
        self.problems: tuple[Problem, ...] = ()

    async def run(self, sleep: Sleep = asyncio.sleep) -> None:
        """Look at the file now and then, until cancelled."""
        while self._file is not None:
            await sleep(LOOK_S)
            self._take(await asyncio.to_thread(_read, self._file))

    def _take(self, read: str | ConfigError) -> None:
        if read == self._text:
            self._complain(())
            return
        try:
            if isinstance(read, ConfigError):
                raise read
            self.config = read_config(str(self._file), read)
        except ConfigError as error:
            self._complain(error.problems)
            return
        self._text = read
        self._complain(())
        logger.info("pods are injected by %s as it is now", self._file)

    def _complain(self, problems: tuple[Problem, ...]) -> None:
        if problems and problems != self.problems:
            said = "; ".join(map(str, problems))
            logger.error("the last good configuration of injection stays in force: %s", said)
        self.problems = problems


def _read(file: Path) -> str | ConfigError:
    try:
        return _text(file)
    except ConfigError as error:
        return error


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        what = f"{file} can't be read: {why}"
        raise ConfigError([Problem("REMORA_OPERATOR_CONFIG", what)]) from None
