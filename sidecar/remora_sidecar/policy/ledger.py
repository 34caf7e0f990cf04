"""The budgets of one pod: what calls may still spend, hold while in flight, and have spent.

Pure and synchronous; one event loop owns it, so nothing comes between a question and its answer.
A call *reserves* its estimate on every budget that counts it, or on none; it is *settled* by
what it cost, or *refunded*. So budgets are overspent by no more than calls in flight cost beyond
their reservations.

Memory is bounded: agents choose the ids of tasks, sessions and agents, so a budget keeps about
`MAX_ACCOUNTS` of them, and forgets those that no call has used for longest. Who uses more ids than
that gets round such a budget, as he would by a new id for each call; a budget per pod or per
namespace has one account.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from remora.policy.limits import Budget
from remora_sidecar.policy.account import Account, Lease, live_lease
from remora_sidecar.policy.accounts import MAX_ACCOUNTS, Accounts
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.book import Book, BudgetIdentity, Wanted
from remora_sidecar.policy.budget_page import (
    Judged,
    Page,
    Reservation,
    held_of,
    holding,
    reserve_all,
)
from remora_sidecar.policy.budget_verdict import BudgetKeys, BudgetResult, BudgetVerdict
from remora_sidecar.policy.ledger_row import LedgerRow

_MAX_PAGES = 1_000

_NOTHING_SAID = Judged(Page.of((), BudgetKeys("", "", "", "", ""), 0), ())


class Admission(NamedTuple):
    """What the budgets say together.

    Attributes:
        judged: What each budget that counts the call said.
        reservation: To settle or refund; None where the call may not go as it is, and then
            nothing is held.
        blocked_by: The first budget that blocks.
        downgrade: The first that asks for a cheaper call, where none blocks; of the call that is
            that cheaper one, the budget that asked for it.
    """

    judged: Judged
    reservation: Reservation | None
    blocked_by: BudgetVerdict | None = None
    downgrade: BudgetVerdict | None = None

    @property
    def verdicts(self) -> tuple[BudgetVerdict, ...]:
        """Of every budget that counts the call, in the policy's order; made when asked for."""
        return self.judged.verdicts


