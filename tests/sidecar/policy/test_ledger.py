"""What budgets say of calls, one case at a time; `test_ledger_machine` does the rest."""

from decimal import Decimal

import pytest

from remora.policy.limits import Budget
from remora_sidecar.policy.amounts import Amount, BudgetLimit
from remora_sidecar.policy.budget_verdict import BudgetKeys
from remora_sidecar.policy.ledger import Ledger

NOW = 1_767_225_600 * 10**9
HOUR_NS = 3600 * 10**9
KEYS = BudgetKeys("task", "session", "agent", "pod", "team-a")


def usd(cost, tokens=0):
    return Amount(None if cost is None else Decimal(cost), tokens)


def budget(per="session", **fields):
    if "maxCostUSD" not in fields and "maxTokens" not in fields:
        fields["maxCostUSD"] = "1"
    return Budget.model_validate({"name": f"a-{per}", "per": per, **fields})


def ask(ledger, cost="0.4", tokens=100, *, keys=KEYS, now=NOW, **how):
    return ledger.reserve(keys, usd(cost, tokens), now, **how)


def test_without_budgets_every_call_goes():
    admission = ask(Ledger())

    assert admission.reservation is not None
    assert admission.verdicts == ()


def test_what_is_held_and_spent_is_told_as_it_was_before_the_call():
    ledger = Ledger([budget(maxTokens=1000)])
    ledger.settle(ask(ledger).reservation, usd("0.3", 90))
    ask(ledger, "0.1", 10)

    [verdict] = ask(ledger, "0.2", 20).verdicts
    assert (verdict.name, verdict.per, verdict.result) == ("a-session", "session", "ok")
    assert verdict.spent == usd("0.3", 90)
    assert verdict.reserved == usd("0.1", 10)
    assert verdict.limit == BudgetLimit(None, 1000)
    assert verdict.resets_unix_ns is None


def test_a_budget_can_be_used_to_the_last_picodollar_and_no_further():
    ledger = Ledger([budget(maxCostUSD="0.000000000003")])
    ask(ledger, "0.000000000002")

    assert ask(ledger, "0.0000000000011").blocked_by is not None
    assert ask(ledger, "0.000000000001").reservation is not None
    assert ask(ledger, "0.000000000001").blocked_by is not None


@pytest.mark.parametrize(
    ("on_exceed", "downgraded", "result", "goes"),
    [
        ("block", False, "block", False),
        ("block", True, "block", False),
        ("warn", False, "warn", True),
        ("warn", True, "warn", True),
        ("downgrade", False, "downgrade", False),
        ("downgrade", True, "block", False),
    ],
)
@pytest.mark.parametrize("per", ["call", "task", "session", "agent", "pod", "namespace"])
@pytest.mark.parametrize("asked", [usd("2", 5), usd("0.1", 1001), usd(None, 1001)], ids=repr)
def test_a_call_that_does_not_fit_is_treated_as_its_budget_says(
    per, on_exceed, downgraded, result, goes, asked
):
    ledger = Ledger([budget(per, maxCostUSD="1", maxTokens=1000, onExceed=on_exceed)])
    admission = ledger.reserve(KEYS, asked, NOW, downgraded=downgraded)

    [verdict] = admission.verdicts
    assert verdict.result == result
    assert (admission.reservation is not None) == goes
    assert admission.blocked_by == (verdict if result == "block" else None)
    assert admission.downgrade == (verdict if result == "downgrade" else None)


def test_a_cheaper_call_goes_where_the_dear_one_did_not():
    ledger = Ledger([budget(onExceed="downgrade")])
    assert ask(ledger, "2").downgrade.name == "a-session"

    assert ask(ledger, "0.9", downgraded=True).reservation is not None


def test_a_budget_that_blocks_wins_over_one_that_would_downgrade():
    ledger = Ledger([budget("task", onExceed="downgrade"), budget("pod")])
    admission = ask(ledger, "2")

    assert admission.blocked_by.name == "a-pod"
    assert admission.downgrade is None
    assert [verdict.result for verdict in admission.verdicts] == ["downgrade", "block"]


