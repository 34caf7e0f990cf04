"""Router versions, as an aggregator keeps them: values, read from the wire form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from remora.learning.offpolicy import Estimate
from remora.learning.scores import GoalScores
from remora.learning.versions import Difference
from remora.score_wire import goal_scores_of
from remora_proto.v1 import scores_pb2 as pb


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """All that decisions go by at one time, and what the gate said of it.

    Attributes:
        number: Counts up within a namespace, from 1.
        digest: SHA-256 of what it decides by, in hex.
        verdict: ``accepted``, ``refused``, ``undecided``; empty: the gate was not asked.
        reason: Of the verdict, for people.
        advantage: Share of good answers that it was expected to earn more than the one before;
            None: nobody knows.
        goals: By name; only of a version that was asked for by its number.
    """

    number: int
    made_unix_ns: int
    digest: str
    note: str
    is_in_force: bool
    verdict: str
    reason: str
    advantage: Estimate | None
    goals: Mapping[str, GoalScores]


def version_of(message: pb.RouterVersion) -> KeptVersion:
    """Read a version; raises ValueError where it can't be one."""
    advantage = None
    if message.HasField("advantage"):
        advantage = Estimate(message.advantage, message.advantage_low, message.advantage_high)
    return KeptVersion(
        number=message.number,
        made_unix_ns=message.made_unix_nano,
        digest=message.digest,
        note=message.note,
        is_in_force=message.in_force,
        verdict=message.verdict,
        reason=message.reason,
        advantage=advantage,
        goals={goal.goal: goal_scores_of(goal) for goal in message.goals},
    )


def difference_of(message: pb.DiffVersionsResponse.Difference) -> Difference:
    """Read a difference; raises ValueError where a value is no JSON."""
    before, after = (json.loads(text) if text else None for text in (message.before, message.after))
    return Difference(message.goal, message.arm, message.field, before, after)
