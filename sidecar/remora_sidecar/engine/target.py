"""Where a request on a handed-off connection is to go. Pure."""

from typing import NamedTuple

from remora_sidecar.engine.refusal import bad_request, misdirected, no_provider
from remora_sidecar.model.authority_form import split_authority
from remora_sidecar.model.exchange import Headers, header
from remora_sidecar.model.handoff import HandOff
from remora_sidecar.model.refusal import Refusal


class Target(NamedTuple):
    """The provider or, for a forward-proxied request, the host to carry a request to.

    Attributes:
        origin_form: Request target to send: path and query as the agent wrote them.
    """

    scheme: str
    host: str
    port: int
    origin_form: str

    @property
    def url(self) -> str:
        """The full URL, as requested."""
        return f"{self.scheme}://{self.authority}{self.origin_form}"

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


def locate(method: str, target: str, headers: Headers, hand_off: HandOff) -> Target | Refusal:
    """Read where a request goes from its target, its Host and what the interceptor knows."""
    if method == "CONNECT":
        return bad_request("CONNECT is only taken as the first request of a proxy connection", 405)
    if hand_off.tls_name:
        return _in_tls(target, headers, hand_off)
    if target.lower().startswith("http://"):
        return _absolute(target)
    if not hand_off.destination:
        return bad_request(
            "this is an HTTP proxy; requests to it name a full http:// URL, or use CONNECT"
        )
    return _plain(target, headers, hand_off)


def _in_tls(target: str, headers: Headers, hand_off: HandOff) -> Target | Refusal:
    host = header(headers, b"host") or ""
    port = hand_off.port or 443
    name = hand_off.tls_name
    if host != name:  # nearly always it is
        authority = split_authority(host, port)
        if authority is None or authority[0] != name:
            return misdirected(host, name)
    origin_form = _origin_form(target, "https", name)
    if origin_form is None:
        return bad_request("the request target is neither a path nor a URL of this host")
    return Target("https", name, port, origin_form)


def _origin_form(target: str, scheme: str, host: str) -> str | None:
    if target.startswith("/") or target == "*":
        return target
    prefix = f"{scheme}://"
    if not target.lower().startswith(prefix):
        return None
    authority, slash, rest = target[len(prefix) :].partition("/")
    named = split_authority(authority, 443)
    return slash + rest or "/" if named is not None and named[0] == host else None


def _absolute(target: str) -> Target | Refusal:
    rest = target[len("http://") :]
    cut = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
    authority, origin_form = rest[:cut].rpartition("@")[2], rest[cut:].partition("#")[0]
    named = split_authority(authority, 80)
    if named is None:
        return bad_request("the request's URL names no valid host")
    if not origin_form.startswith("/"):
        origin_form = "/" + origin_form
    return Target("http", named[0], named[1], origin_form)


def _plain(target: str, headers: Headers, hand_off: HandOff) -> Target | Refusal:
    host = header(headers, b"host") or ""
    authority = split_authority(host, hand_off.port)
    if authority is None:
        return no_provider(host)
    if not (target.startswith("/") or target == "*"):
        return bad_request("the request target is not a path")
    return Target("http", authority[0], hand_off.port, target)
