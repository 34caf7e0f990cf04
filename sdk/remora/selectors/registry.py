"""Selectors by name: those built in, and those that installed distributions bring.

An entry point of the group ``remora.selectors`` names something that is called with a `Grid` and
the options that the user gave, and gives a `Selector`.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from remora.selectors.algorithm import Grid, Selector
from remora.selectors.arm_elimination import ArmElimination
from remora.selectors.brute_force import BruteForce
from remora.selectors.matrix_ucb import MatrixUCB

ENTRY_POINTS = "remora.selectors"

BUILT_IN: Mapping[str, Callable[..., Selector]] = {
    "auto": ArmElimination,
    "arm_elimination": ArmElimination,
    "brute_force": BruteForce,
    "matrix_ucb": MatrixUCB,
}


def make_selector(method: str, grid: Grid, options: Mapping[str, Any]) -> Selector:
    """Make a selector by its name.

    Raises:
        ValueError: There is no such method, or an option has a wrong value.
        TypeError: The method does not take an option.
    """
    maker = BUILT_IN.get(method) or _installed(method)
    try:
        return maker(grid, **options)
    except TypeError as error:
        raise TypeError(f"method {method!r}: {error}") from error


def _installed(method: str) -> Callable[..., Selector]:
    found = entry_points(group=ENTRY_POINTS)
    for entry in found:
        if entry.name == method:
            maker: Callable[..., Selector] = entry.load()
            return maker
    known = sorted({*BUILT_IN, *(entry.name for entry in found)})
    raise ValueError(f"no method {method!r}: there are {', '.join(known)}")
