"""`remora scores versions` and what steers them: show, diff, propose, activate, rollback."""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from remora.cli.options import AGGREGATOR, JSON, NAMESPACE

if TYPE_CHECKING:
    from remora.client.router_version import KeptVersion
    from remora.client.scores import ScoreClient

_NUMBER = click.IntRange(min=1)


@click.command(name="versions")
@NAMESPACE
@AGGREGATOR
@JSON
def versions(*, namespace: str, aggregator: str | None, as_json: bool) -> None:
    """List router versions, the newest first, with what the gate said of each."""
    found = _asked("versions", aggregator, lambda client: client.versions(namespace=namespace))
    if as_json:
        from remora.cli.version_lines import version_json

        for version in found:
            click.echo(json.dumps(version_json(version), ensure_ascii=False))
        return
    if not found:
        text = "remora scores versions: there is none; remora scores propose makes one"
        click.echo(text, err=True)
        return
    from remora.cli.screen import output
    from remora.cli.version_lines import version_table

    output().print(version_table(found))


@click.command(name="show")
@click.argument("number", type=_NUMBER)
@NAMESPACE
@AGGREGATOR
@JSON
def show(*, number: int, namespace: str, aggregator: str | None, as_json: bool) -> None:
    """Show the router version NUMBER with its scores."""
    version = _asked("show", aggregator, lambda client: client.version(number, namespace=namespace))
    if version is None:
        click.echo(f"remora scores show: there is no router version {number}", err=True)
        raise click.exceptions.Exit(1)
    if as_json:
        from remora.cli.version_lines import version_json

        click.echo(json.dumps(version_json(version), ensure_ascii=False))
        return
    from remora.cli.version_lines import version_page

    for line in version_page(version):
        click.echo(line)


@click.command(name="diff")
@click.argument("old", type=_NUMBER, default=None, required=False)
@click.argument("new", type=_NUMBER, default=None, required=False)
@NAMESPACE
@AGGREGATOR
@JSON
def diff(
    *, old: int | None, new: int | None, namespace: str, aggregator: str | None, as_json: bool
) -> None:
    """Show what is otherwise in the version NEW than in OLD.

    Without NEW: in scores as they are now. Without OLD: than in the version in force.
    """
    found = _asked(
        "diff",
        aggregator,
        lambda client: client.differences(old or 0, new or 0, namespace=namespace),
    )
    from remora.cli.version_lines import difference_json, difference_line

    for difference in found:
        if as_json:
            click.echo(json.dumps(difference_json(difference), ensure_ascii=False))
        else:
            click.echo(difference_line(difference))
    if not found:
        click.echo("remora scores diff: they decide alike", err=True)


@click.command(name="propose")
@click.option("--note", default="", metavar="TEXT", help="Why; its history says so.")
@click.option("--activate", is_flag=True, help="Put it in force if the gate accepts it.")
@NAMESPACE
@AGGREGATOR
@JSON
def propose(
    *, note: str, activate: bool, namespace: str, aggregator: str | None, as_json: bool
) -> None:
    """Make a router version of the scores as they are now, and have the gate judge it."""
    version = _steered(
        "propose",
        aggregator,
        lambda client: client.propose(note, activate=activate, namespace=namespace),
        as_json=as_json,
    )
    if activate and not version.is_in_force:
        raise click.exceptions.Exit(1)


@click.command(name="activate")
@click.argument("number", type=_NUMBER)
@NAMESPACE
@AGGREGATOR
@JSON
def activate(*, number: int, namespace: str, aggregator: str | None, as_json: bool) -> None:
    """Put the router version NUMBER in force, whatever the gate said of it."""
    _steered(
        "activate",
        aggregator,
        lambda client: client.activate(number, namespace=namespace),
        as_json=as_json,
    )


@click.command(name="rollback")
@click.option("--yes", "-y", is_flag=True, help="Don't ask before.")
@NAMESPACE
@AGGREGATOR
@JSON
def rollback(*, yes: bool, namespace: str, aggregator: str | None, as_json: bool) -> None:
    """Put the router version in force that was before, and leave out the evidence since.

    It counts for every sidecar of the namespace within two seconds.
    """
    if not yes:
        _confirm(namespace)
    _steered(
        "rollback",
        aggregator,
        lambda client: client.roll_back(namespace=namespace),
        as_json=as_json,
    )


def _confirm(namespace: str) -> None:
    """Ask; ends the command unless the answer is yes."""
    if not sys.stdin.isatty():
        raise click.UsageError("this changes where calls go: --yes goes back without asking")
    where = f"of namespace {namespace!r} " if namespace else ""
    click.confirm(f"Go back to the router version {where}before this one?", abort=True, err=True)


def _steered(
    name: str,
    aggregator: str | None,
    ask: "Callable[[ScoreClient], KeptVersion]",
    *,
    as_json: bool,
) -> "KeptVersion":
    from remora.cli.version_lines import state_line, version_json

    version = _asked(name, aggregator, ask)
    if as_json:
        click.echo(json.dumps(version_json(version), ensure_ascii=False))
    else:
        click.echo(state_line(version), err=True)
    return version


def _asked[T](name: str, aggregator: str | None, ask: "Callable[[ScoreClient], T]") -> T:
    """Ask; ends the command where there is no such version."""
    from remora.cli.screen import waiting
    from remora.client.scores import ScoreClient
    from remora.client.settings import read_client_settings
    from remora.errors import BadRequest

    target = read_client_settings(aggregator).target
    try:
        with ScoreClient(target) as client, waiting(f"Asking {target.address} …"):
            return ask(client)
    except BadRequest as error:
        if error.status != 404:
            raise
        click.echo(f"remora scores {name}: {error}", err=True)
        raise click.exceptions.Exit(1) from None
