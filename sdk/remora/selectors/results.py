"""What a run found, with all that can be made of it: a table, files, a configuration, a picture."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.selectors.config_export import ConfigFormat, config_text
from remora.selectors.findings import Findings, ModelResult
from remora.selectors.pareto import plot_pareto
from remora.selectors.summary import print_summary, summary_text

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
class SelectionResults(Findings):
    """What a run found; fields are those of `Findings`."""

    def __str__(self) -> str:
        """The table that `print_summary` prints."""
        return summary_text(self)

    def print_summary(self) -> None:
        """Print a table, the best first; unknown prices, failures and an early end are said."""
        print_summary(self)

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