def test_if_one_budget_blocks_nothing_is_held_on_any():
    ledger = Ledger([budget("pod"), budget("session", maxCostUSD="0.5")])
    ask(ledger, "0.6")

    assert [verdict.reserved for verdict in ask(ledger, "0").verdicts] == [usd("0")] * 2


def test_free_calls_go_when_all_is_spent():
    ledger = Ledger([budget(onExceed="downgrade")])
    ledger.settle(ask(ledger).reservation, usd("5"))

    assert ask(ledger, "0.01", downgraded=True).blocked_by is not None
    assert ask(ledger, "0", downgraded=True).reservation is not None


def test_an_unknown_price_is_said_and_only_tokens_count():
    ledger = Ledger([budget(maxCostUSD="1", maxTokens=150), budget("pod", maxTokens=1000)])
    admission = ask(ledger, None)
    assert [verdict.result for verdict in admission.verdicts] == ["unpriced", "ok"]

    ledger.settle(admission.reservation, usd(None, 120))
    refused = ask(ledger, None)
    assert refused.blocked_by.name == "a-session"
    assert refused.blocked_by.spent == usd("0", 120)


def test_a_price_that_is_known_only_afterwards_is_charged():
    ledger = Ledger([budget()])
    ledger.settle(ask(ledger, None).reservation, usd("0.7"))

    assert ask(ledger, "0.4").blocked_by.spent == usd("0.7")


@pytest.mark.parametrize(
    ("per", "other", "apart"),
    [
        ("task", KEYS._replace(task_id="2"), True),
        ("session", KEYS._replace(session_id="2"), True),
        ("agent", KEYS._replace(agent_id="2"), True),
        ("pod", KEYS._replace(pod="2"), True),
        ("namespace", KEYS._replace(namespace="2"), True),
        ("task", KEYS._replace(session_id="2", agent_id="2"), False),
        ("namespace", BudgetKeys("", "2", "", "2", "team-a"), False),
    ],
)
def test_each_key_has_its_own_account(per, other, apart):
    ledger = Ledger([budget(per)])
    ask(ledger, "0.9")

    assert (ask(ledger, "0.9", keys=other).reservation is not None) == apart


@pytest.mark.parametrize(
    ("per", "counts"),
    [("task", False), ("agent", False), ("session", True), ("pod", True), ("namespace", True)],
)
def test_calls_without_a_task_or_agent_are_not_counted_for_one(per, counts):
    nobody = BudgetKeys("", "", "", "", "")
    ledger = Ledger([budget(per)])

    assert bool(ask(ledger, "2", keys=nobody).verdicts) == counts


def test_strict_budgets_hold_the_most_that_a_call_can_cost():
    ledger = Ledger([budget("pod", strict=True), budget("session")])
    ask(ledger, "0.1", 10, most=usd("0.6", 900))

    [strict, usual] = ask(ledger, "0", 0).verdicts
    assert strict.reserved == usd("0.6", 900)
    assert usual.reserved == usd("0.1", 10)
    assert ask(ledger, "0.1", 10, most=usd("0.6", 900)).blocked_by.name == "a-pod"


def test_a_strict_budget_has_to_have_room_for_a_failed_try_and_the_next():
    ledger = Ledger([budget("pod", strict=True), budget("session")])
    held = ask(ledger, "0.1", most=usd("0.5")).reservation

    assert ledger.hold_more(held, usd("0.3", 40))
    [strict, usual] = ask(ledger, "0", 0).verdicts
    assert strict.reserved == usd("0.8", 40)
    assert usual.reserved == usd("0.4", 140)
    assert not ledger.hold_more(held, usd("0.3"))
    assert ask(ledger, "0", 0).verdicts[0].reserved == usd("0.8", 40)
    ledger.settle(held, usd("0.7", 90))
    assert [verdict.spent for verdict in ask(ledger, "0", 0).verdicts] == [usd("0.7", 90)] * 2
    assert ask(ledger, "0", 0).verdicts[0].reserved == usd("0", 0)


