"""Which core does what: the proxy has one alone, everything else shares another.

Both sides of a pair are pinned alike, so that neither wins by where the kernel put it.
"""

import contextlib
import os
from collections.abc import Iterator

_AVAILABLE = sorted(os.sched_getaffinity(0))
PROXY_CORE = _AVAILABLE[0]
OTHERS_CORE = _AVAILABLE[-1]


def pin_this_process() -> None:
    """Leave the proxy's core to the proxy."""
    os.sched_setaffinity(0, {OTHERS_CORE})


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let processes that are started here run on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
