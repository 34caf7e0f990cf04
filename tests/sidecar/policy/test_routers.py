"""How candidates are chosen: a table for each router policy, and what must hold of all of them."""

import random
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.policy.routing import Route, Router
from remora.providers import ProviderRegistry
from remora_sidecar.policy.latencies import FRESH_S, Latencies
from remora_sidecar.policy.routers import Choosing, Offer, Routers

REGISTRY = ProviderRegistry.builtin()
NAMES = ("a", "b", "c")


def router(policy, candidates=NAMES, **more):
    written = [{"model": one} if isinstance(one, str) else one for one in candidates]
    return Router.model_validate({"policy": policy, "candidates": written, **more})


def offers_of(rule):
    return tuple(
        Offer(REGISTRY.get(one.provider or "openai"), one.model, one) for one in rule.candidates
    )


def choosing(rule, *, route="r", now_s=0.0, **given):
    """What a router is asked; everything that it does not need may not be asked for."""

    def unasked(*_):
        raise AssertionError("nobody needs to know")

    asked = dict.fromkeys(("sticks_to", "price_usd", "holds", "plugin"), unasked)
    offers = given.pop("offers", None) or offers_of(rule)
    return Choosing(route=route, router=rule, offers=offers, now_s=now_s, **{**asked, **given})


def fresh(chance=0, latencies=None):
    """Routers as a process has them that has just begun."""
    return Routers(latencies or Latencies(), random.Random(chance))  # noqa: S311 - repeats


@pytest.fixture
def latencies():
    return Latencies()


@pytest.fixture
def routers(latencies):
    return fresh(1, latencies)


def chosen(routers, rule, times=1, **given):
    """The models of so many choices."""
    asked = choosing(rule, **given)
    return [asked.offers[routers.choose(asked).chosen].model for _ in range(times)]


def route(rule, name="r"):
    return Route(name=name, router=rule)


WEIGHTED = [{"model": "a", "weight": 1}, {"model": "b", "weight": 2}, {"model": "c", "weight": 3}]
SEEDED = [
    pytest.param(lambda seed: router("random", seed=seed), id="random"),
    pytest.param(lambda seed: router("weighted", WEIGHTED, seed=seed), id="weighted"),
]


class TestChance:
    @pytest.mark.parametrize("made", SEEDED)
    def test_the_same_seed_gives_the_same_sequence_in_every_process(self, made):
        first, second = (fresh(n) for n in (1, 2))
        assert chosen(first, made(7), 50) == chosen(second, made(7), 50)

    @pytest.mark.parametrize("made", SEEDED)
    def test_other_seeds_give_other_sequences(self, routers, made):
        assert chosen(routers, made(7), 50) != chosen(routers, made(8), 50)

    @pytest.mark.parametrize("made", SEEDED)
    def test_a_changed_policy_goes_on_where_the_sequence_was(self, routers, made):
        whole = chosen(fresh(1), made(7), 40)

        before = chosen(routers, made(7), 20)
        routers.apply([route(made(7)), route(router("random"), "another")])
        assert before + chosen(routers, made(7), 20) == whole

    def test_routes_of_one_seed_do_not_disturb_each_other(self, routers):
        rule = router("random", seed=7)
        mixed = []
        for _ in range(30):
            mixed += chosen(routers, rule, route="one")
            chosen(routers, rule, route="other")
        alone = chosen(fresh(9), rule, 30)
        assert mixed == alone

    def test_a_random_choice_says_how_likely_it_was(self, routers):
        choice = routers.choose(choosing(router("random")))
        assert choice.propensity == pytest.approx(1 / 3)
        assert choice.scores == ()

    def test_a_weighted_choice_says_the_shares_and_how_likely_it_was(self, routers):
        choice = routers.choose(choosing(router("weighted", WEIGHTED)))
        assert choice.scores == pytest.approx((1 / 6, 2 / 6, 3 / 6))
        assert choice.propensity == choice.scores[choice.chosen]

    def test_what_is_left_of_weighted_candidates_shares_all_calls(self, routers):
        rule = router("weighted", WEIGHTED)
        choice = routers.choose(choosing(rule, offers=offers_of(rule)[:2]))
        assert choice.scores == pytest.approx((1 / 3, 2 / 3))

    @pytest.mark.parametrize(
        "weights",
        [(1, 1), (9, 1), (1, 2, 3), (0, 5, 0, 5), (1_000_000, 1_000_000)],
        ids=lambda weights: ":".join(map(str, weights)),
    )
    def test_over_many_calls_each_candidate_gets_its_share(self, weights):
        draws = 4_000
        candidates = [{"model": f"m{n}", "weight": w} for n, w in enumerate(weights)]
        found = Counter(chosen(fresh(3), router("weighted", candidates), draws))
        for number, weight in enumerate(weights):
            share = weight / sum(weights)
            spread = 5 * (share * (1 - share) / draws) ** 0.5  # five standard deviations
            assert found[f"m{number}"] / draws == pytest.approx(share, abs=spread)

    def test_random_choices_spread_over_all(self, routers):
        found = Counter(chosen(routers, router("random"), 3_000))
        assert all(900 < found[name] < 1_100 for name in NAMES)

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=6).filter(any), st.integers())
    def test_a_weight_of_0_is_never_chosen_while_others_are_left(self, weights, seed):
        candidates = [{"model": f"m{n}", "weight": w} for n, w in enumerate(weights)]
        drawn = fresh(seed)
        for model in chosen(drawn, router("weighted", candidates), 50):
            assert weights[int(model[1:])] > 0

    def test_where_only_weights_of_0_are_left_one_of_them_is_taken(self, routers):
        rule = router("weighted", [{"model": "a", "weight": 0}, {"model": "b", "weight": 1}])
        choice = routers.choose(choosing(rule, offers=offers_of(rule)[:1]))
        assert (choice.chosen, choice.propensity) == (0, 1.0)


