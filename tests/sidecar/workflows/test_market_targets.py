"""Models for calls, from a market of the language."""

from decimal import Decimal

import pytest

from remora.workflows.catalogue import Catalogue, CatalogueModel
from remora.workflows.choosing import Market, ModelPrice
from remora.workflows.estimate import Role
from remora.workflows.step import Step
from remora_sidecar.workflows.market_targets import MarketTargets
from remora_sidecar.workflows.question import ModelWish

PRICES = {"f1": 2, "f2": 1, "b1": 4, "b2": 5, "h1": 9, "h2": None}


def entry(name: str) -> CatalogueModel:
    tier = {"f": "fast", "b": "balanced", "h": "high"}[name[0]]
    can = frozenset({"vision"} if name in ("f1", "h1") else ())
    return CatalogueModel("p", name, tier, "chat", 10_000, None, can)


def prices(provider: str, model: str) -> ModelPrice | None:
    cost = PRICES.get(model)
    return None if cost is None else ModelPrice(Decimal(cost), Decimal(cost))


TARGETS = MarketTargets(Market(Catalogue(tuple(map(entry, PRICES))), prices))


def named(
    role: Role, *, downgraded: bool = False, purpose: str = "answer", **step: object
) -> list[str]:
    wish = ModelWish(Step(id="s", prompt="x", **step), role, purpose, downgraded, 100, 100)
    return [target.model for target in TARGETS(wish)]


@pytest.mark.parametrize(
    ("role", "downgraded", "models"),
    [
        (Role("balanced"), False, ["b1", "b2"]),
        (Role("high"), False, ["h1", "h2"]),
        (Role("high"), True, ["b1", "b2", "f2", "f1", "h1"]),
        (Role("balanced"), True, ["f2", "f1", "b1"]),
        (Role("fast"), True, ["f2"]),
        (Role("fast", "b2"), False, ["b2"]),
        (Role("fast", "b2"), True, ["b2"]),
        (Role("fast", "unknown"), False, ["unknown"]),
        (Role("fast", "f2", "other"), False, ["f2"]),
        (Role("fast", "f2", "p"), True, ["f2"]),
        (Role("fast", None, "other"), True, []),
    ],
)
def test_models_come_in_the_order_of_the_wish(role, downgraded, models):
    assert named(role, downgraded=downgraded) == models


def test_a_step_gets_what_it_needs_and_so_does_its_judge():
    assert named(Role("fast"), capabilities=["vision"]) == ["f1"]
    assert named(Role("fast"), capabilities=["vision"], purpose="judge") == ["f1"]
    assert named(Role("high"), capabilities=["vision"], downgraded=True) == ["f1", "h1"]


@pytest.mark.parametrize("provider", [None, "p"])
def test_a_model_that_the_catalogue_does_not_know_is_taken_as_it_is(provider):
    wish = ModelWish(Step(id="s", prompt="x"), Role("high", "own", provider), "answer", False, 1, 1)
    (target,) = TARGETS(wish)
    assert (target.provider, target.model, target.price) == (provider or "", "own", None)
