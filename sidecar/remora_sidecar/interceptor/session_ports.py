"""Ports that belong to one session each, for programs that are told a port and nothing else.

Every port feeds the one interceptor; what comes over it is its session's. A port is never two
sessions'. When its session ends it stays for a while, so that late calls still find it, and is
closed then. There is a bound to all of them; who needs room takes it from the sessions that ended
first, then from the one that has been idle longest.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from remora.descriptors import raise_descriptor_limit
from remora_sidecar.engine.sessions import Session, Sessions
from remora_sidecar.interceptor.listener import Interceptor

logger = logging.getLogger(__name__)

QUARANTINE_S: Final = 60.0
"""A port stays so long after its session has ended."""

IDLE_S: Final = 3600.0
"""A session without calls for so long may be ended where another needs its port."""

LOOK_EVERY_S: Final = 30.0
"""How often ports are looked at for calls, and for sessions that ended otherwise."""


_FILES_PER_PORT: Final = 3
"""The port, an agent's connection over it, one to the provider; most sessions have no more."""
_OTHER_FILES: Final = 512
"""What the rest of the sidecar opens."""


@dataclass(slots=True, eq=False)
class _Port:
    """One port and what came over it.

    Attributes:
        active_s: When calls of its session were last seen, by the loop's clock.
        calls_seen: How many there were then.
        closes_s: When its quarantine ends; None while its session lives.
    """

    session: Session
    server: asyncio.Server
    active_s: float
    calls_seen: int = 0
    closes_s: float | None = None
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    def look(self, now_s: float) -> None:
        """Note whether the session has made calls since the last look."""
        calls = sum(totals.calls for totals in self.session.totals.values())
        if self.session.in_flight or calls != self.calls_seen:
            self.active_s, self.calls_seen = now_s, calls


class SessionPorts:
    """The ports of all sessions that have one; used on one event loop's thread."""

    def __init__(
        self, interceptor: Interceptor, sessions: Sessions, *, host: str, max_ports: int
    ) -> None:
        """Begin without ports.

        Args:
            interceptor: Takes the connections.
            sessions: Where a session ends whose port is needed.
            host: The address to listen on.
            max_ports: How many there may be, those of ended sessions included.
        """
        self._interceptor = interceptor
        self._sessions = sessions
        self._host = host
        self._max_ports = max_ports
        self._opening = 0
        self._live: OrderedDict[str, _Port] = OrderedDict()
        self._quarantined: OrderedDict[str, _Port] = OrderedDict()
        self._leaving: set[_Port] = set()
        self._began = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        """Count the ports that are open."""
        return len(self._live) + len(self._quarantined)

    @property
    def quarantined(self) -> int:
        """How many of them are those of ended sessions."""
        return len(self._quarantined)

    async def open(self, session: Session) -> int | None:
        """Open a port for a session; None if there is no room for one."""
        if self._closed or not self._has_room():
            return None
        connections: set[asyncio.Task[None]] = set()

        def began(connection: asyncio.Task[None]) -> None:
            connections.add(connection)
            connection.add_done_callback(connections.discard)

        self._opening += 1
        try:
            server = await self._interceptor.listen_for(session.session_id, self._host, began)
        except OSError:  # no descriptor is left, or no port
            return None
        finally:
            self._opening -= 1
        if self._closed:
            server.close()
            return None
        self._live[session.session_id] = _Port(session, server, _now_s(), connections=connections)
        self._began.set()
        number: int = server.sockets[0].getsockname()[1]
        return number

    def session_ended(self, session_id: str) -> None:
        """Keep the port of a session that has ended for late calls, and close it after that."""
        port = self._live.pop(session_id, None)
        if port is not None:
            port.closes_s = _now_s() + QUARANTINE_S
            self._quarantined[session_id] = port

    async def run(self) -> None:
        """Close ports as their time comes, for as long as the sidecar runs."""
        while True:
            if not (len(self) or self._leaving):
                self._began.clear()
                await self._began.wait()
            await asyncio.sleep(self._next_look_s())
            self._look()

    def _next_look_s(self) -> float:
        """Say in how many seconds to look again; what is quarantined until then ends later."""
        first = next(iter(self._quarantined.values()), None)
        if first is None or first.closes_s is None:
            return LOOK_EVERY_S
        return max(0.0, min(LOOK_EVERY_S, first.closes_s - _now_s()))

    def _look(self) -> None:
        now_s = _now_s()
        for session_id, port in list(self._live.items()):
            port.look(now_s)
            if self._sessions.get(session_id) is None:  # forgotten, for there are too many
                port.session.end()
            if port.session.ended:
                self.session_ended(session_id)
        while self._quarantined:
            oldest = next(iter(self._quarantined.values()))
            if oldest.closes_s is None or oldest.closes_s > now_s:
                break
            self._close_oldest()
        for port in list(self._leaving):
            self._let_go(port)

    def _close_oldest(self) -> None:
        """Close the port whose session ended first."""
        _, port = self._quarantined.popitem(last=False)
        port.server.close()
        self._leaving.add(port)
        self._let_go(port)

    def _let_go(self, port: _Port) -> None:
        """End what is still connected, once the calls in flight have ended."""
        if not port.session.in_flight:
            for connection in tuple(port.connections):
                self._interceptor.end(connection)
        if not port.connections:
            self._leaving.discard(port)

    def _has_room(self) -> bool:
        """Make room for one port if there is none."""
        if len(self) + self._opening < self._max_ports:
            return True
        if not self._quarantined:
            self._end_idlest()
        if self._quarantined:
            self._close_oldest()
        return len(self) + self._opening < self._max_ports

    def _end_idlest(self) -> None:
        self._look()
        idlest = min(self._live.values(), key=lambda port: port.active_s, default=None)
        if idlest is not None and idlest.active_s <= _now_s() - IDLE_S:
            self._sessions.end(idlest.session.session_id)
            self.session_ended(idlest.session.session_id)

    def stop_listening(self) -> None:
        """Take no new connections and open no more ports; connections that stand go on."""
        self._closed = True
        for port in (*self._live.values(), *self._quarantined.values()):
            port.server.close()
        self._live.clear()
        self._quarantined.clear()


def room_for_ports(wanted: int) -> int:
    """Raise the limit of open files for ports and their connections; say how many ports fit."""
    limit = raise_descriptor_limit(_OTHER_FILES + wanted * _FILES_PER_PORT)
    room = min(wanted, max(0, limit - _OTHER_FILES) // _FILES_PER_PORT)
    if room < wanted:
        logger.warning("%d session ports at most: the limit of open files is %d", room, limit)
    return room


def _now_s() -> float:
    return asyncio.get_running_loop().time()
