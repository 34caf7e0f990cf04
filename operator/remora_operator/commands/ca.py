"""`remora ca`: how the operator's CAs stand, and how one root gives way to the next."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from remora_operator.custody.rotation_desk import Outlook, RotationDesk

_HELD_EXIT_CODE = 1
_CAS = ("interception", "serving")
_STEPS = ("begin", "switch", "retire", "abandon")

CONTEXT = click.option("--context", metavar="NAME", help="Of the kubeconfig; default: its own.")
NAMESPACE = click.option(
    "--namespace", "-n", default="remora-system", show_default=True, help="The operator's."
)
CA = click.option(
    "--ca",
    "which",
    type=click.Choice(_CAS),
    default="interception",
    show_default=True,
    help="What agents trust, or what our own servers stand on.",
)


@click.group(name="ca")
def command() -> None:
    """See how the operator's CAs stand, and replace their roots.

    Works on the operator's Secrets by your kubeconfig, with your rights.
    """


@command.command(name="status")
@CONTEXT
@NAMESPACE
@click.option("--json", "as_json", is_flag=True, help="JSON for programs; docs/cli.md.")
def status(*, context: str | None, namespace: str, as_json: bool) -> None:
    """Show both CAs: phase, roots, ends, what comes next and what holds it.

    Exit codes: 0 all is well; 1 one is missing, can't be used, has ended or ends within 90 days;
    2 no cluster to ask; 3 the API server does not answer.
    """
    from remora_operator.commands.ca_lines import is_well, outlook_json, outlook_lines
    from remora_operator.custody.rotation_desk import Ca

    async def look(desk: "RotationDesk") -> "list[Outlook]":
        return [await desk.outlook(ca) for ca in Ca]

    outlooks = _at_desk(context, namespace, look)
    if as_json:
        shown = {one.ca.value: outlook_json(one) for one in outlooks}
        click.echo(json.dumps(shown, ensure_ascii=False))
    else:
        for one in outlooks:
            click.echo("\n".join(outlook_lines(one)))
    if not all(map(is_well, outlooks)):
        sys.exit(_HELD_EXIT_CODE)


@command.command(name="rotate")
@click.argument("step", required=False, type=click.Choice(_STEPS))
@click.option("--force", is_flag=True, help="Whatever holds the step: agents may lose trust.")
@CA
@CONTEXT
@NAMESPACE
def rotate(
    *, step: str | None, force: bool, which: str, context: str | None, namespace: str
) -> None:
    """Take one step of replacing a root; without STEP the one that comes next.

    begin publishes a new root beside the old; switch lets it sign, with the old one vouching for
    it; retire takes the old one away; abandon takes a published one back. No agent has to be
    restarted. The serving CA goes on by itself after begin.

    Exit codes: 0 the step is taken; 1 something holds it, and nothing was done; 2 no cluster to
    ask; 3 the API server does not answer.
    """
    from remora.errors import BadRequest
    from remora_operator.commands.ca_lines import next_lines
    from remora_operator.custody.next_step import RotationStep
    from remora_operator.custody.rotation_desk import Ca

    ca, wanted = Ca(which), None if step is None else RotationStep(step)

    async def take(desk: "RotationDesk") -> "tuple[RotationStep, Outlook]":
        return await desk.take(ca, wanted, force=force), await desk.outlook(ca)

    try:
        taken, outlook = _at_desk(context, namespace, take)
    except BadRequest as refused:
        click.echo(f"remora ca rotate: {refused}", err=True)
        sys.exit(_HELD_EXIT_CODE)
    click.echo(f"{which} CA: {taken.value} is done")
    click.echo("\n".join(next_lines(outlook)))


@command.command(name="replace")
@click.option("--force", is_flag=True, help="Also where nothing is wrong: the key was stolen.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@CA
@CONTEXT
@NAMESPACE
def replace(*, force: bool, yes: bool, which: str, context: str | None, namespace: str) -> None:
    """Give up a root that is lost or stolen: make another, or accept what stands in the Secret.

    Whatever trusts the old root alone refuses what is signed from then on: all injected pods have
    to be restarted. Where nothing is wrong with the root, rotate it instead.

    Exit codes: 0 done; 1 not done; 2 no cluster to ask; 3 the API server does not answer; 130 you
    said no.
    """
    from remora.errors import BadRequest
    from remora_operator.custody.rotation_desk import Ca

    if not yes:
        what = f"Running pods do not trust another root of the {which} CA. Replace it?"
        click.confirm(what, abort=True, err=True)
    try:
        done = _at_desk(context, namespace, lambda desk: desk.replace(Ca(which), force=force))
    except BadRequest as refused:
        click.echo(f"remora ca replace: {refused}", err=True)
        sys.exit(_HELD_EXIT_CODE)
    click.echo(f"{which} CA: {done}; restart the injected pods")


def _at_desk[T](
    context: str | None, namespace: str, work: "Callable[[RotationDesk], Awaitable[T]]"
) -> T:
    async def run() -> T:
        async with _desk(context, namespace) as desk:
            return await work(desk)

    return asyncio.run(run())


@asynccontextmanager
async def _desk(context: str | None, namespace: str) -> "AsyncIterator[RotationDesk]":
    import secrets

    from remora.clock import SystemClock
    from remora_operator.commands.cluster_access import cluster_api
    from remora_operator.custody.rotation_desk import RotationDesk

    async with cluster_api(context) as api:
        yield RotationDesk(api, namespace, SystemClock(), secrets.token_bytes)
