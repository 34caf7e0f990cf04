"""What the interceptor knows about a connection that it hands to the engine.

It travels in this table, keyed by the connection's own address as both ends see it,
never in headers that a client could forge.
"""

from dataclasses import dataclass

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class HandOff:
    """One connection whose decrypted bytes go to the engine.

    Attributes:
        mode: ``transparent`` or ``explicit``: how the agent came to us.
        tls_name: The SNI whose TLS was terminated; empty for plain HTTP.
        destination: ``host:port`` that the agent chose; recorded, never dialled. Empty
            for an explicit connection whose requests name their hosts themselves.
        port: Port that the agent chose; 0 where the requests name it themselves.
        proxy_user: User name of the proxy URL (a session id); empty if none was given.
    """

    mode: str
    tls_name: str
    destination: str
    port: int
    proxy_user: str = ""


class HandOffTable:
    """Connections handed to the engine and still open."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_address: dict[Address, HandOff] = {}

    def __len__(self) -> int:
        """Count the open connections."""
        return len(self._by_address)

    def put(self, address: Address, hand_off: HandOff) -> None:
        """Note a connection by the address of the interceptor's end."""
        self._by_address[address] = hand_off

    def get(self, address: Address) -> HandOff | None:
        """Find a connection by its peer's address as the engine sees it."""
        return self._by_address.get(address)

    def remove(self, address: Address) -> None:
        """Forget a closed connection; unknown ones are no error."""
        self._by_address.pop(address, None)
