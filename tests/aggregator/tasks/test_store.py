"""What every store of tasks and leases has to do; each kind runs all of it."""

import asyncio

import pytest

from remora.errors import BadRequest
from remora_aggregator.tasks import lifecycle
from remora_aggregator.tasks.amounts import NOTHING, Amount, Limit
from remora_aggregator.tasks.budgets import BudgetSelection
from remora_aggregator.tasks.leases import AccountKey, Ask, LeaseSettings, Request, answered
from remora_aggregator.tasks.lifecycle import Asking
from remora_aggregator.tasks.selection import Place, TaskSelection
from remora_aggregator.tasks.states import CALL, Actor, ActorKind, State
from remora_aggregator.tasks.task import TaskKey, begun

LIMIT = Limit(1_000, None)
PERSON = Actor(ActorKind.CALLER, "ann")
ALL = TaskSelection(None)


def key(task_id, namespace="team-a"):
    return TaskKey(namespace, task_id)


def account(name="b", per="task", **fields):
    return AccountKey("team-a", name, per, "t", **fields)


def ask(lease_id="a", *, wanted=0, spent=0, of=None):
    amounts = Amount(spent, 0), Amount(wanted, 0), Amount(wanted, 0)
    return Ask(lease_id, of or account(), LIMIT, *amounts)


async def leased(store, *asks, sender="one"):
    request = Request(sender, asks)

    def decide(books, now_unix_ns):
        return answered(books, request, now_unix_ns, LeaseSettings())

    return [grant.granted[0] for grant in await store.change_books(request.wanted, decide)]


async def begin(store, task_id, *, namespace="team-a", state=State.RUNNING):
    name = key(task_id, namespace)
    return await store.change_task(name, lambda entry, now: begun(name, state, CALL, "", now))


async def pause(store, task_id, *, namespace="team-a"):
    def decide(entry, now):
        return lifecycle.paused(entry.task, Asking(PERSON, "", now))

    return await store.change_task(key(task_id, namespace), decide)


async def resume(store, task_id):
    def decide(entry, now):
        return lifecycle.resumed(entry, Asking(PERSON, "", now))

    return await store.change_task(key(task_id), decide)


async def ids(store, selection=ALL, **page):
    found = await store.tasks(selection, **({"after": None, "limit": 100} | page))
    return [entry.task.key.task_id for entry in found]


async def test_what_was_granted_is_known_to_the_next(store):
    assert await leased(store, ask(wanted=700)) == [700]
    assert await leased(store, ask(wanted=700), sender="other") == [300]
    assert await leased(store, ask(spent=200, wanted=500)) == [500]
    assert await leased(store, ask(wanted=700), sender="other") == [300]


async def test_asks_of_several_accounts_are_decided_together(store):
    asks = [ask(wanted=700), ask(wanted=700, of=account("other")), ask("b", wanted=700)]

    assert await leased(store, *asks) == [700, 700, 300]


async def test_many_at_once_are_granted_no_more_than_there_is(store):
    granted = await asyncio.gather(
        *(leased(store, ask(wanted=90), sender=f"pod-{number}") for number in range(20))
    )

    assert sum(one for [one] in granted) == 1_000


async def test_leases_that_ended_are_given_to_others_though_nobody_names_them(store, clock):
    for number in range(5):
        await leased(store, ask(wanted=200), sender=f"lost-{number}")
    assert await leased(store, ask(wanted=600), sender="other") == [0]

    clock.advance(60)
    assert await leased(store, ask(wanted=600), sender="other") == [600]
    assert await leased(store, ask(wanted=600), sender="third") == [400]


async def test_what_a_function_raises_goes_to_its_caller_and_nothing_is_written(store):
    def refuse(*given):
        raise BadRequest("no", status=409)

    with pytest.raises(BadRequest):
        await store.change_books({account(): set()}, refuse)
    with pytest.raises(BadRequest):
        await store.change_task(key("t"), refuse)

    assert await store.task(key("t")) is None
    assert await leased(store, ask(wanted=1_000)) == [1_000]


