"""What people can set of learned routing, and what is right where they set nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningSettings:
    """Settings of one goal. Times are those of the calls, not of when evidence came.

    Attributes:
        exploration_rate: Share of calls that go to an arm at random, so that what changed for
            the better is noticed; of low risk only. Thompson sampling explores besides.
        min_samples: Answers that have to be known of an arm before it is taken for being
            cheaper, or at high risk.
        rollback_threshold: An arm whose share of good answers fell by so much gets
            only what is explored, as long as another is no worse.
        staleness_ms: An arm that nothing was heard of for so long counts as little known.
        band: Share of the best arm's rate within which arms are as good as each other, so that
            cost and then latency decide.
        tie_deviations: An arm counts as within the band if it is, by so many standard
            deviations; more of them the more evidence there is.
        sharpness: Posteriors are drawn from as if there were so many times the evidence.
        least_chance: A well known arm that is the best with less than this chance is not drawn.
        newcomer_chance: An arm of which fewer than ``min_samples`` answers are known is drawn at
            least with this chance, so that bad luck at first is not for ever.
        false_alarm: Chance of ever seeing a change of an arm where there is none; 0 looks for none.
        half_life_ms: Evidence counts half after so long; None: as much as ever.
        keep_ms: What is older is forgotten.
        prior_weight: Answers that all evidence of the level above counts for.
        reporter_share: Of an arm's evidence, the most that one reporter makes up where there are
            enough others.
    """

    exploration_rate: float = 0.1
    min_samples: float = 20
    rollback_threshold: float = 0.3
    staleness_ms: int = 7 * DAY_MS
    band: float = 0.05
    tie_deviations: float = 0.1
    sharpness: float = 2.0
    least_chance: float = 0.001
    newcomer_chance: float = 0.02
    false_alarm: float = 0.05
    half_life_ms: int | None = None
    keep_ms: int = 90 * DAY_MS
    prior_weight: float = 10
    reporter_share: float = 0.05

    def __post_init__(self) -> None:
        """Check all of them.

        Raises:
            ValueError: Names each that is out of range.
        """
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                yield f"{name} is {value}: give a number from {low:g} to {high:g}"

    def as_mapping(self) -> dict[str, float | int | None]:
        """Give them by name."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, float | int | None]) -> "LearningSettings":
        """Take settings by name; those that are not there are as by default.

        Raises:
            ValueError: A name is unknown, or a value is out of range.
        """
        unknown = sorted(values.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"no such setting: {', '.join(unknown)}")
        return cls(**values)  # type: ignore[arg-type]  # checked by its own __post_init__


_FOREVER_MS = 36_500 * DAY_MS
_RANGES: Mapping[str, tuple[float, float]] = {
    "exploration_rate": (0, 1),
    "min_samples": (0, 1_000_000),
    "rollback_threshold": (0, 1),
    "staleness_ms": (1, _FOREVER_MS),
    "band": (0, 1),
    "tie_deviations": (0, 10),
    "sharpness": (0.1, 100),
    "least_chance": (0, 0.05),
    "newcomer_chance": (0, 0.05),
    "false_alarm": (0, 1),
    "half_life_ms": (1, _FOREVER_MS),
    "keep_ms": (1, _FOREVER_MS),
    "prior_weight": (0, 1_000_000),
    "reporter_share": (0, 1),
}
