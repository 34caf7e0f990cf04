"""Limits of calls and tokens per minute. Pure: time is an argument.

Each limit is a bucket that holds a minute's worth and fills without pause, in the form that needs
one number (the generic cell rate algorithm): when the bucket would be full again. Providers limit
in the same way, so a rate set to a provider's limit admits what the provider would; and unlike
counters of clock minutes it says to the moment when a refused call may go, and lets no crowd in at
each full minute. Out of a full bucket a minute may see twice the rate, as with clock minutes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from remora.policy.limits import Rate

MAX_MODELS = 1_000
"""Of one rate that counts each model by itself: agents choose the names."""

_MINUTE_S = 60.0
_GRAIN_S = 1e-6
"""Below it a wait is what adding up fractions left."""

type Of = Literal["requests", "tokens"]


class RateVerdict(NamedTuple):
    """Why a call may not go now.

    Attributes:
        name: The rate's.
        of: What there were too many of.
        limit_per_minute: As policy says it.
        retry_after_s: When the call would be admitted, if nothing else is.
    """

    name: str
    of: Of
    limit_per_minute: int
    retry_after_s: float


class Bucket:
    """What may still go of one thing at this moment."""

    __slots__ = ("_full_at_s", "per_minute")

    def __init__(self, per_minute: int) -> None:
        """Start full."""
        self.per_minute = per_minute
        self._full_at_s = float("-inf")

    def wait_s(self, amount: int, now_s: float) -> float:
        """How long until so much may go; 0 if it may now.

        More than a minute's worth goes when the bucket is full: else it never could.
        """
        debt_s = max(0.0, self._full_at_s - now_s)
        wait_s = debt_s + min(_MINUTE_S, self._span_s(amount)) - _MINUTE_S
        return wait_s if wait_s > _GRAIN_S else 0.0

    def take(self, amount: int, now_s: float) -> None:
        """Take out so much; negative to give back."""
        self._full_at_s = max(self._full_at_s, now_s) + self._span_s(amount)

    def is_full(self, now_s: float) -> bool:
        """Whether it says the same as a new one."""
        return self._full_at_s <= now_s

    def _span_s(self, amount: int) -> float:
        return amount * _MINUTE_S / self.per_minute


class _Buckets(NamedTuple):
    """What one rate counts for one model, or for all that it takes."""

    requests: Bucket | None
    tokens: Bucket | None

    def wait(self, tokens: int, now_s: float) -> tuple[float, Of, int]:
        """How long the call must wait, what for, and the limit of that."""
        waits: list[tuple[float, Of, int]] = [(0.0, "requests", 0)]
        if self.requests is not None:
            wait_s = self.requests.wait_s(1, now_s)
            waits.append((wait_s, "requests", self.requests.per_minute))
        if self.tokens is not None:
            wait_s = self.tokens.wait_s(tokens, now_s)
            waits.append((wait_s, "tokens", self.tokens.per_minute))
        return max(waits)

    def take(self, requests: int, tokens: int, now_s: float) -> None:
        if self.requests is not None:
            self.requests.take(requests, now_s)
        if self.tokens is not None:
            self.tokens.take(tokens, now_s)

    def is_full(self, now_s: float) -> bool:
        return all(bucket is None or bucket.is_full(now_s) for bucket in self)


class RateHold:
    """What one admitted call took of the rates, until it is settled or refunded."""

    __slots__ = ("buckets", "tokens")

    def __init__(self, buckets: Sequence[_Buckets], tokens: int) -> None:
        """Take what it took."""
        self.buckets = buckets
        self.tokens = tokens

    def end(self, requests: int, tokens: int, now_s: float) -> None:
        """Correct what was taken; once."""
        buckets, self.buckets = self.buckets, ()
        for each in buckets:
            each.take(requests, tokens - self.tokens, now_s)


class RateAdmission(NamedTuple):
    """Whether a call may go now.

    Attributes:
        hold: To settle or refund; None where the call may not go, and nothing was taken.
        refusal: Of the rate that makes it wait longest.
    """

    hold: RateHold | None
    refusal: RateVerdict | None = None


class _RateBook:
    """One rate and its buckets."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._by_model: dict[str, _Buckets] = {}

    def buckets(self, model: str, now_s: float) -> _Buckets | None:
        """Return what counts a model; None where the rate does not take it."""
        rate = self.rate
        key = "" if rate.models else model
        if rate.models and not any(glob.matches(model) for glob in rate.models):
            return None
        found = self._by_model.get(key)
        if found is None:
            self._make_room(now_s)
            found = self._by_model[key] = _new_buckets(rate)
        return found

    def _make_room(self, now_s: float) -> None:
        """Forget full buckets, which say nothing; where none is full, the oldest one."""
        if len(self._by_model) < MAX_MODELS:
            return
        full = [model for model, buckets in self._by_model.items() if buckets.is_full(now_s)]
        for model in full or [next(iter(self._by_model))]:
            del self._by_model[model]


def _new_buckets(rate: Rate) -> _Buckets:
    requests, tokens = rate.requests_per_minute, rate.tokens_per_minute
    return _Buckets(
        requests=None if requests is None else Bucket(requests),
        tokens=None if tokens is None else Bucket(tokens),
    )


class Rates:
    """The rates of the policy in force."""

    def __init__(self, rates: Iterable[Rate] = ()) -> None:
        """Start with full buckets."""
        self._books: tuple[_RateBook, ...] = ()
        self.apply(rates)

    def apply(self, rates: Iterable[Rate]) -> None:
        """Go by a changed policy; a rate that is the same goes on, another starts full."""
        kept = {book.rate: book for book in self._books}
        self._books = tuple(kept.get(rate) or _RateBook(rate) for rate in rates)

    def admit(self, model: str, estimated_tokens: int, now_s: float) -> RateAdmission:
        """Take a call out of every bucket that counts its model, or out of none.

        Args:
            model: That is to be sent; case does not count, as in globs.
            estimated_tokens: Of the call; corrected when it is settled.
            now_s: By the monotonic clock.
        """
        tokens = max(0, estimated_tokens)
        counting = list(self._counting(model.lower(), now_s))
        waits = [(*buckets.wait(tokens, now_s), name) for name, buckets in counting]
        wait_s, of, limit, name = max(waits, default=(0.0, "requests", 0, ""))
        if wait_s > 0:
            return RateAdmission(None, RateVerdict(name, of, limit, wait_s))
        taken = [buckets for _, buckets in counting]
        for buckets in taken:
            buckets.take(1, tokens, now_s)
        return RateAdmission(RateHold(taken, tokens))

    def _counting(self, model: str, now_s: float) -> Iterator[tuple[str, _Buckets]]:
        for book in self._books:
            buckets = book.buckets(model, now_s)
            if buckets is not None:
                yield book.rate.name, buckets

    def settle(self, hold: RateHold, actual_tokens: int, now_s: float) -> None:
        """Correct the tokens by what the call used; only the first time counts."""
        hold.end(0, max(0, actual_tokens), now_s)

    def refund(self, hold: RateHold, now_s: float) -> None:
        """Give back what a call took that was never sent."""
        hold.end(-1, 0, now_s)