async def test_leases_are_forgotten_long_after_their_end(store, clock):
    await leased(store, ask(wanted=100))
    await leased(store, ask(spent=100))
    clock.advance(10)
    await leased(store, ask("b", wanted=100))

    assert await store.forget_leases(clock.now_unix_ns()) == 1
    assert await leased(store, ask("b", spent=5, wanted=100)) == [100]
    assert await leased(store, ask("c", wanted=1_000)) == [795]


async def test_accounts_of_windows_that_are_over_are_forgotten_with_their_leases(store, clock):
    day_ns = 86_400 * 10**9
    start = clock.now_unix_ns() // day_ns * day_ns
    today = account(window_start_unix_ns=start, window_ns=day_ns)
    await leased(store, ask(wanted=100, of=today))
    await leased(store, ask(spent=900, of=today))
    clock.advance(2 * 86_400)
    await store.forget_leases(clock.now_unix_ns())

    assert await leased(store, ask("b", wanted=1_000, of=today)) == [1_000]


async def test_a_task_that_nobody_knows_is_none(store):
    assert await store.task(key("t")) is None
    assert await store.known_tasks([key("t")]) == {}


async def test_tasks_are_kept_by_namespace_and_id(store):
    entry = await begin(store, "t")
    await begin(store, "t", namespace="team-b")
    await pause(store, "t", namespace="team-b")

    assert await store.task(key("t")) == entry
    known = await store.known_tasks([key("t"), key("t", "team-b"), key("x")])
    assert {one: task.state for one, task in known.items()} == {
        key("t"): State.RUNNING,
        key("t", "team-b"): State.PAUSED,
    }


async def test_calls_are_counted_and_begin_tasks(store, make_call):
    store.count(key("t"), make_call(cost_picousd=5))
    before = make_call(cost_picousd=7)
    store.count(key("t"), before)
    store.count(key("t"), make_call(cost_picousd=3), instead_of=before)
    entry = await store.task(key("t"))

    assert (entry.task.state, entry.totals.calls, entry.totals.cost_picousd) == (
        State.RUNNING,
        2,
        8,
    )


async def test_tasks_are_listed_from_the_newest_and_page_by_page(store, clock):
    for number in range(5):
        await begin(store, f"t-{number}")
        clock.advance(number % 2)
    assert await ids(store) == ["t-4", "t-3", "t-2", "t-1", "t-0"]

    first = await store.tasks(ALL, after=None, limit=2)
    await begin(store, "later")
    assert await ids(store, after=Place.of(first[-1].task), limit=2) == ["t-2", "t-1"]


async def test_lists_are_filtered(store, clock, make_call):
    await begin(store, "a-1")
    await begin(store, "a-2", namespace="team-b")
    await pause(store, "a-1")
    clock.advance(10)
    since = clock.now_unix_ns()
    store.count(key("b-1"), make_call())

    assert await ids(store, TaskSelection(frozenset({"team-a"}))) == ["b-1", "a-1"]
    assert await ids(store, TaskSelection(None, frozenset({State.PAUSED}))) == ["a-1"]
    assert await ids(store, TaskSelection(None, id_glob="a*")) == ["a-2", "a-1"]
    assert await ids(store, TaskSelection(None, since_unix_ns=since)) == ["b-1"]


async def test_quiet_tasks_are_found(store, clock, make_call):
    await begin(store, "quiet")
    await begin(store, "pending", state=State.PENDING)
    await begin(store, "paused")
    await pause(store, "paused")
    clock.advance(100)
    store.count(key("busy"), make_call())
    before = clock.now_unix_ns() - 50 * 10**9

    assert await store.quiet_tasks(before, paused=False, limit=10) == [key("quiet")]
    assert await store.quiet_tasks(before, paused=True, limit=10) == []


async def follow(store, after, **how):
    given = {"namespaces": None, "controls_only": False, "limit": 100} | how
    return await store.changes(after, **given)


