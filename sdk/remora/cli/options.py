"""Options that several commands share, and the filter that they make."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from remora.clock import SystemClock

if TYPE_CHECKING:
    from remora.client.filter import RecordFilter


@dataclass(frozen=True, slots=True)
class Asked:
    """What the filter options say, before anything heavy is imported."""

    session: str
    task: str
    model: str
    provider: str
    since_unix_ns: int
    until_unix_ns: int
    errors: bool


class Moment(click.ParamType[int]):
    """A moment as nanoseconds since the Unix epoch."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a span back from now, or a date and time."""
        from remora.cli.moments import parse_moment

        try:
            return parse_moment(str(value), SystemClock().now_unix_ns())
        except ValueError as error:
            self.fail(str(error), param, ctx)


AGGREGATOR = click.option("--aggregator", metavar="HOST:PORT", help="Default: REMORA_AGGREGATOR.")
JSON = click.option("--json", "as_json", is_flag=True, help="JSON for programs; docs/cli.md.")

_OPTIONS = (
    click.option("--session", default="", metavar="ID", help="Calls of this session."),
    click.option("--task", default="", metavar="ID", help="Calls of this task."),
    click.option("--model", default="", help="Calls that asked for, were sent or got this model."),
    click.option("--provider", default="", help="Calls to this provider."),
    click.option("--since", type=Moment(), help="Calls since then: 30m, 2h, 7d, 2026-11-01T12:00."),
    click.option("--until", type=Moment(), help="Calls before then."),
    click.option("--errors", is_flag=True, help="Calls that failed."),
    AGGREGATOR,
    JSON,
)


def filter_options[F: Callable[..., Any]](command: F) -> F:
    """Add the filter options; they arrive as ``asked``, beside ``aggregator`` and ``as_json``."""
    import functools

    @functools.wraps(command)
    def with_filter(
        *,
        session: str,
        task: str,
        model: str,
        provider: str,
        since: int | None,
        until: int | None,
        errors: bool,
        **others: Any,
    ) -> Any:
        asked = Asked(session, task, model, provider, since or 0, until or 0, errors)
        return command(asked=asked, **others)

    decorated: Any = with_filter
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    result: F = decorated
    return result


def record_filter(asked: Asked, call_id: str = "") -> "RecordFilter":
    """Make the filter that was asked for."""
    from remora.client.filter import Outcome, RecordFilter

    return RecordFilter(
        call_id=call_id,
        session_id=asked.session,
        task_id=asked.task,
        model=asked.model,
        provider=asked.provider,
        since_unix_ns=asked.since_unix_ns,
        until_unix_ns=asked.until_unix_ns,
        outcome=Outcome.ERROR if asked.errors else Outcome.ANY,
    )
