"""What is no longer kept of signals and trials, and what somebody wants gone; old sums packed."""

from collections.abc import Iterator
from typing import Final

from remora.learning.counts import Counts
from remora.learning.series import BUCKETS_PER_WIDTH, FINEST_MS, Bucket, Series
from remora_aggregator.store.facts import Value
from remora_aggregator.store.learning_changes import note_change_of_all
from remora_aggregator.store.learning_rows import Rows
from remora_aggregator.store.learning_signals import SignalTables
from remora_aggregator.store.learning_sums import NumberedSum, add_counts
from remora_aggregator.store.learning_trials import CallId

SLICE: Final = 500
"""So many go in one transaction."""

WAITING_NS: Final = 7 * 86_400 * 1_000_000_000
"""A signal whose call's record did not come for so long is forgotten."""

LAG_MS: Final = 60_000
"""Sums are packed so much later than they might be: readers whose clocks are behind pack alike."""

_NS_PER_MS: Final = 1_000_000
_LEVELS: Final = 40
"""More than there are: buckets of the last one would be wider than time is long."""

_OF_NAMESPACE: Final = (
    "goal_settings", "router_versions", "router_histories", "sharing_namespaces",
)  # fmt: skip


def forget(rows: Rows, before_unix_ns: int, limit: int) -> int:
    """Forget signals that came, and trials of calls that began, before a time; sums stay.

    What comes later of these calls changes nothing, so that nothing counts twice.
    """
    before_ms = before_unix_ns // _NS_PER_MS
    rows.run(
        "update learning_state set forgotten_ms = ? where forgotten_ms < ?", before_ms, before_ms
    )
    gone = delete_trials(rows, "at_ms < ?", (before_ms,), limit)
    left = limit - gone
    if left:
        gone += SignalTables(rows).delete("received_unix_ns < ?", (before_unix_ns,), left)
    return gone


def delete_trials(rows: Rows, where: str, parameters: tuple[Value, ...], limit: int) -> int:
    """Take away trials that fit, so many at most, with their calls' signals; sums stay.

    Returns:
        How many trials.
    """
    gone = rows.run(
        "delete from trials where (namespace, call_id, arm) in "  # noqa: S608 - our own words
        f"(select namespace, call_id, arm from trials where {where} limit ?) "
        "returning namespace, call_id",
        *parameters, limit,
    )  # fmt: skip
    calls: dict[CallId, None] = {(str(name), str(call)): None for name, call in gone}
    SignalTables(rows).delete_calls(calls)
    return len(gone)


def forget_waiting(rows: Rows, now_unix_ns: int, limit: int) -> int:
    """Forget signals that waited too long for their calls' records; returns how many."""
    return SignalTables(rows).forget_waiting(now_unix_ns - WAITING_NS, limit)


def forget_text(rows: Rows, before_unix_ns: int, limit: int) -> int:
    """Take the text out of signals that came before a time; returns of how many."""
    done = rows.run(
        "update signals set text = '' where (namespace, signal_id) in (select namespace, "
        "signal_id from signals where text <> '' and received_unix_ns < ? limit ?) returning 1",
        before_unix_ns, limit,
    )  # fmt: skip
    return len(done)


def pack(rows: Rows, now_ms: int, limit: int) -> int:
    """Put sums of what is old into wider buckets; returns how many were put away."""
    now_ms -= LAG_MS
    packed = 0
    for level in range(_LEVELS):
        due = _due_number(level, now_ms)
        if due < 0 or packed >= limit:
            break
        packed += _pack_level(rows, level, due, now_ms, limit - packed)
    return packed


def _due_number(level: int, now_ms: int) -> int:
    """Give the number of the last bucket of a level that belongs to its parent by now."""
    width_ms = FINEST_MS << level
    return 2 * ((now_ms - BUCKETS_PER_WIDTH * width_ms) // (2 * width_ms)) - 1


def _pack_level(rows: Rows, level: int, due: int, now_ms: int, limit: int) -> int:
    gone = rows.run(
        "delete from score_sums where (place, reporter, level, number) in "
        "(select place, reporter, level, number from score_sums "
        "where level = ? and number <= ? limit ?) returning place, reporter, number, good, bad",
        level, due, limit,
    )  # fmt: skip
    by_series: dict[tuple[int, str], Series] = {}
    for place, reporter, number, good, bad in gone:
        series = by_series.setdefault((_number(place), str(reporter)), Series())
        bucket = Bucket(level, _number(number))
        series.merge(Series([(bucket, Counts(_number(good), _number(bad)))]))
    add_counts(rows, dict(_homes(by_series, now_ms)))
    return len(gone)


def _homes(
    by_series: dict[tuple[int, str], Series], now_ms: int
) -> Iterator[tuple[NumberedSum, Counts]]:
    for (place, reporter), series in by_series.items():
        series.pack(now_ms)
        for bucket, counts in series.buckets():
            yield (place, reporter, bucket), counts


def _number(value: Value) -> int:
    return int(value or 0)


def forget_namespace(rows: Rows, namespace: str) -> None:
    """Take away all that was learned in a namespace, its settings and router versions."""
    of_places = "where place in (select place from score_places where namespace = ?)"
    for table in ("score_sums", "score_spendings"):
        rows.run(f"delete from {table} {of_places}", namespace)  # noqa: S608 - as above
    for table in ("score_places", *_OF_NAMESPACE):
        rows.run(f"delete from {table} where namespace = ?", namespace)  # noqa: S608 - as above
    # Whoever follows hears that nothing is known any more.
    note_change_of_all(rows, {namespace})
    rows.run("update goal_changes set last_ms = 0 where namespace = ?", namespace)


def forget_changes(rows: Rows, later: int) -> int:
    """Forget that goals changed of which nothing is known any more; returns how many.

    Args:
        rows: Of the transaction.
        later: So many changes of others have to have come since.
    """
    gone = rows.run(
        "delete from goal_changes where last_ms = 0 and change < "
        "(select last_change from learning_state) - ? returning 1",
        later,
    )
    return len(gone)
