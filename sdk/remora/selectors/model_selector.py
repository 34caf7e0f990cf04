"""What users call: an agent, candidates, a data set; the best combination comes out."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from remora.selectors.algorithm import Grid, Selector
from remora.selectors.book import Book
from remora.selectors.combination import combinations_of
from remora.selectors.contract import AgentFn, Dataset, EvalFn, ModelsConfig, SelectorTracker
from remora.selectors.fingerprint import fingerprint
from remora.selectors.objective import Weights
from remora.selectors.pricing import PriceList
from remora.selectors.progress import progress_bar
from remora.selectors.reckoning import results_of
from remora.selectors.registry import make_selector
from remora.selectors.results import SelectionResults
from remora.selectors.run_file import RunFile
from remora.selectors.runner import Run
from remora.selectors.trial import Trial
from remora.selectors.workshop import Workshop


class ModelSelector:
    """Finds which combination of models is best for an agent.

    Every evaluation runs an agent of its own, made with one model for each node, on one datapoint,
    within a session of the tracker that is named after both.
    """

    method: ClassVar[str | None] = None
    """Which algorithm it always uses; None lets the caller say."""

    def __init__(
        self,
        agent: AgentFn,
        models: ModelsConfig,
        eval_fn: EvalFn,
        dataset: Dataset,
        method: str = "auto",
        model_prices: Mapping[str, Mapping[str, Any]] | None = None,
        tracker: SelectorTracker | None = None,
        lambda_cost: float = 0.0,
        lambda_latency: float = 0.0,
        *,
        results_path: str | Path | None = None,
        resume: str | Path | None = None,
        budget_usd: Decimal | str | float | None = None,
        progress: bool = True,
        **options: Any,
    ) -> None:
        """Say what to choose from, and how.

        Args:
            agent: Class that is made with a dict of models by node and has ``run(input)``, sync
                or async.
            models: Candidates by node: names, or objects that have one.
            eval_fn: From (expected, actual) to a score; more is better. Sync or async.
            dataset: Pairs of (input, expected), at least one.
            method: ``auto`` (which is ``arm_elimination``), ``brute_force``,
                ``arm_elimination``, ``matrix_ucb``, or one that is installed.
            model_prices: ``{model: {"input_price": …, "output_price": …}}``, USD of a million
                tokens, before the prices of the tracker's records.
            tracker: Who tells what calls used; None makes one for the run. It is started and
                stopped; its records can be asked for afterwards.
            lambda_cost: Weight of cost, scaled to [0, 1], against score.
            lambda_latency: Likewise of latency.
            results_path: File that keeps evaluations; a run that it holds goes on.
            resume: The same, of a file that has to be there.
            budget_usd: No evaluation begins once so much was paid, earlier ones of a run that goes
                on included.
            progress: Show a bar, if there is a terminal.
            options: Of the method, such as ``seed``.

        Raises:
            ValueError: Something can't be used; the message says what.
            TypeError: The method does not take an option.
            FileNotFoundError: There is no file to resume.
        """
        self._combinations = combinations_of(models)
        self._dataset = _pairs(dataset)
        self._agent, self._eval_fn = agent, eval_fn
        self._prices = PriceList(model_prices)
        self._weights = Weights(lambda_cost, lambda_latency)
        self._tracker = tracker
        self._path = _run_path(results_path, resume)
        self._budget_usd = _budget(budget_usd)
        self._progress = progress
        self._method, self._options = self.method or method, options
        self._selector(1)  # says now what is wrong with the options

    def select_best(self, parallel: bool = False, max_concurrent: int = 20) -> SelectionResults:
        """Run the agent until the best combination is known.

        Ctrl-C ends the run once the evaluations that have begun are done and kept; a second
        Ctrl-C leaves them.

        Args:
            parallel: Evaluate several at a time: sync agents in threads, async ones on a loop.
            max_concurrent: So many at most, if parallel.

        Raises:
            RunFileError: The run file is another run's, or in use.
            KeyboardInterrupt: The user ended the run.
        """
        if max_concurrent < 1:
            raise ValueError("max_concurrent is at least 1")
        begun_s = time.monotonic()
        at_once = max_concurrent if parallel else 1
        file = RunFile(self._path, fingerprint(self._agent, self._combinations, self._dataset))
        try:
            book = self._book(file)
            run = self._run(book, file, at_once)
        finally:
            file.close()
        results = results_of(
            book,
            self._combinations,
            self._finalists(run),
            is_whole=run.stopped is None,
        )
        wall_s = time.monotonic() - begun_s
        return SelectionResults(results, wall_s, book.selection_cost_usd, run.stopped)

    def _book(self, file: RunFile) -> Book:
        book = Book(len(self._combinations), len(self._dataset), self._weights)
        for evaluation in file.evaluations(self._prices):
            book.add(evaluation)
        return book

    def _run(self, book: Book, file: RunFile, at_once: int) -> Run:
        cells = len(self._combinations) * len(self._dataset)
        with (
            _started(self._tracker) as tracker,
            progress_bar(cells, is_wanted=self._progress) as show,
            Workshop(self._trial(tracker).evaluate, at_once) as workshop,
        ):
            selector = self._selector(at_once)
            run = Run(selector, book, workshop, file.keep, at_once, self._budget_usd, show)
            run.to_the_end()
        return run

    def _trial(self, tracker: SelectorTracker) -> Trial:
        return Trial(
            self._agent, self._combinations, self._dataset, self._eval_fn, tracker, self._prices
        )

    def _selector(self, at_once: int) -> Selector:
        grid = Grid(
            len(self._combinations), len(self._dataset), at_once, is_score=not self._weights.any
        )
        return make_selector(self._method, grid, self._options)

    def _finalists(self, run: Run) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
        """Ask the selector; before the first whole step everybody stands."""
        if not run.book.observations.seen.any():
            return np.arange(len(self._combinations))
        return run.selector.finalists(run.book.observations)


class BruteForceModelSelector(ModelSelector):
    """A `ModelSelector` that evaluates everything."""

    method = "brute_force"


class ArmEliminationModelSelector(ModelSelector):
    """A `ModelSelector` that drops combinations as it goes."""

    method = "arm_elimination"


class MatrixUCBModelSelector(ModelSelector):
    """A `ModelSelector` that always tries what may be best."""

    method = "matrix_ucb"


def _pairs(dataset: Dataset) -> list[tuple[Any, Any]]:
    pairs = []
    for number in range(len(dataset)):
        try:
            given, expected = dataset[number]
        except (TypeError, ValueError):
            raise ValueError(f"dataset[{number}] is no pair of (input, expected)") from None
        pairs.append((given, expected))
    if not pairs:
        raise ValueError("dataset is empty: give at least one pair of (input, expected)")
    return pairs


def _run_path(results_path: str | Path | None, resume: str | Path | None) -> Path | None:
    if resume is None:
        return None if results_path is None else Path(results_path)
    if results_path is not None:
        raise ValueError("give results_path or resume, not both: both name the run file")
    if not Path(resume).exists():
        raise FileNotFoundError(f"there is no run to resume: {resume} does not exist")
    return Path(resume)


def _budget(value: Decimal | str | float | None) -> Decimal | None:
    if value is None:
        return None
    try:
        usd = Decimal(str(value))
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or usd <= 0:
        raise ValueError(f"budget_usd is a sum of more than 0, not {value!r}")
    return usd


@contextmanager
def _started(given: SelectorTracker | None) -> Iterator[SelectorTracker]:
    """Start a tracker, or one of our own, for as long as the block runs."""
    if given is None:
        from remora.tracker.tracker import LLMTracker

        with closing(LLMTracker()) as own, _started(own) as tracker:
            yield tracker
        return
    given.start()
    try:
        yield given
    finally:
        given.stop()
