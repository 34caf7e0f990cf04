"""A table's file and the one thread in which all that touches it runs."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from remora.errors import Unavailable
from remora_sidecar.table_file import Table, TableFile


class TableThread[T: Table]:
    """Does things with a table; used on one event loop.

    Attributes:
        is_closed: Nothing is done any more.
    """

    def __init__(self, what: str, kept: str, file: TableFile[T], thread: str) -> None:
        """Take the file; nothing is opened yet.

        Args:
            what: What it is, for whoever is refused.
            kept: What is kept in it, likewise.
            file: Opened on first use, in the thread.
            thread: Its name.
        """
        self.is_closed = False
        self._what = what
        self._kept = kept
        self._file = file
        self._worker = ThreadPoolExecutor(1, thread)

    @property
    def problem(self) -> str:
        """Why the file can't be used; empty if it can."""
        return self._file.problem

    async def do[R](self, work: Callable[[T], R]) -> R:
        """Do something with the table, and give what came of it.

        Raises:
            Unavailable: The file can't be used, or was let go of.
        """
        if self.is_closed:
            raise Unavailable(f"{self._what} is closed: the sidecar stops")
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._done, work)

    async def aclose(self) -> None:
        """Let go of the file, once."""
        if self.is_closed:
            return
        self.is_closed = True
        await asyncio.get_running_loop().run_in_executor(self._worker, self._file.let_go)
        self._worker.shutdown(wait=False)

    # In the thread.

    def _done[R](self, work: Callable[[T], R]) -> R:
        try:
            done = work(self._file.table())
        except (sqlite3.Error, OSError) as error:
            self._file.failed(error)
            raise Unavailable(f"{self._kept} can't be kept: {self._file.problem}") from error
        self._file.works()
        return done
