"""Rows read back: pages of records, and the sums of groups. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import zstandard

from remora_aggregator.store.cursor import cursor_of
from remora_aggregator.store.facts import AT, Stamp, Value, facts_of
from remora_aggregator.store.port import Row
from remora_aggregator.store.questions import Source, UsageQuestion
from remora_aggregator.store.selection import Selection
from remora_aggregator.store.spread import bucket_of
from remora_aggregator.store.sql import Place
from remora_aggregator.store.totals import MEASURES, SUMS, Totals, changes_of
from remora_proto.v1 import records_pb2 as pb

PAGE_RECORDS: Final = 200
PAGE_BYTES: Final = 4 * 1024 * 1024
SCANNED_RECORDS: Final = 5_000
"""How many records are looked at for one page before who asks is told how far that went."""

RECORD_COLUMNS: Final = (
    "position", "namespace", "pod_uid", "received_unix_ns", "clock_skew_s", "message",
)  # fmt: skip
"""What `stored_of` reads, in its order."""

BODIES_COLUMN: Final = "(select packed from bodies where bodies.position = records.position)"
NO_BODIES_COLUMN: Final = "null"


@dataclass(frozen=True, slots=True)
class Page:
    """Some records in order.

    Attributes:
        last: Where the last record stands that was looked at; None if there was none.
        is_last: Whether none follow.
    """

    records: list[pb.StoredRecord]
    last: Place | None
    is_last: bool


def stored_of(row: Sequence[Value], place: Place) -> pb.StoredRecord:
    """Read a record back, with its bodies if they were asked for."""
    _, namespace, pod_uid, received_unix_ns, clock_skew_s, message, packed, *_ = row
    stored = pb.StoredRecord(
        namespace=str(namespace),
        pod_uid=str(pod_uid),
        received_unix_nano=received_unix_ns,  # type: ignore[arg-type]  # as the columns say
        clock_skew_s=clock_skew_s,  # type: ignore[arg-type]  # as above
        cursor=cursor_of(place),
    )
    stored.record.MergeFromString(message)  # type: ignore[arg-type]  # as above
    if packed is not None:
        stored.record.MergeFromString(zstandard.decompress(packed))  # type: ignore[arg-type]  # as above
    return stored


def read_page(
    rows: Iterable[Row], chosen: Selection, asked: int, most_records: int, *, ordered: bool
) -> Page:
    """Take rows until there are enough that fit, or their bytes fill a page.

    Args:
        rows: Of `RECORD_COLUMNS`, the bodies, and what orders, if anything does.
        chosen: Says which of them fit, by what only the message tells.
        asked: How many rows the statement gives at most.
        most_records: How many records a page holds.
        ordered: Whether a column orders.
    """
    records: list[pb.StoredRecord] = []
    room, looked_at = PAGE_BYTES, 0
    place: Place | None = None
    for row in rows:
        looked_at += 1
        place = Place(row[0], row[-1] if ordered else None)  # type: ignore[arg-type]  # as the columns say
        stored = stored_of(row, place)
        if chosen.residual and not chosen.holds(stored):
            continue
        records.append(stored)
        room -= stored.ByteSize()
        if room <= 0 or len(records) == most_records:
            return Page(records, place, is_last=False)
    return Page(records, place, is_last=looked_at < asked)


type Keys = tuple[Value, ...]
"""The values that a group is told by, and the start of its interval."""


class Groups:
    """The sums of groups, as the rows of several pieces are added to them."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.totals: dict[Keys, Totals] = {}

    def reader(self, source: Source, keys: int) -> Callable[[Iterable[Row]], None]:
        """Give what adds the rows of a piece.

        Args:
            source: What the rows hold.
            keys: How many of their columns are keys, the start of the interval included.
        """
        take = self._take_buckets if source is Source.BUCKETS else self._take_sums

        def read(rows: Iterable[Row]) -> None:
            for row in rows:
                take(self._group(row[:keys]), row[keys:])

        return read

    def _group(self, keys: Keys) -> Totals:
        found = self.totals.get(keys)
        if found is None:
            found = self.totals[keys] = Totals()
        return found

    def _take_sums(self, group: Totals, row: Sequence[Value]) -> None:
        group.add_row([_number(value, name) for value, name in zip(row, SUMS, strict=False)])
        spreads = row[len(SUMS)] if len(row) > len(SUMS) else None
        if isinstance(spreads, bytes | memoryview):
            group.add_spreads(bytes(spreads))

    def _take_buckets(self, group: Totals, row: Sequence[Value]) -> None:
        measure, bucket, count = (int(value) for value in row)  # type: ignore[arg-type]  # as the columns say
        group.spreads[measure].count(bucket, count)

    def take_records(self, question: UsageQuestion, rows: Iterable[Row]) -> None:
        """Add records one by one, where only their messages say whether they fit."""
        columns = [AT[column] for column in question.columns]
        for row in rows:
            stored = stored_of(row, Place(0))
            if not question.chosen.holds(stored):
                continue
            stamp = Stamp(stored.namespace, stored.pod_uid, stored.received_unix_nano)
            facts = facts_of(stored.record, stamp)
            began = stored.record.started_unix_nano
            interval = question.interval_ns
            start = began - began % interval if interval else 0
            group = self._group((*(facts[at] for at in columns), start))
            group.count(changes_of(facts), began)
            for into, measure in zip(group.spreads, MEASURES, strict=True):
                value = facts[AT[measure]]
                if value is not None:
                    into.count(bucket_of(value))  # type: ignore[arg-type]  # as above

    def most_calls_first(self, limit: int) -> list[tuple[Keys, Totals]]:
        """Give the groups by start, calls and keys; a limit of 0 is none."""
        found = [(keys, totals) for keys, totals in self.totals.items() if totals.sums[0]]
        found.sort(key=lambda group: (group[0][-1], -group[1].sums[0], _sortable(group[0])))
        return found[:limit] if limit else found


def _number(value: Value, name: str) -> int | float | Decimal:
    if name in ("cost_usd", "saved_usd"):
        return Decimal(str(value or 0))
    if name in ("latency_sum_s", "saved_s"):
        return float(value or 0.0)
    return int(value or 0)


def _sortable(keys: Keys) -> list[str]:
    return ["" if key is None else str(key) for key in keys]
