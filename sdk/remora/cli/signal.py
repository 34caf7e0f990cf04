"""`remora signal`: say what became of answers, and list what was said."""

import itertools
import json
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from remora.cli.default_command import WithDefault
from remora.cli.options import AGGREGATOR, JSON, NAMESPACE, Moment

if TYPE_CHECKING:
    from remora.cli.signal_doors import Door
    from remora.client.signal import Sent, Signal

DEFAULT_LIMIT = 50
_STANDARD_INPUT = "-"
_SHARE = click.FloatRange(0, 1)


@click.group(
    name="signal", cls=WithDefault, default="send", subcommand_metavar="CALL_ID... KIND | list"
)
def command() -> None:
    """Say what became of answers: remora signal CALL_ID accepted.

    What is said counts from the next decision of learned routing on. `remora signal send --help`
    has the kinds and options.
    """


@command.command(name="send")
@click.argument("words", nargs=-1, required=True, metavar="CALL_ID... KIND")
@click.option(
    "--score", type=_SHARE, help="How good the answer was, 0 to 1. Default: as KIND says."
)
@click.option("--confidence", type=_SHARE, help="How sure that is, 0 to 1. Default: as KIND says.")
@click.option("--user", help="Whose signal it is; a hash of it is sent.")
@click.option("--category", help="Why the answer was no good, such as malformed_output.")
@click.option("--dimension", help="What of the answer it is about, such as tone.")
@click.option("--goal", help="For calls whose record names none.")
@click.option("--session", help="The session that it belongs to.")
@click.option("--source", type=click.Choice(("inferred", "classified", "explicit", "downstream")),
              help="Of a kind that Remora does not know. Default: explicit.")  # fmt: skip
