"""`remora aggregator purge` and `audit`: ask the running aggregator, as an admin."""

import json
import sys
from typing import TYPE_CHECKING

import click

from remora.cli.options import AGGREGATOR, JSON, Moment

if TYPE_CHECKING:
    from remora.client.admin import AdminClient, AuditEntry, Purged, PurgeScope

_MOST_ASKED_CHARS = 60


@click.command()
@click.option("--session", default="", metavar="ID", help="Records of this session.")
@click.option("--task", default="", metavar="ID", help="Records of this task, and the task.")
@click.option(
    "--before",
    type=Moment(),
    metavar="MOMENT",
    help="Records of calls that began before, and tasks that are quiet since: 90d, 2026-11-01.",
)
@click.option(
    "--namespace",
    default="",
    metavar="NAME",
    help="In this namespace; alone: all of it. Default: the one of your token.",
)
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask before removing.")
@AGGREGATOR
@JSON
def purge(
    *,
    session: str,
    task: str,
    before: int | None,
    namespace: str,
    dry_run: bool,
    yes: bool,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """Remove records for good, with their bodies and from all sums.

    Takes an admin's token, and asks the running aggregator. It counts first, and asks before it
    removes anything. Copies that were made before keep what they have.
    """
    from remora.client.admin import AdminClient, PurgeScope
    from remora.client.settings import read_client_settings

    if not (session or task or before or namespace):
        raise click.UsageError("say what is to go: --session, --task, --before or --namespace")
    if session and task:
        raise click.UsageError("name a session or a task, not both")
    scope = PurgeScope(
        namespace=namespace,
        session_id=session,
        task_id=task,
        before_unix_ns=before or 0,
        whole_namespace=not (session or task or before),
    )
    with AdminClient(read_client_settings(aggregator).target) as client:
        purged = client.count(scope)
        if not dry_run and (purged.records or purged.tasks):
            if not yes:
                _confirm(purged, scope)
            purged = _removed(client, scope)
    _say(purged, is_removed=not dry_run, as_json=as_json)


def _confirm(purged: "Purged", scope: "PurgeScope") -> None:
    """Ask; ends the command unless the answer is yes."""
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"this would remove {_amount(purged)} for good: --yes removes without asking"
        )
    which = f"session {scope.session_id!r} of " if scope.session_id else ""
    which = f"task {scope.task_id!r} of " if scope.task_id else which
    when = " from before the given time" if scope.before_unix_ns else ""
    text = f"Remove {_amount(purged)}{when} of {which}namespace {purged.namespace!r} for good?"
    click.confirm(text, abort=True, err=True)


def _removed(client: "AdminClient", scope: "PurgeScope") -> "Purged":
    from remora.cli.screen import waiting
    from remora.client.admin import Purged
    from remora.errors import Unavailable

    purged = Purged(scope.namespace, 0, 0, is_done=False)
    with waiting("Removing …") as say:
        for purged in client.purge(scope):
            say(f"{_amount(purged)} removed …")
    if not purged.is_done:
        raise Unavailable(f"the aggregator stopped after {_amount(purged)}: ask again")
    return purged


def _amount(purged: "Purged") -> str:
    from remora.cli.figures import plural

    tasks = f" and {plural(purged.tasks, 'task')}" if purged.tasks else ""
    return f"{plural(purged.records, 'record')}{tasks}"


def _say(purged: "Purged", *, is_removed: bool, as_json: bool) -> None:
    if as_json:
        shown = {
            "namespace": purged.namespace,
            "records": purged.records,
            "tasks": purged.tasks,
            "removed": is_removed,
        }
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    what = "removed" if is_removed else "would be removed"
    click.echo(f"{purged.namespace}: {_amount(purged)} {what}", err=True)


@click.command()
@click.option("--since", type=Moment(), help="What was done since then: 30m, 2h, 7d, 2026-11-01.")
@click.option("--until", type=Moment(), help="What was done before then.")
@click.option("--limit", "-n", type=click.IntRange(min=0), default=50, show_default=True,
              help="The newest so many; 0: all.")  # fmt: skip
@AGGREGATOR
@JSON
def audit(
    *, since: int | None, until: int | None, limit: int, aggregator: str | None, as_json: bool
) -> None:
    """Show who changed what, the newest first.

    Takes an admin's token, and asks the running aggregator.
    """
    from remora.client.admin import AdminClient
    from remora.client.settings import read_client_settings

    count = 0
    with AdminClient(read_client_settings(aggregator).target) as client:
        for entry in client.audit(
            limit=limit or None, since_unix_ns=since or 0, until_unix_ns=until or 0
        ):
            click.echo(_json(entry) if as_json else _line(entry))
            count += 1
    if not count:
        click.echo("remora aggregator audit: nothing was done that you may see", err=True)


def _json(entry: "AuditEntry") -> str:
    from remora.cli.moments import iso_utc

    shown = {
        "at": iso_utc(entry.at_unix_ns),
        "who": entry.who,
        "role": entry.role,
        "namespace": entry.namespace or None,
        "peer": entry.peer,
        "what": entry.what,
        "asked": dict(entry.asked),
        "outcome": entry.outcome,
        "count": entry.count,
    }
    return json.dumps(shown, ensure_ascii=False)


def _line(entry: "AuditEntry") -> str:
    from remora.cli.figures import clipped, visible
    from remora.cli.moments import local_time

    at = f"{local_time(entry.at_unix_ns):%Y-%m-%d %H:%M:%S}"
    who = f"{entry.who} ({entry.role})"
    asked = clipped(
        " ".join(f"{name}={value}" for name, value in entry.asked.items()), _MOST_ASKED_CHARS
    )
    count = "" if entry.count is None else f", {entry.count:,}"
    return visible(f"{at}  {who}  {entry.what}  {asked}  {entry.outcome}{count}")
