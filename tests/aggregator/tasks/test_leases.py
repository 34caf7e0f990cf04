"""The lease books by example: what is granted, charged, given back."""

from dataclasses import replace

import pytest

from remora_aggregator.tasks.amounts import NOTHING, Amount, Limit
from remora_aggregator.tasks.leases import (
    NS_PER_S,
    AccountKey,
    Ask,
    LeaseKey,
    LeaseSettings,
    Request,
    answered,
)

ACCOUNT = AccountKey("team-a", "daily", "namespace", "")
LIMIT = Limit(1_000, 10_000)
WIDE = LeaseSettings(size_per_mille=1_000)


class Books:
    """Accounts with all their leases, and a clock."""

    def __init__(self, settings=WIDE):  # noqa: D107
        self.settings = settings
        self.books = {}
        self.now_s = 1_000.0

    def ask(self, sender="one", *, number=0, **fields):
        ask = Ask(
            lease_id=fields.pop("lease_id", "lease"),
            account=fields.pop("account", ACCOUNT),
            limit=fields.pop("limit", LIMIT),
            spent=Amount(*fields.pop("spent", (0, 0))),
            wanted=(wanted := Amount(*fields.pop("wanted", (0, 0)))),
            needed=Amount(*fields.pop("needed", wanted)),
        )
        request = Request(sender, [ask], number)
        now = round(self.now_s * NS_PER_S)
        changed, [grant] = answered(self.books, request, now, self.settings)
        self.books |= changed
        return grant

    @property
    def book(self):
        return self.books[ACCOUNT]


def test_a_first_ask_gets_what_it_wants():
    grant = Books().ask(wanted=(300, 50))

    assert grant.granted == (300, 50)
    assert grant.expires_after_s == 60.0
    assert grant.spent == NOTHING
    assert grant.remaining == (700, 9_950)


def test_others_get_what_is_left():
    books = Books()
    books.ask("one", wanted=(700, 0))

    assert books.ask("other", wanted=(700, 0)).granted == (300, 0)
    assert books.ask("third", wanted=(700, 0)).granted == (0, 0)


def test_what_is_spent_shrinks_the_grant_and_is_told_to_all():
    books = Books()
    books.ask("one", wanted=(700, 10))
    renewed = books.ask("one", spent=(200, 4), wanted=(500, 6))

    assert (renewed.granted, renewed.spent) == ((500, 6), (200, 4))
    assert books.ask("other", wanted=(1, 1)).spent == (200, 4)


def test_an_ask_that_is_sent_again_changes_nothing():
    books = Books()
    first = books.ask(spent=(200, 3), wanted=(500, 6))
    before = books.book

    assert books.ask(spent=(200, 3), wanted=(500, 6)) == first
    assert books.book == before


def test_less_wanted_gives_the_rest_back():
    books = Books()
    books.ask("one", wanted=(900, 0))
    books.ask("one", wanted=(100, 0))

    assert books.ask("other", wanted=(900, 0)).granted == (900, 0)


def test_a_lease_that_is_returned_is_charged_once_however_often_it_is_sent():
    books = Books()
    books.ask(wanted=(900, 9))
    for _ in range(3):
        grant = books.ask(spent=(300, 3))

    assert (grant.granted, grant.spent, grant.expires_after_s) == (NOTHING, (300, 3), 0.0)
    assert (books.book.spent, books.book.granted) == ((300, 3), NOTHING)


def test_what_a_lost_sidecar_was_granted_comes_back_when_its_lease_ends():
    books = Books()
    books.ask("lost", wanted=(900, 0))
    books.now_s += 59.9
    assert books.ask("other", wanted=(900, 0)).granted == (100, 0)

    books.now_s += 0.1
    assert books.ask("other", wanted=(900, 0)).granted == (900, 0)


def test_a_late_report_is_still_charged():
    books = Books()
    books.ask("late", wanted=(900, 0))
    books.now_s += 600
    books.ask("other", wanted=(900, 0))
    late = books.ask("late", spent=(400, 0), wanted=(900, 0))

    assert late.granted == (0, 0)
    assert late.spent == (400, 0)
    assert books.book.granted == (900, 0)


