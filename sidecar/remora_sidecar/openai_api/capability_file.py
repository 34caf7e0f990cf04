"""A namespace's own meanings of capabilities, kept in the data directory."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from remora.workflows.capabilities import NO_OVERRIDES, Overrides
from remora_sidecar.atomic_file import write_atomically

logger = logging.getLogger(__name__)

CAPABILITIES_FILE: Final = "capabilities.json"


class CapabilityFile:
    """Holds what is in force, and writes down what changes.

    Attributes:
        overrides: In force.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one that can be read."""
        self._path = path
        self._turn = asyncio.Lock()
        self.overrides = _read(path)

    @property
    def view(self) -> dict[str, Any]:
        """What is in force, as it is written."""
        return self.overrides.model_dump(mode="json", by_alias=True, exclude_none=True)

    async def replace(self, overrides: Overrides) -> None:
        """Put others in force, once they are on disk.

        Raises:
            OSError: They can't be written down; nothing has changed.
        """
        written = overrides.model_dump(mode="json", by_alias=True, exclude_none=True)
        content = json.dumps(written, indent=1).encode()
        async with self._turn:
            await asyncio.to_thread(write_atomically, self._path, content, mode=0o600)
            self.overrides = overrides


def _read(path: Path) -> Overrides:
    try:
        return Overrides.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return NO_OVERRIDES
    except (OSError, ValidationError) as error:
        logger.warning(
            "%s can't be read (%s): the catalogue's capabilities hold. Send them anew with "
            "POST /v1/capabilities",
            path.name,
            type(error).__name__,
        )
        return NO_OVERRIDES
