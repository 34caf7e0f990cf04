"""What own calls have cost, kept over restarts: a limit of a day holds for the day."""

import asyncio
import logging
from pathlib import Path

from remora.task_owner import TaskOwner
from remora_sidecar.atomic_file import write_atomically
from remora_sidecar.signals.spending import Spending

logger = logging.getLogger(__name__)


class SpendingFile:
    """One small file.

    Attributes:
        spending: What was spent, as the file had it at the start.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one."""
        self._path = path
        self._is_due = False
        self._is_writing = False
        try:
            self.spending = Spending.loaded(path.read_bytes())
        except OSError:
            self.spending = Spending()

    def write_soon(self, tasks: TaskOwner) -> None:
        """Have it written in a thread; changes that come meanwhile are written together."""
        self._is_due = True
        if not self._is_writing:
            self._is_writing = True
            tasks.spawn(self._write(), name="write spending")

    async def flush(self) -> None:
        """Write what is not written."""
        if self._is_due:
            await self._write()

    async def _write(self) -> None:
        try:
            while self._is_due:
                self._is_due = False
                await asyncio.to_thread(self._write_down, self.spending.dumped())
        finally:
            self._is_writing = False

    def _write_down(self, content: bytes) -> None:
        try:
            write_atomically(self._path, content, mode=0o600)
        except OSError as error:
            logger.warning("%s can't be written: %s", self._path.name, error.strerror or error)
