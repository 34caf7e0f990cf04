"""`remora records`: list recorded calls, or follow them."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from remora.cli.options import Asked, filter_options, record_filter

if TYPE_CHECKING:
    from rich.console import Console

    from remora.client.filter import RecordFilter
    from remora.client.records import RecordClient
    from remora.client.target import AggregatorTarget
    from remora.records import StoredRecord

DEFAULT_LIMIT = 50


@click.command(name="records")
@click.argument("call_id", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on with the calls that are made from now.")
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(min=0),
    help="The newest so many; 0: all. Default: 50; with --follow all since --since.",
)
@click.option("--wide", "-w", is_flag=True, help="Add session, task and call id.")
@click.option("--bodies", is_flag=True, help="With --json: what policy kept of bodies.")
@filter_options
def command(
    *,
    call_id: str | None,
    follow: bool,
    limit: int | None,
    wide: bool,
    bodies: bool,
    asked: Asked,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """List recorded calls, oldest first; with CALL_ID, show that call in full."""
    from remora.cli.screen import output
    from remora.client.settings import read_client_settings

    target = read_client_settings(aggregator).target
    wanted = record_filter(asked, call_id or "")
    show: _Shown = _Lines(output(), wide=wide)
    if as_json or call_id:
        show = _Json(with_bodies=bodies or bool(call_id), indent=2 if call_id else None)
    if follow:
        _follow(target, wanted, show, limit, with_bodies=bodies)
        return
    limit = DEFAULT_LIMIT if limit is None else limit
    count = _list(target, wanted, show, limit, with_bodies=bodies or bool(call_id))
    if count == 0:
        click.echo(f"remora records: {_nothing(call_id, target.address)}", err=True)
        raise click.exceptions.Exit(1 if call_id else 0)


def _nothing(call_id: str | None, address: str) -> str:
    if call_id:
        return f"the aggregator at {address} has no call {call_id}"
    return f"the aggregator at {address} has no call that matches"


class _Shown:
    """How records are shown."""

    def show(self, stored: "StoredRecord") -> None:
        """Show one record."""
        raise NotImplementedError


class _Lines(_Shown):
    """As lines of a table."""

    def __init__(self, console: "Console", *, wide: bool) -> None:
        from remora.cli.record_lines import RecordLines

        self._console = console
        self._lines = RecordLines(console.width, wide=wide)

    def show(self, stored: "StoredRecord") -> None:
        for line in self._lines.lines(stored.record):
            self._console.print(line)


class _Json(_Shown):
    """As one line of JSON each, or indented."""

    def __init__(self, *, with_bodies: bool, indent: int | None) -> None:
        self._with_bodies = with_bodies
        self._indent = indent

    def show(self, stored: "StoredRecord") -> None:
        from remora.cli.record_json import record_json

        shown = record_json(stored, with_bodies=self._with_bodies)
        click.echo(json.dumps(shown, indent=self._indent, ensure_ascii=False))


def _list(
    target: "AggregatorTarget", wanted: "RecordFilter", show: _Shown, limit: int, *,
    with_bodies: bool,
) -> int:  # fmt: skip
    from remora.cli.screen import waiting
    from remora.client.records import RecordClient

    with RecordClient(target) as client:
        with waiting(f"Asking {target.address} …"):
            found = _newest(client, wanted, limit, with_bodies)
        count = 0
        for stored in found:
            show.show(stored)
            count += 1
        return count


def _newest(
    client: "RecordClient", wanted: "RecordFilter", limit: int, with_bodies: bool
) -> "Iterable[StoredRecord]":
    """Give the newest records, oldest first."""
    from remora.client.filter import Order

    if limit == 0:
        return client.query(wanted, with_bodies=with_bodies)
    newest = client.query(wanted, order=Order.NEWEST_FIRST, limit=limit, with_bodies=with_bodies)
    return reversed(list(newest))


def _follow(
    target: "AggregatorTarget", wanted: "RecordFilter", show: _Shown, limit: int | None, *,
    with_bodies: bool,
) -> None:  # fmt: skip
    """Show all that come; before them the earlier ones, where some are asked for."""
    from remora.cli.follow import follow
    from remora.client.records import RecordClient

    def earlier(client: RecordClient) -> "Iterable[StoredRecord]":
        if limit is None and not wanted.since_unix_ns:
            return ()
        return _newest(client, wanted, limit or 0, with_bodies)

    for stored in follow(
        lambda: RecordClient(target),
        wanted,
        earlier=earlier,
        say=lambda text: click.echo(f"remora records: {text}", err=True),
        with_bodies=with_bodies,
    ):
        show.show(stored)
