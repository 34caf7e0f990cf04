"""Which evidence counts for which answer, and the sums of it. A state machine, without I/O.

Replicas may each have one: merged, in any order and any number of times, they come to the same
as if one had seen everything. Whoever keeps it in a database keeps `Judgement` as a row and does
with the sums what `settle` says.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from remora.learning.counts import Counts
from remora.learning.evidence import Evidence, better, settle
from remora.learning.series import Series


class Trial(NamedTuple):
    """One answer of one arm: what is judged.

    Attributes:
        call_id: Of the call. One that was tried at several arms has a trial at each.
        goal: What the call was for.
        arm: The arm's key.
        at_ms: When the call began, in milliseconds since 1970: evidence counts for that time,
            whenever it comes.
    """

    call_id: str
    goal: str
    arm: str
    at_ms: int


class Judgement(NamedTuple):
    """A trial and the evidence that counts for it."""

    trial: Trial
    evidence: Evidence


type Sums = dict[tuple[str, str], dict[str, Series]]
"""Series by goal and arm, and in these by reporter; empty for evidence that is nobody's."""


class Ledger:
    """Takes trials and evidence in any order.

    A signal names its call; the arm that the answer came from is known from the call's record,
    which may come later. Until then the signal waits.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.sums: Sums = {}
        self._trials: dict[tuple[str, str], Trial] = {}
        self._counted: dict[tuple[str, str], Evidence] = {}
        self._answered: dict[str, Trial] = {}
        self._waiting: dict[str, Evidence] = {}

    def try_arm(self, trial: Trial, *, answered: bool = True) -> None:
        """Take note of a trial.

        Args:
            trial: Told again it changes nothing.
            answered: Whether the agent got this answer; signals of the call are about it.
        """
        trial = self._trials.setdefault((trial.call_id, trial.arm), trial)
        if answered:
            self._answered[trial.call_id] = trial
            waiting = self._waiting.pop(trial.call_id, None)
            if waiting is not None:
                self.judge(trial, waiting)

    def signal(self, call_id: str, evidence: Evidence) -> bool:
        """Take evidence about the answer that a call's agent got; False if it has to wait."""
        trial = self._answered.get(call_id)
        if trial is not None:
            self.judge(trial, evidence)
            return True
        waiting = self._waiting.get(call_id)
        self._waiting[call_id] = evidence if waiting is None else better(waiting, evidence)
        return False

    def judge(self, trial: Trial, evidence: Evidence) -> None:
        """Take evidence about a trial."""
        key = trial.call_id, trial.arm
        trial = self._trials.setdefault(key, trial)
        known = self._counted.get(key)
        settlement = settle(known, evidence)
        self._counted[key] = settlement.counted
        if known is not None:
            self._add(trial, known.reporter, Counts().minus(settlement.taken_back))
        self._add(trial, settlement.counted.reporter, settlement.added)

    def judgements(self) -> Iterator[Judgement]:
        """Go through everything that is judged."""
        for key, evidence in self._counted.items():
            yield Judgement(self._trials[key], evidence)

    def merge(self, other: "Ledger") -> None:
        """Take all that another replica knows."""
        answered = {(t.call_id, t.arm) for t in other._answered.values()}
        for key, trial in other._trials.items():
            self.try_arm(trial, answered=key in answered)
        for judgement in other.judgements():
            self.judge(*judgement)
        for call_id, evidence in other._waiting.items():
            self.signal(call_id, evidence)

    def _add(self, trial: Trial, reporter: str, counts: Counts) -> None:
        by_reporter = self.sums.setdefault((trial.goal, trial.arm), {})
        by_reporter.setdefault(reporter, Series()).add(trial.at_ms, counts)


def ledger_of(judgements: Iterable[Judgement]) -> Ledger:
    """Make a ledger of what was judged: how sums are made anew."""
    ledger = Ledger()
    for trial, evidence in judgements:
        ledger.try_arm(trial)
        ledger.judge(trial, evidence)
    return ledger
