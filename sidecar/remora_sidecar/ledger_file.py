"""Keeps what was spent over a restart: the ledger's accounts in a file of the data directory.

Written by a thread, whole, at most once a second and only if something changed; so a sidecar
that is killed forgets at most the last second, and the next one charges what calls in flight
held then.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from remora_sidecar.atomic_file import write_atomically
from remora_sidecar.policy.ledger import Ledger
from remora_sidecar.policy.ledger_row import read, written

logger = logging.getLogger(__name__)

LEDGER_FILE = "ledger.jsonl"
WRITE_EVERY_S = 1.0


class LedgerFile:
    """The file of one ledger.

    Attributes:
        problem: Why budgets may be counted wrong after a restart; empty if they are not.
    """

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        """Name the folder, which is the sidecar's own; nothing is read before `load`."""
        self.problem = ""
        self._path = folder / LEDGER_FILE
        self._ledger = ledger
        self._written: int | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Take over what an earlier sidecar wrote; what can't be read counts as nothing spent."""
        try:
            self._ledger.restore(read(self._path.read_text("utf-8")))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            self._said(f"{self._path} can't be read ({why}): budgets begin with nothing spent")
        self._written = self._ledger.revision

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Write what changes, for as long as the sidecar runs."""
        while True:
            await sleep(WRITE_EVERY_S)
            if self._ledger.revision != self._written:
                await asyncio.to_thread(self.write)

    def write(self) -> None:
        """Write the accounts as they are now, if they changed; may run in any thread."""
        with self._lock:
            revision = self._ledger.revision
            if revision == self._written:
                return
            content = "\n".join(written(self._ledger.rows()))
            try:
                write_atomically(self._path, content.encode(), mode=0o600)
            except OSError as error:
                why = error.strerror or error
                self._said(
                    f"{self._path} can't be written ({why}): a restart forgets what is spent"
                )
            else:
                self._written = revision
                self.problem = ""

    def _said(self, problem: str) -> None:
        if problem != self.problem:
            logger.error("%s", problem)
        self.problem = problem
