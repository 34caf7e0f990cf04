"""Runs a selector: asks it for cells, has them evaluated, keeps what comes, until it is done.

The thread that runs this is the only one that touches the selector, the book and the run file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from remora.selectors.algorithm import Selector
from remora.selectors.book import Book
from remora.selectors.evaluation import Cell, Evaluation
from remora.selectors.interruption import on_interrupt
from remora.selectors.lanes import Lanes
from remora.selectors.workshop import INTERRUPTED, Ended, Workshop


class InvalidStep(RuntimeError):
    """A selector asked for cells that it has seen, or that there are not."""


@dataclass
class Run:
    """A run of a selector.

    Attributes:
        selector: What decides.
        book: What was evaluated already, and will be.
        workshop: Where evaluations run.
        keep: Makes an evaluation last.
        at_once: How many evaluations run at a time.
        budget_usd: No evaluation begins once so much was paid.
        show: Told after every evaluation.
        stopped: Why the run ended before the selector was done; None if it was.
        interrupted: The user asked it to end.
    """

    selector: Selector
    book: Book
    workshop: Workshop
    keep: Callable[[Evaluation], None]
    at_once: int
    budget_usd: Decimal | None
    show: Callable[[Book], None]
    stopped: str | None = None
    interrupted: bool = False

    def to_the_end(self) -> None:
        """Evaluate until the selector is done or the budget is spent.

        Raises:
            KeyboardInterrupt: The user ended the run; all that had begun is evaluated and kept.
        """
        with on_interrupt(self._interrupt):
            while (cells := self.selector.next_cells(self.book.observations)) is not None:
                asked = [Cell(int(combination), int(datapoint)) for combination, datapoint in cells]
                self._check(asked)
                self._evaluate([cell for cell in asked if cell not in self.book])
                if self.stopped is not None or self.interrupted:
                    break
                self.book.reveal(cells)
        if self.interrupted:
            raise KeyboardInterrupt

    def _interrupt(self) -> None:
        self.interrupted = True
        self.workshop.ended.put(INTERRUPTED)  # wakes who waits

    def _check(self, asked: Sequence[Cell]) -> None:
        seen = self.book.observations.seen
        try:
            is_new = not any(seen[cell] or min(cell) < 0 for cell in asked)
        except IndexError:
            is_new = False
        if not (asked and is_new and len(set(asked)) == len(asked)):
            raise InvalidStep(f"{type(self.selector).__name__} asked for cells it can't have")

    def _evaluate(self, cells: Sequence[Cell]) -> None:
        """Have cells evaluated, and wait for all that began."""
        lanes = Lanes(cells, self.at_once)
        out = 0
        trouble: Exception | None = None
        while True:
            while trouble is None and self._may_begin(lanes) and (cell := lanes.next_cell()):
                self.workshop.start(cell)
                out += 1
            if not out:
                break
            ended = self.workshop.ended.get()
            if ended == INTERRUPTED:
                continue
            lanes.ended(ended.cell)
            out -= 1
            trouble = self._take(ended) or trouble
        if trouble is not None:
            raise trouble

    def _take(self, ended: Ended) -> Exception | None:
        if isinstance(ended.result, Exception):
            return ended.result
        self.keep(ended.result)
        self.book.add(ended.result)
        self.show(self.book)
        return None

    def _may_begin(self, lanes: Lanes) -> bool:
        if not lanes.has_more or self.interrupted:
            return False
        if self.stopped is None and self.budget_usd is not None:
            self.stopped = budget_verdict(self.book, self.budget_usd)
        return self.stopped is None


def budget_verdict(book: Book, budget_usd: Decimal) -> str | None:
    """Say why a budget ends a run; None if it does not."""
    if book.unknown:
        return (
            f"the budget of ${budget_usd} can't be held: {', '.join(sorted(book.unknown))}; name "
            "prices with model_prices="
        )
    if book.paid_usd >= budget_usd:
        return f"the budget of ${budget_usd} is spent"
    return None
