"""Who may make a control call. Pure.

*Status* calls are anyone's. *Session* calls are refused to browsers: with an Origin
header (a page's script), or with a Host that is neither loopback nor one that the sidecar was
started with (DNS rebinding). *Admin* calls need, besides, the token that only the sidecar's owner
can read.
"""

import hmac
from collections.abc import Collection, Mapping
from enum import Enum
from ipaddress import ip_address

from remora_sidecar.model.authority_form import split_authority
from remora_sidecar.model.refusal import Refusal

_ADMIN_ONLY = (
    "this is an admin call: send `Authorization: Bearer` with the token of REMORA_ADMIN_TOKEN_FILE"
)


class Kind(Enum):
    """The three kinds of control calls."""

    STATUS = "status"
    SESSION = "session"
    ADMIN = "admin"


def admit(
    kind: Kind, headers: Mapping[str, str], admin_token: str, hosts: Collection[str] = ()
) -> Refusal | None:
    """Return why the call is refused, or None if it may go on.

    Args:
        kind: Of the call.
        headers: Of the request.
        admin_token: What the owner sends.
        hosts: Names and addresses besides loopback that a Host may be, in lower case.
    """
    if kind is Kind.STATUS:
        return None
    if "Origin" in headers:
        return _forbidden("web pages may not make control calls (the request carries an Origin)")
    host = split_authority(headers.get("Host", ""), 80)
    if host is None or not (_is_loopback(host[0]) or host[0] in hosts):
        return _forbidden(
            "control calls must name a loopback Host"
            if not hosts
            else "control calls must name a Host that the gateway was started with (--allow-host)"
        )
    if kind is Kind.ADMIN and not _has_token(headers.get("Authorization", ""), admin_token):
        return Refusal(401, "authentication_error", "ADMIN_TOKEN_REQUIRED", _ADMIN_ONLY)
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _has_token(authorization: str, admin_token: str) -> bool:
    scheme, _, token = authorization.partition(" ")
    # Bytes that are no UTF-8 come as surrogates, which a plain encode() refuses.
    given = token.strip().encode("utf-8", "surrogateescape")
    return scheme.lower() == "bearer" and hmac.compare_digest(given, admin_token.encode())


def _forbidden(message: str) -> Refusal:
    return Refusal(403, "forbidden", "FORBIDDEN", message)
