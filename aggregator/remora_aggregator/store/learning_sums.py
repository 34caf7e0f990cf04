"""Sums of evidence and spending: what a transaction changes of them, gathered and then written."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from remora.learning.arms import Arm
from remora.learning.counts import NOTHING, Counts
from remora.learning.series import FINEST_MS, Bucket
from remora.learning.settings import DAY_MS
from remora.learning.spending import Spending
from remora_aggregator.signals.judging import KnownTrial
from remora_aggregator.signals.ports import GoalKey
from remora_aggregator.signals.reporters import slot_of
from remora_aggregator.store.facts import Value
from remora_aggregator.store.learning_places import Place, arm_key, numbers_of
from remora_aggregator.store.learning_rows import ADDED, Rows


class SumKey(NamedTuple):
    """Whose evidence of which piece of time, at a place.

    Attributes:
        reporter: A slot.
    """

    place: Place
    reporter: str
    bucket: Bucket


class DayKey(NamedTuple):
    """A day at a place: so many days since 1970."""

    place: Place
    day: int


@dataclass(slots=True)
class Spent:
    """What calls cost and took, and how many there were; below zero where they are taken back."""

    calls: int = 0
    spending: Spending = field(default_factory=Spending)

    @property
    def is_nothing(self) -> bool:
        """Whether it changes nothing."""
        known = self.spending
        return not (self.calls or known.priced or known.cost_usd or any(known.timed.values()))


def place_of(namespace: str, trial: KnownTrial) -> Place:
    """Say where a trial is summed up."""
    told = trial.trial
    return Place(namespace, told.goal, told.workload, arm_key(told.arm))


class SumChanges:
    """What is to be added to sums."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.arms: dict[Place, Arm] = {}
        self.counts: dict[SumKey, Counts] = {}
        self.spent: dict[DayKey, Spent] = {}
        self.last_ms: dict[GoalKey, int] = {}

    def replace(self, namespace: str, before: KnownTrial | None, after: KnownTrial | None) -> None:
        """Count a trial as it is now, and no longer as it was."""
        if before is not None:
            self._count(namespace, before, -1)
        if after is not None:
            self._count(namespace, after, 1)

    def _count(self, namespace: str, known: KnownTrial, sign: int) -> None:
        trial, place = known.trial, place_of(namespace, known)
        self.arms.setdefault(place, trial.arm)
        key = GoalKey(namespace, trial.goal)
        self.last_ms[key] = max(self.last_ms.get(key, 0), trial.at_ms)
        spent = self.spent.setdefault(DayKey(place, trial.at_ms // DAY_MS), Spent())
        spent.calls += sign
        (spent.spending.add if sign > 0 else spent.spending.take_back)(
            trial.cost_usd, trial.latency_ms
        )
        if known.evidence is not None:
            bucket = Bucket(0, trial.at_ms // FINEST_MS)
            one = SumKey(place, slot_of(known.evidence.reporter), bucket)
            counts, added = self.counts.get(one, NOTHING), known.evidence.counts
            self.counts[one] = counts.plus(added) if sign > 0 else counts.minus(added)

    def write(self, rows: Rows) -> Mapping[Place, int]:
        """Write them; gives the numbers of all places."""
        numbers = numbers_of(rows, self.arms) if self.arms else {}
        add_counts(rows, {
            (numbers[key.place], key.reporter, key.bucket): counts
            for key, counts in self.counts.items()
        })  # fmt: skip
        _add_spent(rows, {
            (numbers[key.place], key.day): spent for key, spent in self.spent.items()
        })  # fmt: skip
        return numbers


type NumberedSum = tuple[int, str, Bucket]
"""The place's number, the reporter's slot and the bucket."""


def add_counts(rows: Rows, counts: Mapping[NumberedSum, Counts]) -> None:
    """Add evidence to sums."""
    new = [
        (place, reporter, *bucket, *added)
        for (place, reporter, bucket), added in counts.items()
        if any(added)
    ]
    keys = ("place", "reporter", "level", "number")
    rows.put("score_sums", keys, ("good", "bad"), new, ADDED)


_DAY: Final = ("place", "day")
SPENT: Final = ("calls", "priced", "cost_usd", "timed")
"""The columns of `Spent`."""


def _add_spent(rows: Rows, changes: Mapping[tuple[int, int], Spent]) -> None:
    changed = {key: spent for key, spent in changes.items() if not spent.is_nothing}
    sql = f"select place, day, {', '.join(SPENT)} from score_spendings where (place, day) in {{}}"  # noqa: S608 - our own words
    for place, day, *known in rows.among(sql, changed):
        spent, before = changed[int(place), int(day)], spent_of(known)  # type: ignore[arg-type]  # numbers
        spent.calls += before.calls
        spent.spending.merge(before.spending)
    written = [(*key, *_written(spent)) for key, spent in changed.items()]
    rows.put("score_spendings", _DAY, SPENT, written)


def spent_of(row: Sequence[Value]) -> Spent:
    """Read `SPENT`."""
    calls, priced, cost_usd, timed = row
    steps = {int(step): int(number) for step, number in json.loads(str(timed)).items()}
    spending = Spending(int(priced or 0), Decimal(str(cost_usd)), Counter(steps))
    return Spent(int(calls or 0), spending)


def _written(spent: Spent) -> tuple[int, int, str, str]:
    known = spent.spending
    timed = {str(step): number for step, number in sorted(known.timed.items()) if number}
    return spent.calls, known.priced, format(known.cost_usd, "f"), json.dumps(timed)
