"""Executions of workflows for the page to show."""

from remora.clock import SystemClock
from remora_aggregator.store.execution_store import StoredExecutions
from remora_aggregator.store.execution_tables import Sender
from remora_proto.v1 import workflows_pb2 as pb

SENDER = Sender("local", "p", "p", "research-7c9-1", "research")
CALL = f"{0xDEC1DED:032x}"
DONE, RUNNING = pb.STEP_STATUS_COMPLETED, pb.STEP_STATUS_RUNNING


def step(step_id, status=DONE, *before, cost="0.0021", **fields):
    known = {"latency_ms": 1_900, "tokens": 420, "model": "gpt-4o-mini", "provider": "openai"}
    made = pb.StepReport(step_id=step_id, status=status, depends_on=before, known_cost_usd=cost)
    made.MergeFrom(pb.StepReport(strategy="single", tier="balanced", **{**known, **fields}))
    return made


def report(now_ns, execution_id="run-1", revision=3, **fields):
    made = pb.ExecutionReport(
        execution_id=execution_id, task_id="nightly-03", workflow="research", revision=revision,
        status=pb.EXECUTION_STATUS_RUNNING, began_unix_nano=now_ns - 20 * 10**9, latency_ms=4_100,
        known_cost_usd="0.0042", tokens=840, estimate_most_usd="0.115",
        budget=pb.ExecutionBudget(max_cost_usd="0.25", on_exceed="downgrade"),
        trace_id="ab" * 16,
        steps=[
            step("gather", receipt_ids=[CALL, *(f"{n:032x}" for n in range(1, 11))]),
            step("synthesize", RUNNING, "gather", latency_ms=0, model="", provider=""),
            step("look-up", pb.STEP_STATUS_SKIPPED, "gather", error_code="CONDITION"),
            step("cite", pb.STEP_STATUS_WAITING, "synthesize", "look-up", latency_ms=0, cost="0"),
        ],
    )  # fmt: skip
    for name in fields:
        made.ClearField(name)
    made.MergeFrom(pb.ExecutionReport(**fields))
    return made


async def tell(served, *reports):
    await StoredExecutions(served.aggregator.store, SystemClock()).take(reports, SENDER)
