"""`remora tasks`: list tasks, show one, pause, resume or cancel it; what budgets came to."""

import fnmatch
import json
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from remora.cli.budgets import budgets
from remora.cli.options import AGGREGATOR, JSON, NAMESPACE, Moment
from remora.clock import SystemClock

if TYPE_CHECKING:
    from remora.client.target import AggregatorTarget
    from remora.client.task import Task
    from remora.client.tasks import TaskClient, TaskFilter

DEFAULT_LIMIT = 50
STATES = (
    "pending", "planning", "running", "paused", "completed", "failed", "cancelled",
    "budget_exceeded",
)  # fmt: skip

_ID = click.argument("task_id")
_REASON = click.option("--reason", default="", metavar="TEXT", help="Why; the refusals say so.")


@click.group(name="tasks", invoke_without_command=True)
@click.option("--state", "states", multiple=True, type=click.Choice(STATES),
              help="Tasks in this state; may be given again.")  # fmt: skip
@click.option("--id", "id_glob", default="", metavar="GLOB",
              help="Tasks whose id matches: * is any text, ? any one character.")  # fmt: skip
@click.option("--since", type=Moment(), help="Tasks changed or called since then: 30m, 2h, 7d, …")
@click.option("--limit", "-n", type=click.IntRange(min=0), default=DEFAULT_LIMIT,
              show_default=True, help="So many, those created last; 0: all.")  # fmt: skip
