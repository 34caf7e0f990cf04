"""What calls sum up to, and how they are read off records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_aggregator.tasks.totals import MAX_PODS, NO_CALLS, TaskCall, TaskTotals, task_call
from remora_proto.v1 import records_pb2 as pb

S = 10**9
CALLS = st.builds(
    TaskCall,
    pod_uid=st.sampled_from(["a", "b"]),
    started_unix_ns=st.integers(1, 50),
    ended_unix_ns=st.integers(50, 99),
    is_error=st.booleans(),
    is_refused=st.booleans(),
    is_cached=st.booleans(),
    is_unpriced=st.booleans(),
    input_tokens=st.integers(0, 99),
    output_tokens=st.integers(0, 99),
    cost_picousd=st.none() | st.integers(0, 99),
)


def summed(calls):
    totals = NO_CALLS
    for call in calls:
        totals = totals.plus(call)
    return totals


@given(st.lists(CALLS, max_size=8))
def test_totals_are_the_sums_of_calls_in_any_order(calls):
    totals = summed(calls)

    assert totals == summed(reversed(calls))
    assert totals.calls == len(calls)
    assert totals.errors == sum(call.is_error for call in calls)
    assert totals.cost_picousd == sum(call.cost_picousd or 0 for call in calls)
    assert totals.first_call_unix_ns == min((c.started_unix_ns for c in calls), default=0)
    assert totals.last_call_unix_ns == max((c.ended_unix_ns for c in calls), default=0)
    assert totals.pod_uids == tuple(sorted({call.pod_uid for call in calls}))


@given(st.lists(CALLS, max_size=4), CALLS, CALLS)
def test_a_revised_call_counts_as_it_is_known_last(calls, before, after):
    revised = summed([*calls, before]).revised(before, after)
    expected = summed([*calls, after])

    assert sums(revised) == sums(expected)


def sums(totals: TaskTotals):
    return (
        totals.calls, totals.errors, totals.refused_calls, totals.cached_calls,
        totals.unpriced_calls, totals.priced_calls, totals.input_tokens, totals.output_tokens,
        totals.cost_picousd,
    )  # fmt: skip


def test_pods_are_named_up_to_a_bound(make_call):
    totals = summed(make_call(pod_uid=f"pod-{number:03}") for number in range(MAX_PODS + 1))

    assert (len(totals.pod_uids), totals.more_pods) == (MAX_PODS, True)
    assert totals.plus(make_call(pod_uid="pod-000")).pod_uids == totals.pod_uids


def record(**fields):
    made = pb.CallRecord(
        started_unix_nano=100 * S,
        latency_s=2.0,
        end_reason=pb.END_REASON_COMPLETED,
        usage=pb.Usage(input_tokens=10, output_tokens=5),
        cost=pb.Cost(total_usd="0.25"),
    )
    made.MergeFrom(pb.CallRecord(**fields))
    return made


def read(ahead_s=0.0, received_s=200, **fields):
    made = record(**fields)
    return task_call(made, "pod-1", received_s * S, is_error=False, ahead_s=ahead_s)


def test_a_record_is_read():
    assert read() == TaskCall(
        "pod-1", 100 * S, 102 * S, input_tokens=10, output_tokens=5, cost_picousd=25 * 10**10
    )


def test_what_the_cache_answered_used_nothing():
    call = read(cached=True)

    assert (call.is_cached, call.input_tokens, call.output_tokens) == (True, 0, 0)


@pytest.mark.parametrize(
    ("times", "started_s", "ended_s"),
    [
        ({"ahead_s": 50.0}, 50, 52),
        ({"received_s": 101}, 100, 101),
        ({"received_s": 60}, 60, 60),
        ({"latency_s": -1.0}, 100, 100),
        ({"latency_s": float("nan")}, 100, 100),
        ({"latency_s": float("inf")}, 100, 200),
    ],
    ids=[
        "clock ahead",
        "received before it ended",
        "from the future",
        "below nothing",
        "no number",
        "endless",
    ],
)
def test_no_call_ended_after_its_record_came(times, started_s, ended_s):
    call = read(**times)

    assert (call.started_unix_ns, call.ended_unix_ns) == (started_s * S, ended_s * S)


@pytest.mark.parametrize(
    ("budgets", "code", "exceeded"),
    [
        ([("daily", "namespace", "block"), ("mine", "task", "block")], "BUDGET_EXCEEDED", "mine"),
        ([("mine", "task", "ok"), ("daily", "namespace", "block")], "BUDGET_EXCEEDED", ""),
        ([("mine", "task", "block")], "MODEL_DENIED", ""),
        ([("mine", "task", "warn")], "", ""),
    ],
    ids=["per task", "per namespace", "refused for something else", "not refused"],
)
def test_which_budget_per_task_refused_a_call_stands_in_its_receipt(budgets, code, exceeded):
    receipts = [pb.BudgetReceipt(name=n, per=p, result=r) for n, p, r in budgets]
    receipt = pb.Receipt(refused_by=code, budgets=receipts)

    assert read(receipt=receipt).exceeded == exceeded


@pytest.mark.parametrize(
    ("stated", "counted"), [(-5, 0), (1 << 62, 1 << 53)], ids=["below nothing", "absurd"]
)
def test_absurd_tokens_are_bounded(stated, counted):
    made = pb.CallRecord(usage=pb.Usage(input_tokens=stated, output_tokens=stated))
    call = task_call(made, "pod-1", 200 * S, is_error=False)

    assert (call.input_tokens, call.output_tokens) == (counted, counted)


def test_a_call_costs_what_its_tries_that_failed_cost_as_well():
    failed = [pb.Attempt(cost=pb.Cost(total_usd="0.002")), pb.Attempt()]
    made = pb.CallRecord(cost=pb.Cost(total_usd="0.01"), attempts=failed)

    assert task_call(made, "pod-1", 200 * S, is_error=False).cost_picousd == 12_000_000_000


def test_money_that_a_price_list_gives_back_is_no_cost():
    assert read(cost=pb.Cost(total_usd="-3")).cost_picousd == 0


def test_a_task_with_calls_nobody_could_price_says_so(make_call):
    totals = summed([make_call(is_unpriced=True), make_call(cost_picousd=5)])

    assert (totals.unpriced_calls, totals.priced_calls, totals.spent) == (1, 1, (5, 0))