def named(changes):
    return [changed.entry.task.key.task_id for changed in changes.tasks]


async def test_changes_are_followed_without_gap_or_repetition(store, make_call):
    start = await store.last_cursor()
    for number in range(5):
        await begin(store, f"t-{number}")
    seen, cursor = [], start
    for _ in range(3):
        page = await follow(store, cursor, limit=2)
        seen += named(page)
        cursor = page.cursor
    assert seen == ["t-0", "t-1", "t-2", "t-3", "t-4"]

    store.count(key("t-0"), make_call())  # what it sums up to is no change
    assert named(await follow(store, cursor)) == []
    await pause(store, "t-3")
    await pause(store, "t-1")
    assert named(await follow(store, cursor)) == ["t-3", "t-1"]


async def test_one_can_go_on_after_any_change_of_a_page(store):
    start = await store.last_cursor()
    for number in range(3):
        await begin(store, f"t-{number}")
    page = await follow(store, start)

    assert named(await follow(store, page.tasks[0].cursor)) == ["t-1", "t-2"]
    assert named(await follow(store, page.tasks[-1].cursor)) == []


async def test_only_changes_of_controls_are_followed_where_that_is_asked(store):
    start = await store.last_cursor()
    await begin(store, "a")
    await begin(store, "b")
    await pause(store, "b")
    await begin(store, "c", namespace="team-b")
    await pause(store, "c", namespace="team-b")
    only = {"controls_only": True, "namespaces": frozenset({"team-a"})}

    page = await follow(store, start, **only)
    assert named(page) == ["b"]
    await resume(store, "b")
    page = await follow(store, page.cursor, **only)
    assert named(page) == ["b"]
    assert [changed.changes_control for changed in page.tasks] == [True]
    await begin(store, "d")
    assert named(await follow(store, page.cursor, **only)) == []


async def test_tasks_that_are_held_are_found_with_the_cursor_to_go_on_from(store):
    for task_id in ("a", "b", "c", "d"):
        await begin(store, task_id)
    for task_id in ("c", "a", "b"):
        await pause(store, task_id)
    await resume(store, "a")
    held = await store.held_tasks("team-a", limit=10)
    assert sorted(named(held)) == ["b", "c"]
    assert named(await store.held_tasks("team-a", limit=1)) == ["b"]
    assert named(await store.held_tasks("team-b", limit=10)) == []

    await pause(store, "d")
    assert named(await follow(store, held.cursor, controls_only=True)) == ["d"]


async def test_who_waits_is_told_of_a_change(store):
    cursor = await store.last_cursor()
    waiting = asyncio.ensure_future(store.changed(cursor))
    await asyncio.sleep(0)
    assert not waiting.done()
    await begin(store, "t")
    await asyncio.wait_for(waiting, 10)
    await asyncio.wait_for(store.changed(cursor), 10)  # it is there already


@pytest.mark.parametrize("cursor", ["", "nonsense", "m", "m-1", "mx"])
async def test_a_cursor_of_somebody_elses_is_refused(store, cursor):
    with pytest.raises(BadRequest):
        await follow(store, cursor)


async def test_the_same_task_back_is_not_written(store):
    await begin(store, "t")
    cursor = await store.last_cursor()
    await store.change_task(key("t"), lambda entry, now: entry.task)

    assert await store.last_cursor() == cursor
    assert named(await follow(store, cursor)) == []


async def test_amounts_past_64_bits_are_kept(store):
    large = 10**23
    wide = Ask("a", account(), Limit(10**24, None), Amount(large, 0), NOTHING, NOTHING)
    await leased(store, wide)
    request = Request("one", [ask("b", wanted=1)])
    books = {}

    def look(found, now_unix_ns):
        books.update(found)
        return {}, None

    await store.change_books(request.wanted, look)
    assert books[account()].spent == (large, 0)


DAY_NS = 86_400 * 10**9
EVERY_BUDGET = BudgetSelection(None)