def test_a_turn_is_charged_in_the_window_in_which_it_ends_beside_what_is_held():
    ledger = Ledger([budget("session", window="1h")])
    held = ask(ledger, "0.4", 100).reservation

    ledger.charge(KEYS, usd("0.1", 10), NOW)
    [verdict] = ask(ledger, "0", 0).verdicts
    assert (verdict.spent, verdict.reserved) == (usd("0.1", 10), usd("0.4", 100))
    ledger.charge(KEYS, usd("0.2", 20), NOW + HOUR_NS)
    ledger.refund(held)
    [verdict] = ask(ledger, "0", 0, now=NOW + HOUR_NS).verdicts
    assert (verdict.spent, verdict.reserved) == (usd("0.2", 20), usd("0", 0))


@pytest.mark.parametrize(
    "lenient", [{}, {"strict": True, "onExceed": "warn"}], ids=["not strict", "only warns"]
)
def test_other_budgets_do_not_mind_what_a_failed_try_cost(lenient):
    ledger = Ledger([budget("session", **lenient)])
    held = ask(ledger, "1").reservation

    assert ledger.hold_more(held, usd("0.5"))
    assert ask(ledger, "0", 0).verdicts[0].reserved == usd("1.5", 100)


def test_a_reservation_ends_once():
    ledger = Ledger([budget(maxTokens=1000)])
    reservation = ask(ledger).reservation
    ledger.settle(reservation, usd("0.1", 10))
    ledger.settle(reservation, usd("0.5", 50))
    ledger.refund(reservation)

    [verdict] = ask(ledger, "0", 0).verdicts
    assert not reservation.is_open
    assert (verdict.spent, verdict.reserved) == (usd("0.1", 10), usd("0"))


def test_a_refund_restores_exactly():
    ledger = Ledger([budget(per) for per in ("task", "pod")])
    ledger.refund(ask(ledger, "1").reservation)

    assert ask(ledger, "1").reservation is not None


def test_windows_begin_at_whole_multiples_since_the_epoch():
    ledger = Ledger([budget(window="1h")])
    late = NOW + HOUR_NS - 1
    refused = None
    ask(ledger, "1", now=NOW)
    refused = ask(ledger, "0.1", now=late).blocked_by

    assert refused.resets_unix_ns == NOW + HOUR_NS
    assert ask(ledger, "1", now=NOW + HOUR_NS).reservation is not None


def test_a_call_is_charged_to_the_window_in_which_it_began():
    ledger = Ledger([budget(window="1h")])
    reservation = ask(ledger, "0.5").reservation
    later = NOW + HOUR_NS
    ask(ledger, "0.5", now=later)
    ledger.settle(reservation, usd("9"))

    assert ask(ledger, "0.5", now=later).reservation is not None