class Ledger:
    """The budgets of the policy in force, and their accounts.

    Attributes:
        revision: Changes with everything that is worth keeping.
        lease_clock: By which leases of shared budgets end; None where nobody shares.
    """

    def __init__(
        self,
        budgets: Iterable[Budget] = (),
        *,
        lease_clock: Callable[[], float] | None = None,
        max_accounts: int = MAX_ACCOUNTS,
    ) -> None:
        """Begin with nothing spent.

        Args:
            budgets: Of the effective policy, with unique names.
            lease_clock: The monotonic clock, where budgets are shared.
            max_accounts: That each budget keeps.
        """
        self.revision = 0
        self.lease_clock = lease_clock
        self._max_accounts = max_accounts
        self._books: tuple[Book, ...] = ()
        self._pages: dict[BudgetKeys, Page] = {}
        self._dropped = 0
        self._latest_unix_ns = 0
        self.apply(budgets)

    @property
    def books(self) -> tuple[Book, ...]:
        """The budgets, in the policy's order."""
        return self._books

    @property
    def dropped_total(self) -> int:
        """Accounts forgotten for want of room, of the budgets in force."""
        return sum(book.accounts.dropped_total for book in self._books)

    def apply(self, budgets: Iterable[Budget]) -> None:
        """Go by a changed policy; what was spent stays where name, per and window are the same.

        Calls in flight settle on the accounts they reserved on, whatever has become of these.
        """
        kept = {book.identity: book.accounts for book in self._books}
        self._books = tuple(self._book(budget, kept) for budget in budgets)
        still = {book.identity for book in self._books}
        for identity, accounts in kept.items():
            if identity not in still:
                accounts.abandon()
        self._pages.clear()
        self.revision += 1

    def _book(self, budget: Budget, kept: dict[BudgetIdentity, Accounts]) -> Book:
        book = Book(budget, Accounts(self._max_accounts))
        book.accounts = kept.get(book.identity, book.accounts)
        return book

    def reserve(
        self,
        keys: BudgetKeys,
        estimate: Amount,
        now_unix_ns: int,
        *,
        most: Amount | None = None,
        downgraded: bool = False,
    ) -> Admission:
        """Ask every budget, and hold the estimate on all or on none.

        A budget that blocks wins over one that asks for a cheaper call.

        Args:
            keys: Whose call it is.
            estimate: What it is thought to cost.
            now_unix_ns: Which windows run.
            most: What it can cost at the most, which strict budgets hold; None: the estimate.
            downgraded: The estimate is of the cheaper call already, or there is none: where
                it does not fit either, it is blocked.
        """
        if not self._books:
            return Admission(_NOTHING_SAID, Reservation(_NOTHING_SAID.page, (0, 0), (0, 0)))
        page = self.page(keys, now_unix_ns)
        lease_now_s = None if self.lease_clock is None else self.lease_clock()
        held = held_of(estimate)
        most_held = held if most is None else held_of(most)
        if held is not None and most_held is not None:
            judged = reserve_all(page, held, most_held, lease_now_s)
            if judged is not None:
                self.revision += 1
                return Admission(judged, Reservation(page, held, most_held))
        usual = Wanted.of(estimate)
        strict = usual if most is None else Wanted.of(most)
        judged = _judged(page, usual, strict, lease_now_s, downgraded=downgraded)
        return self._weighed(judged, usual, strict)

    def page(self, keys: BudgetKeys, now_unix_ns: int) -> Page:
        """Return the accounts that calls with these keys count on now."""
        if now_unix_ns < self._latest_unix_ns:
            self._pages.clear()  # windows that ended may run again, on other accounts
        self._latest_unix_ns = now_unix_ns
        page = self._pages.get(keys)
        if page is None or page.until_unix_ns <= now_unix_ns:
            page = self._new_page(keys, now_unix_ns)
        return page

    def _new_page(self, keys: BudgetKeys, now_unix_ns: int) -> Page:
        page = Page.of(self._books, keys, now_unix_ns)
        dropped = self.dropped_total
        if dropped != self._dropped or len(self._pages) >= _MAX_PAGES:
            self._dropped = dropped
            self._pages.clear()  # some may hold an account that was forgotten
        self._pages[keys] = page
        return page

    def _weighed(self, judged: Judged, usual: Wanted, strict: Wanted) -> Admission:
        """Decide by what the budgets said one by one."""
        results = judged.results or ()
        if "block" in results:
            return Admission(judged, None, blocked_by=judged.verdict(results.index("block")))
        if "downgrade" in results:
            return Admission(judged, None, downgrade=judged.verdict(results.index("downgrade")))
        amounts = holding(usual), holding(strict)
        for tally in judged.page.tallies:
            tally.reserve(*amounts[tally.is_strict])
        self.revision += 1
        return Admission(judged, Reservation(judged.page, *amounts))

    def hold_more(self, reservation: Reservation, spent: Amount) -> bool:
        """Hold what a failed try of a call cost beside what its next one may; False if it can't be.

        So a strict budget is not overspent by calls that are tried again. A reservation that has
        ended, or an unknown price, asks for no room.
        """
        lease_now_s = None if self.lease_clock is None else self.lease_clock()
        if not reservation.hold_more(*holding(Wanted.of(spent)), lease_now_s):
            return False
        self.revision += 1
        return True

    def charge(self, keys: BudgetKeys, actual: Amount, now_unix_ns: int) -> None:
        """Charge what one turn of a conversation used, while its connection goes on.

        It goes to the windows that run now, whenever the connection began.
        """
        amounts = holding(Wanted.of(actual))
        for account in self.page(keys, now_unix_ns).accounts:
            account.charge(*amounts)
        self.revision += 1

    def settle(self, reservation: Reservation, actual: Amount) -> None:
        """Charge what a call cost, to the windows in which it reserved; once, then never again.

        Where the price is not known, its tokens alone are charged.
        """
        if reservation.end(*holding(Wanted.of(actual))):
            self.revision += 1

    def refund(self, reservation: Reservation) -> None:
        """Give back what a call held that cost nothing."""
        self.settle(reservation, Amount(None, 0))

    def rows(self) -> Iterator[LedgerRow]:
        """Write down all accounts; may run in another thread while calls go on.

        What is reserved counts as spent: whoever reads it outlived the calls that held it, and
        nobody will say any more what they cost.
        """
        for book in self._books:
            for account in book.accounts.all():
                _, _, used_picousd, used_tokens = account.held
                place = account.key, account.window
                used = used_picousd, used_tokens
                yield LedgerRow(*book.identity, *place, *used, *account.reported)

    def restore(self, rows: Iterable[LedgerRow]) -> None:
        """Take over what `rows` wrote down, where the budgets are the same."""
        books = {book.identity: book for book in self._books}
        for row in rows:
            book = books.get(BudgetIdentity(row.name, row.per, row.window_ms))
            if book is not None:
                book.accounts.put(_account(row))
        self._pages.clear()


def _judged(
    page: Page, usual: Wanted, strict: Wanted, lease_now_s: float | None, *, downgraded: bool
) -> Judged:
    """Ask the budgets one by one, where not all fits or there is more to tell."""
    before = [tally.snapshot for tally in page.tallies]
    results: list[BudgetResult] = []
    leases: list[Lease | None] = []
    for book, account in zip(page.books, page.accounts, strict=True):
        wanted = strict if book.strict else usual
        account.is_recent = True
        lease = None
        if lease_now_s is None or not book.is_shared:
            result = book.judge(account, wanted, downgraded=downgraded)
        else:
            lease = live_lease(account, lease_now_s)
            result = book.judge_share(account, wanted, lease, downgraded=downgraded)
        results.append(result)
        leases.append(lease)
    return Judged(page, before, results, None if lease_now_s is None else leases)


def _account(row: LedgerRow) -> Account:
    spent = row.spent_picousd, row.spent_tokens
    reported = row.reported_picousd, row.reported_tokens
    return Account(row.key, row.window, (*spent, *spent), reported)
