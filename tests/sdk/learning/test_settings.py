import subprocess
import sys
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.learning import Arm, LearningSettings, Series
from remora.learning.counts import counts_of
from remora.learning.insights import Kind
from remora.learning.reporters import limited
from remora.learning.spending import Spending


def test_defaults_are_those_that_the_field_knows():
    settings = LearningSettings()
    assert (settings.exploration_rate, settings.min_samples) == (0.1, 20)
    assert (settings.rollback_threshold, settings.band) == (0.3, 0.05)
    assert settings.staleness_ms == 7 * 86_400_000


PAGE = (Path(__file__).parents[3] / "docs" / "learned-routing.md").read_text()


@pytest.mark.parametrize("name", [field.name for field in fields(LearningSettings)])
def test_the_page_has_every_setting_with_its_default(name):
    default = LearningSettings().as_mapping()[name]
    days = f"{default / 86_400_000:g} days" if name.endswith("_ms") and default else None
    assert f"| `{name}` | {days or ('none' if default is None else f'{default:g}')} |" in PAGE


@pytest.mark.parametrize("kind", get_args(Kind))
def test_the_page_has_every_kind_of_insight(kind):
    assert f"| `{kind}` |" in PAGE


def test_settings_are_the_same_when_they_are_read_again():
    settings = LearningSettings(exploration_rate=0.3, half_life_ms=5_000)
    assert LearningSettings.from_mapping(settings.as_mapping()) == settings


def test_all_problems_are_told_at_once():
    with pytest.raises(ValueError, match=r"exploration_rate is 2.*; band is -1"):
        LearningSettings(exploration_rate=2, band=-1)
    with pytest.raises(ValueError, match="no such setting: colour, taste"):
        LearningSettings.from_mapping({"taste": 1, "colour": 2})


def test_arms_with_the_same_parameters_in_another_order_are_one():
    one, other = Arm("p", "m", {"t": 0.2, "n": 1}), Arm("p", "m", {"n": 1, "t": 0.2})
    assert (one.key, hash(one)) == (other.key, hash(other))
    assert one == other
    assert one.key == 'p/m {"n":1,"t":0.2}'
    assert Arm("p", "m").key == "p/m"


calls = st.lists(
    st.tuples(st.none() | st.decimals(0, 9, places=6), st.none() | st.floats(1, 100_000))
)


@given(calls, calls)
def test_spending_adds_up_and_is_taken_back(mine, yours):
    whole, left, right = Spending(), Spending(), Spending()
    for call in [*mine, *yours]:
        whole.add(*call)
    for call in mine:
        left.add(*call)
    for call in yours:
        right.add(*call)
        whole.take_back(*call)
        whole.add(*call)
    left.merge(right)
    assert left == whole


def test_unknown_cost_and_latency_stay_unknown():
    spending = Spending()
    spending.add(None, None)
    assert (spending.mean_cost_usd, spending.latency_ms()) == (None, None)
    spending.add(Decimal("0.25"), None)
    assert spending.mean_cost_usd == 0.25


def test_quantiles_of_latency_are_right_to_a_few_percent():
    spending = Spending()
    for latency_ms in range(1, 1_001):
        spending.add(None, float(latency_ms))
    for quantile in (0.5, 0.9, 0.99):
        assert spending.latency_ms(quantile) == pytest.approx(1_000 * quantile, rel=0.06)


def rejections(number: int, good: float = 0.0) -> Series:
    series = Series()
    for at_ms in range(number):
        series.add(at_ms * 10_000, counts_of(good, 1.0))
    return series


def test_one_reporter_among_many_counts_for_the_limit_at_most():
    many = {f"user-{n}": rejections(10, 1.0) for n in range(40)}
    whole = limited(many | {"flood": rejections(400)}, 0.05)
    assert whole.total.bad == pytest.approx(0.05 * 800, rel=0.01)
    assert whole.total.good == 400


@pytest.mark.parametrize(
    "by_reporter",
    [
        {"only": rejections(50)},
        {"": rejections(500), "ann": rejections(10)},
        {"ann": rejections(30), "bob": rejections(30, 1.0)},
    ],
    ids=["a single one", "what is nobody's", "two as eager"],
)
def test_who_floods_nobody_counts_in_full(by_reporter):
    told = sum(series.total.weight for series in by_reporter.values())
    assert limited(by_reporter, 0.05).total.weight == told


def test_learning_is_light():
    heavy = ("numpy", "grpc", "aiohttp", "sqlite3", "asyncio", "pydantic")
    program = (
        "import sys, remora.learning, remora.learning.gate, remora.learning.insights;"
        f"sys.exit([m for m in {heavy} if m in sys.modules] or 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