@pytest.mark.parametrize("back_s", [1, 3600, 86_400, 86_400 * 400], ids="{}s back".format)
def test_no_step_of_the_clock_gives_money_back(back_s):
    ledger = Ledger([budget(window="1h"), budget("pod")])
    ask(ledger, "0.1")
    ask(ledger, "0.9", keys=KEYS._replace(session_id="other"))
    after = NOW - back_s * 10**9

    assert ask(ledger, "0.95", now=after, keys=KEYS._replace(pod="x")).blocked_by is not None
    assert ask(ledger, "0.95", now=after + HOUR_NS // 2, keys=KEYS._replace(pod="x")).blocked_by
    next_window = (NOW // HOUR_NS + 1) * HOUR_NS
    assert ask(ledger, "1", now=next_window, keys=KEYS._replace(pod="x")).reservation is not None


def test_a_jump_of_the_clock_and_back_leaves_one_account_for_each_key():
    ledger = Ledger([budget("pod", window="1h")])
    one, other = KEYS, KEYS._replace(session_id="other")
    ask(ledger, "0.1", keys=one)
    ask(ledger, "0.6", keys=other, now=NOW + 9 * HOUR_NS)
    ask(ledger, "0.3", keys=other)

    assert ask(ledger, "0.2", keys=one).blocked_by is not None
    assert ask(ledger, "0.1", keys=one).reservation is not None


def test_what_was_spent_stays_where_the_budget_is_the_same():
    ledger = Ledger([budget("pod", window="1h"), budget("session")])
    reservation = ask(ledger, "0.5").reservation
    ledger.apply([budget("pod", window="1h", maxCostUSD="2"), budget("session", window="1d")])
    ledger.settle(reservation, usd("0.6"))

    pod, session = ask(ledger, "0").verdicts
    assert pod.spent == usd("0.6")
    assert pod.limit.cost_usd == 2
    assert session.spent == usd("0")


def test_memory_is_bounded_and_accounts_in_use_are_kept():
    ledger = Ledger([budget()], max_accounts=100)
    kept = ask(ledger, "0.5", keys=KEYS._replace(session_id="long")).reservation
    for number in range(1000):
        keys = KEYS._replace(session_id=f"{number}")
        ledger.settle(ask(ledger, "0.5", keys=keys).reservation, usd("0.5"))
        assert ask(ledger, "0.6", keys=keys).blocked_by is not None
    ledger.settle(kept, usd("0.9"))

    assert len(ledger.books[0].accounts) <= 102
    assert ledger.dropped_total >= 899
    assert ask(ledger, "0.2", keys=KEYS._replace(session_id="long")).blocked_by is not None


def test_an_account_that_goes_on_being_used_outlives_those_that_are_not():
    ledger = Ledger([budget()], max_accounts=200)
    busy = KEYS._replace(session_id="busy")
    ledger.settle(ask(ledger, "0.9", keys=busy).reservation, usd("0.9"))
    for number in range(2000):
        assert ask(ledger, "0.2", keys=busy).blocked_by is not None
        ledger.refund(ask(ledger, keys=KEYS._replace(session_id=f"{number}")).reservation)


def test_an_account_forgotten_is_not_found_again_by_an_old_way():
    ledger = Ledger([budget("session"), budget("pod", maxCostUSD="1000")], max_accounts=2)
    for name in "abcabcabc":
        ledger.settle(ask(ledger, "0.1", keys=KEYS._replace(session_id=name)).reservation, usd("0"))
        accounts = ledger.books[0].accounts.all()
        page = ledger.page(KEYS._replace(session_id=name), NOW)
        assert page.accounts[0] in accounts


def test_rows_take_what_was_spent_over_a_restart_and_charge_what_was_held():
    budgets = [budget("pod", window="1h"), budget("session"), budget("call")]
    ledger = Ledger(budgets)
    ledger.settle(ask(ledger, "0.25", 30).reservation, usd("0.25", 30))
    ask(ledger, "0.5", 20)
    restarted = Ledger(budgets)
    restarted.restore(list(ledger.rows()))

    assert [verdict.spent for verdict in ask(restarted, "0", 0).verdicts] == [
        usd("0.75", 50),
        usd("0.75", 50),
        usd("0", 0),
    ]
    assert ask(restarted, "0.3").blocked_by is not None


def test_the_revision_changes_with_whatever_is_worth_keeping():
    ledger = Ledger([budget()])
    seen = [ledger.revision]
    reservation = ask(ledger).reservation
    seen.append(ledger.revision)
    ledger.settle(reservation, usd("0.1"))
    seen.append(ledger.revision)
    ledger.settle(reservation, usd("0.1"))
    ask(ledger, "5")

    assert len(set(seen)) == 3
    assert ledger.revision == seen[-1]
