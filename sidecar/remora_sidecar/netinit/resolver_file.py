"""Reads the DNS servers of a resolver file (resolv.conf(5)). Pure."""

from ipaddress import ip_address

from remora_sidecar.netinit.ruleset import Address


def dns_servers(text: str) -> tuple[Address, ...]:
    """Return the servers beyond this machine; lines that can't be read are passed over."""
    words = [line.split() for line in text.splitlines()]
    named = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    servers = [server for text in named if (server := _server(text)) is not None]
    return tuple(dict.fromkeys(server for server in servers if not server.is_loopback))


def _server(text: str) -> Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
