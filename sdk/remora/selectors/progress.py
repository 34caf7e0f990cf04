"""A bar on the terminal while a run goes on; nothing where there is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from remora.cli.figures import money
from remora.selectors.book import Book


@contextmanager
def progress_bar(cells: int, *, is_wanted: bool) -> Iterator[Callable[[Book], None]]:
    """Show how many evaluations are done of those there could be, and what they cost.

    Args:
        cells: As many evaluations there are at most.
        is_wanted: False shows nothing.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("selecting"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[paid]}"),
    )
    is_shown = is_wanted and console.is_terminal
    with Progress(*columns, console=console, disable=not is_shown, transient=True) as bar:
        task = bar.add_task("", total=cells, paid="")

        def show(book: Book) -> None:
            # What is known is the least that it was.
            least = "at least " if book.unknown else ""
            bar.update(task, completed=len(book), paid=f"{least}{money(book.paid_usd)}")

        yield show
