import pytest
from bench.figure import (
    Better,
    Figure,
    Target,
    interleaved,
    median_difference,
    median_ratio,
    medians,
)

_ROUNDS = {"remora": [100.0, 300.0, 50.0], "stock": [50.0, 100.0, 25.0]}


def test_sides_take_turns():
    order = []

    def measure(side: str) -> float:
        order.append(side)
        return float(len(order))

    found = interleaved(["a", "b"], str, measure, rounds=2)
    assert order == ["a", "b", "a", "b"]
    assert found == {"a": [1.0, 3.0], "b": [2.0, 4.0]}


def test_ratios_are_taken_round_by_round():
    assert median_ratio(_ROUNDS, "remora", "stock") == 2.0
    assert median_difference(_ROUNDS, "remora", "stock") == 50.0
    assert medians(_ROUNDS) == {"remora": 100.0, "stock": 50.0}


def test_rounds_without_a_partner_are_refused():
    with pytest.raises(ValueError, match="zip"):
        median_ratio({"remora": [1.0], "stock": []}, "remora", "stock")


@pytest.mark.parametrize(
    ("better", "value", "met"),
    [
        (Better.MORE, 2.5, True),
        (Better.MORE, 2.4, False),
        (Better.LESS, 2.5, True),
        (Better.LESS, 2.6, False),
    ],
)
def test_a_target_is_met_at_its_limit(better, value, met):
    figure = Figure("n", "t", "x", Target(better, 2.5), verdict=value)
    assert figure.is_met is met


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert Figure("n", "t", "x", Target(Better.MORE, 1), why_not="needs root").is_met is None


def test_a_target_says_its_aim():
    assert Target(Better.MORE, 2.5, aim=4, unit="x").text() == "≥ 2.5x (aim 4x)"
