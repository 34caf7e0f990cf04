"""`remora netinit` as people and pods run it, in a network namespace of its own."""

import os
import shutil
import struct
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings

from remora_sidecar.commands.netinit import command
from remora_sidecar.netinit import apply
from remora_sidecar.netinit.apply import find_nft, has_ipv6
from remora_sidecar.netinit.resolver_file import dns_servers
from remora_sidecar.netinit.ruleset import RedirectSettings, render
from remora_sidecar.netinit.settings import read_redirect_settings

PROGRAM = "from remora_sidecar.commands.netinit import command; command()"


def _netinit(network, *options, uid=0, path=None, **variables):
    return network.pod.run(
        [sys.executable, "-P", "-c", PROGRAM, *options],
        uid=uid,
        env={"PATH": path or os.environ["PATH"], **variables},
    )


def _rules(network):
    """The rules in force, without what they counted."""
    return network.pod.run(["nft", "--stateless", "list", "ruleset"], check=True).stdout


def test_a_dry_run_prints_the_rules_and_needs_nothing():
    done = CliRunner().invoke(command, ["--dry-run", "--ports", "8000"])
    assert done.exit_code == 0
    resolver = Path("/etc/resolv.conf")
    servers = dns_servers(resolver.read_text() if resolver.exists() else "")
    rules = RedirectSettings(ports=(80, 443, 8000), dns_servers=servers)
    assert done.output == render(rules, ipv6=has_ipv6())


def test_bad_settings_are_all_named_and_nothing_is_done():
    done = CliRunner().invoke(command, ["--ports", "http", "--exclude-cidrs", "all"])
    assert done.exit_code == 2
    assert "REMORA_REDIRECT_PORTS" in done.output
    assert "REMORA_EXCLUDE_CIDRS" in done.output


@pytest.mark.netns
@pytest.mark.parametrize("profile", ["default", "strict"])
def test_the_rules_are_applied_over_any_earlier_ones(network, profile):
    options = ("--profile", profile, "--exclude-cidrs", "10.0.0.0/8,fd00::/8")
    assert _netinit(network, "--ports", "9000").returncode == 0
    earlier = _rules(network)
    first = _netinit(network, *options)
    once = _rules(network)
    again = _netinit(network, *options)
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert f"profile {profile}" in first.stdout
    assert _rules(network) == once != earlier
    assert "9000" not in once


@pytest.mark.netns
def test_the_strict_profile_lets_agents_ask_the_pods_dns_servers(network):
    assert _netinit(network, "--profile", "strict").returncode == 0
    rules = _rules(network)
    assert "10.255.77.1" in rules
    assert "2001:db8:77::1" in rules


@pytest.mark.netns
def test_removing_leaves_other_peoples_rules_alone(network):
    network.pod.run(["nft", "add table inet theirs"], check=True)
    before = _rules(network)
    assert _netinit(network, "--remove").returncode == 0  # there are none yet
    assert _netinit(network).returncode == 0
    removed = _netinit(network, "--remove")
    assert (removed.returncode, removed.stdout) == (0, "Removed the redirect rules.\n")
    assert _rules(network) == before


@pytest.mark.netns
@pytest.mark.parametrize("options", [(), ("--remove",)], ids=["apply", "remove"])
def test_without_privileges_it_says_what_is_missing(network, options):
    refused = _netinit(network, *options, uid=1000)
    assert refused.returncode == 3
    assert "NET_ADMIN" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert _rules(network) == ""


FILE_CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 12, 1 << 12, 0, 0)
"""CAP_NET_ADMIN, effective, permitted and inheritable: what `setcap cap_net_admin+eip` writes."""


@pytest.mark.netns
def test_a_file_capability_that_the_container_withholds_is_named_as_the_reason(network, tmp_path):
    nft = tmp_path / "nft"
    shutil.copy(find_nft(), nft)
    nft.chmod(0o755)
    os.setxattr(nft, "security.capability", FILE_CAPABILITY)
    refused = _netinit(network, uid=1000, path=f"{tmp_path}:{os.environ['PATH']}")
    assert refused.returncode == 3
    assert "NET_ADMIN" in refused.stderr


def test_a_machine_without_nft_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(apply, "_SYSTEM_FOLDERS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(command)
    assert done.exit_code == 4
    assert "install the package nftables" in done.output


NETWORKS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.integers(0, 255).map(lambda number: f"{number}.0.0.0/8"),
    st.integers(0, 0xFFFF).map(lambda number: f"{number:x}::/16"),
)


@pytest.mark.netns
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    networks=st.lists(NETWORKS, max_size=8).map(",".join),
    ports=st.lists(st.integers(1, 14999).map(str), max_size=8).map(",".join),
    servers=st.lists(st.ip_addresses(), max_size=4),
    profile=st.sampled_from(["default", "strict"]),
)
def test_nft_takes_the_rules_of_all_settings_that_are_taken(
    network, networks, ports, servers, profile
):
    read = read_redirect_settings(
        dns_servers=servers,
        exclude_cidrs=networks,
        redirect_ports=ports,
        network_profile=profile,
    )
    checked = network.pod.run(["nft", "--check", "-f", "-"], stdin=render(read))
    assert checked.stderr == ""
