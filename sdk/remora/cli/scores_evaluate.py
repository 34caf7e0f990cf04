"""`remora scores evaluate`: what another policy would have earned on calls that were logged."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remora.cli.options import AGGREGATOR, JSON, NAMESPACE, Moment
from remora.cli.policy_sources import LABELS, policy_of_files

if TYPE_CHECKING:
    from remora.cli.worth_lines import Evaluated
    from remora.client.router_version import KeptVersion
    from remora.client.score_requests import Span
    from remora.client.scores import ScoreClient
    from remora.learning.logged_decision import LoggedDecision
    from remora.learning.policy_replay import KnownScores
    from remora.policy import EffectivePolicy

_EVER_S = 90 * 86_400
"""How far back scores are asked for: as long as evidence is kept by default."""
_TOLD_EVERY = 1_000


@click.command(name="evaluate")
@click.option("--policy", "files", multiple=True, required=True, type=click.Path(path_type=Path),
              metavar="FILE", help="Policy file or folder; may be given again.")  # fmt: skip
@LABELS
@click.option("--goal", default="", metavar="NAME", help="Only calls for this goal.")
@click.option("--since", type=Moment(), help="Calls since then: 30m, 2h, 7d, …")
@click.option("--until", type=Moment(), help="Calls before then.")
@click.option("--operation", default="chat", show_default=True,
              help="What the calls ask for, which the log does not say.")  # fmt: skip
@click.option("--workload", default="", metavar="NAME",
              help="Scores as this workload's sidecars have them.")  # fmt: skip
@NAMESPACE
@AGGREGATOR
@JSON
def evaluate(
    *,
    files: tuple[Path, ...],
    labels: dict[str, str] | None,
    goal: str,
    since: int | None,
    until: int | None,
    operation: str,
    workload: str,
    namespace: str,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """Say what the policy of FILE would have earned on calls that were judged.

    Nothing is called: each logged call tells how likely its choice was, and that is held against
    what the policy would have chosen. Calls of which the log can't tell that are left out.
    """
    from remora.client.score_requests import Span

    policy = policy_of_files(files, labels or {})
    span = Span(since_unix_ns=since or 0, until_unix_ns=until or 0)
    log, scores, notes = _gathered(policy, aggregator, span, goal, namespace, workload)
    found = _evaluated(policy, log, scores, operation, notes)
    if as_json:
        from remora.cli.worth_lines import evaluated_json

        click.echo(json.dumps(evaluated_json(found), ensure_ascii=False))
    else:
        _show(found)
    if not found.worths:
        what = "nothing is left of it" if log else "no call was decided by chance and judged then"
        click.echo(f"remora scores evaluate: {what}", err=True)
        raise click.exceptions.Exit(1)


def _gathered(
    policy: "EffectivePolicy",
    aggregator: str | None,
    span: "Span",
    goal: str,
    namespace: str,
    workload: str,
) -> "tuple[list[LoggedDecision], KnownScores, tuple[str, ...]]":
    """Ask for the log, and for the scores that the policy's routers go by."""
    from remora.cli.screen import waiting
    from remora.client.scores import ScoreClient
    from remora.client.settings import read_client_settings
    from remora.learning.policy_replay import KnownScores

    target = read_client_settings(aggregator).target
    updates = _learned(policy)
    with ScoreClient(target) as client, waiting(f"Asking {target.address} …") as say:
        log = _told(client.log(span, goal=goal, namespace=namespace), say)
        live, version = {}, None
        if "live" in updates:
            reports = client.scores(namespace=namespace, workload=workload, window_s=_EVER_S)
            live = {report.goal: report.scores for report in reports}
        if "gated" in updates:
            version = _in_force(client, namespace)
    gated = {} if version is None else version.goals
    return log, KnownScores(live, gated), tuple(_notes(updates, version, log))


def _told(log: "Iterator[LoggedDecision]", say: Callable[[str], None]) -> "list[LoggedDecision]":
    read = []
    for call in log:
        read.append(call)
        if len(read) % _TOLD_EVERY == 0:
            say(f"{len(read):,} decisions read …")
    return read


def _learned(policy: "EffectivePolicy") -> set[str]:
    """Say what routers that learn go by."""
    routers = (route.router for route in policy.rules.routes)
    return {
        router.updates or "live"
        for router in routers
        if router is not None and router.policy == "learned"
    }


def _in_force(client: "ScoreClient", namespace: str) -> "KeptVersion | None":
    versions = client.versions(namespace=namespace)
    number = next((version.number for version in versions if version.is_in_force), None)
    return None if number is None else client.version(number, namespace=namespace)


def _notes(
    updates: set[str], version: "KeptVersion | None", log: "list[LoggedDecision]"
) -> Iterator[str]:
    if "live" in updates:
        yield (
            "Its learned routers were given the scores as they are now, which were made of these "
            "calls as well: that flatters it. A router version is judged fairly by calls since it "
            "was made (updates: gated)."
        )
    if "gated" in updates and version is None:
        yield "No router version is in force: its gated routers know nothing."
    if version is not None and log and log[0].started_unix_ns < version.made_unix_ns:
        yield (
            f"Some of these calls are older than router version {version.number}, which was made "
            "of them: that flatters it. Give --since a time after it was made."
        )


def _evaluated(
    policy: "EffectivePolicy",
    log: "list[LoggedDecision]",
    scores: "KnownScores",
    operation: str,
    notes: tuple[str, ...],
) -> "Evaluated":
    from remora.cli.worth_lines import Evaluated
    from remora.errors import Unavailable
    from remora.learning.policy_replay import PolicyReplay
    from remora.learning.policy_worth import worth_of

    replay = PolicyReplay(policy.rules, log, scores, operation=operation).replayed()
    try:
        worths = worth_of(replay) if replay.log else []
    except ValueError as error:
        raise Unavailable(f"the aggregator's log can't be read: {error}") from None
    return Evaluated(
        policy=policy.name,
        version=policy.version,
        operation=operation,
        first_unix_ns=log[0].started_unix_ns if log else 0,
        last_unix_ns=log[-1].started_unix_ns if log else 0,
        replay=replay,
        worths=worths,
        notes=notes,
    )


def _show(evaluated: "Evaluated") -> None:
    from remora.cli.screen import output
    from remora.cli.worth_lines import conclusion_lines, evaluated_lines, goal_table, worth_table

    console = output()
    for line in evaluated_lines(evaluated):
        console.print(line)
    if not evaluated.worths:
        return
    console.print()
    console.print(worth_table(evaluated.worths[0]))
    if evaluated.worths[1:]:
        console.print()
        console.print(goal_table(evaluated.worths[1:]))
    console.print()
    for line in conclusion_lines(evaluated):
        console.print(line)
