"""Learned routing: from what became of answers to where the next call goes. Pure.

Evidence about answers becomes scores of arms (`evidence`, `ledger`, `series`, `scoring`), scores
become decisions (`quality`, `chances`, `decision`), and what was decided is judged (`offpolicy`,
`gate`, `versions`, `insights`). The aggregator keeps and scores, sidecars decide. Nothing here does
I/O or asks for the time.
"""

from remora.learning.arms import Arm
from remora.learning.beta import Beta
from remora.learning.counts import Counts
from remora.learning.decision import Chooser, Decision
from remora.learning.evidence import Evidence, Source
from remora.learning.ledger import Ledger, Trial
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.scoring import prior_of, score
from remora.learning.series import Series
from remora.learning.settings import LearningSettings
from remora.learning.versions import History, RouterVersion

__all__ = [
    "Arm",
    "ArmScore",
    "Beta",
    "Chooser",
    "Counts",
    "Decision",
    "Evidence",
    "GoalScores",
    "History",
    "LearningSettings",
    "Ledger",
    "RouterVersion",
    "Series",
    "Source",
    "Trial",
    "prior_of",
    "score",
]
