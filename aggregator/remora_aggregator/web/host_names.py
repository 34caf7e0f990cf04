"""Names and addresses of hosts as the field `Host` has them (RFC 9110 §7.2). Pure."""

import re
from ipaddress import ip_address

_HOST = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:.]{2,45})\]|(?P<name>[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*)\.?)"
    r"(?::[0-9]{1,5})?"
)


def host_of(text: str) -> str:
    """Read the host of ``host[:port]``, in lower case; empty if it is none."""
    match = _HOST.fullmatch(text)
    return (match["v6"] or match["name"]).lower() if match else ""


def is_loopback(host: str) -> bool:
    """Tell whether a name or address is this machine's own."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
