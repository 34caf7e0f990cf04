"""What evaluations cost: exact, with tokens of provider caches; unknown is never free."""

from decimal import Decimal

import pytest

from remora.selectors.pricing import NO_CALLS, PriceList

NUMBERS = [(number, number) for number in range(10)]
BY_HAND = {"m": {"input_price": 2, "output_price": "10", "cache_read_price": 0.5}}


@pytest.mark.parametrize(
    ("facts", "usd"),
    [
        ({"cost_usd": Decimal("0.123")}, "0.123"),
        ({"cost_usd": None}, None),
        ({"cost_usd": Decimal(0), "cached": True}, None),
        ({"cost_usd": Decimal(0), "cached": True, "saved_usd": Decimal("0.5")}, "0.5"),
        ({"cost_usd": None, "status_code": 429, "prompt_tokens": 0, "completion_tokens": 0}, "0"),
        ({"cost_usd": None, "status_code": 0, "prompt_tokens": 0, "completion_tokens": 0}, "0"),
        ({"cost_usd": None, "status_code": 200, "prompt_tokens": 0, "completion_tokens": 0}, None),
    ],
    ids=[
        "as recorded",
        "no price",
        "cached, price unknown",
        "cached, price known",
        "refused",
        "never answered",
        "answered, usage unknown",
    ],
)
def test_a_call_costs_what_its_record_says(new_call, facts, usd):
    bill = PriceList().bill([new_call(**facts)], has_failed=False)

    assert bill.cost_usd == (None if usd is None else Decimal(usd))


@pytest.mark.parametrize("name", ["m", "openai/m"])
@pytest.mark.parametrize("cached", [False, True], ids=["asked", "from the cache"])
def test_prices_by_hand_go_before_the_records(new_call, name, cached):
    """1,000 of the prompt, of which 400 from the provider's cache, and 100 of the answer."""
    call = new_call(prompt_tokens=1000, completion_tokens=100, cache_read_tokens=400, cached=cached)

    bill = PriceList({name: BY_HAND["m"]}).bill([call], has_failed=False)

    assert bill.cost_usd == Decimal("0.0024")
    assert bill.paid_usd == (Decimal(0) if cached else Decimal("0.0024"))


def test_tokens_of_provider_caches_cost_as_others_where_no_price_is_said(new_call):
    prices = PriceList({"m": {"input_price": 2, "output_price": 10, "cache_write_price": 3}})
    call = new_call(
        prompt_tokens=1000, completion_tokens=0, cache_read_tokens=400, cache_write_tokens=100
    )

    assert prices.bill([call], has_failed=False).cost_usd == Decimal("0.0021")


def test_one_unknown_price_makes_the_sum_unknown(new_call):
    calls = [new_call("known"), new_call("unknown", cost_usd=None)]

    bill = PriceList().bill(calls, has_failed=False)

    assert (bill.cost_usd, bill.paid_usd) == (None, None)
    assert bill.unknown == ("no price of unknown",)


def test_success_without_a_call_has_an_unknown_cost():
    assert PriceList().bill([], has_failed=False).cost_usd is None
    assert PriceList().bill([], has_failed=False).unknown == (NO_CALLS,)
    assert PriceList().bill([], has_failed=True).cost_usd == 0


def test_sums_are_exact(select, tracker):
    def answer(models, given):
        tracker.call("m", cost_usd=Decimal("0.1"))
        return given

    results = select(answer, {"node": ["a"]}, NUMBERS, method="brute_force").select_best()

    assert results.selection_cost == Decimal("1.0")
    assert results.get_best().price == Decimal("0.1")


def test_cached_answers_cost_the_run_nothing_and_the_combination_their_price(select, tracker):
    def answer(models, given):
        tracker.call("m", cached=True, cost_usd=Decimal(0), saved_usd=Decimal("0.2"))
        return given

    results = select(answer, {"node": ["a"]}, NUMBERS, method="brute_force").select_best()

    assert results.selection_cost == 0
    assert results.get_best().price == Decimal("0.2")


