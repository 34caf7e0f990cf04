"""How often values of a measure came, so that quantiles can be told and parts added up. Pure.

Buckets are logarithmic, as DDSketch has them (Masson, Rim, Lee: VLDB 2019): bucket ``b`` holds what
lies above ``g^(b-1)`` and up to ``g^b``, and stands for the value that is at most `ERROR` of itself
away from all of it. Two counts of the same values by different people add up bucket by bucket.
"""

import math
from collections.abc import Mapping

from remora_proto.v1 import totals_pb2 as pb

ERROR = 0.015
"""How far, as a part of it, a quantile may be from the true value."""

LEAST_S = 1e-6
MOST_S = 1e7

LOG_GAMMA = math.log((1 + ERROR) / (1 - ERROR))
_TO_MIDDLE = 2 / (1 + math.exp(LOG_GAMMA))

type Spread = dict[int, int]
"""Counts by bucket."""


def bucket_of(value_s: float) -> int:
    """Say which bucket a value belongs to; what is no time at all counts as a microsecond."""
    if not value_s >= LEAST_S:  # also NaN
        value_s = LEAST_S
    return math.ceil(math.log(min(value_s, MOST_S)) / LOG_GAMMA)


def middle_of(bucket: int) -> float:
    """Give the value that a bucket stands for, in seconds."""
    return math.exp(bucket * LOG_GAMMA) * _TO_MIDDLE


def quantile(spread: Mapping[int, int], part: float) -> float | None:
    """Tell a quantile; None where nothing was counted.

    Args:
        spread: Counts by bucket.
        part: Between 0 and 1.
    """
    counted = sorted((bucket, count) for bucket, count in spread.items() if count > 0)
    total = sum(count for _, count in counted)
    rank = part * (total - 1)
    seen = 0
    for bucket, count in counted:
        seen += count
        if seen > rank:
            return middle_of(bucket)
    return None


def add(into: Spread, other: Mapping[int, int], sign: int = 1) -> None:
    """Add counts up, or take them away; a bucket that comes to nothing is dropped."""
    for bucket, count in other.items():
        if now := into.get(bucket, 0) + sign * count:
            into[bucket] = now
        else:
            into.pop(bucket, None)


def add_kept(into: Spread, kept: pb.Spread) -> None:
    """Add what is kept; a bucket may come to nothing."""
    get = into.get
    for bucket, count in zip(kept.buckets, kept.counts, strict=True):
        into[bucket] = get(bucket, 0) + count


def written(spread: Mapping[int, int]) -> pb.Spread:
    """Make the form that is kept."""
    return pb.Spread(buckets=spread.keys(), counts=spread.values())


def read(kept: pb.Spread) -> Spread:
    """Read the form that is kept."""
    return dict(zip(kept.buckets, kept.counts, strict=True))
