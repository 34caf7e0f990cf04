"""The terminal: where tables go, and what a person sees while an answer takes its time."""

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Never

from rich.console import Console

_PATIENCE_S = 1.0
_PIPE_WIDTH = 120
"""Where the output is no terminal and COLUMNS does not say."""


class _Output(Console):
    def on_broken_pipe(self) -> Never:
        """Leave a reader that went away to the command's edge, which knows the exit code."""
        raise


def output() -> Console:
    """Return the console of standard output, as wide as the screen."""
    width = shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns
    return _Output(width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """Show what is waited for, on a terminal and only once it takes more than a second.

    Gives what shows something else from then on.
    """
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    status = Console(stderr=True).status(what)
    timer = threading.Timer(_PATIENCE_S, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield status.update
    finally:
        timer.cancel()
        timer.join()
        status.stop()
