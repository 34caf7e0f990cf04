"""An aggregator's address as people write it: ``host:port``, ``[v6]:port`` or ``unix:/path``."""

import ipaddress
import re

_HOST_AND_PORT = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>\d{1,5})"
)
_UNIX = "unix:"


def check_address(text: str) -> str:
    """Return the address if it is one.

    Raises:
        ValueError: It is none; the text says what would be right.
    """
    if text.startswith(_UNIX) and len(text) > len(_UNIX):
        return text
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not host:port (IPv6 as [::1]:port) nor unix:/path")
    if not 0 < int(match["port"]) < 65536:
        raise ValueError(f"port {match['port']} in {text!r} is out of range")
    if match["v6"] is not None:
        _check_ipv6(match["v6"], text)
    return text


def _check_ipv6(host: str, text: str) -> None:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(f"{host!r} in {text!r} is no IPv6 address") from None


def is_on_this_machine(address: str) -> bool:
    """Tell whether what is sent to the address stays on this machine."""
    if address.startswith(_UNIX):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
