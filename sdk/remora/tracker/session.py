"""A session as its program sees it."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from remora.tracker.active import ActiveSession, active_session
from remora.tracker.call_record import CallRecord
from remora.tracker.children.environment import session_environment


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A span of attribution that `LLMTracker.track` opened.

    Attributes:
        created_at: Seconds since 1970.
        goal: What its calls are for; None if nobody said.
        task_id: The task that they belong to; None if nobody said.
        active: What in-process clients and children go by.
        opener_pid: The process that opened it; a fork that leaves its block does not end it.
    """

    session_id: str
    data_id: str | None
    combo_id: str | None
    agent_id: str | None
    created_at: float
    active: ActiveSession = field(repr=False)
    read_records: Callable[[str], list[CallRecord]] = field(repr=False, compare=False)
    opener_pid: int = field(default_factory=os.getpid, repr=False, compare=False)
    goal: str | None = None
    task_id: str | None = None

    @property
    def records(self) -> list[CallRecord]:
        """The calls of this session that have ended so far."""
        return self.read_records(self.session_id)


@dataclass(frozen=True, slots=True)
class SessionProxy:
    """What a program must be told that reads no environment: a proxy, and a CA to trust.

    Attributes:
        url: The proxy, with the session as its user: it says whose the calls are.
        port: Of the proxy; all sessions share it.
        ca_pem: The CA whose certificates the proxy shows.
        ca_bundle_path: A file with the public roots and that CA.
    """

    url: str
    port: int
    ca_pem: str = field(repr=False)
    ca_bundle_path: str
    session: ActiveSession = field(repr=False)

    def env_dict(self) -> dict[str, str]:
        """Give the variables that lead a program through the session."""
        return session_environment(self.session)


def get_current_session_proxy() -> SessionProxy | None:
    """Give the proxy of the session that the running code belongs to; None outside of all."""
    session = active_session.get()
    if session is None:
        return None
    sidecar = session.sidecar
    return SessionProxy(
        url=session.proxy_url,
        port=sidecar.proxy_port,
        ca_pem=sidecar.ca_pem,
        ca_bundle_path=sidecar.bundle_file,
        session=session,
    )
