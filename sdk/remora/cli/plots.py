"""Small plots of block characters: bars and sparklines. Pure."""

from collections.abc import Sequence
from typing import Final

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_EMPTY: Final = "░"
_UNKNOWN: Final = " "


def bar(part: float, width: int) -> str:
    """Draw how much of something there is, as so many characters; more than all is all.

    What is there at all shows, and nothing looks whole before it is.
    """
    eighths = int(max(0.0, min(part, 1.0)) * width * 8)
    if part > 0:
        eighths = max(eighths, 1)
    whole, rest = divmod(eighths, 8)
    drawn = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return drawn + _EMPTY * (width - len(drawn))


def sparkline(values: Sequence[float | None], *, top: float | None = None) -> str:
    """Draw values as one character each; a gap where one is None.

    Args:
        values: None of them below zero.
        top: What the highest character stands for; default: the largest value.
    """
    known = [value for value in values if value is not None]
    highest = max(known, default=0.0) if top is None else top
    return "".join(_level(value, highest) for value in values)


def _level(value: float | None, highest: float) -> str:
    if value is None:
        return _UNKNOWN
    if highest <= 0 or value <= 0:
        return _LEVELS[0]
    step = int(value / highest * (len(_LEVELS) - 1) + 0.5)
    return _LEVELS[max(1, min(step, len(_LEVELS) - 1))]
