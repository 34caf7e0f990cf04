"""A tracker's sidecar: found or started when it is first needed, and again if it is lost."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from remora.errors import Unavailable
from remora.local_sidecar.control import ControlRefused
from remora.routing import Router
from remora.tracker.active import ActiveSession
from remora.tracker.ledger import RecordLedger
from remora.tracker.link import UNKNOWN_TRACKER, SidecarLink
from remora.tracker.places import connected_control
from remora.tracker.routing import SessionRouters

logger = logging.getLogger(__name__)


class Attachment:
    """One tracker's sidecar, its routers' connection, and what it recorded.

    A sidecar that ended is found or started anew, and has the records of before in its journal;
    sessions that were open have ended with it.
    """

    def __init__(self, cache_dir: Path | None) -> None:
        """Take the data directory of a local sidecar; nothing is started yet."""
        self.ledger = RecordLedger()
        self._cache_dir = cache_dir
        self._lock = threading.RLock()
        self._link: SidecarLink | None = None
        self._routers = SessionRouters()
        self._providers: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._is_closed = False
        self._pid = os.getpid()

    def attach(self) -> None:
        """Find a sidecar, or start one, where that was not done yet.

        Raises:
            ConfigError: No sidecar can be started; with every problem.
            Unavailable: The gateway that is named can't be reached.
        """
        self._linked()

    def open_session(self, fields: Mapping[str, object], router: Router | None) -> ActiveSession:
        """Open a session, whose calls the router decides about if there is one.

        Raises:
            Unavailable: No sidecar can be reached.
        """
        asked = {**fields, "router": router is not None}

        def opened(link: SidecarLink) -> ActiveSession:
            if router is not None:
                self._routers.connect(link.router_url())
            return link.open_session(asked)

        session = self._retried(opened)
        if router is not None:
            self._routers.add(session.session_id, router)
        return session

    def end_session(self, session_id: str) -> None:
        """End a session; without its sidecar there is none any more."""
        self._routers.remove(session_id)
        with self._lock:
            link = self._link
        if link is not None:
            with suppress(Unavailable):
                link.end_session(session_id)

    def read_records(self) -> None:
        """Read what was recorded since the last time.

        Raises:
            Unavailable: No sidecar can be reached.
        """
        if self.ledger.sources():
            self._retried(lambda link: self.ledger.read(link.records))

    def forget_records(self) -> None:
        """Forget every record, here and at the sidecar."""
        for tracker_id in self.ledger.sources():
            self._retried(lambda link, which=tracker_id: link.forget_records(which))  # type: ignore[misc]  # bound now
        self.ledger.clear()

    def register_provider(self, name: str, base_url: str, patterns: tuple[str, ...]) -> None:
        """Have the calls of a provider tracked by this sidecar and by any that replaces it."""
        self._retried(lambda link: link.register_provider(name, base_url, patterns))
        with self._lock:
            self._providers[name] = (base_url, patterns)

    def flush_cache(self) -> None:
        """Return when every cached answer would survive a loss of power."""
        self._retried(SidecarLink.flush_cache)

    def clear_cache(self) -> None:
        """Forget every cached answer."""
        self._retried(SidecarLink.clear_cache)

    def close(self) -> None:
        """Read what is not read yet, and let go of the sidecar for good."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            link, self._link = self._link, None
        if link is not None:
            try:
                self.ledger.read(link.records)
            except Unavailable as error:
                logger.warning("the last records could not be read: %s", error)
        self._let_go(link)

    def abandon(self) -> None:
        """Let go of the sidecar without a word: nobody asks any more."""
        with self._lock:
            self._is_closed = True
            link, self._link = self._link, None
        self._let_go(link)

    def _let_go(self, link: SidecarLink | None) -> None:
        if os.getpid() != self._pid:
            return  # a fork ends: its maker still uses the connections
        self._routers.close()
        if link is not None:
            link.close()

    def _retried[T](self, work: Callable[[SidecarLink], T]) -> T:
        """Do something with the sidecar; once more with another, if the first was lost."""
        link = self._linked()
        try:
            return work(link)
        except Unavailable as error:
            if not _is_lost(error):
                raise
        return work(self._linked(instead_of=link))

    def _linked(self, instead_of: SidecarLink | None = None) -> SidecarLink:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the tracker is closed: make another")
            if self._link is None or self._link is instead_of:
                if self._link is not None:
                    self._link.close()
                self._link = self._made()
            return self._link

    def _made(self) -> SidecarLink:
        link = SidecarLink.connect(connected_control(self._cache_dir))
        self.ledger.add_source(link.tracker_id)
        for name, (base_url, patterns) in self._providers.items():
            link.register_provider(name, base_url, patterns)
        return link


def _is_lost(error: Unavailable) -> bool:
    """Tell whether a sidecar went away, or was started anew and does not know the tracker."""
    return not isinstance(error, ControlRefused) or error.code == UNKNOWN_TRACKER
