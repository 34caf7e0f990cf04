"""Sums as a store gives them, made of a few words."""

from decimal import Decimal

from remora.learning.arms import Arm
from remora.learning.counts import Counts
from remora.learning.series import Series
from remora.learning.spending import Spending
from remora_aggregator.signals.ports import ArmSums

DAY_MS = 86_400_000
NOW_MS = 1_767_225_600_000
MILLION = 1_000_000


def arm(model="a", **parameters):
    """An arm of one provider."""
    return Arm("openai", model, parameters)


def counts(good, bad):
    """Evidence, in whole answers."""
    return Counts(good * MILLION, bad * MILLION)


def sums(
    model="a",
    good=0,
    bad=0,
    *,
    namespace="team-a",
    workload="w",
    reporter="",
    at_ms=NOW_MS - 60_000,
    cost_usd=None,
    latency_ms=None,
    calls=None,
):
    """What is known of one arm at one place, of one moment's calls."""
    series = Series()
    series.add(at_ms, counts(good, bad))
    spending, number = Spending(), good + bad if calls is None else calls
    for _ in range(number):
        spending.add(None if cost_usd is None else Decimal(cost_usd), latency_ms)
    return ArmSums(namespace, workload, "write", arm(model), {reporter: series}, spending, number)
