"""Hosts and ports as HTTP writes them (RFC 9112 §3.2), and the proxy URL's user name."""

import base64
import binascii
import re

_LABEL = r"""[!"$-\-0-9;->A-Z\\^-~]{1,63}"""  # visible ASCII but #./:?@[]
_AUTHORITY = re.compile(
    rf"(?:\[(?P<v6>[0-9a-fA-F:.]{{2,45}})\]|(?P<name>{_LABEL}(?:\.{_LABEL})*\.?))(?::(?P<port>[0-9]{{1,5}}))?"
)
_MAX_NAME = 254


def split_authority(text: str, default_port: int) -> tuple[str, int] | None:
    """Split ``host[:port]``; host lower-case, without a final dot. None if malformed."""
    match = _AUTHORITY.fullmatch(text)
    if match is None or len(match["name"] or "") > _MAX_NAME:
        return None
    port = int(match["port"]) if match["port"] else default_port
    if not 0 < port < 65536:
        return None
    return (match["v6"] or match["name"]).lower().rstrip("."), port


def basic_user(authorization: str) -> str:
    """Return the user name of a Basic credential (RFC 7617); empty if there is none."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        decoded = base64.b64decode(token.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
    return decoded.partition(":")[0]