@click.option("--id", "signal_id", help="Of the signal: sent again with the same, it counts once.")
@NAMESPACE
@AGGREGATOR
@JSON
def send(
    *,
    words: tuple[str, ...],
    score: float | None,
    category: str | None,
    session: str | None,
    namespace: str,
    aggregator: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Say what became of the answers of calls.

    KIND is accepted, rejected, verbatim, copied, edited, discarded, or another that Remora knows
    (docs/cli.md lists them); any other name needs --score.

    With - for CALL_ID lines are read from standard input: call ids, or JSON objects with call_id,
    kind and whatever else POST /v1/signals takes. Options count where a line does not say.

    Goes to REMORA_AGGREGATOR; where that is not set to the sidecar of this pod or machine.
    """
    given |= {"strength": score, "failure_category": category, "session_id": session}
    given = {name: value for name, value in given.items() if value is not None}
    if words[0] == _STANDARD_INPUT:
        if len(words) > 2:
            raise click.UsageError("after - comes KIND, or nothing")
        if len(words) == 2:
            given["kind"] = words[1]
        _send(_lines(given), aggregator, namespace, as_json=as_json)
        return
    _send(_named(words, given), aggregator, namespace, as_json=as_json)


def _named(words: tuple[str, ...], given: Mapping[str, Any]) -> "Iterator[Signal | str]":
    from remora.cli.signal_line import signal_of

    *call_ids, kind = words
    if not call_ids:
        raise click.UsageError("say what became of it: remora signal CALL_ID accepted|rejected|…")
    if len(call_ids) > 1 and "signal_id" in given:
        raise click.UsageError("--id is one signal's: name one CALL_ID")
    try:
        signals = [
            signal_of({**given, "call_id": one, "kind": kind}, secrets.token_hex(16))
            for one in call_ids
        ]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return iter(signals)


def _lines(given: Mapping[str, Any]) -> "Iterator[Signal | str]":
    """Read standard input; of a line that is no signal gives why."""
    from remora.cli.signal_line import read_line

    if "signal_id" in given:
        raise click.UsageError("--id is one signal's: put signal_id into each line")
    for line in sys.stdin.buffer:
        if not (text := line.decode("utf-8", "replace").strip()):
            continue
        try:
            yield read_line(text, given, secrets.token_hex(16))
        except ValueError as error:
            yield str(error)


def _send(
    signals: "Iterable[Signal | str]", aggregator: str | None, namespace: str, *, as_json: bool
) -> None:
    from remora.cli.screen import waiting
    from remora.cli.signal_doors import open_door
    from remora.cli.signal_table import sent_json, sent_line

    door = open_door(aggregator, namespace)
    try:
        with waiting(f"Sending to {door.where} …") as say:
            sent = _all_sent(door, signals, say)
    finally:
        door.close()
    for refusal in sent.refused:
        click.echo(f"remora signal: number {refusal.position + 1}: {refusal.reason}", err=True)
    if as_json:
        click.echo(json.dumps(sent_json(sent, door.where), ensure_ascii=False))
    else:
        click.echo(sent_line(sent, door.where), err=True)
    if sent.refused:
        raise click.exceptions.Exit(1)


def _all_sent(
    door: "Door", signals: "Iterable[Signal | str]", say: Callable[[str], None]
) -> "Sent":
    """Send in order; says how far it came where sending ends early."""
    from remora.client.signal import Refused, Sent
    from remora.errors import RemoraError

    sent, after = Sent(), 0
    for some in itertools.batched(signals, door.most):
        fit = [(at, one) for at, one in enumerate(some) if not isinstance(one, str)]
        unfit = [Refused(at, one) for at, one in enumerate(some) if isinstance(one, str)]
        try:
            taken = door.send([one for _, one in fit]) if fit else Sent()
        except RemoraError:
            if after:
                click.echo(f"remora signal: the first {after:,} were sent before", err=True)
            raise
        refused = [one._replace(position=fit[one.position][0]) for one in taken.refused]
        sent = sent.plus(taken._replace(refused=tuple(sorted([*refused, *unfit]))), after)
        after += len(some)
        say(f"Sent {after:,} signals to {door.where} …")
    return sent


@command.command(name="list")
@click.option("--call", "call_id", default="", metavar="ID", help="About this call.")
@click.option("--session", "session_id", default="", metavar="ID", help="Of this session.")
@click.option("--goal", default="", metavar="NAME", help="Of calls for this goal.")
@click.option("--kind", default="", help="Of this kind, such as rejected or output_edited.")
@click.option("--since", type=Moment(), help="That came since then: 30m, 2h, 7d, 2026-11-01T12:00.")
@click.option("--until", type=Moment(), help="That came before then.")
@click.option("--limit", "-n", type=click.IntRange(min=0), default=DEFAULT_LIMIT,
              show_default=True, help="The newest so many; 0: all.")  # fmt: skip
@NAMESPACE
@AGGREGATOR
@JSON
def list_signals(
    *, limit: int, aggregator: str | None, as_json: bool, kind: str, **asked: Any
) -> None:
    """List signals, the newest first, each with whether its answer is judged by it."""
    from remora.cli.screen import output, waiting
    from remora.cli.signal_line import WORDS
    from remora.cli.signal_table import SignalLines, signal_json
    from remora.client.settings import read_client_settings
    from remora.client.signal import SignalFilter
    from remora.client.signals import SignalClient

    since, until = asked.pop("since") or 0, asked.pop("until") or 0
    wanted = SignalFilter(
        kind=WORDS.get(kind, kind), since_unix_ns=since, until_unix_ns=until, **asked
    )
    target = read_client_settings(aggregator).target
    with SignalClient(target) as client:
        with waiting(f"Asking {target.address} …"):
            found = client.list(wanted, limit=limit or None)
            signals = found if not limit else list(found)
        console, count = output(), 0
        lines = SignalLines(console.width)
        for stored in signals:
            count += 1
            if as_json:
                click.echo(json.dumps(signal_json(stored), ensure_ascii=False))
                continue
            for line in lines.lines(stored):
                console.print(line)
    if not count:
        where = f"the aggregator at {target.address}"
        click.echo(f"remora signal list: {where} has no signal that matches", err=True)
