"""Reads that nobody waits for any more are ended on the server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from remora_aggregator.store.port import Abandoned
from remora_aggregator.store.postgres.connections import Connection

_LOOK_S: Final = 0.05
_CANCEL_WAIT_S: Final = 5.0


class _Read:
    def __init__(self, connection: Connection, abandoned: Abandoned) -> None:
        self._connection = connection
        self._abandoned = abandoned
        self._lock = threading.Lock()
        self._is_over = False

    def look(self) -> None:
        """Cancel it if it is under way and nobody waits."""
        if not self._abandoned.is_set():
            return
        # Held until the server has been told, so that it is this statement that it ends.
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            try:
                self._connection.cancel_safe(timeout=_CANCEL_WAIT_S)
            except psycopg.Error:
                # The statement's own time limit ends it.
                return

    def end(self) -> None:
        with self._lock:
            # What was cancelled may be told so only when the next statement runs.
            if self._is_over:
                self._connection.close()
            self._is_over = True


class ReadWatch:
    """A thread that looks after reads while there are any."""

    def __init__(self) -> None:
        """Start it."""
        self._changed = threading.Condition()
        self._reads: set[_Read] = set()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="store-abandoned", daemon=True)
        self._thread.start()

    @contextmanager
    def watched(self, connection: Connection, abandoned: Abandoned) -> Iterator[None]:
        """Look after what a connection runs; it is closed if that was cancelled."""
        read = _Read(connection, abandoned)
        with self._changed:
            self._reads.add(read)
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._reads.discard(read)
            read.end()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._reads or self._is_closed)
                self._changed.wait_for(lambda: self._is_closed, _LOOK_S)
                if self._is_closed:
                    return
                reads = list(self._reads)
            for read in reads:
                read.look()

    def close(self) -> None:
        """End it; nothing may be under way."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
