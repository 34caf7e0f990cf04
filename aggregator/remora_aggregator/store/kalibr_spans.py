"""Spans and capsules of Kalibr's clients: written once each, read by trace, summed up by group."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from pydantic import TypeAdapter

from remora_aggregator.signals.kalibr_capsules import Capsule
from remora_aggregator.signals.kalibr_spans import Span
from remora_aggregator.store.facts import Value
from remora_aggregator.store.kalibr_table import KalibrTable, Run
from remora_aggregator.store.port import Row

MOST_SPANS: Final = 1_000
"""Of one trace."""

_NANO: Final = Decimal(10) ** 9
_SPAN: Final = TypeAdapter(Span)
_CAPSULE: Final = TypeAdapter(Capsule)
_COLUMNS: Final = (
    "namespace", "trace_id", "span_id", "started_unix_ns", "received_unix_ns", "workflow_id",
    "provider", "model_id", "status", "duration_ms", "input_tokens", "output_tokens",
    "cost_nanousd", "document",
)  # fmt: skip
_PUT: Final = (
    f"insert into kalibr_spans ({', '.join(_COLUMNS)}) values ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608 - our own words
    "on conflict (namespace, trace_id, span_id) do nothing returning 1"
)
_PUT_CAPSULE: Final = (
    "insert into kalibr_capsules (namespace, trace_id, token, received_unix_ns, document) "
    "values (?, ?, ?, ?, ?) on conflict (namespace, trace_id, token) do update "
    "set received_unix_ns = excluded.received_unix_ns, document = excluded.document"
)
_SUMS: Final = (
    "count(*), sum(case when status = 'success' then 0 else 1 end), sum(input_tokens), "
    "sum(output_tokens), sum(cost_nanousd), sum(case when cost_nanousd is null then 0 else 1 end), "
    "sum(duration_ms), sum(case when duration_ms is null then 0 else 1 end)"
)

type Group = Literal["workflow_id", "provider", "model_id", "namespace"]


@dataclass(frozen=True, slots=True)
class SpanSelection:
    """Which spans; empty fields do not select.

    Attributes:
        namespaces: None: all.
        since_unix_ns: Those that began then or later.
    """

    namespaces: frozenset[str] | None
    workflow_id: str = ""
    status: str = ""
    since_unix_ns: int = 0


@dataclass(frozen=True, slots=True)
class SpanSums:
    """Sums of spans; what is known of none is None.

    Attributes:
        failed: Those that ended otherwise than in success.
        priced: Those whose cost is known.
    """

    spans: int = 0
    failed: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    priced: int = 0
    mean_duration_ms: float | None = None


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """One trace among others."""

    namespace: str
    trace_id: str
    started_unix_ns: int
    sums: SpanSums


class KalibrSpans(KalibrTable):
    """Keeps spans and capsules by namespace and trace."""

    async def put(self, namespace: str, spans: Sequence[Span], received_unix_ns: int) -> int:
        """Store spans; those that are there stay. Gives how many were new."""

        def work(run: Run) -> int:
            rows = (_row(namespace, span, received_unix_ns) for span in spans)
            return sum(len(run(_PUT, *row)) for row in rows)

        return await self._write(work)

    async def put_capsule(self, namespace: str, capsule: Capsule, received_unix_ns: int) -> None:
        """Store a capsule, instead of the one that the same runtime handed on before."""
        document = _CAPSULE.dump_json(capsule).decode()
        await self._write(
            lambda run: run(
                _PUT_CAPSULE, namespace, capsule.trace_id, capsule.token, received_unix_ns, document
            )
        )

    async def spans(self, namespaces: frozenset[str] | None, trace_id: str) -> Sequence[Span]:
        """Read a trace's spans, the first first."""
        where, parameters = _among(namespaces)
        rows = await self._rows(
            f"select document from kalibr_spans where {where} and trace_id = ? "  # noqa: S608 - our own words
            "order by started_unix_ns, span_id limit ?",
            *parameters, trace_id, MOST_SPANS,
        )  # fmt: skip
        return [_SPAN.validate_json(str(document)) for (document,) in rows]

    async def capsules(self, namespaces: frozenset[str] | None, trace_id: str) -> Sequence[Capsule]:
        """Read what a trace's runtimes handed on."""
        where, parameters = _among(namespaces)
        rows = await self._rows(
            f"select document from kalibr_capsules where {where} and trace_id = ?",  # noqa: S608 - as above
            *parameters, trace_id,
        )  # fmt: skip
        return [_CAPSULE.validate_json(str(document)) for (document,) in rows]

    async def traces(self, chosen: SpanSelection, *, limit: int) -> Sequence[TraceSummary]:
        """Sum up traces, the newest first."""
        where, parameters = _where(chosen)
        rows = await self._rows(
            f"select namespace, trace_id, min(started_unix_ns), {_SUMS} from kalibr_spans "  # noqa: S608 - as above
            f"where {where} group by namespace, trace_id "
            "order by min(started_unix_ns) desc, trace_id limit ?",
            *parameters, limit,
        )  # fmt: skip
        return [
            TraceSummary(str(row[0]), str(row[1]), int(row[2] or 0), _sums(row[3:])) for row in rows
        ]

    async def totals(self, chosen: SpanSelection) -> SpanSums:
        """Sum all of them up."""
        where, parameters = _where(chosen)
        sql = f"select {_SUMS} from kalibr_spans where {where}"  # noqa: S608 - as above
        return _sums((await self._rows(sql, *parameters))[0])

    async def trace_count(self, chosen: SpanSelection) -> int:
        """Count the traces that they are of."""
        where, parameters = _where(chosen)
        sql = (
            "select count(*) from (select distinct namespace, trace_id from kalibr_spans "  # noqa: S608 - as above
            f"where {where}) as traces"
        )
        return int((await self._rows(sql, *parameters))[0][0] or 0)

    async def by_group(
        self, chosen: SpanSelection, groups: Sequence[Group], *, limit: int
    ) -> Mapping[tuple[str, ...], SpanSums]:
        """Sum them up by columns, those with the most spans first."""
        where, parameters = _where(chosen)
        columns = ", ".join(groups)
        rows = await self._rows(
            f"select {columns}, {_SUMS} from kalibr_spans where {where} group by {columns} "  # noqa: S608 - as above
            f"order by count(*) desc, {columns} limit ?",
            *parameters, limit,
        )  # fmt: skip
        width = len(groups)
        return {tuple(map(str, row[:width])): _sums(row[width:]) for row in rows}

    async def forget(self, before_unix_ns: int, *, limit: int) -> int:
        """Forget what came before a time, so many of each at most; gives how many."""
        tables = {"kalibr_spans": "trace_id, span_id", "kalibr_capsules": "trace_id, token"}

        def work(run: Run) -> int:
            return sum(
                len(run(_forget(table, keys), before_unix_ns, limit))
                for table, keys in tables.items()
            )

        return await self._write(work)


