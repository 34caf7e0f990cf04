"""Hears of other aggregators' commits."""

import logging
import select
import socket
import threading
from collections.abc import Callable
from typing import Final

import psycopg

from remora_aggregator.store.postgres.connections import Connection, Login, told_safely
from remora_aggregator.store.postgres.turns import COMMITTED

logger = logging.getLogger(__name__)

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 5.0


class Listening:
    """A thread with a connection of its own, for as long as the store is open."""

    def __init__(
        self, login: Login, own_pid: Callable[[], int], committed: Callable[[], None]
    ) -> None:
        """Begin to listen.

        Args:
            login: How to connect.
            own_pid: Whose commits need not be heard of: a server process, by its number.
            committed: Called in the thread after one or more commits of others; and whenever a
                connection stands again, since nothing was heard meanwhile.
        """
        self._login = login
        self._own_pid = own_pid
        self._committed = committed
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="store-listen", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        wait_s, problem = _FIRST_WAIT_S, ""
        while True:
            try:
                with told_safely(), self._login.connect({}) as connection:
                    connection.execute(f"listen {COMMITTED}")
                    wait_s, problem = _FIRST_WAIT_S, ""
                    self._committed()
                    if not self._listen(connection):
                        return
            except psycopg.Error as error:
                if problem != (problem := str(error)):
                    logger.warning("other aggregators' commits are not heard of: %s", problem)
            if _is_told_to_stop(self._stopped, wait_s):
                return
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _listen(self, connection: Connection) -> bool:
        """Pass on what is heard until told to stop; false then."""
        while True:
            if _is_told_to_stop(self._stopped, None, connection):
                return False
            pids = {heard.pid for heard in connection.notifies(timeout=0)}
            if pids - {self._own_pid()}:
                self._committed()

    def close(self) -> None:
        """Stop listening."""
        self._stop.send(b"\0")
        self._thread.join()
        self._stop.close()
        self._stopped.close()


def _is_told_to_stop(
    stopped: socket.socket, wait_s: float | None, connection: Connection | None = None
) -> bool:
    """Wait for the stop, and for a connection's server to say something; tell whether to stop."""
    poll = select.poll()
    poll.register(stopped, select.POLLIN)
    if connection is not None:
        poll.register(connection, select.POLLIN)
    events = poll.poll(None if wait_s is None else wait_s * 1000)
    return any(number == stopped.fileno() for number, _ in events)
