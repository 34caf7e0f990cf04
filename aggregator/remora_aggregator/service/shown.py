"""What a caller shows of itself, read from a call or a request. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from remora.errors import BadRequest
from remora_aggregator.service.caller import Metadata

MAX_TOKEN_CHARS = 8192

_URI = "peer_uri"
"""What gRPC calls the URIs of a verified client certificate."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a caller shows.

    Attributes:
        token: Its token; empty: it shows none.
        uris: Those of its client certificate, which was verified; none: it has no certificate.
        peer: Where it calls from, as gRPC writes it: ``ipv4:1.2.3.4:5``, ``unix:``.
    """

    token: str = field(default="", repr=False)
    uris: tuple[str, ...] = ()
    peer: str = ""

    @property
    def host(self) -> str:
        """Where it calls from without the port, which is another for each connection."""
        return self.peer.rpartition(":")[0] or self.peer

    @property
    def is_on_this_machine(self) -> bool:
        """Whether it calls from here: over loopback or a Unix socket."""
        return self.peer.startswith(("unix:", "ipv4:127.", "ipv6:[::1]", "ipv6:%5B::1%5D"))


def shown_in(
    metadata: Metadata, auth_context: Mapping[str, Iterable[bytes]] | None, peer: str
) -> Shown:
    """Read what a gRPC call shows.

    Raises:
        BadRequest: Its authorization is none that can be read (status 401).
    """
    uris = tuple(uri.decode("utf-8", "replace") for uri in (auth_context or {}).get(_URI, ()))
    for key, value in metadata:
        if key == "authorization":
            text = value if isinstance(value, str) else value.decode("utf-8", "replace")
            return Shown(bearer(text), uris, peer)
    return Shown("", uris, peer)


def bearer(authorization: str) -> str:
    """Return the token of an authorization (RFC 6750, section 2.1).

    Raises:
        BadRequest: It holds none (status 401).
    """
    scheme, _, rest = authorization.partition(" ")
    token = rest.strip()
    is_plain = token.isascii() and token.isprintable() and " " not in token
    if scheme.lower() == "bearer" and is_plain and 0 < len(token) <= MAX_TOKEN_CHARS:
        return token
    text = "the authorization is not of the form: Bearer TOKEN (a token of printable ASCII)"
    raise BadRequest(text, status=401, code="no_token")
