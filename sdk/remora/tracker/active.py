"""The session that calls made here belong to, and the sidecar that carries them.

One context variable says it. What sends requests in this process (`remora.tracker.clients`) and
what starts threads and processes (`remora.tracker.children`) ask it, and nothing else of the
tracker. Everything here can be pickled, so that a session follows its work into other processes.
"""

import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from remora.providers.hosts import HostPattern, normalized_host
from remora.tracker.likely_calls import is_likely_call

SESSION_FIELD = "remora-session"
"""Request field that names a session; the sidecar takes it out."""


class UntrackedCallWarning(UserWarning):
    """A call that seems to be one of an LLM goes past the tracker; said once for each cause."""


@dataclass(frozen=True)
class ProviderHosts:
    """Hosts of a provider, as patterns, and the ports where plain HTTP to them is a provider's."""

    patterns: tuple[str, ...]
    ports: tuple[int, ...]
    tls: bool

    def serve(self, scheme: str, host: str, port: int) -> bool:
        """Tell whether a URL's host, normalized, is one of these; over TLS every port counts."""
        if self.tls != (scheme == "https") or not (self.tls or port in self.ports):
            return False
        return any(_pattern(text).matches(host) for text in self.patterns)


_pattern = lru_cache(maxsize=4096)(HostPattern.parse)
_MAX_JUDGED = 1000


@dataclass(frozen=True)
class SidecarAccess:
    """A sidecar as the programs beside it see it.

    Attributes:
        proxy_host: Of its HTTP proxy.
        proxy_port: Of its HTTP proxy.
        ca_pem: The CA whose certificates it shows for providers.
        ca_file: A file with that CA alone.
        bundle_file: A file with the public roots and that CA.
        trust_dir: The folder with both, and a Java truststore.
        providers: Whose calls it takes.
        control_url: Of its control listener, for trackers of children; empty if not known.
    """

    proxy_host: str
    proxy_port: int
    ca_pem: str = field(repr=False)
    ca_file: str
    bundle_file: str
    trust_dir: str
    providers: tuple[ProviderHosts, ...] = field(repr=False)
    control_url: str = ""

    @property
    def proxy_url(self) -> str:
        """The proxy, without a user."""
        host = f"[{self.proxy_host}]" if ":" in self.proxy_host else self.proxy_host
        return f"http://{host}:{self.proxy_port}"

    def session_proxy_url(self, session_id: str) -> str:
        """The proxy with a session as its user; some clients send no user without a password."""
        return self.proxy_url.replace("://", f"://{session_id}:x@", 1)

    def takes(self, scheme: str, host: str, port: int) -> bool:
        """Tell whether a URL's scheme, host and port are a provider's."""
        asked = scheme, host, port
        if (known := self._judged.get(asked)) is not None:
            return known
        name = normalized_host(host)
        takes = any(provider.serve(scheme, name, port) for provider in self.providers)
        if len(self._judged) < _MAX_JUDGED:
            self._judged[asked] = takes
        return takes

    @cached_property
    def _judged(self) -> dict[tuple[str, str, int], bool]:
        """Who was asked about: programs call the same few servers again and again."""
        return {}

    @property
    def tls(self) -> ssl.SSLContext:
        """Trusts the sidecar's CA and nobody else: what it carries is terminated by it.

        The same for all who name that CA: clients share connections by their contexts.
        """
        return _trusting(self.ca_pem)

    def __getstate__(self) -> dict[str, object]:
        """Leave out what is made on demand."""
        return {name: value for name, value in self.__dict__.items() if name != "_judged"}


@lru_cache(maxsize=64)
def _trusting(ca_pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca_pem)
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass(frozen=True)
class ActiveSession:
    """A session that is open in some context."""

    session_id: str
    sidecar: SidecarAccess

    @property
    def proxy_url(self) -> str:
        """The sidecar's proxy, with this session as its user."""
        return self.sidecar.session_proxy_url(self.session_id)


active_session: ContextVar[ActiveSession | None] = ContextVar("remora_session", default=None)
"""Whose session the code that runs now belongs to; None outside of every session."""


@contextmanager
def within(session: ActiveSession | None) -> Iterator[None]:
    """Run the block's code in a session, or outside of every session."""
    token = active_session.set(session)
    try:
        yield
    finally:
        active_session.reset(token)


def session_for(method: str, scheme: str, host: str, port: int, path: str) -> ActiveSession | None:
    """Give the session through whose sidecar a request is to be sent; None to send it as it is.

    A request that looks like a call to an LLM, but goes to a host that is no provider's, is told
    about once: `LLMTracker.register_provider` is the remedy.
    """
    session = active_session.get()
    if session is None:
        return None
    if session.sidecar.takes(scheme, host, port):
        return session
    if is_likely_call(method, path):
        warn_untracked(
            f"{scheme}://{host}:{port}",
            f"{method} {scheme}://{host}:{port}{path.partition('?')[0]} looks like a call to an "
            "LLM, but its host is no provider's, so it is not tracked: name it with "
            "tracker.register_provider(name, base_url, path_patterns)",
        )
    return None


_told: set[str] = set()
_MAX_TOLD = 1000
telling = threading.Lock()
"""Held while a cause is told; a fork waits for it."""


def warn_untracked(cause: str, text: str) -> None:
    """Say once for each cause that calls go past the tracker.

    Args:
        cause: Tells causes apart, such as ``pycurl`` or a host.
        text: What happens, and what to do.
    """
    with telling:
        if cause in _told or len(_told) >= _MAX_TOLD:
            return
        _told.add(cause)
    warnings.warn(text, UntrackedCallWarning, stacklevel=3)


def untracked_causes() -> tuple[str, ...]:
    """List the causes that were told so far in this process."""
    with telling:
        return tuple(sorted(_told))


def forget_untracked_causes() -> None:
    """Start to tell anew, as tests do."""
    with telling:
        _told.clear()