class TestRoundRobin:
    def test_each_has_its_turn(self, routers):
        assert chosen(routers, router("round-robin"), 7) == list("abcabca")

    def test_routes_take_turns_by_themselves(self, routers):
        rule = router("round-robin")
        assert chosen(routers, rule, 2, route="one") == ["a", "b"]
        assert chosen(routers, rule, 2, route="other") == ["a", "b"]

    def test_a_changed_policy_goes_on_with_the_next(self, routers):
        rule = router("round-robin")
        chosen(routers, rule, 1)
        routers.apply([route(rule)])
        assert chosen(routers, rule, 2) == ["b", "c"]

    def test_a_route_that_is_gone_is_forgotten(self, routers):
        rule = router("round-robin")
        chosen(routers, rule, 1)
        routers.apply([])
        assert chosen(routers, rule, 1) == ["a"]

    def test_nothing_is_left_of_ten_thousand_policies(self, routers):
        for number in range(10_000):
            name = f"r{number}"
            turning, drawing = router("round-robin"), router("random", seed=number)
            chosen(routers, turning, route=name)
            if number % 100 == 0:
                chosen(routers, drawing, route="seeded")
            routers.apply([route(turning, name), route(drawing, "seeded")])
        assert len(routers._turns) == 1
        assert len(routers._seeded) <= 1


CHEAPEST = {
    "the cheapest": ({"a": "3", "b": "1", "c": "2"}, "b", ""),
    "the first of equals": ({"a": "1", "b": "1", "c": "2"}, "a", ""),
    "a free one": ({"a": "1", "b": "0", "c": "2"}, "b", ""),
    "a known price before an unknown one": ({"b": "5"}, "b", ""),
    "the first where no price is known": ({}, "a", "no candidate's price is known"),
}


@pytest.mark.parametrize(("prices", "model", "note"), CHEAPEST.values(), ids=CHEAPEST)
def test_the_cheapest_candidate_is_chosen(routers, prices, model, note):
    known = {name: Decimal(price) for name, price in prices.items()}
    asked = choosing(router("cheapest"), price_usd=lambda offer: known.get(offer.model))
    choice = routers.choose(asked)

    assert asked.offers[choice.chosen].model == model
    assert choice.scores == tuple(float(known[name]) if name in known else None for name in NAMES)
    assert choice.note.startswith(note)
    assert choice.propensity is None


FASTEST = {
    "the fastest": ({"a": (3.0, 0), "b": (1.0, 0), "c": (2.0, 0)}, "b", ""),
    "the first that was never measured": ({"a": (0.1, 0), "c": (0.1, 0)}, "b", "not measured"),
    "the first where none was": ({}, "a", "not measured"),
    "one whose measure is stale": (
        {"a": (0.1, FRESH_S), "b": (0.1, FRESH_S), "c": (9.0, -1)}, "c", "not measured",
    ),
    "the first of equals": ({"a": (1.0, 0), "b": (1.0, 0), "c": (1.0, 0)}, "a", ""),
}  # fmt: skip


@pytest.mark.parametrize(("measured", "model", "note"), FASTEST.values(), ids=FASTEST)
def test_the_fastest_candidate_is_chosen(routers, latencies, measured, model, note):
    for name, (seconds, at_s) in measured.items():
        latencies.add("openai", name, seconds, at_s)
    asked = choosing(router("fastest"), now_s=FRESH_S)
    choice = routers.choose(asked)

    assert asked.offers[choice.chosen].model == model
    fresh = {name: s for name, (s, at_s) in measured.items() if at_s >= 0}
    assert choice.scores == tuple(fresh.get(name) for name in NAMES)
    assert choice.note.startswith(note)


