"""A request as a provider gets it. Pure."""

from dataclasses import dataclass, field

from remora_sidecar.engine.headers import RawHeaders, end_to_end, serialized, with_length
from remora_sidecar.engine.request_body import HeldBody, RequestBody
from remora_sidecar.engine.upstream import Endpoint
from remora_sidecar.model.exchange import Headers


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, ready to be sent.

    Attributes:
        target: Path and query as the agent wrote them, but for keys that policy takes out.
        headers: The agent's own, but for ``remora-*`` and, where policy has one, the key.
        upgrade: What the agent wants to switch to; empty if nothing.
    """

    endpoint: Endpoint
    method: str
    target: str = field(repr=False)
    headers: Headers = field(repr=False)
    body: RequestBody = field(repr=False)
    upgrade: str = ""

    def head(self) -> bytes:
        """Write the request's head: the agent's, but for what is hop-by-hop."""
        headers: RawHeaders = end_to_end(self.headers, also=(b"expect",))
        body = self.body
        headers = with_length(
            headers, len(body.content) if isinstance(body, HeldBody) else body.length
        )
        if self.upgrade:
            headers += [(b"Connection", b"Upgrade"), (b"Upgrade", self.upgrade.encode("latin-1"))]
        line = f"{self.method} {self.target} HTTP/1.1"
        return serialized(line.encode("utf-8", "surrogateescape"), headers)
