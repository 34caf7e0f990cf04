"""`remora netinit`: apply, show or remove the rules that redirect agents to the sidecar."""

import sys
from pathlib import Path
from typing import Any

import click

from remora.errors import ConfigError
from remora_sidecar.netinit.apply import NetinitError, apply, find_nft, has_ipv6
from remora_sidecar.netinit.resolver_file import dns_servers
from remora_sidecar.netinit.ruleset import Address, RedirectSettings, removal, render
from remora_sidecar.netinit.settings import read_redirect_settings

_RESOLVER_FILE = Path("/etc/resolv.conf")
_SETTINGS_EXIT_CODE = 2


@click.command("netinit")
@click.option(
    "--dry-run", is_flag=True, help="Print the rules and change nothing; needs no privileges."
)
@click.option("--remove", is_flag=True, help="Take the rules away; fine if there are none.")
@click.option(
    "--ports",
    metavar="PORT,…",
    help="Redirect these TCP ports besides 80 and 443; default: those of the policy's providers.",
)
@click.option(
    "--profile", type=click.Choice(["default", "strict"]), help="What else agents may reach."
)
@click.option("--exclude-cidrs", metavar="CIDR,…", help="Networks left alone.")
@click.option("--sidecar-uid", metavar="UID", help="The user whose connections are not redirected.")
def command(*, dry_run: bool, remove: bool, **options: str | None) -> None:
    """Redirect the LLM traffic of this network namespace to the sidecar.

    Applies nftables rules as one transaction, over any earlier ones: connections to ports 80
    and 443, IPv4 and IPv6, of every user but the sidecar's go to its listener; QUIC, DNS over
    TLS and direct use of that listener are refused. Options win over the variables
    REMORA_REDIRECT_PORTS, REMORA_NETWORK_PROFILE, REMORA_EXCLUDE_CIDRS and
    REMORA_SIDECAR_UID; the port comes from REMORA_LISTEN.

    Exit codes: 0 done, 1 refused by nft, 2 bad settings, 3 not permitted (NET_ADMIN),
    4 nft is missing.
    """
    try:
        settings = _settings(options)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(_SETTINGS_EXIT_CODE)
    ipv6 = has_ipv6()
    text = removal(ipv6=ipv6) if remove else render(settings, ipv6=ipv6)
    if dry_run:
        click.echo(text, nl=False)
        return
    try:
        apply(text, find_nft())
    except NetinitError as error:
        click.echo(f"remora netinit: {error}.", err=True)
        sys.exit(error.exit_code)
    click.echo("Removed the redirect rules." if remove else _summary(settings, ipv6=ipv6))


def _settings(options: dict[str, str | None]) -> RedirectSettings:
    names = {"ports": "redirect_ports", "profile": "network_profile"}
    overrides: dict[str, Any] = {
        names.get(name, name): text for name, text in options.items() if text is not None
    }
    return read_redirect_settings(dns_servers=_dns_servers(), **overrides)


def _dns_servers() -> tuple[Address, ...]:
    try:
        return dns_servers(_RESOLVER_FILE.read_text("utf-8", errors="replace"))
    except OSError:
        return ()


def _summary(settings: RedirectSettings, *, ipv6: bool) -> str:
    ports = ", ".join(str(port) for port in settings.ports)
    excluded = ", ".join(str(network) for network in settings.excluded)
    lines = [
        f"Redirecting TCP {ports} to port {settings.listen_port}, profile {settings.profile}.",
        f"Not redirected: user {settings.sidecar_uid}"
        + (f", networks {excluded}." if excluded else "."),
    ]
    if not ipv6:
        lines.append("This kernel has no IPv6: the rules are for IPv4 alone.")
    return "\n".join(lines)
