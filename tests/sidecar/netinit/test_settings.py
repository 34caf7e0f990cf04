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


VLLM = """
apiVersion: remora.dev/v1alpha1
kind: LLMProvider
metadata: {name: in-house}
spec: {hosts: [vllm.example.net], ports: [PORT], tls: false, dialects: [openai-chat]}
---
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {name: without}
spec: {selector: {matchLabels: {app: other}}, intercept: [openai]}
"""


@pytest.fixture
def policy(monkeypatch, tmp_path):
    """Policy documents with a provider on a port of the test's choice."""

    def write(port):
        file = tmp_path / "policy.yaml"
        file.write_text(VLLM.replace("PORT", str(port)))
        monkeypatch.setenv("REMORA_POLICY", str(file))

    return write


def test_the_ports_of_the_policys_providers_are_redirected(policy):
    policy(8123)
    assert read_redirect_settings().ports == (80, 443, 8123)


def test_the_policy_that_the_labels_select_counts(policy, monkeypatch):
    policy(8123)
    monkeypatch.setenv("REMORA_LABELS", "app=other")
    assert read_redirect_settings().ports == (80, 443)


def test_ports_that_are_given_are_not_added_to(policy, monkeypatch):
    policy(8123)
    assert read_redirect_settings(redirect_ports="9000").ports == (80, 443, 9000)
    assert read_redirect_settings(policy_ports=[7000]).ports == (80, 443, 7000)


def test_a_provider_on_the_sidecars_own_port_is_refused(policy):
    policy(15001)
    with pytest.raises(ConfigError, match=r"REMORA_POLICY: a provider listens on .* 15001"):
        read_redirect_settings()


def test_a_policy_that_can_not_be_read_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("REMORA_POLICY", str(tmp_path / "nothing.yaml"))
    with pytest.raises(ConfigError, match=r"nothing\.yaml"):
        read_redirect_settings()


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