def test_what_is_spent_beyond_the_grant_is_charged_too():
    books = Books()
    books.ask(wanted=(100, 0))

    assert books.ask(spent=(1_500, 0), wanted=(100, 0)).granted == (0, 0)
    assert books.book.spent == (1_500, 0)


def test_a_lease_keeps_what_it_has_where_the_limit_was_lowered():
    books = Books()
    books.ask("one", wanted=(900, 0))

    kept = books.ask("one", wanted=(950, 0), limit=Limit(500, None))
    assert (kept.granted, kept.remaining.picousd) == ((900, 0), 0)


def test_senders_who_differ_in_limit_are_each_granted_by_their_own():
    books = Books()
    books.ask("one", wanted=(500, 0), limit=Limit(500, None))

    assert books.ask("strict", wanted=(500, 0), limit=Limit(600, None)).granted == (100, 0)
    assert books.ask("generous", wanted=(500, 0), limit=Limit(2_000, None)).granted == (500, 0)


def test_what_a_sender_does_not_limit_it_is_not_granted():
    assert Books().ask(wanted=(500, 500), limit=Limit(None, 600)).granted == (0, 500)


def test_a_limit_of_nothing_grants_nothing():
    grant = Books().ask(wanted=(5, 5), limit=Limit(0, 0))

    assert (grant.granted, grant.remaining) == (NOTHING, NOTHING)


def test_leases_of_different_senders_are_different():
    books = Books()
    books.ask("one", spent=(100, 0), wanted=(200, 0))
    books.ask("other", spent=(100, 0), wanted=(200, 0))

    assert books.book.spent == (200, 0)
    assert set(books.book.leases) == {LeaseKey("one", "lease"), LeaseKey("other", "lease")}


@pytest.mark.parametrize(
    ("wanted", "needed", "granted"),
    [
        ((500, 500), (0, 0), (20, 200)),
        ((500, 500), (300, 0), (300, 200)),
        ((10, 10), (0, 0), (10, 10)),
        ((500, 500), (900, 900), (500, 500)),
        ((500, 500), (500, 500), (500, 500)),
    ],
    ids=["stock", "calls need more", "less is wanted", "needs more than it wants", "all needed"],
)
def test_a_lease_is_as_large_as_two_percent_or_what_calls_need(wanted, needed, granted):
    assert Books(LeaseSettings()).ask(wanted=wanted, needed=needed).granted == granted


def test_a_large_lease_is_not_taken_away_because_stock_is_smaller():
    books = Books(LeaseSettings())
    books.ask(wanted=(500, 0), needed=(500, 0))

    assert books.ask(wanted=(450, 0), needed=(0, 0)).granted == (450, 0)


def test_an_ask_that_was_overtaken_is_charged_and_changes_nothing_else():
    books = Books()
    books.ask(number=2, wanted=(800, 0))
    overtaken = books.ask(number=1, spent=(50, 0), wanted=(100, 0))

    assert overtaken.granted == (750, 0)
    assert books.book.spent == (50, 0)


def test_asks_of_one_request_see_each_other():
    asks = [
        Ask(lease_id, ACCOUNT, LIMIT, NOTHING, Amount(700, 0), Amount(700, 0))
        for lease_id in ("a", "b", "a")
    ]
    changed, grants = answered({}, Request("one", asks), 0, WIDE)

    assert [grant.granted for grant in grants] == [(700, 0), (300, 0), (700, 0)]
    assert changed[ACCOUNT].granted == (1_000, 0)


def test_windows_are_different_accounts():
    books = Books()
    monday = replace_window(ACCOUNT, 0)
    books.ask(account=monday, wanted=(900, 0))

    assert books.ask(account=replace_window(ACCOUNT, 1), wanted=(900, 0)).granted == (900, 0)


def replace_window(account, number):
    day_ns = 86_400 * NS_PER_S
    return account._replace(window_start_unix_ns=number * day_ns, window_ns=day_ns)


def test_a_request_names_the_leases_it_needs():
    ask = Ask("a", ACCOUNT, LIMIT, NOTHING, NOTHING, NOTHING)
    other = replace(ask, lease_id="b")

    assert Request("one", [ask, other, ask]).wanted == {
        ACCOUNT: {LeaseKey("one", "a"), LeaseKey("one", "b")}
    }
