"""The redirect rules as text for nft, from settings. Pure.

The text is one transaction: it creates, deletes and creates the table, so it can be applied
over any earlier state and never leaves half of it. docs/netinit.md explains the rules.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

TABLE = "remora"
ALWAYS_REDIRECTED = (80, 443)
DNS_OVER_TLS_PORT = 853

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Profile = Literal["default", "strict"]


@dataclass(frozen=True)
class RedirectSettings:
    """What is redirected, and what an agent may reach otherwise.

    Attributes:
        sidecar_uid: Whose connections pass untouched.
        listen_port: Where the sidecar listens on loopback, IPv4 and IPv6.
        ports: TCP ports whose connections are redirected, ascending.
        profile: ``default`` closes the ways around the redirect; ``strict`` closes all else.
        excluded: Networks outside of it all: neither redirected nor refused; no overlaps.
        dns_servers: What ``strict`` lets agents ask on port 53.
    """

    sidecar_uid: int = 1500
    listen_port: int = 15001
    ports: tuple[int, ...] = ALWAYS_REDIRECTED
    profile: Profile = "default"
    excluded: tuple[Network, ...] = ()
    dns_servers: tuple[Address, ...] = ()


def render(settings: RedirectSettings, *, ipv6: bool = True) -> str:
    """Write the ruleset.

    Args:
        settings: Checked already.
        ipv6: False where the kernel has no IPv6: its nft then knows no ``inet`` tables.
    """
    family = _family(ipv6=ipv6)
    body = [
        *_sets(settings, ipv6=ipv6),
        *_chain("redirect_out", "nat hook output priority -100", _redirect(settings, ipv6=ipv6)),
        *_chain("fence_out", "filter hook output priority 0", _fence(settings, ipv6=ipv6)),
        *_chain("fence_in", "filter hook input priority 0", _door(settings)),
    ]
    table = [f"table {family} {TABLE} {{", *_indented(body), "}"]
    return removal(ipv6=ipv6) + "\n".join(table) + "\n"


def removal(*, ipv6: bool = True) -> str:
    """Write what takes the rules away; the first line lets the second succeed always."""
    family = _family(ipv6=ipv6)
    return f"table {family} {TABLE}\ndelete table {family} {TABLE}\n"


def _family(*, ipv6: bool) -> str:
    return "inet" if ipv6 else "ip"


def _sets(settings: RedirectSettings, *, ipv6: bool) -> list[str]:
    excluded, servers = settings.excluded, settings.dns_servers
    lines = [
        _set("excluded4", "ipv4_addr", "interval", [n for n in excluded if n.version == 4]),
        _set("dns4", "ipv4_addr", "", [a for a in servers if a.version == 4]),
    ]
    if ipv6:
        lines += [
            _set("excluded6", "ipv6_addr", "interval", [n for n in excluded if n.version == 6]),
            _set("dns6", "ipv6_addr", "", [a for a in servers if a.version == 6]),
        ]
    return lines


def _set(name: str, kind: str, flags: str, elements: Sequence[Network | Address]) -> str:
    listed = ", ".join(str(element) for element in elements)
    parts = [
        f"type {kind};",
        f"flags {flags};" if flags else "",
        f"elements = {{ {listed} }};" if listed else "",
    ]
    return f"set {name} {{ {' '.join(part for part in parts if part)} }}"


def _redirect(settings: RedirectSettings, *, ipv6: bool) -> list[str]:
    return [
        f'meta skuid {settings.sidecar_uid} return comment "the sidecar itself"',
        'oifname "lo" return',
        'fib daddr type local return comment "own addresses"',
        *_excluded("return", ipv6=ipv6),
        f"tcp dport {_ports(settings)} counter redirect to :{settings.listen_port}",
    ]


def _fence(settings: RedirectSettings, *, ipv6: bool) -> list[str]:
    return [
        f"meta skuid {settings.sidecar_uid} accept",
        "ct status dnat accept",
        'oifname "lo" accept',
        *_excluded("accept", ipv6=ipv6),
        *(_strict(ipv6=ipv6) if settings.profile == "strict" else _lenient(settings, ipv6=ipv6)),
    ]


def _lenient(settings: RedirectSettings, *, ipv6: bool) -> list[str]:
    refusal = f"counter reject with {'icmpx' if ipv6 else 'icmp'} type port-unreachable comment"
    encrypted_dns = f"meta l4proto {{ tcp, udp }} th dport {DNS_OVER_TLS_PORT}"
    return [
        f'udp dport {_ports(settings)} {refusal} "no QUIC: clients fall back to TCP at once"',
        f'{encrypted_dns} {refusal} "no DoT, no DoQ"',
    ]


def _strict(*, ipv6: bool) -> list[str]:
    dns = "meta l4proto { tcp, udp } th dport 53"
    icmp = "{ icmp, ipv6-icmp }" if ipv6 else "icmp"
    return [
        'ct state established,related accept comment "answers to probes and Services"',
        f"{dns} ip daddr @dns4 accept",
        *([f"{dns} ip6 daddr @dns6 accept"] if ipv6 else []),
        f"meta l4proto {icmp} accept",
        f"counter reject with {'icmpx' if ipv6 else 'icmp'} type admin-prohibited",
    ]


def _door(settings: RedirectSettings) -> list[str]:
    return [
        f"tcp dport {settings.listen_port} ct status dnat accept",
        f'tcp dport {settings.listen_port} counter reject with tcp reset comment "no direct use"',
    ]


def _excluded(verdict: str, *, ipv6: bool) -> list[str]:
    lines = [f"ip daddr @excluded4 {verdict}"]
    return [*lines, f"ip6 daddr @excluded6 {verdict}"] if ipv6 else lines


def _ports(settings: RedirectSettings) -> str:
    return f"{{ {', '.join(str(port) for port in settings.ports)} }}"


def _chain(name: str, hook: str, rules: Iterable[str]) -> list[str]:
    return [f"chain {name} {{", *_indented([f"type {hook}; policy accept;", *rules]), "}"]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
