"""Keys that a person presses while something is shown."""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GONE = "gone"
"""Nobody can press a key any more: the input has ended."""


@contextmanager
def pressed_keys() -> Iterator[Callable[[float], str]]:
    """Give what waits so many seconds for a key; it returns the key, empty if none was pressed.

    Where the input is no terminal there are no keys, and it only waits.
    """
    import termios
    import tty

    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield _without_keys
        return

    def wait(seconds: float) -> str:
        readable, _, _ = select.select([descriptor], [], [], seconds)
        if not readable:
            return ""
        return os.read(descriptor, 1).decode("ascii", "replace") or GONE

    tty.setcbreak(descriptor)
    try:
        yield wait
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _without_keys(seconds: float) -> str:
    time.sleep(seconds)
    return ""
