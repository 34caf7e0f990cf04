"""What this pod asks for of budgets that several pods share, and what it was granted. Pure.

An account of a shared budget admits calls up to what was spent when its lease was asked for, and
what was granted then. So it does not matter what is spent while an ask is under way.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from remora_sidecar.policy.account import NO_LIMIT, Account, Holding, Lease, live_lease
from remora_sidecar.policy.book import Book, Wanted
from remora_sidecar.policy.budget_page import Page, holding

SAFETY_S = 10.0
"""Before its end a lease is used no more."""

IDLE_S = 30.0
"""After it was used last a lease is given back."""

_PACES = 2
"""What is wanted beside what calls hold: so many times what was spent since the last ask."""

_LEAST_SHARE = 100
"""And at least one part in so many of the limit."""


class Grant(NamedTuple):
    """What the aggregator granted for an ask.

    Attributes:
        granted: Money in picodollars, and tokens, that may be spent from the ask on.
        expires_after_s: From when the ask was sent.
        spent: By all leases of the budget.
    """

    granted: Holding
    expires_after_s: float
    spent: Holding


class ShareAsk(NamedTuple):
    """What is asked for one account.

    Attributes:
        lease_id: The lease.
        book: The budget.
        account: The account.
        spent: Since the lease began.
        wanted: To be able to spend from now on.
        needed: The part of it that calls hold or wait for.
    """

    lease_id: str
    book: Book
    account: Account
    spent: Holding
    wanted: Holding
    needed: Holding


class Share:
    """One account of a shared budget, and its lease.

    Attributes:
        account: The account.
        book: Its budget, as policy says it now.
        needed: What calls wait for that do not fit the lease.
        is_short: The last grant was less than what calls needed.
        granted_s: When it was asked for what was granted last.
    """

    def __init__(self, book: Book, account: Account, lease_id: str, now_s: float) -> None:
        """Begin a lease; what was spent without one is reported with its first ask."""
        self.account = account
        self.needed: Holding = (0, 0)
        self.is_short = False
        self.granted_s = float("-inf")
        self.book = book
        self._lease_id = lease_id
        self._base = account.reported
        self._used_s = now_s
        self._seen: Holding = (account.held[0], account.held[1])
        self._is_returned = False

    def has_room(self, wanted: Holding, now_s: float) -> bool:
        """Tell whether a call fits the lease."""
        lease, held = live_lease(self.account, now_s), self.account.held
        if lease is None:
            return False
        picousd, tokens = held[2] + wanted[0], held[3] + wanted[1]
        return picousd <= lease.ceiling_picousd and tokens <= lease.ceiling_tokens

    def need(self, wanted: Holding, now_s: float) -> None:
        """Ask for more with the next ask."""
        self.needed = self.needed[0] + wanted[0], self.needed[1] + wanted[1]
        self._used_s = now_s

    def ask(self, now_s: float, *, closing: bool = False) -> ShareAsk:
        """Say what to ask for, and use no more than that from now on; closing, give all back."""
        spent_picousd, spent_tokens, used_picousd, used_tokens = self.account.held
        spent = spent_picousd, spent_tokens
        if self.account.calls or spent != self._seen:
            self._used_s = now_s
        reserved = used_picousd - spent_picousd, used_tokens - spent_tokens
        self._is_returned = closing or now_s - self._used_s >= IDLE_S
        needed = reserved[0] + self.needed[0], reserved[1] + self.needed[1]
        if self._is_returned:
            needed = (0, 0)
        wanted = (0, 0) if self._is_returned else self._wanted(spent, needed)
        self._seen, self.needed = spent, (0, 0)
        self._give_up_beyond(spent, wanted)
        since = spent_picousd - self._base[0], spent_tokens - self._base[1]
        return ShareAsk(self._lease_id, self.book, self.account, since, wanted, needed)

    def _wanted(self, spent: Holding, needed: Holding) -> Holding:
        least = self.book.limit_picousd or 0, self.book.limit_tokens or 0
        picousd, tokens = (
            needed[i]
            + max(_PACES * (spent[i] - self._seen[i]), least[i] // _LEAST_SHARE)
            for i in (0, 1)
        )  # fmt: skip
        return picousd, tokens

    def _give_up_beyond(self, spent: Holding, wanted: Holding) -> None:
        lease = self.account.lease
        if self._is_returned:
            self.account.lease = None
        elif lease is not None:
            self.account.lease = lease._replace(
                ceiling_picousd=_lowered(lease.ceiling_picousd, spent[0] + wanted[0]),
                ceiling_tokens=_lowered(lease.ceiling_tokens, spent[1] + wanted[1]),
            )

    def take(self, ask: ShareAsk, grant: Grant, asked_s: float) -> bool:
        """Use what was granted; tell whether anything new was reported."""
        spent = ask.spent[0] + self._base[0], ask.spent[1] + self._base[1]
        is_news = self.account.reported != spent
        self.account.reported = spent
        limits = self.book.limit_picousd, self.book.limit_tokens
        self.is_short = any(
            limit is not None and granted < needed
            for limit, granted, needed in zip(limits, grant.granted, ask.needed, strict=True)
        )
        self.granted_s = asked_s
        if not self._is_returned:
            self.account.lease = Lease(
                ceiling_picousd=NO_LIMIT if limits[0] is None else spent[0] + grant.granted[0],
                ceiling_tokens=NO_LIMIT if limits[1] is None else spent[1] + grant.granted[1],
                others_picousd=max(0, grant.spent[0] - spent[0]),
                others_tokens=max(0, grant.spent[1] - spent[1]),
                ends_s=asked_s + grant.expires_after_s - SAFETY_S,
            )
        return is_news

    @property
    def is_over(self) -> bool:
        """Whether it was given back, everything was reported, and nobody came since."""
        held, account = self.account.held, self.account
        is_quiet = not account.calls and self.needed == (0, 0)
        return self._is_returned and is_quiet and account.reported == (held[0], held[1])


class Shares:
    """The shares of all accounts in use."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        """Start without any.

        Args:
            new_id: Makes the ids of leases, random ones.
        """
        self._new_id = new_id
        self._by_account: dict[Account, Share] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_account)

    def all(self) -> list[Share]:
        """List them."""
        return list(self._by_account.values())

    def lacking(
        self, page: Page, usual: Wanted, strict: Wanted, now_s: float
    ) -> Iterator[tuple[Share, Holding]]:
        """Find the shared accounts of a page whose lease a call does not fit, and what it needs."""
        for book, account in zip(page.books, page.accounts, strict=True):
            if book.is_shared:
                share = self._share(book, account, now_s)
                wanted = holding(strict if book.strict else usual)
                if not share.has_room(wanted, now_s):
                    yield share, wanted

    def _share(self, book: Book, account: Account, now_s: float) -> Share:
        share = self._by_account.get(account)
        if share is None:
            share = self._by_account[account] = Share(book, account, self._new_id(), now_s)
        share.book = book
        return share

    def forget_over(self) -> None:
        """Forget those that were given back."""
        for share in self.all():
            if share.is_over:
                del self._by_account[share.account]


def _lowered(ceiling: int, most: int) -> int:
    return ceiling if ceiling == NO_LIMIT else min(ceiling, most)
