"""What signals and scores need of a store.

- *In one transaction.* A signal, the evidence that counts for its trial and the sums that change
  with it are written together (`remora.learning.evidence.settle` says what changes). So are a
  record and the trials that it tells of; a revised record takes the cost and latency of the one
  before it back.
- *In any order.* A signal that comes before its call's record is kept and waits for it. A signal or
  trial that comes twice changes nothing.
- *After the commit.* Methods that write return when what they wrote is durable; where that can't be
  known they raise `remora.errors.Unavailable`, and asking again does no harm.
- *Changes.* Each commit that changes what is known of a goal gives (namespace, goal) a new number,
  higher than all before it, in whatever replica; followers see no number below one that they saw.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from remora.learning.arms import Arm
from remora.learning.counts import Counts
from remora.learning.series import Series
from remora.learning.settings import LearningSettings
from remora.learning.spending import Spending
from remora.learning.versions import History
from remora_aggregator.signals.signal import Signal
from remora_aggregator.signals.trial import ArmTrial, JudgedTrial


class TakenSignal(NamedTuple):
    """What became of a signal.

    Attributes:
        is_known: It was stored before.
        is_waiting: No record of its call has come.
    """

    is_known: bool
    is_waiting: bool


@dataclass(frozen=True, slots=True)
class SignalSelection:
    """Which signals are asked for; empty fields do not select. Times are when they came.

    Attributes:
        namespaces: None: all.
        until_unix_ns: Exclusive; 0: no end.
    """

    namespaces: frozenset[str] | None = None
    call_id: str = ""
    session_id: str = ""
    goal: str = ""
    kind: str = ""
    since_unix_ns: int = 0
    until_unix_ns: int = 0


class KeptSignal(NamedTuple):
    """A signal as it is stored.

    Attributes:
        state: ``counted``, ``overruled`` or ``waiting``.
        arm: Key of the arm that it is about; empty while it waits.
    """

    signal: Signal
    state: str
    arm: str


class SignalPage(NamedTuple):
    """Signals, the newest first, and the cursor of the next page; empty: there is none."""

    signals: Sequence[KeptSignal]
    next_cursor: str


class GoalKey(NamedTuple):
    """A goal of a namespace."""

    namespace: str
    goal: str


class KnownGoal(NamedTuple):
    """A goal of which something is known.

    Attributes:
        change: Number of the last change.
        last_ms: When its last call began.
    """

    key: GoalKey
    change: int
    last_ms: int


@dataclass(slots=True)
class ArmSums:
    """What is known of an arm for a goal at one place.

    Attributes:
        by_reporter: Evidence by reporter; under the empty name what is nobody's.
        spending: What its calls cost and took.
        calls: Judged or not.
    """

    namespace: str
    workload: str
    goal: str
    arm: Arm
    by_reporter: dict[str, Series] = field(default_factory=dict)
    spending: Spending = field(default_factory=Spending)
    calls: int = 0


class GoalChanges(NamedTuple):
    """Goals that changed, and the number to ask for later ones after."""

    goals: frozenset[GoalKey]
    last: int


@dataclass(frozen=True, slots=True)
class LogSelection:
    """Which decisions are asked for: those of a known chance that were judged.

    Attributes:
        namespaces: None: all.
        goal: Empty: all.
        until_ms: Exclusive; 0: no end. Times are when calls began.
    """

    namespaces: frozenset[str] | None = None
    goal: str = ""
    since_ms: int = 0
    until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """What the gate said of a version.

    Attributes:
        result: ``accepted``, ``refused``, ``undecided``.
        advantage: Expected share of good answers more than the version before; None: unknown.
        interval: Of that, at 95 %.
    """

    result: str
    reason: str = ""
    advantage: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class VersionBook:
    """A namespace's router versions.

    Attributes:
        history: The versions themselves, and which is in force.
        verdicts: What the gate said, by number.
        since_ms: When the version in force was put in force. Evidence of calls before it counts
            only as far as the version has it.
        goes_back: Whether it was by a rollback; else the version stands on the evidence that
            there is, and all of it counts.
    """

    history: History = field(default_factory=History)
    verdicts: Mapping[int, Judged] = field(default_factory=dict)
    since_ms: int = 0
    goes_back: bool = False


type DecideVersions = Callable[[VersionBook, int], VersionBook]
"""Takes a namespace's versions and the time in milliseconds; gives them as they shall be.

The same object back: nothing is written. It may be called more than once, so it does nothing but
decide.
"""


class SignalStore(Protocol):
    """Keeps signals and trials."""

    async def reporter_key(self) -> bytes:
        """Give the secret that reporters are hashed with, the same in all replicas."""
        ...

    async def take(self, signals: Sequence[Signal]) -> Sequence[TakenSignal]:
        """Store signals, in the order given."""
        ...

    async def take_trials(self, namespace: str, trials: Sequence[ArmTrial]) -> None:
        """Store trials that no record tells of."""
        ...

    async def signals(self, selection: SignalSelection, *, after: str, limit: int) -> SignalPage:
        """Read a page of signals; raises BadRequest where the cursor is none of ours."""
        ...

    async def trials(self, namespace: str, call_id: str) -> Sequence[JudgedTrial]:
        """Read the trials of a call."""
        ...

    async def forget(self, before_unix_ns: int, *, limit: int) -> int:
        """Forget signals and trials of calls before a time, so many at most; sums stay."""
        ...


class ScoreStore(Protocol):
    """Keeps sums of evidence, settings and versions."""

    async def goals(self, namespaces: frozenset[str] | None) -> Sequence[KnownGoal]:
        """List goals; None: of all namespaces."""
        ...

    async def sums(
        self, goal: str, namespaces: frozenset[str] | None, *, since_ms: int = 0
    ) -> Sequence[ArmSums]:
        """Read all that is known of a goal, by namespace, workload and arm.

        Args:
            goal: Its name.
            namespaces: None: all.
            since_ms: Only evidence of calls since, to the width of the buckets.
        """
        ...

    async def changes(self, after: int) -> GoalChanges:
        """Say which goals changed after a number; after 0: all there are."""
        ...

    async def changed(self, after: int) -> None:
        """Wait until a goal changed after a number, in any replica."""
        ...

    async def failures(self, key: GoalKey, since_ms: int) -> Mapping[str, int]:
        """Count the failures of calls since, by category."""
        ...

    async def evidence(
        self, namespaces: frozenset[str] | None, goal: str, since_ms: int, until_ms: int
    ) -> Mapping[tuple[str, str], Counts]:
        """Sum the evidence of calls in a span of time by (provider, model); goal empty: all."""
        ...

    def log(
        self, selection: LogSelection, *, limit: int = 0
    ) -> AsyncIterator[Sequence[JudgedTrial]]:
        """Read decisions, the oldest first, in pages; limit 0: all."""
        ...

    async def versions(self, namespace: str) -> VersionBook:
        """Read a namespace's router versions."""
        ...

    async def change_versions(self, namespace: str, decide: DecideVersions) -> VersionBook:
        """Decide about them in one transaction; counts as a change of all its goals."""
        ...

    async def settings(self, key: GoalKey) -> LearningSettings | None:
        """Read the settings of a goal; of ``*`` those of goals that have none. None: none set."""
        ...

    async def put_settings(self, key: GoalKey, settings: LearningSettings) -> None:
        """Write the settings of a goal."""
        ...

    async def share(self, namespace: str, *, shares: bool) -> None:
        """Note whether a namespace learns from others and lets them learn from it."""
        ...

    async def sharing(self) -> frozenset[str]:
        """List the namespaces that do."""
        ...
