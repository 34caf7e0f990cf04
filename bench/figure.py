"""What a measurement says: values by side, the ratio, and whether it is what we promised. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import median

Rounds = Mapping[str, Sequence[float]]
"""What each round gave, by side."""


class Better(Enum):
    """Which way is good."""

    MORE = "≥"
    LESS = "≤"


@dataclass(frozen=True, slots=True)
class Target:
    """What was promised.

    Attributes:
        better: The direction.
        limit: What must be reached.
        aim: What we would like; None: no more than the limit.
        unit: Written after both.
    """

    better: Better
    limit: float
    aim: float | None = None
    unit: str = ""

    def is_met(self, value: float) -> bool:
        """Whether a value keeps the promise."""
        return value >= self.limit if self.better is Better.MORE else value <= self.limit

    def text(self) -> str:
        """Say it in a few words."""
        aim = "" if self.aim is None else f" (aim {self.aim:g}{self.unit})"
        return f"{self.better.value} {self.limit:g}{self.unit}{aim}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: Stable, for programs.
        title: For people.
        unit: Of the values.
        values: The median of the rounds, by side.
        rounds: Each round's values, by side.
        verdict: The number the target is about; None where nothing could be measured.
        verdict_unit: ``x`` for ratios, else a unit; it is written after the number.
        target: What was promised.
        why_not: Why nothing was measured; else empty.
        note: What a reader should know; may be empty.
    """

    name: str
    title: str
    unit: str
    target: Target | None
    values: Mapping[str, float] = field(default_factory=dict)
    rounds: Rounds = field(default_factory=dict)
    verdict: float | None = None
    verdict_unit: str = ""
    why_not: str = ""
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None where none is set or nothing was measured."""
        if self.target is None or self.verdict is None:
            return None
        return self.target.is_met(self.verdict)


def interleaved[S](
    sides: Sequence[S], name: Callable[[S], str], measure: Callable[[S], float], rounds: int
) -> dict[str, list[float]]:
    """Measure all sides in each round, A B A B …, so that a busy machine harms all alike."""
    found: dict[str, list[float]] = {name(side): [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            found[name(side)].append(measure(side))
    return found


def medians(rounds: Rounds) -> dict[str, float]:
    """Return the median by side."""
    return {side: median(values) for side, values in rounds.items()}


def median_ratio(rounds: Rounds, of: str, to: str) -> float:
    """Return the median of the rounds' own ratios: drift of the machine cancels out."""
    return median(a / b for a, b in zip(rounds[of], rounds[to], strict=True))


def median_difference(rounds: Rounds, of: str, to: str) -> float:
    """Return the median of the rounds' own differences."""
    return median(a - b for a, b in zip(rounds[of], rounds[to], strict=True))
