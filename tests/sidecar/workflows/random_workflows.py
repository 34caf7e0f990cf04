"""Workflows and budgets as hypothesis draws them."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from tests.sidecar.workflows.played import shelf, workflow

from remora.workflows.budget import Budget
from remora_sidecar.workflows.envelope import Envelope
from remora_sidecar.workflows.plan import Plan

_STRATEGIES = [
    "single",
    "speculative",
    {"kind": "speculative", "agreement": "equal"},
    {"kind": "parallel", "n": 3},
    {"kind": "parallel", "n": 3, "quorum": 2, "agreement": "equal"},
    {"kind": "parallel", "n": 2, "best": {"tier": "fast"}},
    {"kind": "parallel", "candidates": [{"model": "m1"}, {"model": "m2"}]},
]

_RETRIES = [{}, {"attempts": 2}, {"attempts": 3, "initial": "100ms", "max": "150ms"}]

budgets = st.one_of(
    st.none(),
    st.builds(
        Budget,
        max_cost_usd=st.sampled_from(
            [None, Decimal("0.004"), Decimal("0.012"), Decimal("0.05"), Decimal("0.4")]
        ),
        max_tokens=st.sampled_from([1_500, 6_000, 40_000]),
        max_latency_ms=st.sampled_from([None, 200, 60_000]),
        on_exceed=st.sampled_from(["block", "downgrade", "warn"]),
    ),
)


def _plain(budget: Budget | None) -> dict[str, Any]:
    if budget is None:
        return {}
    return {"budget": budget.model_dump(exclude_none=True)}


@st.composite
def steps(draw: st.DrawFn, number: int) -> dict[str, Any]:
    step: dict[str, Any] = {"id": f"s{number}", "tier": draw(st.sampled_from(["fast", "high"]))}
    earlier = [f"s{n}" for n in range(number)]
    before = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
    step["prompt"] = "Go on. " + " ".join(f"{{{{steps.{other}.output}}}}" for other in before)
    if earlier and draw(st.integers(0, 3)) == 0:
        step["depends_on"] = [draw(st.sampled_from(earlier))]
    if draw(st.integers(0, 3)) == 0:
        asked = f"steps.{draw(st.sampled_from(earlier))}.status" if earlier else "input.flag"
        step["condition"] = {"!=": [{"var": asked}, draw(st.sampled_from(["failed", "skipped"]))]}
    if draw(st.integers(0, 3)) == 0:
        over = draw(st.sampled_from(["few", "many", "none"]))
        step["map"] = {"over": f"{{{{input.{over}}}}}", "concurrency": draw(st.integers(1, 3))}
    if draw(st.booleans()):
        step["output"] = {"schema": {"type": "object"}}
    if draw(st.integers(0, 2)) == 0:
        step["default"] = {} if "output" in step else "D"
    policies = ["fail", "skip", "skip", *(["default"] if "default" in step else [])]
    step["on_failure"] = draw(st.sampled_from(policies))
    step["strategy"] = draw(st.sampled_from(_STRATEGIES))
    step["retry"] = draw(st.sampled_from(_RETRIES))
    if draw(st.booleans()):
        step["timeout"] = "300ms"
    if draw(st.integers(0, 3)) == 0:
        step |= _plain(draw(budgets))
    return step


GIVEN = {"flag": "x", "few": ["a", "b"], "many": list("abcde"), "none": []}


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(1, 12))
    drawn = [draw(steps(number)) for number in range(count)]
    compiled = workflow(*drawn, **_plain(draw(budgets)))
    task = draw(st.one_of(st.none(), st.builds(Envelope, st.just("task"), budgets)))
    return Plan(compiled, GIVEN, shelf, draw(budgets), task)
