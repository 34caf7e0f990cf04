"""How often values of a measure came, so that quantiles can be told and parts added up. Pure.

Buckets are logarithmic, as DDSketch has them (Masson, Rim, Lee: VLDB 2019): bucket ``b`` holds what
lies above ``g^(b-1)`` and up to ``g^b``, and stands for the value that is at most `ERROR` of itself
away from all of it. Two counts of the same values by different people add up bucket by bucket.
"""

import math
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from operator import add
from typing import Final, cast

from remora_proto.v1 import totals_pb2 as pb

ERROR = 0.015
"""How far, as a part of it, a quantile may be from the true value."""

LEAST_S = 1e-6
MOST_S = 1e7

LOG_GAMMA = math.log((1 + ERROR) / (1 - ERROR))
_TO_MIDDLE = 2 / (1 + math.exp(LOG_GAMMA))

_DENSE: Final = b"\0"
"""Begins what is kept; a message of protobuf's, as it was kept before, can't begin so."""
_HEAD: Final = struct.Struct("<hHc")
"""The lowest bucket, how many there are from there on, and how wide each count is."""
_KINDS: Final = "bhiq"
"""Types of `array` for counts, from the narrowest on."""
_WIDEST: Final = array("q").itemsize


def bucket_of(value_s: float) -> int:
    """Say which bucket a value belongs to; what is no time at all counts as a microsecond."""
    if not value_s >= LEAST_S:  # also NaN
        value_s = LEAST_S
    return math.ceil(math.log(min(value_s, MOST_S)) / LOG_GAMMA)


_LOWEST: Final = bucket_of(LEAST_S)


def middle_of(bucket: int) -> float:
    """Give the value that a bucket stands for, in seconds."""
    return math.exp(bucket * LOG_GAMMA) * _TO_MIDDLE


class Spread:
    """Counts by bucket.

    They stand one after the other, as narrow as they go: so they are kept, and so a few are added
    to many without a look at the others. What was counted since waits beside them; so does what
    was read, as one large number that has 64 bits for each bucket from the lowest on: thousands
    of spreads are added up so in the time that it takes to read them.
    """

    __slots__ = ("_counts", "_first", "_new", "_read")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._first = 0
        self._counts = array(_KINDS[0])
        self._new: dict[int, int] = {}
        self._read = 0

    def count(self, bucket: int, times: int = 1) -> None:
        """Count values of a bucket; below zero: take them away."""
        new = self._new
        new[bucket] = new.get(bucket, 0) + times

    def add(self, other: "Spread") -> None:
        """Add another's counts."""
        other._settle_read()
        if len(other._counts):
            self._add_counts(other._first, other._counts)
        for bucket, count in other._new.items():
            self.count(bucket, count)

    def items(self) -> Iterator[tuple[int, int]]:
        """Give each bucket that counts something, in their order, with its count."""
        self._settle()
        return (each for each in enumerate(self._counts, self._first) if each[1])

    def __bool__(self) -> bool:
        """Tell whether anything is counted."""
        self._settle()
        return any(self._counts)

    def __eq__(self, other: object) -> bool:
        """Tell whether another counts the same."""
        return isinstance(other, Spread) and list(self.items()) == list(other.items())

    __hash__ = None  # type: ignore[assignment]  # it changes

    def _settle_read(self) -> None:
        if not self._read:
            return
        counts = array("q")
        words = -(-self._read.bit_length() // (8 * _WIDEST))
        counts.frombytes(self._read.to_bytes(words * _WIDEST, sys.byteorder))
        if sys.byteorder == "big":
            counts.reverse()
        self._read = 0
        begin = next(at for at, count in enumerate(counts) if count)
        self._add_counts(_LOWEST + begin, counts[begin:])

    def _settle(self) -> None:
        self._settle_read()
        if not self._new:
            return
        new, self._new = self._new, {}
        self._reach(min(new), max(new) + 1)
        for bucket, count in new.items():
            at = bucket - self._first
            while True:
                try:
                    self._counts[at] += count
                    break
                except OverflowError:
                    self._widen()

    def _reach(self, first: int, end: int) -> None:
        """Have counts from one bucket to before another."""
        counts = self._counts
        if not counts:
            self._first = first
        before, behind = self._first - first, end - self._first - len(counts)
        if before > 0 or behind > 0:
            none = array(counts.typecode, [0])
            self._counts = none * max(before, 0) + counts + none * max(behind, 0)
            self._first = min(first, self._first)

    def _widen(self) -> None:
        wider = _KINDS.index(self._counts.typecode) + 1
        if wider == len(_KINDS):
            raise OverflowError("more values were counted than there are numbers for")
        self._counts = array(_KINDS[wider], self._counts)

    def _add_counts(self, first: int, more: "array[int]") -> None:
        if not self._counts:
            self._first, self._counts = first, more[:]
            return
        self._reach(first, first + len(more))
        begin, end = first - self._first, first - self._first + len(more)
        while True:
            sums = map(add, self._counts[begin:end], more)
            try:
                self._counts[begin:end] = array(self._counts.typecode, sums)
            except OverflowError:
                self._widen()
            else:
                return

    def written(self) -> bytes:
        """Make the form that is kept."""
        self._settle()
        counts = self._counts
        head = _HEAD.pack(self._first, len(counts), counts.typecode.encode())
        return head + _swapped(counts).tobytes()

    def add_written(self, kept: bytes, at: int) -> int:
        """Add what is kept, from a byte on; returns where it ends."""
        first, length, kind = cast("tuple[int, int, bytes]", _HEAD.unpack_from(kept, at))
        more, begin = array(kind.decode()), at + _HEAD.size
        width = more.itemsize
        end = begin + length * width
        written = kept[begin:end]
        # Bytes below 128 at the upper ends: none of the counts is below zero.
        if (self._counts or self._read) and written[width - 1 :: width].isascii():
            widened = bytearray(length * _WIDEST)
            for byte in range(width):
                widened[byte::_WIDEST] = written[byte::width]
            shift = 8 * _WIDEST * (first - _LOWEST)
            self._read += int.from_bytes(widened, "little") << shift
        elif length:
            more.frombytes(written)
            self._add_counts(first, _swapped(more))
        return end


def _swapped(counts: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        counts = counts[:]
        counts.byteswap()
    return counts


def quantile(spread: Spread, part: float) -> float | None:
    """Tell a quantile; None where nothing was counted.

    Args:
        spread: Counts by bucket.
        part: Between 0 and 1.
    """
    counted = [(bucket, count) for bucket, count in spread.items() if count > 0]
    total = sum(count for _, count in counted)
    rank = part * (total - 1)
    seen = 0
    for bucket, count in counted:
        seen += count
        if seen > rank:
            return middle_of(bucket)
    return None


def written(spreads: Iterable[Spread]) -> bytes:
    """Make the form in which several are kept together."""
    return b"".join([_DENSE, *(spread.written() for spread in spreads)])


def add_kept(into: Sequence[Spread], kept: bytes) -> None:
    """Add what is kept, each to its own."""
    if not kept.startswith(_DENSE):
        _add_message(into, pb.Spreads.FromString(kept))
        return
    at = len(_DENSE)
    for spread in into:
        at = spread.add_written(kept, at)


def _add_message(into: Sequence[Spread], kept: pb.Spreads) -> None:
    for spread, more in zip(into, (kept.latency, kept.ttft, kept.overhead), strict=True):
        for bucket, count in zip(more.buckets, more.counts, strict=True):
            spread.count(bucket, count)
