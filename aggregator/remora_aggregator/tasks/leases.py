"""The lease books: what of each shared budget was spent, and what is granted to whom.

A sidecar asks for a lease of an account, renews it with the same ask and returns it with an ask
for nothing. Every ask says what was spent since the lease began, so that it may be sent again. The
books hold to this, whatever is repeated, lost or late: what was spent and what is granted come
together to no more than the limit, but for what senders spent beyond their grants. They spend
beyond them only what calls cost beyond what was reserved for them, and what calls in flight cost
where a lease ended (its sender was lost, or cut off for longer than the lease lasts).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

from remora_aggregator.tasks.amounts import (
    NO_LIMIT,
    NOTHING,
    Amount,
    Limit,
    least,
    minus,
    most,
    plus,
)

type Per = Literal["task", "session", "agent", "namespace"]
"""What a shared budget is counted for."""

NS_PER_S: Final = 1_000_000_000

_WHOLE = 1_000


class AccountKey(NamedTuple):
    """One account: a budget's name, whose it is, and which of its windows (0, 0: it has none)."""

    namespace: str
    budget: str
    per: Per
    key: str
    window_start_unix_ns: int = 0
    window_ns: int = 0


class LeaseKey(NamedTuple):
    """One lease: ids of different senders are different leases."""

    sender: str
    lease_id: str


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """How leases are granted.

    Attributes:
        lease_s: How long a lease lasts after its last ask. A sidecar stops using it 10 s before.
        size_per_mille: How large a lease is, in thousandths of the sender's limit, where the calls
            that hold or wait for some of it need no more than that.
    """

    lease_s: float = 60.0
    size_per_mille: int = 20


@dataclass(frozen=True, slots=True)
class Lease:
    """One lease; one that ended is remembered, so that late reports are charged once.

    Attributes:
        granted: What may still be spent.
        spent: What was reported, since it began.
        number: Of the sender's last request that was taken.
        ends_unix_ns: When what was not spent goes back.
    """

    granted: Amount = NOTHING
    spent: Amount = NOTHING
    number: int = 0
    ends_unix_ns: int = 0


@dataclass(frozen=True, slots=True)
class Book:
    """One account, with some of its leases.

    Attributes:
        spent: By all leases.
        granted: To all leases together, beyond what was spent.
        leases: Those that are asked for, and those with a grant that ended; others are left out.
        limit: As who asked last said it, for people; grants go by the sender's own.
        asked_unix_ns: When that was; 0: not known.
    """

    key: AccountKey
    spent: Amount = NOTHING
    granted: Amount = NOTHING
    leases: Mapping[LeaseKey, Lease] = field(default_factory=dict)
    limit: Limit = NO_LIMIT
    asked_unix_ns: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """What a sender asks for, of one lease.

    Attributes:
        limit: As the sender's policy says it.
        spent: Since the lease began.
        wanted: To be able to spend from now on.
        needed: The part of it that calls hold or wait for.
    """

    lease_id: str
    account: AccountKey
    limit: Limit
    spent: Amount
    wanted: Amount
    needed: Amount


@dataclass(frozen=True, slots=True)
class Request:
    """The asks of one sender, in order, and its number (0: it does not count them)."""

    sender: str
    asks: Sequence[Ask]
    number: int = 0

    @property
    def wanted(self) -> dict[AccountKey, set[LeaseKey]]:
        """Which leases of which accounts an answer needs."""
        found: dict[AccountKey, set[LeaseKey]] = {}
        for ask in self.asks:
            found.setdefault(ask.account, set()).add(LeaseKey(self.sender, ask.lease_id))
        return found


@dataclass(frozen=True, slots=True)
class Grant:
    """What is granted for an ask.

    Attributes:
        granted: To be spent from the reported `spent` on; it replaces earlier grants of the lease.
        expires_after_s: From when the ask was sent.
        spent: By all leases of the account.
        remaining: What nobody has spent and nobody is granted, of the sender's limit.
    """

    lease_id: str
    granted: Amount
    expires_after_s: float
    spent: Amount
    remaining: Amount