def test_one_model_at_two_providers_is_measured_twice(routers, latencies):
    latencies.add("openai", "m", 2.0, 0.0)
    latencies.add("groq", "m", 1.0, 0.0)
    rule = router("fastest", [{"model": "m"}, {"provider": "groq", "model": "m"}])
    assert routers.choose(choosing(rule)).chosen == 1


class TestSticky:
    def stuck(self, key, names=NAMES):
        rule = router("sticky", names, by="session")
        asked = choosing(rule, sticks_to=lambda _: key)
        found = fresh().choose(asked)
        return asked.offers[found.chosen].model

    @given(st.text(min_size=1))
    def test_the_same_key_has_the_same_candidate_in_every_process(self, key):
        assert self.stuck(key) == self.stuck(key)

    @given(
        st.text(min_size=1),
        st.lists(st.sampled_from("abcdefghij"), min_size=2, max_size=10, unique=True),
        st.data(),
    )
    def test_a_candidate_that_goes_moves_no_call_but_its_own(self, key, names, data):
        gone = data.draw(st.sampled_from(names))
        before = self.stuck(key, names)
        after = self.stuck(key, [name for name in names if name != gone])
        assert after == before or before == gone

    @given(st.text(min_size=1), st.permutations(NAMES))
    def test_the_order_of_candidates_changes_nothing(self, key, names):
        assert self.stuck(key, names) == self.stuck(key)

    def test_keys_spread_over_all_candidates(self):
        found = Counter(self.stuck(f"session-{number}") for number in range(900))
        assert all(220 < found[name] < 380 for name in NAMES)

    @pytest.mark.parametrize(
        ("by", "asked_for"),
        [(None, "conversation"), ("session", "session"), ("task", "task")],
        ids=["the conversation by default", "the session", "the task"],
    )
    def test_what_the_choice_is_kept_for_is_asked(self, routers, by, asked_for):
        said = []
        rule = router("sticky", **({"by": by} if by else {}))
        routers.choose(choosing(rule, sticks_to=lambda what: said.append(what) or "k"))
        assert said == [asked_for]

    def test_a_call_that_has_no_key_goes_to_the_first(self, routers):
        choice = routers.choose(choosing(router("sticky", by="task"), sticks_to=lambda _: ""))
        assert choice.chosen == 0
        assert choice.note == "the call has no task"


@pytest.mark.parametrize(
    ("holding", "chosen_index"),
    [({"a", "b"}, 0), ({"b", "c"}, 1), ({"c"}, 2), (set(), None)],
    ids=["the first", "the second", "the last", "none"],
)
def test_the_first_candidate_whose_condition_holds_is_chosen(routers, holding, chosen_index):
    asked = choosing(router("conditional"), holds=lambda offer: offer.model in holding)
    choice = routers.choose(asked)
    assert choice.chosen == chosen_index
    assert bool(choice.note) == (chosen_index is None)


def test_no_condition_is_asked_behind_the_one_that_holds(routers):
    asked = []
    holds = lambda offer: asked.append(offer.model) or offer.model == "b"  # noqa: E731
    routers.choose(choosing(router("conditional"), holds=holds))
    assert asked == ["a", "b"]


@pytest.mark.parametrize(
    ("named", "chosen_index", "note"),
    [
        ("b", 1, ""),
        (None, None, "the router left the call as it was"),
        ("z", None, "the router named no candidate"),
        ("B", None, "the router named no candidate"),
    ],
    ids=["a candidate", "nothing", "no candidate", "a candidate in other letters"],
)
def test_a_plugin_names_a_candidates_model(routers, named, chosen_index, note):
    asked = choosing(router("plugin", plugin="mine"), plugin=lambda _: named)
    choice = routers.choose(asked)
    assert (choice.chosen, choice.note) == (chosen_index, note)


def test_a_plugin_is_asked_by_its_name_and_what_it_raises_is_the_callers_to_catch(routers):
    def failing(name):
        raise LookupError(name)

    with pytest.raises(LookupError, match="mine"):
        routers.choose(choosing(router("plugin", plugin="mine"), plugin=failing))


@settings(max_examples=60)
@given(
    st.sampled_from(["random", "weighted", "round-robin", "cheapest", "fastest", "sticky"]),
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6),
    st.data(),
)
def test_every_router_chooses_one_of_the_offers_and_scores_all_or_none(policy, names, data):
    weight = {"weight": 1} if policy == "weighted" else {}
    rule = router(policy, [{"model": name, **weight} for name in names])
    prices = st.none() | st.decimals(0, 9, places=2)
    asked = choosing(
        rule, sticks_to=lambda _: data.draw(st.text()), price_usd=lambda _: data.draw(prices)
    )
    choice = fresh(0).choose(asked)
    assert 0 <= choice.chosen < len(names)
    assert len(choice.scores) in (0, len(names))
    assert choice.propensity is None or 0 < choice.propensity <= 1
