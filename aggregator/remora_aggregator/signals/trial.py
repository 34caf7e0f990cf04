"""Trials: answers of arms, which signals are about."""

from dataclasses import dataclass
from decimal import Decimal

from remora.learning.arms import Arm
from remora.learning.evidence import Evidence


@dataclass(frozen=True, slots=True)
class ArmTrial:
    """One answer of one arm, as a record or a program tells it.

    Attributes:
        call_id: A call that was tried at several arms has a trial at each.
        goal: What the call was for; empty: nobody said.
        workload: Whose call it was; the narrowest level of evidence.
        at_ms: When the call began, in milliseconds since 1970.
        is_answer: Whether the agent got this arm's answer; signals of the call are about it.
        inferred: What can be told of the answer without asking anybody; None: nothing.
        failure_category: Why it was no good; empty if it was, or nobody knows.
        cost_usd: None if unknown, or if the answer came out of a cache; so ``latency_ms``.
        propensity: How likely the choice of this arm was; None where nothing was left to chance.
        arms: Keys of all arms that the call might have gone to; empty where nobody chose.
        rule: The route that had the call.
        task_id: Of the task that the call was made for.
    """

    call_id: str
    goal: str
    arm: Arm
    at_ms: int
    workload: str = ""
    is_answer: bool = True
    inferred: Evidence | None = None
    failure_category: str = ""
    cost_usd: Decimal | None = None
    latency_ms: float | None = None
    propensity: float | None = None
    arms: tuple[str, ...] = ()
    rule: str = ""
    requested_model: str = ""
    session_id: str = ""
    task_id: str = ""


@dataclass(frozen=True, slots=True)
class JudgedTrial:
    """A trial with the evidence that counts for it."""

    namespace: str
    trial: ArmTrial
    evidence: Evidence | None = None
    failure_category: str = ""