def answered(
    books: Mapping[AccountKey, Book], request: Request, now_unix_ns: int, settings: LeaseSettings
) -> tuple[dict[AccountKey, Book], list[Grant]]:
    """Charge what is reported, and grant what is asked for as far as limits go.

    A lease gets what it wants, up to the *lease size*: a part of the limit (2 %), or what calls of
    the sender hold and wait for (`needed`) if that is more, so that no call is refused for the size
    of leases alone. Of older sidecars, which do not say what is needed, all that is wanted is. A
    lease keeps what it has until less is wanted. So a lost sidecar holds back no more than that,
    for `lease_s` at the most, and no sidecar stocks up on what others need.

    Args:
        books: Every account of `request.wanted`; see `Book` for the leases that have to be there.
        request: What is asked.
        now_unix_ns: By the clock that ends leases.
        settings: How leases are granted.

    Returns:
        The books as they are now, and a grant for each ask, in order.
    """
    changed = {
        key: _without_ended(books.get(key, Book(key)), now_unix_ns) for key in request.wanted
    }
    grants = []
    for ask in request.asks:
        key = LeaseKey(request.sender, ask.lease_id)
        book = _charged(changed[ask.account], key, ask.spent)
        if book.leases[key].number <= request.number or not request.number:
            book = _granted(book, key, ask, request.number, now_unix_ns, settings)
        changed[ask.account] = book
        grants.append(_grant(book, key, ask.limit, now_unix_ns))
    return changed, grants


def _without_ended(book: Book, now_unix_ns: int) -> Book:
    """Take back what leases did not spend by their end."""
    for key, lease in book.leases.items():
        if lease.ends_unix_ns <= now_unix_ns and lease.granted != NOTHING:
            book = _with(book, key, replace(lease, granted=NOTHING))
    return book


def _charged(book: Book, key: LeaseKey, spent: Amount) -> Book:
    """Count what was spent since the last report; the grant shrinks by it."""
    lease = book.leases.get(key, Lease())
    since = minus(spent, lease.spent)
    lease = replace(lease, spent=most(spent, lease.spent), granted=minus(lease.granted, since))
    return replace(_with(book, key, lease), spent=plus(book.spent, since))


def _granted(
    book: Book, key: LeaseKey, ask: Ask, number: int, now_unix_ns: int, settings: LeaseSettings
) -> Book:
    lease = book.leases[key]
    size = most(ask.needed, _part_of(ask.limit, settings.size_per_mille))
    room = most(lease.granted, least(size, plus(lease.granted, _free(book, ask.limit))))
    granted = _where_limited(least(ask.wanted, room), ask.limit)
    ends = (
        now_unix_ns + round(settings.lease_s * NS_PER_S) if ask.wanted != NOTHING else now_unix_ns
    )
    lease = replace(lease, granted=granted, ends_unix_ns=ends, number=max(number, lease.number))
    return replace(_with(book, key, lease), limit=ask.limit, asked_unix_ns=now_unix_ns)


def _grant(book: Book, key: LeaseKey, limit: Limit, now_unix_ns: int) -> Grant:
    lease = book.leases[key]
    return Grant(
        key.lease_id,
        lease.granted,
        max(0, lease.ends_unix_ns - now_unix_ns) / NS_PER_S,
        book.spent,
        _free(book, limit),
    )


def _with(book: Book, key: LeaseKey, lease: Lease) -> Book:
    before = book.leases.get(key, Lease())
    return replace(
        book,
        granted=plus(minus(book.granted, before.granted), lease.granted),
        leases={**book.leases, key: lease},
    )


def _free(book: Book, limit: Limit) -> Amount:
    whole = Amount(limit.picousd or 0, limit.tokens or 0)
    return minus(whole, plus(book.spent, book.granted))


def _part_of(limit: Limit, per_mille: int) -> Amount:
    picousd, tokens = limit.picousd or 0, limit.tokens or 0
    return Amount(picousd * per_mille // _WHOLE, tokens * per_mille // _WHOLE)


def _where_limited(amount: Amount, limit: Limit) -> Amount:
    """Grant nothing of what the sender does not limit: it takes it anyway."""
    picousd = 0 if limit.picousd is None else amount.picousd
    return Amount(picousd, 0 if limit.tokens is None else amount.tokens)
