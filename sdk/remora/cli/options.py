"""Options that several commands share, and the filter that they make."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

from remora.clock import SystemClock

if TYPE_CHECKING:
    from remora.client.condition import Condition
    from remora.client.filter import RecordFilter


@dataclass(frozen=True, slots=True)
class Asked:
    """What the filter options say, before anything heavy is imported."""

    session: str = ""
    task: str = ""
    agent: str = ""
    combo: str = ""
    data: str = ""
    model: str = ""
    provider: str = ""
    operation: str = ""
    namespace: str = ""
    workload: str = ""
    goal: str = ""
    where: "tuple[Condition, ...]" = ()
    text: str = ""
    since: int | None = None
    until: int | None = None
    errors: bool = False


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


class Span(click.ParamType[int]):
    """A span of time in whole seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a span such as 15m, 1h or 1d."""
        from remora.policy.quantities import Duration

        if isinstance(value, int):
            return value
        try:
            span_ms = Duration.parse(str(value)).milliseconds
        except ValueError:
            span_ms = 0
        if span_ms % 1000 or not span_ms:
            self.fail(f"{value!r} is no span of whole seconds such as 15m, 1h or 1d", param, ctx)
        return span_ms // 1000


class Where(click.ParamType["Condition"]):
    """A condition on a field of a record."""

    name = "condition"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Condition":
        """Read a condition such as ``latency_s>=2``."""
        from remora.client.condition import Condition, parse_condition
        from remora.errors import BadRequest

        if isinstance(value, Condition):
            return value
        try:
            return parse_condition(str(value))
        except BadRequest as error:
            self.fail(str(error), param, ctx)


AGGREGATOR = click.option("--aggregator", metavar="HOST:PORT", help="Default: REMORA_AGGREGATOR.")
JSON = click.option("--json", "as_json", is_flag=True, help="JSON for programs; docs/cli.md.")
NAMESPACE = click.option(
    "--namespace", default="", metavar="NAME", help="Default: the namespace of your token."
)

_CALLS = (
    click.option("--session", default="", metavar="ID", help="Calls of this session."),
    click.option("--task", default="", metavar="ID", help="Calls of this task."),
    click.option("--agent", default="", metavar="ID", help="Calls of this agent."),
    click.option("--combo", default="", metavar="ID", help="Calls of this combination."),
    click.option("--data", default="", metavar="ID", help="Calls about this item of data."),
    click.option("--model", default="", help="Calls that asked for, were sent or got this model."),
    click.option("--provider", default="", help="Calls to this provider."),
    click.option("--operation", default="", help="Calls that ask for this: chat, embeddings, …"),
    click.option("--namespace", default="", metavar="NAME", help="Calls of this namespace."),
    click.option("--workload", default="", metavar="NAME", help="Calls of this workload's pods."),
    click.option("--goal", default="", metavar="NAME", help="Calls for this goal."),
    click.option("--where", multiple=True, type=Where(), metavar="CONDITION",
                 help="Calls of which this holds, such as 'latency_s>=2' or 'model~gpt-*'; "
                      "may be given again. docs/cli.md has the signs."),
    click.option("--text", default="", metavar="WORDS",
                 help="Calls whose captured text holds all these words."),
    click.option("--errors", is_flag=True, help="Calls that failed."),
)  # fmt: skip
_TIMES = (
    click.option("--since", type=Moment(), help="Calls since then: 30m, 2h, 7d, 2026-11-01T12:00."),
    click.option("--until", type=Moment(), help="Calls before then."),
)
_NAMES = frozenset(field.name for field in fields(Asked))

type _Option = Callable[[Any], Any]


def _with_options[F: Callable[..., Any]](command: F, options: tuple[_Option, ...]) -> F:
    """Add options; those of the filter arrive as ``asked``, the others by their names."""

    @functools.wraps(command)
    def with_filter(**given: Any) -> Any:
        asked = Asked(**{name: given.pop(name) for name in _NAMES & given.keys()})
        return command(asked=asked, **given)

    decorated: Any = with_filter
    for option in reversed(options):
        decorated = option(decorated)
    result: F = decorated
    return result


def filter_options[F: Callable[..., Any]](command: F) -> F:
    """Add the filter options; they arrive as ``asked``, beside ``aggregator`` and ``as_json``."""
    return _with_options(command, (*_CALLS, *_TIMES, AGGREGATOR, JSON))


def call_options[F: Callable[..., Any]](command: F) -> F:
    """Add the filter options without those of time."""
    return _with_options(command, (*_CALLS, AGGREGATOR, JSON))


def record_filter(asked: Asked, call_id: str = "") -> "RecordFilter":
    """Make the filter that was asked for."""
    from remora.client.condition import Condition, Operator
    from remora.client.filter import Outcome, RecordFilter

    conditions = asked.where
    for name in ("workload", "goal"):
        if value := getattr(asked, name):
            conditions += (Condition(name, Operator.EQUAL, (value,)),)
    return RecordFilter(
        call_id=call_id,
        session_id=asked.session,
        task_id=asked.task,
        agent_id=asked.agent,
        combo_id=asked.combo,
        data_id=asked.data,
        model=asked.model,
        provider=asked.provider,
        operation=asked.operation,
        namespace=asked.namespace,
        since_unix_ns=asked.since or 0,
        until_unix_ns=asked.until or 0,
        outcome=Outcome.ERROR if asked.errors else Outcome.ANY,
        conditions=conditions,
        text=asked.text,
    )
