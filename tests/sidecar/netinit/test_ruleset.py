import dataclasses
from ipaddress import ip_address, ip_network

import pytest

from remora_sidecar.netinit.resolver_file import dns_servers
from remora_sidecar.netinit.ruleset import RedirectSettings, removal, render

STRICT = RedirectSettings(
    profile="strict",
    excluded=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    dns_servers=(ip_address("192.0.2.53"), ip_address("2001:db8::53")),
)


@pytest.mark.parametrize("ipv6", [True, False])
def test_the_rules_begin_with_their_own_removal(ipv6):
    assert render(RedirectSettings(), ipv6=ipv6).startswith(removal(ipv6=ipv6))


def test_rules_for_ipv4_alone_never_mention_ipv6():
    text = render(STRICT, ipv6=False)
    assert "ip6" not in text
    assert "inet" not in text
    assert "icmpx" not in text
    assert "fd00" not in text


def test_strict_names_the_servers_and_networks_it_lets_through():
    text = render(STRICT)
    for expected in ("192.0.2.53", "2001:db8::53", "10.0.0.0/8", "fd00::/8"):
        assert expected in text


def test_the_uid_and_the_port_are_those_of_the_settings():
    text = render(dataclasses.replace(STRICT, sidecar_uid=2000, listen_port=16001))
    assert "1500" not in text
    assert "15001" not in text
    assert text.count("skuid 2000") == 2


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", []),
        ("nameserver 192.0.2.1\nnameserver 2001:db8::1\n", ["192.0.2.1", "2001:db8::1"]),
        ("nameserver 127.0.0.11\nnameserver ::1\n", []),
        ("# nameserver 192.0.2.1\n; x\nsearch a b\nnameserver\nnameserver many\n", []),
        ("nameserver 192.0.2.1\nnameserver 192.0.2.1 # again\n", ["192.0.2.1"]),
        ("nameserver fe80::1%eth0", ["fe80::1"]),
    ],
    ids=["empty", "both kinds", "this machine", "nothing readable", "twice", "with a zone"],
)
def test_dns_servers_are_read_as_resolvers_read_them(text, servers):
    assert dns_servers(text) == tuple(map(ip_address, servers))
