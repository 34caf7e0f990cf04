"""What a run found: results of combinations and of datapoints, and what can be made of them."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal

from remora.selectors.interval import confidence_interval
from remora.selectors.pricing import total

ConfigFormat = Literal["litellm", "llmpolicy"]

_COLUMNS = (
    "model_name",
    "accuracy",
    "latency_seconds",
    "input_tokens",
    "output_tokens",
    "price",
    "attribute",
    "is_best",
)


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
class SelectionResults:
    """What a run found.

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

    def __str__(self) -> str:
        """The table that `print_summary` prints."""
        from remora.selectors.summary import summary_text

        return summary_text(self)

    def print_summary(self) -> None:
        """Print a table, the best first; unknown prices, failures and an early end are said."""
        from remora.selectors.summary import print_summary

        print_summary(self)

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

    def to_csv(self, path: str | Path) -> None:
        """Write a line for each combination; tokens as JSON, an unknown price as nothing."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows(map(_csv_row, self.results))

    def export_config(
        self,
        path: str | Path | None = None,
        api_key_env_vars: Mapping[str, str] | None = None,
        *,
        format: ConfigFormat = "litellm",  # noqa: A002 - the name that users know
        **options: str,
    ) -> str:
        """Write the best combination as a configuration.

        Args:
            path: Where to; None only returns the text.
            api_key_env_vars: With ``litellm``: the variable with the key, by provider.
            format: ``litellm``: its ``model_list``; ``llmpolicy``: an LLMPolicy whose routes send
                each node's calls to its model.
            options: With ``llmpolicy``: ``name`` of the policy, and ``match_by``: ``agent_id``
                (the default; a node's calls are those of the agent of its name) or ``model``
                (those that ask for a model of its name).

        Returns:
            The text.

        Raises:
            ValueError: There is no best combination, or the format can't express it.
        """
        from remora.selectors.config_export import config_text

        text = config_text(self, format, api_key_env_vars or {}, options)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def plot_pareto(self, path: str | Path) -> None:
        """Draw accuracy over latency and over price; combinations that none excels are marked.

        Args:
            path: Of the picture; its suffix says which kind, such as ``.png`` or ``.svg``.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from remora.selectors.pareto import plot_pareto

        plot_pareto(self, Path(path))


def _csv_row(result: ModelResult) -> list[object]:
    return [
        result.model_name,
        result.accuracy,
        result.latency_seconds,
        json.dumps(dict(result.input_tokens)),
        json.dumps(dict(result.output_tokens)),
        "" if result.price is None else f"{result.price:f}",
        result.attribute,
        result.is_best,
    ]
