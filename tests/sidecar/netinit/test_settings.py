from ipaddress import ip_address, ip_network

import pytest

from remora.errors import ConfigError
from remora_sidecar.netinit.ruleset import RedirectSettings
from remora_sidecar.netinit.settings import read_redirect_settings


def test_without_any_variable_the_web_ports_go_to_the_usual_place():
    assert read_redirect_settings() == RedirectSettings(
        sidecar_uid=1500, listen_port=15001, ports=(80, 443), profile="default"
    )


def test_every_variable_is_read(monkeypatch):
    monkeypatch.setenv("REMORA_SIDECAR_UID", "2000")
    monkeypatch.setenv("REMORA_REDIRECT_PORTS", "8000, 443,8000")
    monkeypatch.setenv("REMORA_NETWORK_PROFILE", "strict")
    monkeypatch.setenv("REMORA_EXCLUDE_CIDRS", "10.0.0.0/8,10.1.0.0/16, fd00::/8,192.0.2.7")
    monkeypatch.setenv("REMORA_LISTEN", "127.0.0.1:16001,[::1]:16001")
    server = ip_address("192.0.2.53")
    assert read_redirect_settings(dns_servers=[server, server]) == RedirectSettings(
        sidecar_uid=2000,
        listen_port=16001,
        ports=(80, 443, 8000),
        profile="strict",
        excluded=tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.7/32", "fd00::/8"))),
        dns_servers=(server,),
    )


def test_an_override_wins_over_its_variable(monkeypatch):
    monkeypatch.setenv("REMORA_REDIRECT_PORTS", "8000")
    assert read_redirect_settings(redirect_ports="9000").ports == (80, 443, 9000)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("REMORA_SIDECAR_UID", "0", "REMORA_SIDECAR_UID"),
        ("REMORA_SIDECAR_UID", "remora", "REMORA_SIDECAR_UID"),
        ("REMORA_REDIRECT_PORTS", "0,70000,x", "'0' is not a port.*'70000'.*'x'"),
        ("REMORA_REDIRECT_PORTS", "15001", "names the sidecar's own port 15001"),
        ("REMORA_REDIRECT_PORTS", "15002", "names the sidecar's own port 15002"),
        ("REMORA_EXCLUDE_CIDRS", "10.1.2.3/8", "the network is 10.0.0.0/8"),
        ("REMORA_EXCLUDE_CIDRS", "everything", "'everything' is not a network"),
        ("REMORA_EXCLUDE_CIDRS", "0.0.0.0/0", "excludes every address"),
        ("REMORA_EXCLUDE_CIDRS", "0.0.0.0/1,128.0.0.0/1", "excludes every address"),
        ("REMORA_NETWORK_PROFILE", "lax", "REMORA_NETWORK_PROFILE"),
        ("REMORA_LISTEN", "127.0.0.1:1,[::1]:2", "must name one port"),
        ("REMORA_LISTEN", "127.0.0.1:0", "must name one port"),
    ],
)
def test_what_can_not_be_meant_is_refused_by_name(monkeypatch, name, text, said):
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError, match=said):
        read_redirect_settings()


def test_all_problems_are_reported_at_once(monkeypatch):
    monkeypatch.setenv("REMORA_SIDECAR_UID", "-1")
    monkeypatch.setenv("REMORA_REDIRECT_PORTS", "x")
    with pytest.raises(ConfigError) as caught:
        read_redirect_settings()
    assert len(caught.value.problems) == 2
