"""The accounts that the calls of one set of keys count on, looked up once for many calls.

Admission asks twenty budgets in some microseconds, so what can be known before is.
"""

from collections.abc import Sequence
from typing import NamedTuple

from remora_sidecar.policy.accounts import NO_LIMIT, Account, Held, Lease
from remora_sidecar.policy.book import Book, Wanted
from remora_sidecar.policy.budget_verdict import BudgetKeys, BudgetResult, BudgetVerdict

_NEVER = 1 << 200

type Entry = tuple[Account, int, int, bool, bool]
"""An account, the most money and tokens that may be used of it, whether its budget is strict, and
whether it is shared."""

type Holding = tuple[int, int]
"""Money and tokens that a call holds."""


class Page(NamedTuple):
    """Books and their accounts, in the policy's order.

    Attributes:
        books: The budgets that count these calls.
        accounts: Of each of them.
        entries: The same with their limits.
        is_shared: Some are shared with other pods, whose leases come and go.
        until_unix_ns: When the first of their windows ends.
        limits: The most money and tokens that may be used of each account.
        is_strict: Some hold more of a call than others.
    """

    books: tuple[Book, ...]
    accounts: tuple[Account, ...]
    entries: tuple[Entry, ...]
    is_shared: bool
    until_unix_ns: int
    limits: tuple[Holding, ...]
    is_strict: bool

    @classmethod
    def of(cls, books: Sequence[Book], keys: BudgetKeys, now_unix_ns: int) -> "Page":
        """Look the accounts up."""
        found = [(book, book.account(keys, now_unix_ns)) for book in books]
        counting = [(book, account) for book, account in found if account is not None]
        ends = [book.window_end_unix_ns(now_unix_ns) for book, _ in counting]
        entries = tuple(_entry(book, account) for book, account in counting)
        return cls(
            books=tuple(book for book, _ in counting),
            accounts=tuple(account for _, account in counting),
            entries=entries,
            limits=tuple(entry[1:3] for entry in entries),
            is_strict=any(book.strict for book, _ in counting),
            is_shared=any(book.is_shared for book, _ in counting),
            until_unix_ns=min((end for end in ends if end is not None), default=_NEVER),
        )


def _entry(book: Book, account: Account) -> Entry:
    picousd, tokens = book.limit_picousd, book.limit_tokens
    return (
        account,
        NO_LIMIT if picousd is None else picousd,
        NO_LIMIT if tokens is None else tokens,
        book.strict,
        book.is_shared,
    )


class Reservation:
    """What one admitted call holds, until it is settled or refunded."""

    __slots__ = ("_entries", "_strict", "_usual")

    def __init__(self, entries: Sequence[Entry], usual: Holding, strict: Holding) -> None:
        """Take what is held already: the usual amount, more of strict budgets."""
        self._entries: Sequence[Entry] | None = entries
        self._usual = usual
        self._strict = strict

    @property
    def is_open(self) -> bool:
        """Whether it was neither settled nor refunded."""
        return self._entries is not None

    def end(self, picousd: int, tokens: int) -> bool:
        """Charge this and give back what is held; False where it ended before."""
        entries, self._entries = self._entries, None
        for account, _, _, strict, _ in entries or ():
            account.settle(picousd, tokens, *(self._strict if strict else self._usual))
        return entries is not None


class Judged(NamedTuple):
    """What the budgets of a page said, and by which figures.

    Attributes:
        page: The budgets.
        held: The figures of each account before the call.
        results: Of each budget; None: all ok.
        leases: Of each budget; None: none is shared.
    """

    page: Page
    held: Sequence[Held]
    results: Sequence[BudgetResult] | None = None
    leases: Sequence[Lease | None] | None = None

    @property
    def verdicts(self) -> tuple[BudgetVerdict, ...]:
        """All of them, in the policy's order."""
        return tuple(self.verdict(index) for index in range(len(self.page.books)))

    def verdict(self, index: int) -> BudgetVerdict:
        """One of them."""
        book, account = self.page.books[index], self.page.accounts[index]
        result: BudgetResult = "ok" if self.results is None else self.results[index]
        lease = None if self.leases is None else self.leases[index]
        verdict = book.verdict(account, self.held[index], result, lease)
        if result == "block" and self.leases is not None and book.is_shared and lease is None:
            return verdict._replace(unreachable=book.blocks_unreached)
        return verdict


def reserve_all(
    page: Page, usual: Holding, strict: Holding, lease_now_s: float | None
) -> Judged | None:
    """Reserve on every account, if all that has a limit fits; None, and nothing, if not.

    Args:
        page: The accounts.
        usual: What is reserved.
        strict: What is reserved of strict budgets.
        lease_now_s: Now, for leases; None where nobody shares.
    """
    if lease_now_s is None and not page.is_strict:
        return _reserve_alike(page, *usual)
    before: list[Held] = []
    after: list[Held] = []
    leases: list[Lease | None] = []
    for account, most_picousd, most_tokens, is_strict, is_shared in page.entries:
        if lease_now_s is not None:
            lease = account.lease if is_shared else None
            if lease is not None:
                most_picousd, most_tokens, _, _, ends_s = lease
                is_shared = lease_now_s >= ends_s
            if is_shared:  # without a lease
                return None
            leases.append(lease)
        picousd, tokens = strict if is_strict else usual
        held = account.held
        spent_picousd, spent_tokens, used_picousd, used_tokens = held
        used_picousd += picousd
        used_tokens += tokens
        if used_picousd > most_picousd or used_tokens > most_tokens:
            return None
        before.append(held)
        after.append((spent_picousd, spent_tokens, used_picousd, used_tokens))
    _write(page, after)
    return Judged(page, before, None, None if lease_now_s is None else leases)


def _reserve_alike(page: Page, picousd: int, tokens: int) -> Judged | None:
    """Reserve as much on every account, none of which is leased: the usual case, so a quick one."""
    before = [account.held for account in page.accounts]
    after = [
        (spent_picousd, spent_tokens, used_picousd + picousd, used_tokens + tokens)
        for spent_picousd, spent_tokens, used_picousd, used_tokens in before
    ]
    for held, most in zip(after, page.limits, strict=True):
        if held[2] > most[0] or held[3] > most[1]:
            return None
    _write(page, after)
    return Judged(page, before)


def _write(page: Page, after: Sequence[Held]) -> None:
    for account, held in zip(page.accounts, after, strict=True):
        account.held = held
        account.calls += 1
        account.is_recent = True


def holding(wanted: Wanted) -> Holding:
    """What is held of what a call asks for."""
    return wanted.picousd or 0, wanted.tokens
