"""What the interceptor knows about a connection that it hands to the engine.

It is handed over with the connection itself, never in headers that a client could forge.
"""

from typing import NamedTuple

Address = tuple[str, int]


class HandOff(NamedTuple):
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
