"""The scores that learned routing goes by, and which of them policy asks for. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from remora.learning import ArmScore, GoalScores
from remora.policy.routing import Route, Router

MAX_GOALS: Final = 1_000
"""Goals beyond are not known: calls for them go to all candidates alike."""

ANY_GOAL: Final = ""
"""What routes want that take the goal from their calls."""

type Settings = tuple[tuple[str, float], ...]
"""Some settings of `remora.learning.LearningSettings`, by name."""


class Wanted(NamedTuple):
    """Scores that a route goes by.

    Attributes:
        goal: `ANY_GOAL` for those of all goals that no route names.
        settings: What policy says of how they are made and used.
        is_gated: Only what the router version in force says.
    """

    goal: str
    settings: Settings
    is_gated: bool


def settings_in(router: Router) -> Settings:
    """Read what policy says of learning; what it does not say is left out."""
    said = (
        ("exploration_rate", router.exploration_rate),
        ("min_samples", router.min_samples),
        ("rollback_threshold", router.rollback_threshold),
        ("staleness_ms", router.staleness.milliseconds if router.staleness else None),
        ("band", router.band),
    )
    return tuple((name, value) for name, value in said if value is not None)


def wanted_by(routes: Iterable[Route]) -> tuple[Wanted, ...]:
    """List what routes go by; of several with one goal the first says how it is made."""
    wanted: dict[str, Wanted] = {}
    for router in (route.router for route in routes):
        if router is not None and router.policy == "learned":
            goal = router.goal or ANY_GOAL
            is_gated = router.updates == "gated"
            wanted.setdefault(goal, Wanted(goal, settings_in(router), is_gated))
    return tuple(wanted.values())


@dataclass(frozen=True, slots=True, eq=False)
class ScoreSnapshot:
    """All that is known of a goal's arms at one time.

    Attributes:
        digest: SHA-256 of what decisions go by, in hex; receipts carry it.
        made_unix_ns: When it was made.
        version: The router version that it is or goes on from; 0: none.
        by_arm: Scores by the arms' keys.
    """

    scores: GoalScores
    digest: str
    made_unix_ns: int = 0
    version: int = 0
    by_arm: Mapping[str, ArmScore] = field(init=False)

    def __post_init__(self) -> None:
        """Sort the scores by arm."""
        object.__setattr__(self, "by_arm", {one.arm.key: one for one in self.scores.arms})


class ScoreBook:
    """The newest snapshot of each goal.

    Attributes:
        wanted: What the policy in force goes by.
        across_namespaces: Whether policy lets this namespace and others learn from each other.
        revision: Counts up with each change of what is known.
        asks_anew: Called when it changes what is wanted.
    """

    def __init__(self) -> None:
        """Start with nothing known, nothing wanted."""
        self.wanted: tuple[Wanted, ...] = ()
        self.across_namespaces = False
        self.revision = 0
        self.asks_anew: Callable[[], None] = lambda: None
        self._known: dict[str, ScoreSnapshot] = {}

    def __len__(self) -> int:
        """Count the goals that something is known of."""
        return len(self._known)

    def apply(self, routes: Iterable[Route], *, across_namespaces: bool) -> None:
        """Go by a changed policy; what is known stays known until it is replaced."""
        wanted = wanted_by(routes)
        if (wanted, across_namespaces) != (self.wanted, self.across_namespaces):
            self.wanted, self.across_namespaces = wanted, across_namespaces
            self.asks_anew()

    def get(self, goal: str) -> ScoreSnapshot | None:
        """Find what is known of a goal."""
        return self._known.get(goal)

    def snapshots(self) -> Sequence[ScoreSnapshot]:
        """List all that is known."""
        return tuple(self._known.values())

    def take(self, snapshot: ScoreSnapshot) -> None:
        """Know something newer of one goal."""
        goal = snapshot.scores.goal
        if goal in self._known or len(self._known) < MAX_GOALS:
            self._known[goal] = snapshot
            self.revision += 1

    def take_all(self, snapshots: Iterable[ScoreSnapshot]) -> None:
        """Know these and no others."""
        self._known = {}
        self.revision += 1
        for snapshot in snapshots:
            self.take(snapshot)
