"""`remora top`: what is going on now, on a terminal."""

import json
import sys
from typing import TYPE_CHECKING

import click

from remora.cli.options import Asked, call_options, record_filter
from remora.clock import SystemClock

if TYPE_CHECKING:
    from remora.cli.top_feed import TopFeed

_LEAVING = frozenset({"q", "Q", "\x1b", "\x03", "\x04", "gone"})
_KEYS = "q leaves"


@click.command(name="top")
@click.option("--minutes", type=click.IntRange(1, 120), default=5, show_default=True,
              help="How far back the plots and tables go.")  # fmt: skip
@click.option("--refresh", type=click.FloatRange(0.5, 60), default=2.0, show_default=True,
              help="Seconds from one picture to the next.")  # fmt: skip
@click.option("--once", is_flag=True, help="Show how things stand now, and end.")
@call_options
def command(
    *,
    minutes: int,
    refresh: float,
    once: bool,
    asked: Asked,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """Show what is going on: calls, errors, cost and latency, the busiest, the tasks that run.

    Where the output is no terminal, and with --json, it shows one picture and ends.
    """
    from remora.cli.screen import waiting
    from remora.cli.top_feed import TopFeed
    from remora.client.settings import read_client_settings

    target = read_client_settings(aggregator).target
    feed = TopFeed(target, record_filter(asked), minutes * 60, SystemClock())
    if not (once or as_json or not sys.stdout.isatty()):
        _live(feed, refresh)
        return
    with waiting(f"Asking {target.address} …"):
        feed.load()
    if as_json:
        from remora.cli.top_json import top_json

        click.echo(json.dumps(top_json(feed.snapshot()), ensure_ascii=False))
        return
    from remora.cli.screen import output
    from remora.cli.top_view import top_view

    console = output()
    console.print(top_view(feed.snapshot(), console.width, 0))


def _live(feed: "TopFeed", refresh_s: float) -> None:
    """Draw again and again until somebody wants to leave."""
    from rich.console import Console
    from rich.live import Live

    from remora.cli.keys import pressed_keys
    from remora.cli.screen import waiting
    from remora.cli.top_view import top_view

    console = Console(highlight=False, markup=False, emoji=False)
    with feed.running(refresh_s):
        with waiting("Asking the aggregator …"):
            feed.begun.wait()
        feed.snapshot()  # what keeps it from beginning is said on the usual screen
        with pressed_keys() as wait, Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                width, height = console.size
                live.update(top_view(feed.snapshot(), width, height, keys=_KEYS), refresh=True)
                if wait(refresh_s) in _LEAVING:
                    return
