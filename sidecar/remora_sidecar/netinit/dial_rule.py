"""What an explicit connection may reach: no more than the rules let the agent reach itself.

The sidecar's own uid passes the rules, so without this an agent could step around them by
asking the sidecar. Pure; the interceptor calls it before it dials a host that is no
provider's.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address

from remora_sidecar.netinit.ruleset import DNS_OVER_TLS_PORT, Address, RedirectSettings


def may_dial(settings: RedirectSettings, host: str, port: int) -> bool:
    """Tell whether the rules would let the agent connect to a host and port by TCP.

    Args:
        settings: The settings that the rules were made from.
        host: A name or an address. Exclusions and loopback are known of addresses (and of
            ``localhost``), so a name is judged by its port alone.
        port: TCP port.
    """
    return dial_refusal(settings, host, port) is None


def dial_refusal(settings: RedirectSettings, host: str, port: int) -> str | None:
    """Say why the rules would not let the agent connect; None if they would."""
    address = _address(host)
    if address is not None and _is_own(address):
        return "this is the sidecar's own port" if port == settings.listen_port else None
    if address is not None and any(address in network for network in settings.excluded):
        return None
    if settings.profile == "default":
        return "DNS over TLS is not let out" if port == DNS_OVER_TLS_PORT else None
    if port in settings.ports:
        return None
    allowed = ", ".join(str(known) for known in settings.ports)
    return f"the strict network profile lets out ports {allowed} and excluded networks only"


def _address(host: str) -> Address | None:
    if host == "localhost":
        return IPv4Address("127.0.0.1")
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    # The kernel sends ::ffff:a.b.c.d as IPv4.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_own(address: Address) -> bool:
    """Connections to the unspecified address go to this machine as well."""
    return address.is_loopback or address.is_unspecified
