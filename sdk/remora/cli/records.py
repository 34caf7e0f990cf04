"""`remora records`: list recorded calls, follow them, or write them to a file."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
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


@dataclass(frozen=True, slots=True)
class _Listed:
    """Which of the records that match are shown, and in which order.

    Attributes:
        limit: How many at most; 0: all; None: nobody said.
        order_by: A field that is a number; empty: as they were committed.
        most_first: Whether its largest values come first.
    """

    limit: int | None
    order_by: str
    most_first: bool
    with_bodies: bool


@click.command(name="records")
@click.argument("call_id", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on with the calls that are made from now.")
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(min=0),
    help="The newest so many; 0: all. Default: 50; with --follow all since --since; with --to all.",
)
@click.option("--order-by", default="", metavar="FIELD",
              help="Least first, by a number such as latency_s or cost.total_usd.")  # fmt: skip
@click.option("--most-first", is_flag=True, help="With --order-by: most first.")
@click.option("--wide", "-w", is_flag=True, help="Add session, task and call id.")
@click.option("--bodies", is_flag=True, help="With --json or --to: what policy kept of bodies.")
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write all that matches to FILE.jsonl or FILE.parquet.")  # fmt: skip
@click.option("--force", is_flag=True, help="With --to: replace the file if it is there.")
@filter_options
def command(
    *,
    call_id: str | None,
    follow: bool,
    limit: int | None,
    order_by: str,
    most_first: bool,
    wide: bool,
    bodies: bool,
    to: Path | None,
    force: bool,
    asked: Asked,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """List recorded calls, oldest first; with CALL_ID, show that call in full."""
    from remora.cli.screen import output
    from remora.client.settings import read_client_settings

    _check(call_id=call_id, follow=follow, order_by=order_by, most_first=most_first, to=to,
           as_json=as_json)  # fmt: skip
    wanted = record_filter(asked, call_id or "")
    listed = _Listed(limit, order_by, most_first, with_bodies=bodies or bool(call_id))
    if to is not None:
        _export(aggregator, wanted, listed, to, force=force)
        return
    target = read_client_settings(aggregator).target
    show: _Shown = _Lines(output(), wide=wide)
    if as_json or call_id:
        show = _Json(with_bodies=listed.with_bodies, indent=2 if call_id else None)
    if follow:
        _follow(target, wanted, show, limit, with_bodies=bodies)
        return
    if _list(target, wanted, show, listed) == 0:
        click.echo(f"remora records: {_nothing(call_id, target.address)}", err=True)
        raise click.exceptions.Exit(1 if call_id else 0)


def _check(
    *, call_id: str | None, follow: bool, order_by: str, most_first: bool, to: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Refuse options that contradict each other."""
    if most_first and not order_by:
        raise click.UsageError("--most-first needs --order-by: the most of what?")
    if follow and order_by:
        raise click.UsageError("--order-by can't order calls that are yet to come (--follow)")
    others = {"CALL_ID": call_id, "--follow": follow, "--json": as_json}
    for name, is_given in others.items():
        if to is not None and is_given:
            raise click.UsageError(f"--to writes all that matches to a file; leave {name} out")


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


def _list(target: "AggregatorTarget", wanted: "RecordFilter", show: _Shown, listed: _Listed) -> int:
    from remora.cli.screen import waiting
    from remora.client.records import RecordClient

    limit = DEFAULT_LIMIT if listed.limit is None else listed.limit
    with RecordClient(target) as client:
        with waiting(f"Asking {target.address} …"):
            if listed.order_by:
                found: Iterable[StoredRecord] = _ordered(client, wanted, listed, limit)
            else:
                found = _newest(client, wanted, limit, listed.with_bodies)
        count = 0
        for stored in found:
            show.show(stored)
            count += 1
        return count


def _ordered(
    client: "RecordClient", wanted: "RecordFilter", listed: _Listed, limit: int
) -> "Iterable[StoredRecord]":
    """Give the first so many by a field; 0: all."""
    from remora.client.filter import Order

    return client.query(
        wanted,
        order=Order.NEWEST_FIRST if listed.most_first else Order.OLDEST_FIRST,
        order_by=listed.order_by,
        limit=limit or None,
        with_bodies=listed.with_bodies,
    )


def _newest(
    client: "RecordClient", wanted: "RecordFilter", limit: int, with_bodies: bool
) -> "Iterable[StoredRecord]":
    """Give the newest records, oldest first."""
    from remora.client.filter import Order

    if limit == 0:
        return client.query(wanted, with_bodies=with_bodies)
    newest = client.query(wanted, order=Order.NEWEST_FIRST, limit=limit, with_bodies=with_bodies)
    return reversed(list(newest))


def _export(
    aggregator: str | None, wanted: "RecordFilter", listed: _Listed, to: Path, *, force: bool
) -> None:
    """Write records to a file as they come."""
    from remora.cli.figures import plural
    from remora.cli.record_export import check_path, export
    from remora.cli.screen import waiting
    from remora.client.filter import Order
    from remora.client.records import RecordClient
    from remora.client.settings import read_client_settings

    target, path = read_client_settings(aggregator).target, check_path(to, replace=force)
    is_backwards = listed.most_first or (not listed.order_by and bool(listed.limit))
    with RecordClient(target) as client, waiting(f"Asking {target.address} …") as say:
        records = client.query(
            wanted,
            order=Order.NEWEST_FIRST if is_backwards else Order.OLDEST_FIRST,
            order_by=listed.order_by,
            limit=listed.limit or None,
            with_bodies=listed.with_bodies,
        )
        try:
            count = export(
                records,
                path,
                with_bodies=listed.with_bodies,
                progress=lambda count: say(f"{to}: {plural(count, 'record')} written …"),
            )
        except OSError as error:
            why = error.strerror or error
            raise click.ClickException(f"{to} can't be written: {why}") from error
    click.echo(f"{to}: {plural(count, 'record')}, {path.stat().st_size:,} bytes", err=True)


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
