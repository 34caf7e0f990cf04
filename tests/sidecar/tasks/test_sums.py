"""Sums over calls: exact, whatever the order in which records, revisions and duplicates come."""

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sidecar.tasks.recorded import call, cost_of, refused_call

from remora.clock import SystemClock
from remora.records import Attempt, CallError, EndReason, Usage
from remora_sidecar.engine.task_gate import TaskGate
from remora_sidecar.tasks.book import TaskBook
from remora_sidecar.tasks.sums import NO_CALLS, Sums, figures_of

MONEY = st.decimals(min_value=0, max_value=1_000, places=12, allow_nan=False)
TOKENS = st.integers(0, 1 << 40)
FAILED_TRY = Attempt("openai", "gpt-4o", 500, 0.1, cost=cost_of("0.002"))


@st.composite
def records(draw):
    """Some calls, each with revisions, as they stand at last and as they come."""
    last, told = [], []
    for number in range(draw(st.integers(0, 12))):
        task_id = draw(st.sampled_from(["a", "b"]))
        for revision in range(draw(st.integers(1, 3))):
            cost = draw(st.none() | MONEY)
            usage = draw(st.none() | st.builds(Usage, input_tokens=TOKENS, output_tokens=TOKENS))
            record = call(
                number,
                task_id,
                revision=revision,
                usage=usage,
                cost=None if cost is None else cost_of(str(cost)),
                cached=draw(st.booleans()),
                status_code=draw(st.sampled_from([200, 500])),
            )
            told += [record] * draw(st.integers(1, 2))
        last.append(record)
    return last, draw(st.permutations(told))


def expected(last):
    """Add figures up plainly."""
    sums = defaultdict(lambda: defaultdict(int))
    for record in last:
        figures, usage = sums[record.attribution.task_id], record.usage
        figures["calls"] += 1
        figures["errors"] += record.status_code >= 400
        figures["cached_calls"] += record.cached
        figures["unpriced_calls"] += usage is not None and record.cost is None
        figures["priced"] += record.cost is not None
        if usage is not None and not record.cached:
            figures["input_tokens"] += usage.input_tokens
            figures["output_tokens"] += usage.output_tokens
        if record.cost is not None:
            # As integers: a sum of decimals might be rounded by the test itself.
            figures["picousd"] += int(record.cost.total_usd.scaleb(12))
    return sums


async def totals_of(book):
    page = await book.list()
    return {task.task_id: task.totals for task in page.tasks}


@given(records())
async def test_totals_are_the_sums_of_the_records_in_whatever_order_they_come(drawn):
    last, told = drawn
    book = TaskBook(TaskGate(), SystemClock(), "local")
    for record in told:
        book.take(record)
    totals = await totals_of(book)

    wanted = expected(last)
    assert totals.keys() == wanted.keys()
    for task_id, figures in wanted.items():
        found = totals[task_id]
        for name in ("calls", "errors", "cached_calls", "unpriced_calls"):
            assert getattr(found, name) == figures[name]
        assert found.input_tokens == figures["input_tokens"]
        assert found.output_tokens == figures["output_tokens"]
        if figures["priced"]:
            assert found.cost_usd == Decimal(f"{figures['picousd']}e-12")
        else:
            assert found.cost_usd is None


@given(st.lists(MONEY, max_size=20), st.data())
def test_what_is_added_and_taken_away_again_leaves_nothing(costs, data):
    parts = [Sums(calls=1, priced_calls=1, cost_usd=cost) for cost in costs]
    sums = NO_CALLS
    for part in parts:
        sums = sums.plus(part)
    for part in data.draw(st.permutations(parts)):
        sums = sums.minus(part)

    assert sums == NO_CALLS


@pytest.mark.parametrize(
    ("record", "figures"),
    [
        (call(), Sums(1, priced_calls=1, input_tokens=10, output_tokens=5,
                      cost_usd=Decimal("0.00001"))),
        (refused_call(), Sums(1, errors=1, refused_calls=1)),
        (call(cost=None), Sums(1, unpriced_calls=1, input_tokens=10, output_tokens=5)),
        (call(cached=True, cost=cost_of("0")), Sums(1, cached_calls=1, priced_calls=1)),
        (call(end_reason=EndReason.PROVIDER_CUT, usage=None, cost=None), Sums(1, errors=1)),
        (call(end_reason=EndReason.CLIENT_GONE, usage=None, cost=None), Sums(1)),
        (call(attempts=(FAILED_TRY,), cost=cost_of("0.001")),
         Sums(1, priced_calls=1, input_tokens=10, output_tokens=5, cost_usd=Decimal("0.003"))),
        (call(usage=Usage()), Sums(1, priced_calls=1, cost_usd=Decimal("0.00001"))),
    ],
    ids=["good", "refused", "unpriced", "cached", "cut", "left", "after a failed try", "no counts"],
)  # fmt: skip
def test_figures_of_a_call(record, figures):
    assert figures_of(record) == figures


@pytest.mark.parametrize(
    ("record", "cost"),
    [
        (call(), "0.00001"),
        (refused_call(), "0"),
        (call(cost=None), None),
        (call(usage=None, cost=None), None),
        (call(usage=None, cost=None, error=CallError("x", "y"), status_code=500), "0"),
        (call(usage=None, cost=None, error=CallError("x", "y"), attempts=(FAILED_TRY,)), "0.002"),
        (call(attempts=(FAILED_TRY, FAILED_TRY)), "0.00401"),
    ],
    ids=["good", "refused", "unpriced", "unread", "failed", "failed and paid", "after failures"],
)
def test_what_a_call_cost(record, cost):
    assert record.paid_usd == (None if cost is None else Decimal(cost))


def test_a_revision_extends_no_time():
    book = TaskBook(TaskGate(), SystemClock(), "local")
    first = call(latency_s=2.0)
    for record in (first, replace(first, revision=1, cost=cost_of("1"))):
        book.take(record)
    task = book._found("t-1")

    assert (task.first_call_unix_ns, task.last_call_unix_ns) == (1_000_000_000, 3_000_000_000)
    assert all(one <= other for one, other in pairwise([task.created_unix_ns, task.revision]))