@click.option("--follow", "-f", is_flag=True, help="Go on with the tasks that change from now.")
@click.option("--namespace", default="", metavar="NAME", help="Tasks of this namespace.")
@AGGREGATOR
@JSON
@click.pass_context
def command(
    context: click.Context,
    *,
    states: tuple[str, ...],
    id_glob: str,
    since: int | None,
    limit: int,
    follow: bool,
    namespace: str,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """List tasks: runs of agents, on any number of pods, with what their calls came to.

    Without a subcommand it lists them, those created last first.
    """
    if context.invoked_subcommand is not None:
        return
    from remora.client.settings import read_client_settings
    from remora.client.task import TaskState
    from remora.client.tasks import TaskFilter

    target = read_client_settings(aggregator).target
    wanted = TaskFilter(
        namespace=namespace,
        states=tuple(TaskState[state.upper()] for state in states),
        id_glob=id_glob,
        since_unix_ns=since or 0,
    )
    show = _showing(as_json=as_json, with_namespace=not namespace)
    if follow:
        _follow(target, wanted, limit, show)
        return
    if not _list(target, wanted, limit, show):
        where = f"the aggregator at {target.address}"
        click.echo(f"remora tasks: {where} has no task that matches", err=True)


def _showing(*, as_json: bool, with_namespace: bool) -> "Callable[[Task], None]":
    if as_json:
        from remora.cli.task_json import task_json

        return lambda task: click.echo(json.dumps(task_json(task), ensure_ascii=False))

    from remora.cli.screen import output
    from remora.cli.task_lines import TaskLines

    console = output()
    lines = TaskLines(console.width, with_namespace=with_namespace)

    def show(task: "Task") -> None:
        for line in lines.lines(task, SystemClock().now_unix_ns()):
            console.print(line)

    return show


def _list(
    target: "AggregatorTarget", wanted: "TaskFilter", limit: int, show: "Callable[[Task], None]"
) -> int:
    from remora.cli.screen import waiting
    from remora.client.tasks import TaskClient

    with TaskClient(target) as client:
        with waiting(f"Asking {target.address} …"):
            found = client.list(wanted, limit=limit or None)
            tasks = found if not limit else list(found)
        count = 0
        for task in tasks:
            show(task)
            count += 1
        return count


def _follow(
    target: "AggregatorTarget", wanted: "TaskFilter", limit: int, show: "Callable[[Task], None]"
) -> None:
    """Show those there are, those created last at the end, and then each as it changes."""
    from remora.cli.follow import follow_watch
    from remora.client.tasks import TaskClient

    def earlier(client: TaskClient) -> "Iterable[tuple[Task, str]]":
        tasks = list(client.list(wanted, limit=limit or None))
        return ((task, "") for task in reversed(tasks))

    pattern = _pattern(wanted.id_glob)
    for task in follow_watch(
        lambda: TaskClient(target),
        lambda client, cursor: client.watch(wanted.namespace, cursor=cursor),
        earlier=earlier,
        say=lambda text: click.echo(f"remora tasks: {text}", err=True),
    ):
        if (not wanted.states or task.state in wanted.states) and pattern.match(task.task_id):
            show(task)


def _pattern(glob: str) -> re.Pattern[str]:
    """Only `*` and `?` are special to the aggregator."""
    return re.compile(fnmatch.translate((glob or "*").replace("[", "[[]")))


@command.command(name="show")
@_ID
@click.option("--limit", "-n", type=click.IntRange(min=0), default=20, show_default=True,
              help="Show its first so many calls; 0: all.")  # fmt: skip
@NAMESPACE
@AGGREGATOR
@JSON
def show(
    *, task_id: str, limit: int, namespace: str, aggregator: str | None, as_json: bool
) -> None:
    """Show the task TASK_ID: its sums, its history, and its calls with what policy decided."""
    from remora.client.settings import read_client_settings
    from remora.client.tasks import TaskClient

    target = read_client_settings(aggregator).target
    with TaskClient(target) as client:
        task = _found("show", lambda: client.get(task_id, namespace=namespace))
        records = client.calls(task_id, namespace=task.namespace, limit=limit or None)
        if as_json:
            _show_json(task, records)
        else:
            _show_page(task, records, limit)


def _show_json(task: "Task", records: Iterable[Any]) -> None:
    from remora.cli.record_json import record_json
    from remora.cli.task_json import task_json

    calls = [record_json(stored) for stored in records]
    shown = {"task": task_json(task, with_history=True), "records": calls}
    click.echo(json.dumps(shown, ensure_ascii=False))


def _show_page(task: "Task", records: Iterable[Any], limit: int) -> None:
    from remora.cli.call_lines import CallLines
    from remora.cli.screen import output
    from remora.cli.task_lines import task_page

    console = output()
    for text in task_page(task, SystemClock().now_unix_ns()):
        click.echo(text)
    lines = CallLines(console.width)
    count = 0
    for stored in records:
        if not count:
            console.print()
        for line in lines.lines(stored.record):
            console.print(line)
        count += 1
    if count:
        more = task.totals.calls - count
        hint = f"{more:,} more with -n 0; " if limit and more > 0 else ""
        click.echo(f"\n{hint}why a call went where it went: remora explain CALL", err=True)


@command.command(name="cancel")
@_ID
@_REASON
@click.option("--cut", is_flag=True, help="Cut calls in flight, too.")
@NAMESPACE
@AGGREGATOR
@JSON
def cancel(
    *, task_id: str, reason: str, cut: bool, namespace: str, aggregator: str | None, as_json: bool
) -> None:
    """Have the calls of the task TASK_ID refused for good, on every pod."""
    _steer(
        "cancel",
        aggregator,
        lambda client: client.cancel(task_id, namespace=namespace, reason=reason, cut_streams=cut),
        as_json=as_json,
    )


@command.command(name="pause")
@_ID
@_REASON
@NAMESPACE
@AGGREGATOR
@JSON
def pause(
    *, task_id: str, reason: str, namespace: str, aggregator: str | None, as_json: bool
) -> None:
    """Have the calls of the task TASK_ID refused until it is resumed."""
    _steer(
        "pause",
        aggregator,
        lambda client: client.pause(task_id, namespace=namespace, reason=reason),
        as_json=as_json,
    )


@command.command(name="resume")
@_ID
@_REASON
@NAMESPACE
@AGGREGATOR
@JSON
def resume(
    *, task_id: str, reason: str, namespace: str, aggregator: str | None, as_json: bool
) -> None:
    """Let the paused task TASK_ID go on."""
    _steer(
        "resume",
        aggregator,
        lambda client: client.resume(task_id, namespace=namespace, reason=reason),
        as_json=as_json,
    )


def _steer(
    name: str, aggregator: str | None, ask: "Callable[[TaskClient], Task]", *, as_json: bool
) -> None:
    from remora.cli.task_json import task_json
    from remora.client.settings import read_client_settings
    from remora.client.tasks import TaskClient

    with TaskClient(read_client_settings(aggregator).target) as client:
        task = _found(name, lambda: ask(client))
    if as_json:
        click.echo(json.dumps(task_json(task, with_history=True), ensure_ascii=False))
        return
    from remora.cli.task_lines import state_line

    click.echo(state_line(task), err=True)


def _found(name: str, ask: "Callable[[], Task]") -> "Task":
    """Ask; ends the command where there is no such task."""
    from remora.errors import BadRequest

    try:
        return ask()
    except BadRequest as error:
        if error.status != 404:
            raise
        click.echo(f"remora tasks {name}: {error}", err=True)
        raise click.exceptions.Exit(1) from None


command.add_command(budgets)
