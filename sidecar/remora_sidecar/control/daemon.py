"""What the published tracker's protocol needs of the sidecar beside what every control call has."""

from dataclasses import dataclass, field
from typing import Protocol

from remora_sidecar.engine.named_routers import NamedRouters
from remora_sidecar.engine.sessions import Session


class Ports(Protocol):
    """Gives sessions ports of their own."""

    async def open(self, session: Session) -> int | None:
        """Open a port for a session; None if there is no room for one."""
        ...

    def session_ended(self, session_id: str) -> None:
        """Take that a session has ended; its port stays for a while, for late calls."""
        ...


@dataclass(frozen=True, slots=True)
class Daemon:
    """What the protocol's sessions get.

    Attributes:
        ports: One for each session.
        routers: Those that sessions may name.
    """

    ports: Ports
    routers: NamedRouters = field(default_factory=NamedRouters)
