"""The accounts that the calls of one set of keys count on, looked up once for many calls.

Admission asks twenty budgets in some microseconds, so what can be known before is.
"""

from collections.abc import Sequence
from typing import NamedTuple

from remora_sidecar.policy.account import (
    NO_LIMIT,
    NOTHING,
    Account,
    Held,
    Holding,
    Lease,
    State,
    Tally,
    added,
    live_lease,
)
from remora_sidecar.policy.amounts import Amount, picousd_of
from remora_sidecar.policy.book import Book, Wanted
from remora_sidecar.policy.budget_verdict import BudgetKeys, BudgetResult, BudgetVerdict

_NEVER = 1 << 200

type Entry = tuple[Account, int, int, bool, bool, bool]
"""An account, the most money and tokens that may be used of it, whether its budget is strict,
whether it is shared, and whether it only warns."""

type Place = tuple[int, int]
"""The number of a page's tally, and of an account in it."""


class Page(NamedTuple):
    """Books and their accounts, in the policy's order.

    Attributes:
        books: The budgets that count these calls.
        accounts: Of each of them.
        entries: The same with their limits.
        is_shared: Some are shared with other pods, whose leases come and go.
        until_unix_ns: When the first of their windows ends.
        tallies: What the accounts have in common, by those who count the same.
        places: Where the account of each book stands in them; None where it counts nothing.
        caps: The limits of those that count nothing, for usual calls and for strict budgets.
    """

    books: tuple[Book, ...]
    accounts: tuple[Account, ...]
    entries: tuple[Entry, ...]
    is_shared: bool
    until_unix_ns: int
    tallies: tuple[Tally, ...]
    places: tuple[Place | None, ...]
    caps: tuple[tuple[bool, Holding], ...]

    @classmethod
    def of(cls, books: Sequence[Book], keys: BudgetKeys, now_unix_ns: int) -> "Page":
        """Look the accounts up."""
        found = [(book, book.account(keys, now_unix_ns)) for book in books]
        counting = [(book, account) for book, account in found if account is not None]
        ends = [book.window_end_unix_ns(now_unix_ns) for book, _ in counting]
        entries = tuple(_entry(book, account) for book, account in counting)
        groups = _groups(counting)
        places = {at: (n, i) for n, group in enumerate(groups) for i, at in enumerate(group)}
        return cls(
            books=tuple(book for book, _ in counting),
            accounts=tuple(account for _, account in counting),
            entries=entries,
            is_shared=any(book.is_shared for book, _ in counting),
            until_unix_ns=min((end for end in ends if end is not None), default=_NEVER),
            tallies=tuple(_tally([entries[at] for at in group]) for group in groups),
            places=tuple(map(places.get, range(len(counting)))),
            caps=tuple(
                (book.strict, entry[1:3])
                for (book, _), entry in zip(counting, entries, strict=True)
                if not book.keeps_accounts
            ),
        )

    def looks_again(self) -> bool:
        """Look at accounts that were changed by themselves; tell whether there were any."""
        return any([tally.look() for tally in self.tallies])


def _entry(book: Book, account: Account) -> Entry:
    picousd, tokens = book.limit_picousd, book.limit_tokens
    return (
        account,
        NO_LIMIT if picousd is None else picousd,
        NO_LIMIT if tokens is None else tokens,
        book.strict,
        book.is_shared,
        book.only_warns,
    )


