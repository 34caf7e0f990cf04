"""What a run may take: bounds that no run of the double's arithmetic leaves."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.workflows import given_workflow
from remora.workflows.catalogue import Catalogue, CatalogueModel
from remora.workflows.choosing import Market, ModelPrice
from remora.workflows.estimate import Amount, estimate
from remora.workflows.sizes import ASSUMED_TOKENS, least_tokens, most_tokens

PRICES = {
    "quick": ModelPrice(Decimal(1), Decimal(2)),
    "steady": ModelPrice(Decimal(2), Decimal(10)),
    "other": ModelPrice(Decimal(3), Decimal(12)),
    "strong": ModelPrice(Decimal(5), Decimal(25)),
}


def _model(name, tier):
    return CatalogueModel("p", name, tier, "chat", 1_000_000, None, frozenset())


MARKET = Market(
    Catalogue(
        (
            _model("quick", "fast"),
            _model("steady", "balanced"),
            _model("other", "balanced"),
            _model("strong", "high"),
        )
    ),
    price_of=lambda provider, model: PRICES.get(model),
)


@pytest.fixture
def reckon(compiled):
    def reckon(*steps, input_value=None, market=MARKET, **fields):
        return estimate(compiled(*steps, **fields), market, input_value)

    return reckon


def calls(reckoned, step_id="a"):
    return [(call.role, call.model, call.calls) for call in reckoned.steps[step_id].calls]


def test_a_step_costs_its_prompt_and_its_longest_answer(reckon):
    reckoned = reckon({"id": "a", "prompt": "x" * 300, "max_tokens": 50})
    [call] = reckoned.steps["a"].calls
    assert (call.input_tokens, call.output_tokens) == (128, 50)
    assert call.cost_usd == (Decimal(2) * 128 + Decimal(10) * 50) / 1_000_000
    assert reckoned.most.tokens == 178
    assert reckoned.most.cost_usd == call.cost_usd


def test_what_is_referred_to_counts_with_its_longest_answer(reckon):
    reckoned = reckon({"id": "a", "max_tokens": 700}, {"id": "b", "prompt": "{{steps.a.output}}"})
    assert reckoned.steps["b"].calls[0].input_tokens == 700 + 8


def test_an_unknown_input_is_assumed_and_said_and_a_known_one_is_not(reckon):
    step = {"id": "a", "prompt": "{{goal}}"}
    assumed = reckon(step)
    assert assumed.assumed == ("goal",)
    assert assumed.steps["a"].calls[0].input_tokens == ASSUMED_TOKENS + 8
    known = reckon(step, input_value={"goal": "x" * 30})
    assert known.assumed == ()
    assert known.steps["a"].calls[0].input_tokens == 12 + 8


def test_a_schema_may_say_how_long_an_input_gets(reckon):
    schema = {"type": "object", "properties": {"goal": {"type": "string", "maxLength": 30}}}
    reckoned = reckon({"id": "a", "prompt": "{{goal}}"}, input=schema)
    assert (reckoned.assumed, reckoned.steps["a"].calls[0].input_tokens) == ((), 38)


ASKED = {
    "single": ({}, [("answer", "p/steady", 1)]),
    "tries": ({"retry": {"attempts": 3}}, [("answer", "p/steady", 3)]),
    "json": (
        {"output": "json"},
        [("answer", "p/steady", 1), ("repair", "p/steady", 1)],
    ),
    "speculative": (
        {"tier": "high", "strategy": "speculative"},
        [("draft", "p/quick", 1), ("verify", "p/strong", 1)],
    ),
    "parallel": (
        {"strategy": "parallel"},
        [("answer", "p/steady", 1), ("answer", "p/other", 1)],
    ),
    "named": (
        {"strategy": {"kind": "parallel", "candidates": [{"model": "quick"}, {"model": "strong"}]}},
        [("answer", "p/quick", 1), ("answer", "p/strong", 1)],
    ),
    "named, mended by the dearest": (
        {
            "output": "json",
            "strategy": {
                "kind": "parallel",
                "candidates": [{"model": "strong"}, {"model": "quick"}],
            },
        },
        [("answer", "p/strong", 1), ("answer", "p/quick", 1), ("repair", "p/strong", 1)],
    ),
    "judged": (
        {"strategy": {"kind": "parallel", "best": {}}},
        [("answer", "p/steady", 1), ("answer", "p/other", 1), ("judge", "p/strong", 1)],
    ),
    "pinned and asked twice": (
        {"model": "strong", "strategy": "parallel"},
        [("answer", "p/strong", 1), ("answer", "p/strong", 1)],
    ),
    "pinned": ({"model": "strong"}, [("answer", "p/strong", 1)]),
    "mapped": (
        {"map": {"over": "{{input.l}}", "max_items": 7}},
        [("answer", "p/steady", 7)],
    ),
}


@pytest.mark.parametrize(("fields", "expected"), ASKED.values(), ids=ASKED)
def test_every_call_that_may_be_made_is_counted(reckon, fields, expected):
    assert calls(reckon({"id": "a", **fields})) == expected


def test_a_known_list_says_how_often_a_mapped_step_asks(reckon):
    step = {"id": "a", "map": {"over": "{{input.l}}"}, "prompt": "{{item}}"}
    reckoned = reckon(step, input_value={"l": ["x" * 30, "x" * 60]})
    [call] = reckoned.steps["a"].calls
    assert (call.calls, call.input_tokens) == (2, 24 + 8)
    assert reckon(step, input_value={"l": []}).most == Amount()


def test_a_lists_schema_says_how_often_at_most(reckon):
    schema = {"type": "object", "properties": {"l": {"type": "array", "maxItems": 4}}}
    assert calls(reckon({"id": "a", "map": {"over": "{{input.l}}"}}, input=schema))[0][2] == 4


def test_an_unknown_price_is_an_unknown_cost_and_never_none(reckon):
    unpriced = Market(MARKET.catalogue)
    reckoned = reckon({"id": "a"}, market=unpriced)
    assert reckoned.most.cost_usd is None
    assert reckoned.least.cost_usd is None
    assert reckoned.most.tokens > 0


def test_one_unknown_price_makes_the_sum_unknown(reckon):
    reckoned = reckon({"id": "a"}, {"id": "b", "model": "nobody-knows"})
    assert reckoned.steps["a"].most.cost_usd is not None
    assert reckoned.most.cost_usd is None


def named(*models):
    return {"kind": "parallel", "candidates": [{"model": model} for model in models]}


def test_a_named_candidate_that_nobody_knows_makes_the_sums_unknown(reckon):
    reckoned = reckon({"id": "a", "strategy": named("quick", "nobody-knows"), "output": "json"})
    assert calls(reckoned) == [("answer", "p/quick", 1), ("answer", "", 1), ("repair", "", 1)]
    assert (reckoned.least.cost_usd, reckoned.most.cost_usd) == (None, None)


CHEAPEST = {
    "named": {"strategy": named("strong", "quick")},
    "draft": {"tier": "high", "strategy": "speculative"},
}


@pytest.mark.parametrize("fields", CHEAPEST.values(), ids=CHEAPEST)
def test_at_least_only_the_cheapest_of_those_that_are_asked_is_paid(reckon, fields):
    cheapest = reckon({"id": "a", "model": "quick"}).least.cost_usd
    assert reckon({"id": "a", **fields}).least.cost_usd == cheapest


FREE = {
    "conditional": {"condition": {"var": "goal"}},
    "mapped": {"map": {"over": "{{input.l}}"}},
}


@pytest.mark.parametrize("fields", FREE.values(), ids=FREE)
def test_a_step_that_may_not_ask_takes_nothing_at_least(reckon, fields):
    assert reckon({"id": "a", **fields}).least == Amount()


def test_what_a_skipped_step_skips_takes_nothing_at_least(reckon):
    first = {"id": "a", "condition": {"var": "goal"}}
    then = {"id": "b", "depends_on": ["a"]}
    assert reckon(first, then).least == Amount()
    assert reckon({**first, "default": ""}, then).least.tokens > 0


def test_steps_side_by_side_take_as_long_as_the_longest(reckon):
    one = reckon({"id": "a"}).most.latency_ms
    beside = reckon({"id": "a"}, {"id": "b", "max_tokens": 10}).most.latency_ms
    after = reckon({"id": "a"}, {"id": "b", "depends_on": ["a"]}).most.latency_ms
    assert beside == one
    assert after == 2 * one


def test_a_timeout_bounds_the_time_of_a_call(reckon):
    reckoned = reckon({"id": "a", "timeout": "2s", "retry": {"attempts": 2, "initial": "100ms"}})
    assert reckoned.most.latency_ms == 2 * 2000 + 100


BUDGETS = {
    "the workflow's money": (
        [{"id": "a"}],
        {"budget": {"max_cost_usd": "0.000001"}},
        "budget.max_cost_usd",
    ),
    "a step's tokens": (
        [{"id": "a", "prompt": "x" * 1000, "budget": {"max_tokens": 5}}],
        {},
        "steps[0].budget.max_tokens",
    ),
}


@pytest.mark.parametrize(("steps", "fields", "place"), BUDGETS.values(), ids=BUDGETS)
def test_a_budget_that_no_run_can_keep_is_a_problem(problems, steps, fields, place):
    [found] = problems(*steps, market=MARKET, **fields)
    assert found.startswith(f"{place}: less than the least")


def test_a_budget_that_a_run_may_keep_is_none(problems):
    assert problems({"id": "a"}, market=MARKET, budget={"max_cost_usd": "0.0001"}) == []
    assert problems({"id": "a"}, market=Market(MARKET.catalogue), budget={"max_cost_usd": 0}) == []


TINY = {"max_cost_usd": "0.000001", "max_tokens": 5}


@pytest.mark.parametrize(
    ("on_exceed", "places"),
    [
        ("block", ["budget.max_cost_usd", "budget.max_tokens"]),
        ("downgrade", ["budget.max_tokens"]),
        ("warn", []),
    ],
)
def test_a_budget_is_held_against_the_least_where_that_could_end_the_run(
    problems, on_exceed, places
):
    step = {"id": "a", "prompt": "x" * 1000}
    found = problems(step, market=MARKET, budget={**TINY, "on_exceed": on_exceed})
    assert [problem.partition(":")[0] for problem in found] == places


@given(st.text())
def test_a_text_has_at_least_less_tokens_than_at_most(text):
    assert least_tokens(text) <= most_tokens(text)


@given(st.text(), st.text())
def test_a_longer_text_never_has_fewer_tokens(text, more):
    assert most_tokens(text) <= most_tokens(text + more)


COUNTED = {
    "prose": ("The quick brown fox jumps over the lazy dog, and nobody minds.", 14, 14),
    "german": ("Die Geschwindigkeitsbegrenzung gilt auch für Lastkraftwagen.", 14, 19),
    "code": ("def net(price, rate):\n    return round(price / rate, 2)\n", 16, 18),
    "digits": ("1234567890 " * 10, 29, 50),
    "json": ('{"a":[1,2,{"b":null}],"c":"x"}', 16, 17),
    "hex": ("9f86d081884c7d659a2feaa0c55ad015", 19, 20),
    "base64": ("qL8R0QIcQ/ZsRqOAbeRfcZhilN/MksRtDaErMA==", 25, 29),
    "chinese": ("今天天气很好，我们去公园散步吧。", 9, 20),  # noqa: RUF001 - as Chinese is written
    "russian": ("Сегодня хорошая погода.", 6, 14),
    "emoji": ("😀🎉👩\u200d👩\u200d👧🇩🇪", 15, 24),
    "csv": ("12.50,99.01,3.14\n7.77,0.10,250.00\n", 24, 24),
}
"""Fewest and most tokens that four tokenizers made: cl100k, o200k, Anthropic's and DeepSeek's."""


@pytest.mark.parametrize(("text", "fewest", "most"), COUNTED.values(), ids=COUNTED)
def test_the_bounds_hold_for_what_real_tokenizers_make(text, fewest, most):
    assert least_tokens(text) <= fewest
    assert most <= most_tokens(text)


STEPS = st.lists(
    st.fixed_dictionaries(
        {
            "prompt": st.text(max_size=40).map(lambda text: text.replace("{", "")),
            "tier": st.sampled_from(["fast", "balanced", "high"]),
        },
        optional={
            "max_tokens": st.integers(1, 5000),
            "retry": st.builds(lambda n: {"attempts": n}, st.integers(1, 4)),
            "output": st.sampled_from(["text", "json"]),
            "strategy": st.sampled_from(["single", "speculative", "parallel"]),
            "condition": st.just({"var": "goal"}),
        },
    ),
    min_size=1,
    max_size=5,
)


@given(STEPS)
def test_the_least_is_never_more_than_the_most_and_sums_are_exact(steps):
    named = [{**step, "id": f"s{n}"} for n, step in enumerate(steps)]
    reckoned = estimate(given_workflow({"name": "any", "steps": named}), MARKET)
    assert reckoned.least.cost_usd <= reckoned.most.cost_usd
    assert reckoned.least.tokens <= reckoned.most.tokens
    parts = [call for step in reckoned.steps.values() for call in step.calls]
    assert sum(call.cost_usd for call in parts) == reckoned.most.cost_usd
    assert sum(c.calls * (c.input_tokens + c.output_tokens) for c in parts) == reckoned.most.tokens
