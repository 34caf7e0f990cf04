"""Published score tables of model combinations: what selectors are replayed over."""

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from remora.selectors import ScoreTable

TITLES = {"gpqa": "GPQA", "bfcl": "BFCL", "hotpotqa": "HotpotQA", "mathqa": "MathQA"}
"""Benchmarks by the names of their files."""


@dataclass(frozen=True)
class Benchmark:
    """A table, and what is true of it.

    Attributes:
        cost_usd: Of evaluating all of it.
    """

    title: str
    table: ScoreTable

    @property
    def cost_usd(self) -> float:
        """Of evaluating everything."""
        return float(np.nansum(self.table.costs_usd))


def find_scores(named: str, checkout: Path) -> Path | None:
    """Find the folder of score tables: the named one, else the one beside the checkout.

    Args:
        named: The value of ``REMORA_CORPUS``: a folder that holds ``scores/`` or is beside it,
            or that folder itself; empty if not set.
        checkout: Top folder of the source tree.

    Returns:
        None if there is none.
    """
    root = Path(named) if named else checkout.parent / "shared" / "corpus"
    for folder in (root / "scores", root.parent / "scores", root):
        if all((folder / f"{name}.csv.gz").is_file() for name in TITLES):
            return folder
    return None


def load_benchmarks(folder: Path) -> list[Benchmark]:
    """Read all tables."""
    return [Benchmark(title, _load(folder / f"{name}.csv.gz")) for name, title in TITLES.items()]


def _load(file: Path) -> ScoreTable:
    with gzip.open(file, mode="rt", encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    combinations = list(dict.fromkeys(row["combination"] for row in rows))
    numbers = {label: number for number, label in enumerate(combinations)}
    shape = (len(combinations), 1 + max(int(row["datapoint"]) for row in rows))
    scores, costs = np.full(shape, np.nan), np.full(shape, np.nan)
    for row in rows:
        cell = numbers[row["combination"]], int(row["datapoint"])
        scores[cell], costs[cell] = float(row["score"]), float(row["cost"])
    return ScoreTable(combinations, scores, costs)
