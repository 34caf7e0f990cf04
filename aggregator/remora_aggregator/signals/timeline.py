"""Evidence by arm in pieces of time. Pure.

The sums that are kept are the finer the newer they are, and no piece is finer than what it is made
of: of long ago there are fewer and longer ones.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from remora.learning.counts import NOTHING, Counts
from remora.learning.reporters import limited
from remora.learning.series import FINEST_MS, Series
from remora.learning.settings import LearningSettings
from remora_aggregator.signals.ports import ArmSums
from remora_aggregator.signals.scoring import Level

DEFAULT_POINTS = 60
MOST_POINTS = 1_000


class TimelinePoint(NamedTuple):
    """What is known of an arm in one piece of time, in milliseconds since 1970."""

    arm: str
    start_ms: int
    end_ms: int
    evidence: Counts


def timeline(
    sums: Iterable[ArmSums],
    namespace: str,
    settings: LearningSettings,
    *,
    since_ms: int,
    until_ms: int,
    now_ms: int,
    points: int = DEFAULT_POINTS,
) -> Iterator[TimelinePoint]:
    """Give what is known of a goal's arms, by arm and then by time, without empty pieces.

    Args:
        sums: Of the goal.
        namespace: Whose evidence.
        settings: Of the goal.
        since_ms: Pieces that end after it are given.
        until_ms: Pieces that begin before it are.
        now_ms: What is old by now stands in longer pieces.
        points: At most so many pieces of time, but for one that is cut by an end.
    """
    width_ms = width_for(until_ms - since_ms, points)
    levels = _by_arm(sums, namespace)
    for key in sorted(levels):
        series = limited(levels[key].by_reporter, settings.reporter_share)
        series.pack(now_ms)
        for (start_ms, end_ms), counts in sorted(_cells(series, width_ms).items()):
            if end_ms > since_ms and start_ms < until_ms and any(counts):
                yield TimelinePoint(key, start_ms, end_ms, counts)


def width_for(span_ms: int, points: int) -> int:
    """Say how long pieces are for so many to fill a span: a bucket's width, doubled as needed."""
    width_ms = FINEST_MS
    while width_ms * max(points, 1) < span_ms:
        width_ms *= 2
    return width_ms


def _by_arm(sums: Iterable[ArmSums], namespace: str) -> Mapping[str, Level]:
    levels: dict[str, Level] = {}
    for one in sums:
        if one.namespace == namespace:
            levels.setdefault(one.arm.key, Level()).add(one)
    return levels


def _cells(series: Series, width_ms: int) -> Mapping[tuple[int, int], Counts]:
    """Add buckets up into pieces; one that is wider than a piece stays as it is."""
    cells: dict[tuple[int, int], Counts] = {}
    for bucket, counts in series.buckets():
        start_ms, end_ms = bucket.start_ms, bucket.end_ms
        if end_ms - start_ms < width_ms:
            start_ms -= start_ms % width_ms
            end_ms = start_ms + width_ms
        cell = start_ms, end_ms
        cells[cell] = cells.get(cell, NOTHING).plus(counts)
    return cells
