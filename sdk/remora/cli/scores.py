"""`remora scores`: how well arms do for each goal, and the router versions made of that."""

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from remora.cli.default_command import WithDefault
from remora.cli.options import AGGREGATOR, JSON, NAMESPACE, Moment, Span
from remora.cli.scores_evaluate import evaluate
from remora.cli.scores_versions import activate, diff, propose, rollback, show, versions
from remora.clock import SystemClock

if TYPE_CHECKING:
    from remora.client.score_report import GoalReport
    from remora.client.scores import ScoreClient

_SINCE = click.option("--since", type=Moment(), help="Calls since then: 30m, 2h, 7d, …")
_UNTIL = click.option("--until", type=Moment(), help="Calls before then.")
_WINDOW = click.option("--window", type=Span(), default=0, metavar="SPAN",
                       help="What rates, failures and insights look at. Default: 7d.")  # fmt: skip
_WORKLOAD = click.option("--workload", default="", metavar="NAME",
                         help="As this workload's sidecars have them.")  # fmt: skip


@click.group(name="scores", cls=WithDefault, default="goals", subcommand_metavar="[GOAL] | COMMAND")
def command() -> None:
    """Show how well models do for each goal, and steer what learned routing goes by.

    Without a command it shows goals, as `remora scores goals`.
    """


@command.command(name="goals")
@click.argument("goal", default="")
@_WORKLOAD
@_WINDOW
@NAMESPACE
@AGGREGATOR
@JSON
def goals(
    *, goal: str, workload: str, window: int, namespace: str, aggregator: str | None, as_json: bool
) -> None:
    """Show how the arms of each goal, or of GOAL, do: good answers, cost, latency, insights."""
    reports = _asked(
        aggregator,
        lambda client: client.scores(goal, namespace=namespace, workload=workload, window_s=window),
    )
    if not reports:
        _nothing(f"nothing is known of {f'the goal {goal!r}' if goal else 'any goal'}", goal)
        return
    if as_json:
        from remora.cli.score_json import goal_json

        _print_json(map(goal_json, reports))
        return
    for number, report in enumerate(reports):
        if number:
            click.echo()
        _show_goal(report)


def _show_goal(report: "GoalReport") -> None:
    from remora.cli.score_tables import arm_table, failure_line, goal_line, insight_lines
    from remora.cli.screen import output

    console, now_unix_ns = output(), SystemClock().now_unix_ns()
    console.print(goal_line(report, now_unix_ns), style="bold")
    if report.arms:
        console.print(arm_table(report, now_unix_ns))
    if failures := failure_line(report):
        console.print(failures)
    for line in insight_lines(report.insights):
        console.print(line)


@command.command(name="insights")
@click.argument("goal", default="")
@_WINDOW
@NAMESPACE
@AGGREGATOR
@JSON
def insights(
    *, goal: str, window: int, namespace: str, aggregator: str | None, as_json: bool
) -> None:
    """Say what is to be known of goals: drift, arms that are worse or dearer, causes of failure."""
    reports = _asked(
        aggregator, lambda client: client.scores(goal, namespace=namespace, window_s=window)
    )
    found = [insight for report in reports for insight in report.insights]
    if as_json:
        from remora.cli.score_json import insight_json

        _print_json(map(insight_json, found))
        return
    from remora.cli.score_tables import insight_lines

    for line in insight_lines(found):
        click.echo(line)
    if not found:
        click.echo("remora scores insights: there is nothing to know", err=True)


@command.command(name="timeline")
@click.argument("goal")
@_SINCE
@_UNTIL
@click.option("--points", type=click.IntRange(min=1, max=1_000), default=60, show_default=True,
              help="Cut the time into so many pieces.")  # fmt: skip
@NAMESPACE
@AGGREGATOR
@JSON
def timeline(
    *,
    goal: str,
    since: int | None,
    until: int | None,
    points: int,
    namespace: str,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """Show how the arms of GOAL did over time; for the last 7 days if nothing else is said."""
    from remora.client.score_requests import Span as Between

    span = Between(since_unix_ns=since or 0, until_unix_ns=until or 0)
    found = _asked(
        aggregator,
        lambda client: client.timeline(goal, span, namespace=namespace, points=points),
    )
    if not found:
        _nothing(f"no answer for the goal {goal!r} was judged then", goal)
        return
    if as_json:
        from remora.cli.score_json import timeline_json

        _print_json(map(timeline_json, found))
        return
    from remora.cli.score_tables import timeline_table
    from remora.cli.screen import output

    output().print(timeline_table(found))


@command.command(name="benchmarks")
@_SINCE
@_UNTIL
@click.option("--goal", default="", metavar="NAME", help="Only calls for this goal.")
@NAMESPACE
@AGGREGATOR
@JSON
def benchmarks(
    *,
    since: int | None,
    until: int | None,
    goal: str,
    namespace: str,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """Show what models were measured to do: latency, throughput, cost, good answers."""
    from remora.client.score_requests import Span as Between

    span = Between(since_unix_ns=since or 0, until_unix_ns=until or 0)
    found = _asked(
        aggregator, lambda client: client.benchmarks(span, goal=goal, namespace=namespace)
    )
    if as_json:
        from remora.cli.score_json import benchmark_json

        _print_json(map(benchmark_json, found))
        return
    if not found:
        click.echo("remora scores benchmarks: no call was recorded then", err=True)
        return
    from remora.cli.score_tables import benchmark_table
    from remora.cli.screen import output

    output().print(benchmark_table(found))


@command.command(name="settings")
@click.argument("goal")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE",
              help="Change a setting; may be given again. none as a value: no half_life_ms; "
                   "default: as if nobody had set it.")  # fmt: skip
@NAMESPACE
@AGGREGATOR
@JSON
def settings(
    *,
    goal: str,
    changes: tuple[str, ...],
    namespace: str,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """Show the settings of GOAL, or change them; '*' stands for goals that have none of their own.

    Where a policy says otherwise, the policy counts. docs/learned-routing.md has what each does.
    """
    from remora.cli.scores_settings import changed

    def ask(client: "ScoreClient") -> Any:
        found = client.settings(goal, namespace=namespace)
        if not changes:
            return found
        return client.settings(goal, namespace=namespace, put=changed(found, changes))

    found = _asked(aggregator, ask)
    if as_json:
        _print_json([{"goal": goal, "settings": found.as_mapping()}])
        return
    from remora.cli.score_tables import settings_lines

    for line in settings_lines(found):
        click.echo(line)


def _asked[T](aggregator: str | None, ask: "Callable[[ScoreClient], T]") -> T:
    from remora.cli.screen import waiting
    from remora.client.scores import ScoreClient
    from remora.client.settings import read_client_settings

    target = read_client_settings(aggregator).target
    with ScoreClient(target) as client, waiting(f"Asking {target.address} …"):
        return ask(client)


def _nothing(what: str, goal: str) -> None:
    """Say that there is nothing; ends the command where one thing was asked for."""
    click.echo(f"remora scores: {what}", err=True)
    if goal:
        raise click.exceptions.Exit(1)


def _print_json(shown: Iterable[object]) -> None:
    for one in shown:
        click.echo(json.dumps(one, ensure_ascii=False))


for _command in (versions, show, diff, propose, activate, rollback, evaluate):
    command.add_command(_command)
