"""How much each caller may ask for. Pure: a clock's seconds in, decisions out."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from remora.errors import BadRequest

MAX_KNOWN = 50_000
"""How many callers are remembered; who was quiet longest is forgotten first, and begins anew."""


class RateLimited(BadRequest):
    """Somebody asked for too much, and when to come again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        """Keep the time that who is refused should wait."""
        super().__init__(message, status=429, code="rate_limited")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a second, on average.

    Attributes:
        per_s: How many; 0: there is no limit.
        burst: How many may come at once after a quiet time.
    """

    per_s: float
    burst: float

    @classmethod
    def of(cls, per_s: float, *, burst_s: float = 10.0) -> "Rate":
        """Give a rate of which as much may come at once as in a longer time."""
        return cls(per_s, max(1.0, per_s * burst_s))


@dataclass(slots=True)
class _Bucket:
    """What is left (below zero: owed), and as of when."""

    left: float
    at_s: float


class Buckets[K]:
    """A token bucket of one rate for each key."""

    def __init__(self, rate: Rate, *, most: int = MAX_KNOWN) -> None:
        """Start with nobody known."""
        self._rate = rate
        self._most = most
        self._known: OrderedDict[K, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def wait_s(self, key: K, now_s: float, *, need: float = 0.0) -> float:
        """Say how long until so much is left; 0: there is now. Takes nothing."""
        bucket = self._known.get(key)
        if bucket is None or not self._rate.per_s:
            return 0.0
        return max(0.0, (need - self._filled(bucket, now_s)) / self._rate.per_s)

    def take(self, key: K, amount: float, now_s: float) -> float:
        """Take an amount, even if less is left; return how long until nothing is owed."""
        if not self._rate.per_s:
            return 0.0
        bucket = self._known.pop(key, None) or _Bucket(self._rate.burst, now_s)
        bucket.left, bucket.at_s = self._filled(bucket, now_s) - amount, max(bucket.at_s, now_s)
        self._known[key] = bucket
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return max(0.0, -bucket.left / self._rate.per_s)

    def _filled(self, bucket: _Bucket, now_s: float) -> float:
        gained = max(0.0, now_s - bucket.at_s) * self._rate.per_s
        return min(self._rate.burst, bucket.left + gained)


class Limits:
    """The rates of callers, by what is counted; what has no rate has no limit."""

    def __init__(self, rates: Mapping[str, Rate], *, most: int = MAX_KNOWN) -> None:
        """Take the rates by the names of what they count."""
        self._buckets = {name: Buckets[str](rate, most=most) for name, rate in rates.items()}

    def check(
        self,
        key: str,
        names: Iterable[str],
        now_s: float,
        *,
        need: float = 0.0,
        patience_s: float = 0.0,
    ) -> None:
        """Look whether somebody may go on; takes nothing.

        Args:
            key: Who.
            names: With what.
            now_s: By a monotonic clock.
            need: How much has to be left.
            patience_s: How long it may take until so much is.

        Raises:
            RateLimited: It takes longer.
        """
        for name in names:
            if name in self._buckets:
                wait_s = self._buckets[name].wait_s(key, now_s, need=need)
                if wait_s > patience_s:
                    text = f"too many {name} at once: come again in {wait_s:.1f} s"
                    raise RateLimited(text, wait_s)

    def charge(self, key: str, amounts: Mapping[str, float], now_s: float) -> float:
        """Take amounts by their names; return how long until nothing is owed."""
        return max(
            (
                self._buckets[name].take(key, amount, now_s)
                for name, amount in amounts.items()
                if name in self._buckets
            ),
            default=0.0,
        )