def test_cached_answers_take_as_long_as_when_they_were_made(select, tracker):
    def answer(models, given):
        tracker.call("m", cached=True, latency_seconds=30.0)
        tracker.call("m", cached=False, latency_seconds=900.0)
        return given

    result = select(answer, {"node": ["a"]}, NUMBERS).select_best().get_best()

    assert 30.0 <= result.latency_seconds < 900.0


def same_but_for_price(tracker):
    def answer(models, given):
        prices = {"known": Decimal("0.5"), "unknown": None}
        tracker.call(models["node"], cost_usd=prices[models["node"]])
        return given

    return answer


@pytest.mark.parametrize("weights", [{}, {"lambda_cost": 0.5}], ids=["scores", "objective"])
@pytest.mark.parametrize("method", ["brute_force", "auto", "matrix_ucb"])
@pytest.mark.parametrize("order", [["known", "unknown"], ["unknown", "known"]], ids=str)
def test_an_unknown_price_does_not_win_by_looking_free(select, tracker, method, weights, order):
    def slow_if_known(models, given):
        return same_but_for_price(tracker)(models, given)

    results = select(
        slow_if_known, {"node": order}, NUMBERS, method=method, **weights
    ).select_best()

    [unknown] = [result for result in results if result.models["node"] == "unknown"]
    assert unknown.price is None
    assert unknown.unknown == ("no price of unknown",)
    assert results.selection_cost is None
    if weights:
        assert results.get_best_combo() == {"node": "known"}
        assert unknown.combined_objective == pytest.approx(0.5)


def test_unknown_prices_are_flagged(select, tracker):
    results = select(
        same_but_for_price(tracker), {"node": ["known", "unknown"]}, NUMBERS
    ).select_best()

    text = str(results)
    assert "prices are unknown where: no price of unknown" in text
    assert "cost unknown" in text


def spending(tracker, usd="0.01"):
    def answer(models, given):
        tracker.call("m", cost_usd=None if usd is None else Decimal(usd))
        return given

    return answer


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_run_stops_on_its_budget_and_says_so(select, tracker, at_once):
    results = select(
        spending(tracker),
        {"node": ["a", "b", "c"]},
        NUMBERS,
        method="brute_force",
        budget_usd="0.1",
    ).select_best(parallel=True, max_concurrent=at_once)

    assert Decimal("0.1") <= results.selection_cost < Decimal("0.1") + at_once * Decimal("0.01")
    assert results.stopped == "the budget of $0.1 is spent"
    assert results.stopped in str(results)
    assert results.get_best() is not None
    assert len(tracker.sessions) == sum(result.num_samples for result in results)


def test_a_budget_that_suffices_stops_nothing(select, tracker):
    results = select(
        spending(tracker), {"node": ["a", "b"]}, NUMBERS, method="brute_force", budget_usd="0.2"
    ).select_best(parallel=True)

    assert results.stopped is None
    assert results.selection_cost == Decimal("0.2")


def test_a_budget_ends_a_run_whose_costs_are_unknown(select, tracker):
    results = select(
        spending(tracker, None), {"node": ["a", "b"]}, NUMBERS, budget_usd="100"
    ).select_best()

    assert "can't be held: no price of m; name prices with model_prices=" in results.stopped
    assert len(tracker.sessions) == 1


def test_one_lucky_score_does_not_win_a_run_that_stopped(select, tracker):
    """The budget ends with one evaluation of the second combination, which is right."""

    def answer(models, given):
        tracker.call("m", cost_usd=Decimal("0.1"))
        return given if models["node"] == "b" or given % 2 else None

    results = select(
        answer,
        {"node": ["a", "b"]},
        [(n, n) for n in range(100)],
        budget_usd="1.1",
        method="brute_force",
    ).select_best()

    assert [result.num_samples for result in results] == [10, 1]
    assert results.get_best_combo() == {"node": "a"}
