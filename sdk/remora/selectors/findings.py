"""What a run found: results of combinations and of datapoints. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from remora.selectors.interval import confidence_interval
from remora.selectors.pricing import total


@dataclass(frozen=True)
class DatapointResult:
    """One evaluation.

    Attributes:
        datapoint_index: In the data set, from 0.
        score: 0 if it failed.
        latency_seconds: Of the agent's run, as if nothing had come out of a cache.
        input_tokens: By model.
        output_tokens: By model.
        price: In USD; None if unknown.
        error: Why it failed; None if it did not.
    """

    datapoint_index: int
    score: float
    latency_seconds: float
    input_tokens: Mapping[str, int] = field(default_factory=dict)
    output_tokens: Mapping[str, int] = field(default_factory=dict)
    price: Decimal | None = None
    error: str | None = None


@dataclass(frozen=True)
class ModelResult:
    """A combination that was evaluated.

    Attributes:
        model_name: Its label, such as ``planner=gpt-4o + solver=gpt-4o-mini``.
        models: Its models by node.
        accuracy: Mean score; evaluations that failed count as 0.
        latency_seconds: Mean of its evaluations.
        input_tokens: All of them, by model.
        output_tokens: All of them, by model.
        attribute: What the result was scored under.
        is_best: It is the one that was found best.
        datapoint_results: Its evaluations, in the order of the data set.
        combined_objective: Mean of scores less weighed cost and latency; None without weights.
        unknown: Why its price is not known, such as models without one.
    """

    model_name: str
    models: Mapping[str, str]
    accuracy: float
    latency_seconds: float
    input_tokens: Mapping[str, int] = field(default_factory=dict)
    output_tokens: Mapping[str, int] = field(default_factory=dict)
    attribute: str = "combination"
    is_best: bool = False
    datapoint_results: Sequence[DatapointResult] = ()
    combined_objective: float | None = None
    unknown: tuple[str, ...] = ()

    @property
    def num_samples(self) -> int:
        """So many evaluations it had, those that failed included."""
        return len(self.datapoint_results)

    @property
    def failures(self) -> int:
        """So many of them failed."""
        return sum(result.error is not None for result in self.datapoint_results)

    @property
    def confidence_interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return confidence_interval([result.score for result in self.datapoint_results])

    @property
    def price(self) -> Decimal | None:
        """USD of one evaluation, on average; None if one of them is unknown."""
        summed = total([result.price for result in self.datapoint_results])
        return None if summed is None or not self.num_samples else summed / self.num_samples

    @property
    def total_input_tokens(self) -> int:
        """Of all models."""
        return sum(self.input_tokens.values())

    @property
    def total_output_tokens(self) -> int:
        """Of all models."""
        return sum(self.output_tokens.values())

    def __str__(self) -> str:
        """One line."""
        price = "unknown" if self.price is None else f"${self.price:f}"
        tokens = {
            model: (self.input_tokens[model], self.output_tokens.get(model, 0))
            for model in self.input_tokens
        }
        return (
            f"{self.model_name} (accuracy: {self.accuracy:.2%}, latency: "
            f"{self.latency_seconds:.2f}s, tokens: {tokens}, price: {price})"
        )


@dataclass(frozen=True)
class Findings:
    """What a run found, and nothing that is made of it.

    Attributes:
        results: Combinations that were evaluated at least once, in their order.
        selection_wall_time_seconds: Of this run; of one that went on, since it did.
        selection_cost: USD that all evaluations cost, earlier ones of a run that went on
            included, answers out of a cache not; None if not known whole.
        stopped: Why the run ended before its time; None if it did not.
    """

    results: Sequence[ModelResult]
    selection_wall_time_seconds: float = 0.0
    selection_cost: Decimal | None = None
    stopped: str | None = None

    def __iter__(self) -> Iterator[ModelResult]:
        """Give the results."""
        return iter(self.results)

    def __len__(self) -> int:
        """So many combinations were evaluated."""
        return len(self.results)

    def get_best(self, attribute: str | None = None) -> ModelResult | None:
        """Give the best combination; None if none could be evaluated."""
        for result in self.results:
            if result.is_best and attribute in (None, result.attribute):
                return result
        return None

    def get_best_combo(self) -> dict[str, str] | None:
        """Give the best combination's models by node; None if there is no best."""
        best = self.get_best()
        return None if best is None else dict(best.models)

    def get_by_attribute(self, attribute: str) -> list[ModelResult]:
        """Give the results that were scored under an attribute."""
        return [result for result in self.results if result.attribute == attribute]