async def told(store, chosen=EVERY_BUDGET, *, at_once=100):
    """Read all budgets, page by page."""
    found, after = [], None
    for _ in range(100):
        page = await store.budgets(chosen, after=after, limit=at_once)
        assert len(page.budgets) <= at_once
        found += page.budgets
        if (after := page.next) is None:
            return found
    raise AssertionError("the pages have no end")


async def test_a_budget_tells_what_is_spent_and_leased_and_by_what_limit(store, clock):
    await leased(store, ask(wanted=300), sender="one")
    clock.advance(5)
    await leased(store, ask(spent=120, wanted=200), sender="one")
    await leased(store, ask(wanted=50), sender="other")

    [budget] = await told(store)
    assert budget.key == account()
    assert (budget.limit, budget.spent, budget.leased) == (LIMIT, (120, 0), (250, 0))
    assert budget.asked_unix_ns == clock.now_unix_ns()
    assert budget.resets_unix_ns is None


async def test_what_was_granted_to_who_is_lost_is_no_longer_leased(store, clock):
    for number in range(3):
        await leased(store, ask(wanted=200), sender=f"lost-{number}")
        clock.advance(25)

    [budget] = await told(store)
    assert budget.leased == (400, 0)
    clock.advance(60)
    [budget] = await told(store)
    assert (budget.spent, budget.leased) == ((0, 0), (0, 0))


async def test_windows_that_are_over_are_told_only_where_they_are_asked_for(store, clock):
    start = clock.now_unix_ns() // DAY_NS * DAY_NS
    today, tomorrow = (
        account(window_start_unix_ns=start + at, window_ns=DAY_NS) for at in (0, DAY_NS)
    )
    await leased(store, ask(wanted=10, of=today))
    clock.advance(86_400)
    await leased(store, ask("b", wanted=10, of=tomorrow))

    current = BudgetSelection(None, ends_after_unix_ns=clock.now_unix_ns())
    assert [one.key for one in await told(store, current)] == [tomorrow]
    both = await told(store)
    assert [one.resets_unix_ns for one in both] == [start + DAY_NS, start + 2 * DAY_NS]


ACCOUNTS = [
    AccountKey("team-a", "a_b", "task", "t/1"),
    AccountKey("team-a", "daily", "namespace", ""),
    AccountKey("team-a", "daily", "session", "Ä\n*"),
    AccountKey("team-a", "per-task", "task", "T1"),
    AccountKey("team-b", "acb", "agent", "t1"),
]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"namespaces": frozenset({"team-b", "none"})}, [4]),
        ({"namespaces": frozenset()}, []),
        ({"per": frozenset({"task", "agent"})}, [0, 3, 4]),
        ({"budget_glob": "a_b"}, [0]),
        ({"budget_glob": "a?b"}, [0, 4]),
        ({"budget_glob": "da*"}, [1, 2]),
        ({"key_glob": "t1"}, [4]),
        ({"key_glob": "*1", "namespaces": frozenset({"team-a"})}, [0, 3]),
        ({"key_glob": "?\n?"}, [2]),
        ({"budget_glob": "nothing"}, []),
    ],
    ids=lambda value: " ".join(map(str, value)) or "-",
)
@pytest.mark.parametrize("at_once", [1, 2, 100])
async def test_budgets_are_found_in_the_order_of_their_keys(store, chosen, found, at_once):
    for one in reversed(ACCOUNTS):
        await leased(store, ask(wanted=1, of=one))
    selection = BudgetSelection(**({"namespaces": None} | chosen))

    keys = [one.key for one in await told(store, selection, at_once=at_once)]
    assert keys == [ACCOUNTS[number] for number in found]


async def test_the_limit_that_was_said_last_is_told(store):
    await leased(store, ask(wanted=10))
    tokens = Ask("b", account(), Limit(None, 70), NOTHING, Amount(0, 7), Amount(0, 7))
    await leased(store, tokens)

    [budget] = await told(store)
    assert (budget.limit, budget.leased) == (Limit(None, 70), (10, 7))