def _groups(counting: Sequence[tuple[Book, Account]]) -> list[list[int]]:
    """Find which books count the same: for the same key, and as much of a call."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for at, (book, _) in enumerate(counting):
        if book.keeps_accounts:
            groups.setdefault((book.identity.per, book.strict), []).append(at)
    return list(groups.values())


def _tally(entries: Sequence[Entry]) -> Tally:
    """Return what accounts have in common; made anew where some were with others till now."""
    accounts = tuple(entry[0] for entry in entries)
    limits = tuple(entry[1:3] for entry in entries)
    _, _, _, is_strict, is_shared, _ = entries[0]
    tally = accounts[0].tally
    if tally is not None and tally.serves(accounts, limits, is_strict=is_strict):
        return tally
    return Tally(accounts, limits, is_strict=is_strict, is_shared=is_shared)


class Reservation:
    """What one admitted call holds, until it is settled or refunded."""

    __slots__ = ("_page", "_strict", "_usual")

    def __init__(self, page: Page, usual: Holding, strict: Holding) -> None:
        """Take what is held already: the usual amount, more of strict budgets."""
        self._page: Page | None = page
        self._usual = usual
        self._strict = strict

    @property
    def is_open(self) -> bool:
        """Whether it was neither settled nor refunded."""
        return self._page is not None

    def hold_more(self, picousd: int, tokens: int, lease_now_s: float | None) -> bool:
        """Hold more on every account; False, and nothing, where a strict budget has no room.

        Others may be overspent by it: the call has gone already.
        """
        if (page := self._page) is None:
            return True
        if not all(_has_room(entry, picousd, tokens, lease_now_s) for entry in page.entries):
            return False
        for tally in page.tallies:
            tally.hold(picousd, tokens)
        self._usual = self._usual[0] + picousd, self._usual[1] + tokens
        self._strict = self._strict[0] + picousd, self._strict[1] + tokens
        return True

    def end(self, picousd: int, tokens: int) -> bool:
        """Charge this and give back what is held; False where it ended before."""
        page, self._page = self._page, None
        if page is None:
            return False
        for tally in page.tallies:
            tally.settle((picousd, tokens), self._strict if tally.is_strict else self._usual)
        return True


def _has_room(entry: Entry, picousd: int, tokens: int, lease_now_s: float | None) -> bool:
    account, most_picousd, most_tokens, is_strict, is_shared, only_warns = entry
    if not is_strict or only_warns:
        return True
    if is_shared and lease_now_s is not None:
        lease = live_lease(account, lease_now_s)
        if lease is None:
            return False
        most_picousd, most_tokens = lease.ceiling_picousd, lease.ceiling_tokens
    _, _, used_picousd, used_tokens = account.held
    fits = not picousd or used_picousd + picousd <= most_picousd
    return fits and (not tokens or used_tokens + tokens <= most_tokens)


class Judged(NamedTuple):
    """What the budgets of a page said, and by which figures.

    Attributes:
        page: The budgets.
        before: The page's tallies before the call.
        results: Of each budget; None: all ok.
        leases: Of each budget; None: none is shared.
    """

    page: Page
    before: Sequence[State]
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
        verdict = book.verdict(account, self._held(index), result, lease)
        if result == "block" and self.leases is not None and book.is_shared and lease is None:
            return verdict._replace(unreachable=book.blocks_unreached)
        return verdict

    def _held(self, index: int) -> Held:
        place = self.page.places[index]
        if place is None:
            return NOTHING
        state = self.before[place[0]]
        return added(state[:4], state[4][place[1]])


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
    if lease_now_s is not None and page.is_shared:
        leases = _leases(page, usual, strict, lease_now_s)
        page.looks_again()
        return None if leases is None else _reserve(page, usual, strict, leases)
    judged = _reserve(page, usual, strict, None)
    if judged is None and page.looks_again():
        return _reserve(page, usual, strict, None)
    return judged


def _leases(page: Page, usual: Holding, strict: Holding, now_s: float) -> list[Lease | None] | None:
    """Return the leases of shared budgets; None where one is missing or has no room."""
    leases: list[Lease | None] = []
    for account, _, _, is_strict, is_shared, _ in page.entries:
        lease = live_lease(account, now_s) if is_shared else None
        leases.append(lease)
        if not is_shared:
            continue
        picousd, tokens = strict if is_strict else usual
        _, _, used_picousd, used_tokens = account.held
        if (
            lease is None
            or used_picousd + picousd > lease.ceiling_picousd
            or used_tokens + tokens > lease.ceiling_tokens
        ):
            return None
    return leases


def _reserve(
    page: Page, usual: Holding, strict: Holding, leases: Sequence[Lease | None] | None
) -> Judged | None:
    """Reserve where the limits have room; of shared accounts those with leases were asked."""
    for is_strict, most in page.caps:
        picousd, tokens = strict if is_strict else usual
        if picousd > most[0] or tokens > most[1]:
            return None
    before: list[State] = []
    after: list[State] = []
    for tally in page.tallies:
        picousd, tokens = strict if tally.is_strict else usual
        spent_picousd, spent_tokens, used_picousd, used_tokens, own, room_picousd, room_tokens = (
            state := tally.state
        )
        used_picousd += picousd
        used_tokens += tokens
        fits = used_picousd <= room_picousd and used_tokens <= room_tokens
        if not fits and not (tally.is_open and tally.is_shared and leases is not None):
            return None
        before.append(state)
        after.append(
            (spent_picousd, spent_tokens, used_picousd, used_tokens, own, room_picousd, room_tokens)
        )
    for tally, state in zip(page.tallies, after, strict=True):
        tally.state = state
        tally.begun += 1
    return Judged(page, before, None, leases)


def held_of(amount: Amount) -> Holding | None:
    """What is held of a call that is thought to cost so much; None where its price is unknown."""
    cost_usd, tokens = amount
    return None if cost_usd is None else (picousd_of(cost_usd), max(0, tokens))


def holding(wanted: Wanted) -> Holding:
    """What is held of what a call asks for."""
    return wanted.picousd or 0, wanted.tokens
