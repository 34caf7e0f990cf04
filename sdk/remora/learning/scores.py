"""What is known of arms, as it is sent to sidecars: plain frozen values."""

from dataclasses import dataclass, field

from remora.learning.arms import Arm
from remora.learning.beta import IGNORANCE, Beta
from remora.learning.change import Shift
from remora.learning.settings import LearningSettings


@dataclass(frozen=True, slots=True)
class ArmScore:
    """What is known of one arm for one goal.

    Attributes:
        posterior: What is believed of its share of good answers.
        samples: Answers of its own that the belief stands on, each as much as one can be sure.
        cost_usd: Of a call, on average; None if unknown.
        latency_ms: The median; None if unknown.
        is_stale: Whether nothing was heard of it for long.
        shift: The latest change of its share, if there was one.
    """

    arm: Arm
    posterior: Beta = IGNORANCE
    samples: float = 0.0
    cost_usd: float | None = None
    latency_ms: float | None = None
    is_stale: bool = False
    shift: Shift | None = None


@dataclass(frozen=True, slots=True)
class GoalScores:
    """What is known of all arms for one goal, and how to choose among them."""

    goal: str
    arms: tuple[ArmScore, ...]
    settings: LearningSettings = field(default_factory=LearningSettings)
