"""Which model a step is given to: tiers, capabilities, prices, and what a namespace says."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from remora.workflows.capabilities import Overrides, Requirement, needs_of
from remora.workflows.catalogue import Catalogue, CatalogueModel
from remora.workflows.choosing import Market, ModelPrice, Wanted, cheaper_tiers
from remora.workflows.model import CAPABILITIES, TIERS
from remora.workflows.step import Need


def model(name, tier="balanced", *, can=(), context=1000, answer=None, **fields):
    provider, _, name = name.partition("/")
    fields = {"operation": "chat", **fields}
    return CatalogueModel(
        provider, name, tier, fields.pop("operation"), context, answer, frozenset(can), **fields
    )


PRICES = {"cheap": "1", "dear": "9", "same": "1"}


def price_of(provider, name):
    known = PRICES.get(name)
    return None if known is None else ModelPrice(Decimal(known), Decimal(known))


def market(*models, **fields):
    return Market(Catalogue(models), price_of=price_of, **fields)


def names(choice):
    return [candidate.entry.name for candidate in choice.candidates]


def test_the_cheapest_comes_first_and_unknown_prices_last():
    found = market(model("p/none"), model("p/dear"), model("p/cheap"), model("a/none"))
    assert names(found.choose(Wanted())) == ["p/cheap", "p/dear", "a/none", "p/none"]


def test_of_one_price_the_name_decides():
    found = market(model("p/same"), model("p/cheap"), model("a/same"))
    assert names(found.choose(Wanted())) == ["a/same", "p/cheap", "p/same"]


def test_a_cost_is_of_the_size_that_is_asked_for():
    [candidate] = (
        market(model("p/dear")).choose(Wanted(input_tokens=100, output_tokens=50)).candidates
    )
    assert candidate.cost_usd == Decimal("0.00135")


def test_a_hint_ranks_and_a_requirement_excludes():
    found = market(model("p/cheap"), model("p/dear", can=["vision"]))
    hint, required = Need(kind="vision", required=False), Need(kind="vision")
    assert names(found.choose(Wanted([hint]))) == ["p/dear", "p/cheap"]
    assert names(found.choose(Wanted([required]))) == ["p/dear"]


DROPPED = {
    "another tier": (model("p/m", "high"), Wanted(tiers=["fast"]), {}, "tier high"),
    "another model": (model("p/m"), Wanted(model="n"), {}, "other model"),
    "another provider": (model("p/m"), Wanted(provider="q"), {}, "other provider"),
    "a capability": (model("p/m"), Wanted([Need(kind="vision")]), {}, "lacks vision"),
    "the context": (
        model("p/m"),
        Wanted(input_tokens=900, output_tokens=101),
        {},
        "context too small",
    ),
    "the answer": (model("p/m", answer=9), Wanted(output_tokens=10), {}, "answers too short"),
    "policy": (model("p/m"), Wanted(), {"permits": lambda entry: "denied"}, "denied"),
    "retirement": (
        model("p/m", retires="2027-01-01"),
        Wanted(),
        {"today": "2027-01-01"},
        "retired",
    ),
}


@pytest.mark.parametrize(("entry", "wanted", "fields", "why"), DROPPED.values(), ids=DROPPED)
def test_a_model_that_is_out_is_named_with_the_reason(entry, wanted, fields, why):
    choice = market(entry, **fields).choose(wanted)
    assert choice.candidates == ()
    assert choice.dropped == ((entry, why),)


def test_a_model_for_something_else_is_not_even_looked_at():
    choice = market(model("p/m", operation="embeddings")).choose(Wanted())
    assert (choice.candidates, choice.dropped) == ((), ())


def test_a_model_serves_until_the_day_it_retires():
    entry = model("p/m", retires="2027-01-01")
    assert names(market(entry, today="2026-12-31").choose(Wanted())) == ["p/m"]
    assert names(market(entry).choose(Wanted())) == ["p/m"]


def test_a_namespace_says_what_a_capability_means():
    overrides = Overrides.model_validate(
        {"capabilities": {"vision": {"models": ["own-*"], "providers": ["p"]}}}
    )
    found = market(
        model("p/own-1"), model("q/own-1"), model("p/other", can=["vision"]), overrides=overrides
    )
    assert names(found.choose(Wanted([Need(kind="vision")]))) == ["p/own-1"]


REQUIREMENTS = {
    "models": ({"models": ["gpt-*"]}, model("p/gpt-4"), model("p/o3")),
    "providers": ({"providers": ["p"]}, model("p/m"), model("q/m")),
    "tiers": ({"tiers": ["fast"]}, model("p/m", "fast"), model("p/m", "high")),
    "context": ({"min_context_tokens": 500}, model("p/m"), model("p/m", context=499)),
}


@pytest.mark.parametrize(("fields", "met", "unmet"), REQUIREMENTS.values(), ids=REQUIREMENTS)
def test_every_field_of_a_requirement_has_to_hold(fields, met, unmet):
    requirement = Requirement.model_validate(fields)
    assert requirement.is_met_by(met)
    assert not requirement.is_met_by(unmet)


@pytest.mark.parametrize(
    "document",
    [
        {"capabilities": {"flying": {"models": ["x"]}}},
        {"capabilities": {"vision": {}}},
        {"capabilities": {"vision": {"model": "x"}}},
        {"vision": {"models": ["x"]}},
    ],
    ids=str,
)
def test_overrides_that_make_no_sense_are_refused(document):
    with pytest.raises(ValidationError):
        Overrides.model_validate(document)


def test_what_a_step_attaches_and_answers_says_what_it_needs(compiled):
    message = {
        "role": "user",
        "content": "?",
        "attachments": [
            {"kind": "image", "url": "{{input.a}}"},
            {"kind": "audio", "url": "{{input.b}}"},
        ],
    }
    step = compiled(
        {
            "id": "a",
            "messages": [message],
            "output": {"schema": {"type": "object"}},
            "capabilities": [{"kind": "vision", "required": False}],
        }
    ).workflow.steps[0]
    assert {need.kind: need.required for need in needs_of(step)} == {
        "vision": True,
        "audio_in": True,
        "structured_output": False,
    }


def test_a_downgrade_looks_at_the_nearest_tier_first():
    assert cheaper_tiers("high") == ("balanced", "fast")
    assert cheaper_tiers("fast") == ()


MODELS = st.builds(
    model,
    st.sampled_from(["p/cheap", "p/dear", "p/none", "q/same"]),
    st.sampled_from(TIERS),
    can=st.sets(st.sampled_from(CAPABILITIES)),
    context=st.integers(1, 100),
)
NEEDS = st.lists(
    st.builds(
        lambda kind, required: Need(kind=kind, required=required),
        st.sampled_from(CAPABILITIES),
        st.booleans(),
    ),
    max_size=3,
)


@given(st.lists(MODELS, max_size=6), NEEDS, st.sets(st.sampled_from(TIERS)), st.integers(0, 100))
def test_every_model_is_either_chosen_and_fit_or_dropped(models, needs, tiers, tokens):
    choice = market(*models).choose(Wanted(needs, tiers, input_tokens=tokens))
    assert len(choice.candidates) + len(choice.dropped) == len(models)
    for candidate in choice.candidates:
        entry = candidate.entry
        assert entry.tier in tiers
        assert {need.kind for need in needs if need.required} <= entry.capabilities
        assert entry.context_tokens >= tokens
    ranks = [(-c.hints, c.cost_usd is None, c.cost_usd or 0) for c in choice.candidates]
    assert ranks == sorted(ranks)


NOBODY = {
    "a capability": (
        {"capabilities": ["audio_out"], "tier": "high"},
        "steps[0].capabilities: no candidate",
    ),
    "embeddings": ({"capabilities": ["embeddings"]}, "lacks embeddings"),
    "a provider": ({"provider": "nobody"}, "no model of that provider and tier"),
    "a draft": (
        {"strategy": {"kind": "speculative", "draft": {"provider": "nobody"}}},
        "steps[0].strategy.draft: no candidate",
    ),
    "a judge": (
        {"strategy": {"kind": "parallel", "best": {"provider": "nobody"}}},
        "steps[0].strategy.best: no candidate",
    ),
    "too long an answer": ({"max_tokens": 1_000_000, "tier": "fast"}, "answers too short"),
    "a pinned model that can't": (
        {"model": "gpt-4o", "capabilities": ["reasoning"]},
        "steps[0].model: no candidate: lacks reasoning",
    ),
}


@pytest.mark.parametrize(("fields", "said"), NOBODY.values(), ids=NOBODY)
def test_a_step_that_no_known_model_can_do_is_a_problem(problems, fields, said):
    found = problems({"id": "a", **fields}, market=Market(Catalogue.builtin()))
    assert len(found) == 1
    assert said in found[0]


def test_the_tiers_that_could_do_it_are_named(problems):
    can_only_high = model("p/m", "high", can=["vision"])
    [found] = problems(
        {"id": "a", "capabilities": ["vision"], "max_tokens": 10},
        market=market(can_only_high, model("p/n")),
    )
    assert found == ("steps[0].capabilities: no candidate: lacks vision; of tier high there are")


def thinker(name="p/a", tier="fast", context=100_000, answer=None):
    return model(name, tier, can=["reasoning"], context=context, answer=answer)


ROOM = {
    "thinks": (thinker(), {}, 1024),
    "is large and thinks": (thinker(tier="high"), {}, 4096),
    "does not think": (model("p/a", "fast", context=100_000), {}, 0),
    "thinks where it is asked to": (thinker("anthropic/a"), {}, 0),
    "writes no more": (thinker(answer=1500), {}, 500),
    "has no more context": (thinker(context=1800), {}, 300),
    "thinks, whatever a namespace calls so": (thinker(), {"reasoning": {"models": ["b"]}}, 1024),
    "thinks, as a namespace says": (
        model("p/a", "fast", context=100_000),
        {"reasoning": {"models": ["a"]}},
        1024,
    ),
}


@pytest.mark.parametrize(("entry", "capabilities", "room"), ROOM.values(), ids=ROOM)
def test_models_that_think_unasked_have_room_for_it_beyond_the_answer(entry, capabilities, room):
    overrides = Overrides.model_validate({"capabilities": capabilities})
    offers = Market(Catalogue((entry,)), overrides=overrides)
    [candidate] = offers.choose(Wanted(input_tokens=500, output_tokens=1000)).candidates
    assert candidate.thought_tokens == room


def test_a_model_that_the_catalogue_does_not_know_is_a_warning(compiled):
    made = compiled({"id": "a", "model": "own-7b"}, market=market())
    [warning] = made.warnings
    assert (
        str(warning) == "steps[0].model: the catalogue does not know 'own-7b': nothing is checked"
    )


def test_a_race_of_more_models_than_there_are_is_a_problem(problems):
    [found] = problems(
        {"id": "a", "max_tokens": 10, "strategy": {"kind": "parallel", "n": 3}},
        market=market(model("p/a"), model("p/b")),
    )
    assert "asks 3 models, but only 2 can do it" in found


def test_a_pinned_model_may_be_asked_several_times(problems):
    step = {"id": "a", "model": "a", "max_tokens": 10}
    several = {**step, "strategy": {"kind": "parallel", "n": 3, "quorum": 2}}
    assert problems(several, market=market(model("p/a"))) == []


def test_a_draft_by_the_verifier_itself_is_a_warning(compiled):
    step = {"id": "a", "tier": "fast", "max_tokens": 10, "strategy": "speculative"}
    [warning] = compiled(step, market=market(model("p/a", "fast"))).warnings
    assert str(warning) == "steps[0].strategy: the same model drafts and verifies, p/a"
