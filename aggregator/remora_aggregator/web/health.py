"""The resource ``/v1/health``: who reports, how much is stored, and what is wrong."""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from pydantic import ConfigDict, Field

from remora.cli.moments import iso_utc
from remora.errors import Unavailable
from remora_aggregator.service.caller import Scope
from remora_aggregator.store.retention import Retention, Stock
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.front import Front, front_of
from remora_aggregator.web.operation import Operation, json_of
from remora_aggregator.web.parameters import HealthParameters
from remora_aggregator.web.record_answer import Answer, moment
from remora_aggregator.web.roster import Sidecar, SidecarKey

_NS: Final = 1_000_000_000


class PolicySeenAnswer(Answer):
    """A policy that was in force."""

    model_config = ConfigDict(title="PolicySeen")

    name: str | None
    version: str


class WaitingAnswer(Answer):
    """What waits in a sidecar's spool to be reported."""

    model_config = ConfigDict(title="Waiting")

    records: int
    bytes: int | None = Field(description="The room that they take; null: its file can't tell.")
    limit_bytes: int | None = Field(description="The bound of the spool.")
    at: str = moment("When the sidecar said so.")


class SidecarAnswer(Answer):
    """A sidecar, as it and its last record say."""

    model_config = ConfigDict(title="Sidecar")

    namespace: str
    pod_uid: str
    pod_name: str | None
    workload: str | None
    node: str | None
    version: str | None
    last_seen_at: str = moment(
        "When it was heard of last; one that is well and has nothing to report says so each half "
        "minute."
    )
    waiting: WaitingAnswer | None = Field(
        description="Null: it does not say, as older versions do not."
    )
    last_record_at: str | None = moment("When its last record was received; null: none is known.")
    delay_s: float | None = Field(description="How long after the call's end that came.")
    clock_skew_s: float | None = Field(description="How far its clock was ahead.")
    policies: list[PolicySeenAnswer] = Field(
        description="In force now, as it says, and that its last records name, the newest first."
    )


class StockAnswer(Answer):
    """What is stored."""

    model_config = ConfigDict(title="Stock")

    records_bytes: int = Field(description="Records without bodies, indexes included.")
    bodies_bytes: int = Field(description="Captured bodies, compressed.")
    oldest_record_at: str | None = moment("When the oldest record was received.")
    oldest_body_at: str | None = moment("When the oldest record that has bodies was received.")


class RetentionAnswer(Answer):
    """How long and how much is kept; null: without bound."""

    model_config = ConfigDict(title="Retention")

    records_s: int | None
    bodies_s: int | None
    daily_sums_s: int | None
    records_bytes: int | None
    bodies_bytes: int | None


class FleetHealthAnswer(Answer):
    """Who reports, how much is stored, and what is wrong."""

    model_config = ConfigDict(title="FleetHealth")

    version: str
    now: str = moment("By the aggregator's clock.")
    problems: list[str] = Field(description="What is wrong; empty: nothing.")
    stock: StockAnswer | None = Field(description="Null: the store can't tell now.")
    retention: RetentionAnswer
    sidecars: list[SidecarAnswer] = Field(
        description="Those that were heard of within a day, the last first: by this aggregator "
        "since it was started, by others that share its database, or by the newest records."
    )
    more: bool = Field(description="Whether there are more sidecars than `limit`.")


async def show_health(request: web.Request, asked: HealthParameters) -> web.StreamResponse:
    """Answer with who reports to whom."""
    front, scope = front_of(request), caller_of(request).scope
    problems, stock = await _looked_at(front)
    now = front.clock.now_unix_ns()

    def fits(key: SidecarKey) -> bool:
        return _sees(scope, key)

    sidecars = front.roster.lately(now, fits)
    return json_answer(
        {
            "version": front.version,
            "now": iso_utc(now),
            "problems": problems,
            "stock": None if stock is None else _stock(stock),
            "retention": _retention(front.retention),
            "sidecars": [_sidecar(one) for one in sidecars[: asked.limit]],
            "more": len(sidecars) > asked.limit,
        }
    )


async def _looked_at(front: Front) -> tuple[Sequence[str], Stock | None]:
    problems, stock = list(await front.readiness.problems()), None
    try:
        async with in_time(front.bounds):
            stock = await front.stock.stock()
    except Unavailable as error:
        problems.append(str(error))
    if damage := front.damage():
        problems.append(f"the store is damaged: {damage}; restore it from a backup")
    return list(dict.fromkeys(problems)), stock


def _sees(scope: Scope, key: SidecarKey) -> bool:
    is_seen = scope.namespaces is None or key.namespace in scope.namespaces
    return is_seen and (not scope.pod_uid or key.pod_uid == scope.pod_uid)


def _stock(stock: Stock) -> dict[str, Any]:
    return {
        "records_bytes": stock.facts_bytes,
        "bodies_bytes": stock.bodies_bytes,
        "oldest_record_at": _moment(stock.oldest_received_unix_ns),
        "oldest_body_at": _moment(stock.oldest_body_received_unix_ns),
    }


def _moment(unix_ns: int | None) -> str | None:
    return None if unix_ns is None else iso_utc(unix_ns)


def _retention(keep: Retention) -> dict[str, int | None]:
    return {
        "records_s": _seconds(keep.facts_ns),
        "bodies_s": _seconds(keep.bodies_ns),
        "daily_sums_s": _seconds(keep.days_ns),
        "records_bytes": keep.facts_bytes,
        "bodies_bytes": keep.bodies_bytes,
    }


def _seconds(span_ns: int | None) -> int | None:
    return None if span_ns is None else span_ns // _NS


def _sidecar(one: Sidecar) -> dict[str, Any]:
    return {
        "namespace": one.key.namespace,
        "pod_uid": one.key.pod_uid,
        "pod_name": one.pod_name or None,
        "workload": one.workload or None,
        "node": one.node or None,
        "version": one.version or None,
        "last_seen_at": iso_utc(one.seen_unix_ns),
        "waiting": _waiting(one),
        "last_record_at": _moment(one.record_unix_ns),
        "delay_s": one.delay_s,
        "clock_skew_s": one.clock_skew_s,
        "policies": [{"name": seen.name or None, "version": seen.version} for seen in one.policies],
    }


def _waiting(one: Sidecar) -> dict[str, Any] | None:
    if (waiting := one.waiting) is None:
        return None
    return {
        "records": waiting.records,
        "bytes": waiting.bytes,
        "limit_bytes": waiting.limit_bytes,
        "at": iso_utc(one.waiting_unix_ns),
    }


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/health", "showHealth", "Tell who reports, how much is stored, what is wrong",
        parameters=HealthParameters, handler=show_health, answer=json_of(FleetHealthAnswer),
    ),
)  # fmt: skip
