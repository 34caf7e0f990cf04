"""Rounds in which the machine itself stood still, and what is done about them.

On a virtual machine the hypervisor gives a core to others whenever it likes. A proxy that does not
run delays all it carries: what is then measured is the neighbours.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

MOST_STOLEN = 0.01
"""Share of a round that may be stolen before it is measured again."""

_REPEATS = 2
"""Rounds passed over at most for each one wanted; after them all count as they are."""

_TICKS = os.sysconf("SC_CLK_TCK")


def stolen_s(core: int) -> float:
    """CPU time that the hypervisor has given to others while a core had work to do."""
    name = f"cpu{core}"
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    return next(int(fields[8]) / _TICKS for fields in lines if fields[0] == name)


def undisturbed[T](
    measure: Callable[[], T],
    rounds: int,
    stolen: Callable[[], float],
    now_s: Callable[[], float] = time.perf_counter,
) -> tuple[list[T], int]:
    """Measure until there are so many rounds of which little was stolen.

    Args:
        measure: Measures one round.
        rounds: How many are wanted.
        stolen: Tells the seconds stolen so far.
        now_s: Tells the time.

    Returns:
        What the rounds gave, and how many others were passed over.
    """
    kept: list[T] = []
    spare = rounds * _REPEATS
    passed_over = 0
    while len(kept) < rounds:
        stolen_before, begun_s = stolen(), now_s()
        found = measure()
        share = (stolen() - stolen_before) / (now_s() - begun_s)
        if share > MOST_STOLEN and passed_over < spare:
            passed_over += 1
        else:
            kept.append(found)
    return kept, passed_over
