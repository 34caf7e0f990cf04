"""`remora explain`: why a call went where it went."""

import json
from typing import TYPE_CHECKING

import click

from remora.cli.options import AGGREGATOR, JSON

if TYPE_CHECKING:
    from remora.records import CallRecord


@click.command(name="explain")
@click.argument("call_id")
@AGGREGATOR
@JSON
def command(*, call_id: str, aggregator: str | None, as_json: bool) -> None:
    """Explain a recorded call: the rule, the candidates, the budgets, what was tried.

    CALL_ID stands in the answer's header remora-call-id, and in `remora records --wide`.
    """
    record = recorded_call("remora explain", call_id, aggregator)
    if as_json:
        from remora.cli.receipt_json import receipt_json

        click.echo(json.dumps(receipt_json(record), ensure_ascii=False))
        return
    from remora.cli.explanation import explanation

    for line in explanation(record):
        click.echo(line)


def recorded_call(
    command_name: str, call_id: str, aggregator: str | None, *, with_bodies: bool = False
) -> "CallRecord":
    """Fetch a recorded call; ends the command where there is none.

    Args:
        command_name: Says who asks, where there is nothing to tell.
        call_id: Of the call.
        aggregator: Where to ask; None: what the settings say.
        with_bodies: With what was kept of its bodies.
    """
    from remora.cli.screen import waiting
    from remora.client.filter import RecordFilter
    from remora.client.records import RecordClient
    from remora.client.settings import read_client_settings

    target, wanted = read_client_settings(aggregator).target, RecordFilter(call_id=call_id)
    with RecordClient(target) as client, waiting(f"Asking {target.address} …"):
        found = next(iter(client.query(wanted, limit=1, with_bodies=with_bodies)), None)
    if found is None:
        text = f"{command_name}: the aggregator at {target.address} has no call {call_id}"
        click.echo(text, err=True)
        raise click.exceptions.Exit(1)
    return found.record
