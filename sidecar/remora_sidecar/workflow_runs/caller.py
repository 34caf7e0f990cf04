"""On whose behalf a run asks models, and what its calls say of themselves."""

from dataclasses import dataclass

from remora_sidecar.engine.goal import MAX_GOAL_CHARACTERS
from remora_sidecar.openai_api.client_key import ClientKey
from remora_sidecar.workflow_runs.receipts import span_of
from remora_sidecar.workflows.question import Question

_MAX_AGENT_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        execution_id: Of the run.
        trace_id: Of the trace that its calls belong to.
        task_id: Of its task.
        workflow: Its name.
        key: Its client's session, and a key of its own if it sent one.
    """

    execution_id: str
    trace_id: str
    task_id: str
    workflow: str
    key: ClientKey

    def stated(self, key: str, question: Question) -> dict[str, str]:
        """Return the fields by which a call is known as this run's."""
        session = self.key.session
        place = f"{self.workflow}/{question.step_id}"
        fields = {
            "traceparent": f"00-{self.trace_id}-{span_of(self.execution_id, key)}-01",
            "remora-task": self.task_id,
            "remora-goal": question.goal or self._goal(question),
        }
        if not session.agent_id and place.isascii():
            fields["remora-agent-id"] = place[:_MAX_AGENT_CHARACTERS]
        return {name: value for name, value in fields.items() if value}

    def _goal(self, question: Question) -> str:
        goal = f"{self.workflow}.{question.step_id}"
        return goal if goal.isascii() and len(goal) <= MAX_GOAL_CHARACTERS else ""
