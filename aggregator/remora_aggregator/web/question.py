"""Parameters as the questions that the store is asked. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Final

from remora.cli.moments import parse_moment
from remora.client.condition import to_message
from remora.errors import BadRequest
from remora_aggregator.store.cursor import place_of
from remora_aggregator.store.selection import condition
from remora_aggregator.store.sql import Place
from remora_aggregator.web.parameters import FilterParameters, UsageParameters
from remora_aggregator.web.problems import ApiProblem, of_error
from remora_proto.v1 import records_pb2 as pb

_MOST_NS: Final = (1 << 63) - 1
_TEXTS: Final = (
    "session_id", "data_id", "combo_id", "agent_id", "task_id", "provider", "dialect", "operation",
    "model", "namespace", "pod_uid", "call_id", "text",
)  # fmt: skip
_OUTCOMES: Final = {
    "any": pb.RecordFilter.OUTCOME_ANY,
    "ok": pb.RecordFilter.OUTCOME_OK,
    "error": pb.RecordFilter.OUTCOME_ERROR,
}


def record_filter(asked: FilterParameters, now_unix_ns: int) -> pb.RecordFilter:
    """Make the filter; raises ApiProblem where a moment is none, or no field is of a name."""
    return pb.RecordFilter(
        since_unix_nano=moment("since", asked.since, now_unix_ns),
        until_unix_nano=moment("until", asked.until, now_unix_ns),
        outcome=_OUTCOMES[asked.outcome],
        conditions=[_checked(to_message(one)) for one in asked.conditions],
        **{name: getattr(asked, name) for name in _TEXTS},
    )


def _checked(message: pb.Condition) -> pb.Condition:
    with about("where"):
        condition(message)
    return message


def moment(name: str, text: str, now_unix_ns: int) -> int:
    """Read a parameter that is a moment; 0 if none is given. Raises ApiProblem if it is none."""
    if not text:
        return 0
    try:
        # Zero would mean that nothing was asked.
        return max(1, min(parse_moment(text, now_unix_ns, UTC), _MOST_NS))
    except (ValueError, OverflowError) as error:
        raise ApiProblem(400, f"{error}.", "bad-parameter", where=name) from None


def usage_request(asked: UsageParameters, now_unix_ns: int) -> pb.UsageRequest:
    """Make the question for sums; raises ApiProblem as `record_filter` does."""
    return pb.UsageRequest(
        filter=record_filter(asked, now_unix_ns),
        group_by=[dimension.value for dimension in asked.dimensions],  # type: ignore[misc]  # the enum's wire number
        interval_s=asked.interval_s,
        quantiles=asked.quantiles,
        # One more shows whether there are more.
        limit=0 if asked.interval_s else asked.limit + 1,
    )


def place(cursor: str, where: str = "cursor") -> Place | None:
    """Read a cursor; raises ApiProblem where it is none."""
    with about(where):
        return place_of(cursor)


@contextmanager
def about(where: str) -> Iterator[None]:
    """Say of what is refused in here which parameter it is about."""
    try:
        yield
    except BadRequest as error:
        raise of_error(error, where) from error
