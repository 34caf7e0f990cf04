"""The resource ``/v1/usage``: sums over calls, by group and by span of time."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from aiohttp import web
from pydantic import ConfigDict, Field

from remora.cli.moments import iso_utc
from remora.cli.record_json import usage_json
from remora.client.usage import UsageDimension, from_message
from remora_aggregator.service.usage_answer import usage_answer
from remora_aggregator.store.questions import usage_question
from remora_aggregator.web.answering import in_time, rendered
from remora_aggregator.web.callers import caller_of, seen
from remora_aggregator.web.front import front_of
from remora_aggregator.web.operation import Operation, json_of
from remora_aggregator.web.parameters import MOST_GROUPS, UsageParameters
from remora_aggregator.web.problems import ApiProblem
from remora_aggregator.web.question import usage_request
from remora_aggregator.web.record_answer import Answer, moment, money
from remora_proto.v1 import records_pb2 as pb

_MEASURES: Final = {
    pb.MEASURE_LATENCY: "latency_s",
    pb.MEASURE_TTFT: "ttft_s",
    pb.MEASURE_OVERHEAD: "overhead_s",
}


class QuantileAnswer(Answer):
    """One quantile of a measure."""

    model_config = ConfigDict(title="Quantile")

    quantile: float
    value_s: float = Field(description="Off by at most `quantile_error` of itself.")


class QuantilesAnswer(Answer):
    """The quantiles that were asked for; of a measure that no call has, none."""

    model_config = ConfigDict(title="Quantiles")

    latency_s: list[QuantileAnswer]
    ttft_s: list[QuantileAnswer]
    overhead_s: list[QuantileAnswer]


class UsageRowAnswer(Answer):
    """The sums of one group; sums of tokens are null where no call's usage could be read."""

    model_config = ConfigDict(title="UsageRow")

    group: dict[str, str | None] = Field(description="By what was grouped, and its value.")
    starts_at: str | None = moment("When the span begins, where an interval was asked for.")
    calls: int
    errors: int
    cached_calls: int
    estimated_calls: int = Field(description="Calls whose usage is our own guess.")
    unread_usage_calls: int = Field(description="Calls whose tokens and cost are not in the sums.")
    unpriced_calls: int = Field(description="Calls whose cost is not in the sums.")
    priced_calls: int
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: str | None = money("Of the priced calls; null: there was none.")
    saved_usd: str | None = money(
        "What answers from the cache would have cost; null: nobody knows."
    )
    saved_s: float = Field(description="What they would have taken.")
    latency_sum_s: float
    quantiles: QuantilesAnswer | None = Field(description="Null: none were asked for.")


class UsageTableAnswer(Answer):
    """Sums over calls, one row for each group."""

    model_config = ConfigDict(title="UsageTable")

    group_by: list[str]
    interval_s: int | None = Field(description="Null: over the whole time.")
    quantile_error: float | None = Field(
        description="How far, as a part of it, a quantile may be from the true value; null: none "
        "were asked for."
    )
    more: bool = Field(description="Whether there are more groups than `limit`.")
    rows: list[UsageRowAnswer] = Field(description="By time, then the most calls first.")


async def sum_up(request: web.Request, asked: UsageParameters) -> web.StreamResponse:
    """Answer with sums."""
    front = front_of(request)
    wanted = usage_request(asked, front.clock.now_unix_ns())
    question = usage_question(wanted, seen(caller_of(request), wanted.filter))
    async with in_time(front.bounds):
        groups = await front.store.usage(question)
    if len(groups) > MOST_GROUPS + 1:
        detail = f"The answer would have {len(groups)} rows; {MOST_GROUPS} can be given."
        raise ApiProblem(400, detail, "too-many-rows", where="interval", remedy=_REMEDY)
    more = not asked.interval_s and len(groups) > asked.limit
    answer = partial(usage_answer, wanted, groups[: asked.limit] if more else groups)
    return await rendered(lambda: table_json(answer(), asked, more=more))


_REMEDY = "Ask for longer intervals, fewer dimensions, or a shorter time by `since` and `until`."


def table_json(answer: pb.UsageResponse, asked: UsageParameters, *, more: bool) -> dict[str, Any]:
    """Show sums."""
    dimensions = asked.dimensions
    return {
        "group_by": [dimension.name.lower() for dimension in dimensions],
        "interval_s": asked.interval_s or None,
        "quantile_error": answer.quantile_error if asked.quantiles else None,
        "more": more,
        "rows": [_row(row, dimensions, asked) for row in answer.rows],
    }


def _row(
    row: pb.UsageRow, dimensions: Sequence[UsageDimension], asked: UsageParameters
) -> dict[str, Any]:
    return {
        **usage_json(from_message(row), dimensions),
        "starts_at": iso_utc(row.start_unix_nano) if asked.interval_s else None,
        "estimated_calls": row.estimated_calls,
        "priced_calls": row.priced_calls,
        "saved_usd": row.saved_usd or None,
        "saved_s": row.saved_s,
        "quantiles": _quantiles(row.quantiles) if asked.quantiles else None,
    }


def _quantiles(told: Iterable[pb.Quantile]) -> Mapping[str, list[dict[str, float]]]:
    shown: dict[str, list[dict[str, float]]] = {name: [] for name in _MEASURES.values()}
    for one in told:
        value = {"quantile": one.quantile, "value_s": one.value_s}
        shown[_MEASURES[one.measure]].append(value)
    return shown


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/usage", "sumUpUsage", "Sum up calls, tokens and cost",
        parameters=UsageParameters, handler=sum_up, answer=json_of(UsageTableAnswer),
    ),
)  # fmt: skip