def _forget(table: str, keys: str) -> str:
    return (
        f"delete from {table} where (namespace, {keys}) in (select namespace, {keys} "  # noqa: S608 - as above
        f"from {table} where received_unix_ns < ? limit ?) returning 1"
    )


def _row(namespace: str, span: Span, received_unix_ns: int) -> tuple[Value, ...]:
    cost = None if span.cost_usd is None else round(span.cost_usd * _NANO)
    return (
        namespace, span.trace_id, span.span_id, span.started_unix_ns, received_unix_ns,
        span.workflow_id, span.provider, span.model_id, span.status, span.duration_ms,
        span.input_tokens, span.output_tokens, cost, _SPAN.dump_json(span).decode(),
    )  # fmt: skip


def _among(namespaces: frozenset[str] | None) -> tuple[str, list[Value]]:
    if namespaces is None:
        return "1 = 1", []
    marks = ", ".join("?" * len(namespaces)) or "null"
    return f"namespace in ({marks})", [*sorted(namespaces)]


def _where(chosen: SpanSelection) -> tuple[str, list[Value]]:
    where, parameters = _among(chosen.namespaces)
    conditions = [where, "started_unix_ns >= ?"]
    parameters.append(chosen.since_unix_ns)
    for column in ("workflow_id", "status"):
        if wanted := getattr(chosen, column):
            conditions.append(f"{column} = ?")
            parameters.append(wanted)
    return " and ".join(conditions), parameters


def _sums(row: Row | Iterable[Value]) -> SpanSums:
    spans, failed, inputs, outputs, nano, priced, duration, timed = row
    return SpanSums(
        spans=_whole(spans) or 0,
        failed=_whole(failed) or 0,
        input_tokens=_whole(inputs),
        output_tokens=_whole(outputs),
        cost_usd=None if nano is None else Decimal(_whole(nano) or 0) / _NANO,
        priced=_whole(priced) or 0,
        mean_duration_ms=None if not timed else float(duration or 0) / int(timed),
    )


def _whole(value: Value) -> int | None:
    return None if value is None else int(value)
