"""How one thread ends what another waits for: a call that nobody wants any more."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from weakref import WeakSet

from remora.api_client.failures import CutOff


class Cut:
    """Ends the calls that it was given to, and those of its children."""

    def __init__(self) -> None:
        """Begin with nothing cut."""
        self._happened = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._children: WeakSet[Cut] = WeakSet()

    def child(self) -> "Cut":
        """Give one that happens with this one, or by itself."""
        child = Cut()
        with self._lock:
            self._children.add(child)
        if self.happened:
            child.cut()
        return child

    @property
    def happened(self) -> bool:
        """Whether nobody wants the call any more."""
        return self._happened.is_set()

    def cut(self) -> None:
        """End what is going on, and whatever would begin after it; returns at once."""
        self._happened.set()
        with self._lock:
            children = list(self._children)
            for connected in self._sockets:
                _shut(connected)
        for child in children:
            child.cut()

    def check(self) -> None:
        """Go on only if the call is still wanted.

        Raises:
            CutOff: It is not.
        """
        if self.happened:
            raise CutOff("the call was given up by its caller")

    def pause(self, span_s: float) -> None:
        """Wait, for as long as the call is wanted; raises as `check` does."""
        self._happened.wait(span_s)
        self.check()

    def add(self, connected: socket.socket) -> None:
        """Have a connection end with the call."""
        with self._lock:
            self._sockets.append(connected)
            if self.happened:
                _shut(connected)

    def remove(self, connected: socket.socket) -> None:
        """Leave a connection alone: it is over."""
        with self._lock, suppress(ValueError):
            self._sockets.remove(connected)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Say of whatever fails once the call was cut that this is why."""
        try:
            yield
        except Exception:
            self.check()
            raise


def _shut(connected: socket.socket) -> None:
    with suppress(OSError, ValueError):
        connected.shutdown(socket.SHUT_RDWR)
