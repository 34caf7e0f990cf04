"""`remora workflow run`: run a workflow on the sidecar that is found here, and watch it."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from remora.cli.options import JSON
from remora.cli.workflow_order import Limits, budget_of, input_of, key_of

if TYPE_CHECKING:
    from remora.api_client import Client
    from remora.api_client.run_stream import RunStream
    from remora.cli.workflow_progress import Progress

_COMPLETED: Final = "completed"

type _Show = Callable[[Mapping[str, Any], str], None]
"""Shows an event, which a line says in words."""


@click.command(name="run")
@click.argument("workflow", metavar="FILE|NAME")
@click.option("--input", "given", metavar="JSON|@FILE|-", help="What it works on; -: stdin.")
@click.option("--set", "members", multiple=True, metavar="KEY=VALUE",
              help="A member of the input; JSON is read as JSON. May be given again.")  # fmt: skip
@click.option("--goal", metavar="TEXT", help="The input's goal.")
@click.option("--budget-usd", metavar="X", help="What the run may cost.")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N",
              help="Tokens that it may use.")  # fmt: skip
@click.option("--max-latency", metavar="SPAN", help="How long it may take: 30s, 5m.")
@click.option("--on-exceed", type=click.Choice(["block", "stop", "downgrade", "warn"]),
              help="What happens before a limit is passed.")  # fmt: skip
@click.option("--task", "task_id", metavar="ID", help="The task that it belongs to.")
@click.option("--key-from", metavar="VARIABLE",
              help="Variable with the provider's key, where policy has none; default: "
                   "OPENAI_API_KEY, ANTHROPIC_API_KEY and the like.")  # fmt: skip
@JSON
@click.option("--stream-json", is_flag=True, help="Each event as a line of JSON.")
def run(
    *,
    workflow: str,
    given: str | None,
    members: tuple[str, ...],
    goal: str | None,
    budget_usd: str | None,
    max_tokens: int | None,
    max_latency: str | None,
    on_exceed: str | None,
    task_id: str | None,
    key_from: str | None,
    as_json: bool,
    stream_json: bool,
) -> None:
    """Run a workflow on the sidecar of this pod or machine, and watch its steps.

    FILE is a file; NAME is one of `remora workflow list`. On a laptop: remora run -- remora
    workflow run research --goal "…". The outputs go to standard output, all else to standard
    error. Ctrl-C cancels the run, and says what it cost. Exit code 0: it completed; 1: it
    failed, was cancelled, or met its budget; 2: the workflow, its input or an option is wrong.
    """
    if as_json and stream_json:
        raise click.UsageError("--json and --stream-json exclude each other")
    from remora.api_client import Client
    from remora.local_sidecar.finding import current_environment

    input_ = input_of(given, goal, members)
    budget = budget_of(Limits(budget_usd, max_tokens, max_latency, on_exceed))
    key = key_of(key_from, current_environment())
    form = _stream_json if stream_json else _json if as_json else _text
    with Client(api_key=key) as client, _usage_explained():
        events = client.workflows.stream(
            _workflow(workflow), input=input_, budget=budget, task_id=task_id
        )
        sys.exit(0 if form(client, events) == _COMPLETED else 1)


@contextmanager
def _usage_explained() -> Iterator[None]:
    """Say of a workflow that nobody knows that the command was wrong."""
    from remora.api_client import ApiError

    try:
        yield
    except ApiError as error:
        if error.code != "UNKNOWN_WORKFLOW":
            raise
        raise click.UsageError(f"{error}; it is no file either") from None


def _workflow(given: str) -> str | Path:
    """Tell files from names: what looks like a path is one, whether or not it is there."""
    path = Path(given)
    return path if len(path.parts) > 1 or path.is_file() else given


def _stream_json(client: "Client", events: "RunStream") -> str:
    def show(event: Mapping[str, Any], _: str) -> None:
        click.echo(_line(event))

    return str(_watched(client, events, show)["status"])


def _json(client: "Client", events: "RunStream") -> str:
    result = _watched(client, events, _say_nothing)
    click.echo(_line(result))
    return str(result["status"])


def _line(value: Mapping[str, Any]) -> str:
    from remora.api_client.amounts import without_amounts

    return json.dumps(without_amounts(value), ensure_ascii=False)


def _say_nothing(event: Mapping[str, Any], line: str) -> None:
    """Show nothing: what comes of it is shown at the end."""


def _text(client: "Client", events: "RunStream") -> str:
    from remora.cli.workflow_progress import Progress, failure, output_text, summary

    progress = Progress()
    with _showing(progress) as show:
        result = _watched(client, events, show, progress)
    if text := output_text(result["outputs"], for_terminal=sys.stdout.isatty()):
        click.echo(text)
    click.echo(f"{progress.workflow}: {summary(result)}", err=True)
    if why := failure(result):
        click.echo(f"remora workflow run: {why}", err=True)
    return str(result["status"])


def _watched(
    client: "Client", events: "RunStream", show: _Show, progress: "Progress | None" = None
) -> dict[str, Any]:
    """Follow a run to its end; the first interruption cancels it, the second gives it up."""
    from remora.cli.workflow_progress import Progress

    progress = progress or Progress()
    with _interruptible():
        try:
            return _followed(events, show, progress)
        except KeyboardInterrupt:
            if not events.execution_id:
                events.abandon()
                raise
            click.echo("remora workflow run: cancels the run", err=True)
            client.executions.cancel(events.execution_id, "interrupted")
            return _followed(events.again(), show, progress)


def _followed(events: "RunStream", show: _Show, progress: "Progress") -> dict[str, Any]:
    from remora.errors import Unavailable

    for event in events:
        show(event, progress.take(event))
    if progress.result is None:
        raise Unavailable("the stream of the run ended before the run")
    return progress.result


@contextmanager
def _interruptible() -> Iterator[None]:
    """Take the end of the terminal, and being told to stop, for Ctrl-C: runs cost money."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


@contextmanager
def _showing(progress: "Progress") -> Iterator[_Show]:
    """Show the steps on standard error: live on a terminal, else a line for each event."""
    from rich.console import Console
    from rich.live import Live

    from remora.cli.workflow_progress import step_table

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        yield lambda _, line: click.echo(line, err=True) if line else None
        console.print(step_table(progress))
        return

    def show(event: Mapping[str, Any], line: str) -> None:
        if line and not event["type"].startswith("step_"):
            console.print(line)  # above the table, which the clock refreshes

    with Live(console=console, refresh_per_second=8, get_renderable=lambda: step_table(progress)):
        yield show
