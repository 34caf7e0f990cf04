"""Rounds in which the machine itself stood still, and what is done about them.

On a virtual machine the hypervisor gives a core to others whenever it likes. A proxy that does not
run delays all it carries, and a generator that does not run reads late: what is then measured is
the neighbours. Rounds are chosen by what was stolen from them, never by what they found.
"""

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

MOST_STOLEN = 0.003
"""Share of a round, of either core, that may be stolen before it is measured again.

What waits behind a pause waits several times its length on a busy core, so that a p99 tells of
pauses that take more than some thousandths of the time.
"""

_REPEATS = 4
"""Further rounds at most for each one wanted."""

_TICKS = os.sysconf("SC_CLK_TCK")


def stolen_s(cores: Collection[int]) -> tuple[float, ...]:
    """CPU time that the hypervisor has given to others while a core had work to do, by core."""
    names = {f"cpu{core}" for core in cores}
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    return tuple(int(fields[8]) / _TICKS for fields in lines if fields[0] in names)


@dataclass(frozen=True, slots=True)
class Calm[T]:
    """The rounds of which least was stolen.

    Attributes:
        rounds: What they gave, in the order measured.
        measured: How many were measured to find them.
        most_stolen: Of the worst of them: the share of the core that lost more.
    """

    rounds: list[T]
    measured: int
    most_stolen: float


def calm[T](
    measure: Callable[[], T],
    rounds: int,
    stolen: Callable[[], tuple[float, ...]],
    now_s: Callable[[], float] = time.perf_counter,
) -> Calm[T]:
    """Measure until there are so many rounds of which hardly anything was stolen.

    Where the machine gives no such rounds within bounds, those that come next to it are kept.

    Args:
        measure: Measures one round.
        rounds: How many are wanted.
        stolen: Tells the seconds stolen so far, by core.
        now_s: Tells the time.
    """
    found: list[T] = []
    shares: list[float] = []
    while sum(share <= MOST_STOLEN for share in shares) < rounds:
        if len(found) == rounds * (1 + _REPEATS):
            break
        before, begun_s = stolen(), now_s()
        found.append(measure())
        lost = max(after - was for was, after in zip(before, stolen(), strict=True))
        shares.append(lost / (now_s() - begun_s))
    least = sorted(sorted(range(len(found)), key=shares.__getitem__)[:rounds])
    return Calm([found[at] for at in least], len(found), max(shares[at] for at in least))
