"""Selectors: which combination of models is best for an agent, found by trying on a data set.

Needs numpy, which the extra ``selectors`` brings. `ModelSelector` is what users call; the
algorithms are pure (`remora.selectors.algorithm`), what is around them does the work.
"""

try:
    import numpy as _numpy  # noqa: F401 - only to say what is missing
except ModuleNotFoundError as error:
    raise ImportError(
        "remora.selectors needs numpy: install it with pip install 'remora[selectors]'"
    ) from error

from remora.selectors.algorithm import Grid, Selector
from remora.selectors.contract import SelectorTracker, TrackedCall
from remora.selectors.findings import DatapointResult, ModelResult
from remora.selectors.model_selector import (
    ArmEliminationModelSelector,
    BruteForceModelSelector,
    MatrixUCBModelSelector,
    ModelSelector,
)
from remora.selectors.observations import Cells, Observations
from remora.selectors.replay import Replayed, ScoreTable, replay
from remora.selectors.results import SelectionResults
from remora.selectors.run_file import RunFileError

__all__ = [
    "ArmEliminationModelSelector",
    "BruteForceModelSelector",
    "Cells",
    "DatapointResult",
    "Grid",
    "MatrixUCBModelSelector",
    "ModelResult",
    "ModelSelector",
    "Observations",
    "Replayed",
    "RunFileError",
    "ScoreTable",
    "SelectionResults",
    "Selector",
    "SelectorTracker",
    "TrackedCall",
    "replay",
]
