"""Sums of evidence over time, that can be added, merged and taken back.

Time is cut into buckets, fine for what is new and twice as wide each time it is about twice as
old, so that three months fit into some 170 sums. Which bucket a moment belongs to follows from
the moment and from now alone; two series that saw the same evidence are equal once they are
packed at the same time, in whatever order, however late, on whichever replica it came.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from remora.learning.counts import NOTHING, Counts

FINEST_MS = 2_000
"""Width of the newest buckets: snapshots of scores are not made more often."""

BUCKETS_PER_WIDTH = 16
"""A change is dated to within a sixteenth, at worst an eighth of its age."""


class Bucket(NamedTuple):
    """A piece of time.

    Attributes:
        level: Its width is ``FINEST_MS * 2**level``.
        number: How many of that width passed since 1970.
    """

    level: int
    number: int

    @property
    def start_ms(self) -> int:
        """When it begins."""
        return self.number * (FINEST_MS << self.level)

    @property
    def end_ms(self) -> int:
        """When it is over."""
        return (self.number + 1) * (FINEST_MS << self.level)

    @property
    def parent(self) -> "Bucket":
        """The one twice as wide that it becomes part of."""
        return Bucket(self.level + 1, self.number >> 1)

    def is_due(self, now_ms: int) -> bool:
        """Tell whether it is so old that it belongs to its parent."""
        return self.parent.end_ms <= now_ms - BUCKETS_PER_WIDTH * (FINEST_MS << self.level)


class Piece(NamedTuple):
    """The evidence about calls of some piece of time."""

    start_ms: int
    end_ms: int
    counts: Counts


class Series:
    """Evidence about one arm for one goal, by the time of the calls."""

    __slots__ = ("_buckets",)

    def __init__(self, buckets: Iterable[tuple[Bucket, Counts]] = ()) -> None:
        """Take what was kept."""
        self._buckets = dict(buckets)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Series) and self._buckets == other._buckets

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __len__(self) -> int:
        return len(self._buckets)

    def buckets(self) -> Iterator[tuple[Bucket, Counts]]:
        """Give what is to be kept."""
        return iter(self._buckets.items())

    @property
    def total(self) -> Counts:
        """All evidence."""
        return _sum(self._buckets.values())

    def add(self, at_ms: int, counts: Counts) -> None:
        """Add evidence about a call that began at a time; negative counts take it back."""
        self._put(Bucket(0, at_ms // FINEST_MS), counts)

    def merge(self, other: "Series") -> None:
        """Add all evidence of another series, which has to be of other calls."""
        for bucket, counts in other._buckets.items():
            self._put(bucket, counts)

    def without(self, other: "Series") -> "Series":
        """Give what is left without another series' evidence, all of which is in this one."""
        rest = Series(self._buckets.items())
        for bucket, counts in other._buckets.items():
            rest._put(bucket, NOTHING.minus(counts))
        return rest

    def pack(self, now_ms: int, keep_ms: int | None = None) -> None:
        """Put what is old into wide buckets, and forget what is older than is kept."""
        packed: dict[Bucket, Counts] = {}
        for bucket, counts in self._buckets.items():
            home = _home(bucket, now_ms)
            if keep_ms is None or home.end_ms > now_ms - keep_ms:
                packed[home] = packed.get(home, NOTHING).plus(counts)
        self._buckets = {bucket: counts for bucket, counts in packed.items() if any(counts)}

    def pieces(self) -> list[Piece]:
        """Give the evidence in the order of time."""
        pieces = [Piece(b.start_ms, b.end_ms, counts) for b, counts in self._buckets.items()]
        return sorted(piece for piece in pieces if any(piece.counts))

    def scaled(self, factor: float) -> "Series":
        """Let all of it count for less."""
        return Series((b, counts.scaled(factor)) for b, counts in self._buckets.items())

    def _put(self, bucket: Bucket, counts: Counts) -> None:
        total = self._buckets.get(bucket, NOTHING).plus(counts)
        if any(total):
            self._buckets[bucket] = total
        else:
            self._buckets.pop(bucket, None)


def _home(bucket: Bucket, now_ms: int) -> Bucket:
    """Find the bucket that a bucket's evidence belongs to by now."""
    while bucket.is_due(now_ms):
        bucket = bucket.parent
    return bucket


def _sum(many: Iterable[Counts]) -> Counts:
    good = bad = 0
    for counts in many:
        good += counts.good_millionths
        bad += counts.bad_millionths
    return Counts(good, bad)


def merged(many: Iterable[Series]) -> Series:
    """Add series of different calls."""
    result = Series()
    for series in many:
        result.merge(series)
    return result
