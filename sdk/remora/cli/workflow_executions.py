"""`remora workflow executions`: list what an aggregator knows of executions, or follow one."""

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from remora.cli.options import AGGREGATOR, JSON, Moment
from remora.clock import SystemClock

if TYPE_CHECKING:
    from remora.client.executions import ExecutionFilter, StoredExecution
    from remora.client.target import AggregatorTarget

DEFAULT_LIMIT = 50
STATUSES = ("running", "paused", "completed", "failed", "cancelled", "budget_exceeded")

type Show = Callable[[StoredExecution], None]


@click.command(name="executions")
@click.argument("execution_id", metavar="[ID]", required=False, default="")
@click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES),
              help="Executions in this state; may be given again.")  # fmt: skip
@click.option("--workflow", default="", metavar="NAME", help="Executions of this workflow.")
@click.option("--task", default="", metavar="ID", help="Executions of this task.")
@click.option("--session", default="", metavar="ID", help="Executions of this session.")
@click.option("--agent", default="", metavar="ID", help="Executions of this agent.")
@click.option("--since", type=Moment(), help="Executions that began since then: 30m, 2h, 7d, …")
@click.option("--limit", "-n", type=click.IntRange(min=0), default=DEFAULT_LIMIT,
              show_default=True, help="So many, those that began last; 0: all.")  # fmt: skip
@click.option("--watch", "-w", is_flag=True,
              help="Go on with those that change; of one: until it is over.")  # fmt: skip
@click.option("--namespace", default="", metavar="NAME", help="Executions of this namespace.")
@AGGREGATOR
@JSON
def executions(
    *,
    execution_id: str,
    statuses: tuple[str, ...],
    workflow: str,
    task: str,
    session: str,
    agent: str,
    since: int | None,
    limit: int,
    watch: bool,
    namespace: str,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """List executions of workflows that an aggregator was told of, or show the one with this ID.

    Those that began last come first. Of one, each step is shown with its state, model, cost, time
    and calls; `remora explain CALL` says why a call went where it went.
    """
    from remora.client.executions import ExecutionFilter
    from remora.client.settings import read_client_settings
    from remora.execution_report import ExecutionStatus

    target = read_client_settings(aggregator).target
    if execution_id:
        _one(target, namespace, execution_id, _page(as_json=as_json), watch=watch)
        return
    wanted = ExecutionFilter(
        namespace=namespace,
        statuses=tuple(map(ExecutionStatus, statuses)),
        workflow=workflow,
        task_id=task,
        session_id=session,
        agent_id=agent,
        since_unix_ns=since or 0,
    )
    show = _line(as_json=as_json, with_namespace=not namespace)
    (_follow if watch else _list)(target, wanted, limit, show)


def _line(*, as_json: bool, with_namespace: bool) -> Show:
    if as_json:
        return _json(steps=False)
    from remora.cli.execution_lines import ExecutionLines
    from remora.cli.screen import output

    console = output()
    lines = ExecutionLines(console.width, with_namespace=with_namespace)

    def show(stored: "StoredExecution") -> None:
        for line in lines.lines(stored, SystemClock().now_unix_ns()):
            console.print(line)

    return show


def _page(*, as_json: bool) -> Show:
    if as_json:
        return _json(steps=True)
    from remora.cli.execution_lines import execution_page, step_lines
    from remora.cli.screen import output

    console = output()

    def show(stored: "StoredExecution") -> None:
        for text in execution_page(stored, SystemClock().now_unix_ns()):
            click.echo(text)
        console.print()
        for line in step_lines(stored.report.steps, console.width):
            console.print(line)

    return show


def _json(*, steps: bool) -> Show:
    from remora.cli.execution_json import execution_json

    return lambda stored: click.echo(
        json.dumps(execution_json(stored, steps=steps), ensure_ascii=False)
    )


def _list(target: "AggregatorTarget", wanted: "ExecutionFilter", limit: int, show: Show) -> None:
    from remora.cli.screen import waiting
    from remora.client.executions import ExecutionClient

    count = 0
    with ExecutionClient(target) as client:
        with waiting(f"Asking {target.address} …"):
            found = client.list(wanted, limit=limit or None)
            listed: Iterable[StoredExecution] = list(found) if limit else found
        for stored in listed:
            show(stored)
            count += 1
    if not count:
        _say(f"the aggregator at {target.address} has no execution that matches")


def _follow(target: "AggregatorTarget", wanted: "ExecutionFilter", limit: int, show: Show) -> None:
    """Show those there are, those that began last at the end, and then each as it changes."""
    from remora.cli.follow import follow_watch
    from remora.client.executions import ExecutionClient

    def earlier(client: ExecutionClient) -> "Iterable[tuple[StoredExecution, str]]":
        found = list(client.list(wanted, limit=limit or None))
        return ((stored, "") for stored in reversed(found))

    for stored in follow_watch(
        lambda: ExecutionClient(target),
        lambda client, cursor: client.watch(wanted.namespace, cursor=cursor),
        earlier=earlier,
        say=_say,
    ):
        if _fits(stored, wanted):
            show(stored)


def _fits(stored: "StoredExecution", wanted: "ExecutionFilter") -> bool:
    """Tell whether one that changed is asked for: a watch tells of all."""
    report = stored.report
    names = ("workflow", "task_id", "session_id", "agent_id")
    return (
        (not wanted.statuses or report.status in wanted.statuses)
        and report.began_unix_ns >= wanted.since_unix_ns
        and all(getattr(wanted, name) in ("", getattr(report, name)) for name in names)
    )


def _one(
    target: "AggregatorTarget", namespace: str, execution_id: str, show: Show, *, watch: bool
) -> None:
    from remora.client.executions import ExecutionClient

    if not watch:
        with ExecutionClient(target) as client:
            show(_found(lambda: client.get(execution_id, namespace=namespace)))
        return
    from remora.cli.follow import follow_watch

    def earlier(client: ExecutionClient) -> "Iterable[tuple[StoredExecution, str]]":
        return [(_found(lambda: client.get(execution_id, namespace=namespace)), "")]

    shown = 0
    for stored in follow_watch(
        lambda: ExecutionClient(target),
        lambda client, cursor: client.watch(namespace, execution_id=execution_id, cursor=cursor),
        earlier=earlier,
        say=_say,
    ):
        if stored.report.revision > shown:
            shown = stored.report.revision
            show(stored)
        if stored.report.status.is_over:
            return


def _found(ask: "Callable[[], StoredExecution]") -> "StoredExecution":
    """Ask; ends the command where there is no such execution."""
    from remora.errors import BadRequest

    try:
        return ask()
    except BadRequest as error:
        if error.status != 404:
            raise
        _say(str(error))
        raise click.exceptions.Exit(1) from None


def _say(text: str) -> None:
    click.echo(f"remora workflow executions: {text}", err=True)
