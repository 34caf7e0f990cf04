"""Reports of executions for tests, and who sends them."""

from remora_aggregator.store.execution_tables import Sender
from remora_proto.v1 import workflows_pb2 as pb

SENDER = Sender("team-a", "pod-1", "agent-1/pod-1", "agent-1", "agents")
NEIGHBOUR = Sender("team-a", "pod-2", "agent-2/pod-2")
FOREIGNER = Sender("team-b", "pod-3", "agent-3/pod-3")


def step(step_id="gather", status=pb.STEP_STATUS_RUNNING, **fields):
    return pb.StepReport(step_id=step_id, status=status, known_cost_usd="0", **fields)


def report(number=1, revision=1, status=pb.EXECUTION_STATUS_RUNNING, **fields):
    made = pb.ExecutionReport(
        execution_id=f"e-{number}",
        task_id=f"t-{number}",
        workflow="research",
        revision=revision,
        status=status,
        began_unix_nano=1_000 * number,
        known_cost_usd="0",
    )
    made.MergeFrom(pb.ExecutionReport(**fields))
    return made
