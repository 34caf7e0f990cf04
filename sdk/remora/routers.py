"""Routers to begin with: a base class, one that draws at random, and a summary of what was routed.

A router written here decides in the program's own process. A gateway makes one by its name and
arguments, which `Router.config` writes down.
"""

import io
import random
import threading
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TextIO

from remora.routing import RouteContext

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "RandomRouter",
    "RoutedCall",
    "Router",
    "format_routing_summary",
    "print_routing_summary",
]

_SUMMARY_COLUMNS = 100
_NO_RECORDS = "No calls were recorded: was there a session while they were made?"


class Router:
    """Decides which model answers a call; a class of one's own gives `route`.

    Attributes:
        POLICY_NAME: What gateways know the class by; empty for ``module:Class``.
    """

    POLICY_NAME: ClassVar[str] = ""

    def route(self, ctx: RouteContext) -> str | None:
        """Name a model; None leaves the call as it is, and so does an exception."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Describe this router for a gateway: ``{"policy": …, "kwargs": {…}}``, ready for JSON.

        Raises:
            NotImplementedError: The class does not say with which arguments to make it.
        """
        kind = type(self)
        policy = self.POLICY_NAME or f"{kind.__module__}:{kind.__qualname__}"
        return {"policy": policy, "kwargs": self._config_kwargs()}

    def _config_kwargs(self) -> dict[str, Any]:
        """Give the arguments that make such a router, ready for JSON."""
        raise NotImplementedError(
            f"{type(self).__name__} can't be made by a gateway: give it a method _config_kwargs() "
            "that returns the arguments of its __init__, ready for JSON"
        )


class RandomRouter(Router):
    """Draws one of some models for each call, each as likely; for use from any thread."""

    POLICY_NAME = "random"

    def __init__(self, candidates: Sequence[str], seed: int | None = None) -> None:
        """Take the models.

        Args:
            candidates: To choose from; one that is named twice is twice as likely.
            seed: The same gives the same models, call by call; None gives others each time.

        Raises:
            ValueError: There is no candidate, one is no model's name, or the seed no number.
        """
        if isinstance(candidates, str) or not all(isinstance(c, str) and c for c in candidates):
            raise ValueError("candidates should be a list of models' names")
        if not candidates:
            raise ValueError("there should be at least one candidate")
        if seed is not None and not isinstance(seed, int):
            raise ValueError("seed should be a whole number")
        self._candidates = tuple(candidates)
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - nobody's secret
        self._drawing = threading.Lock()

    def route(self, ctx: RouteContext) -> str | None:
        """Draw a model."""
        with self._drawing:
            return self._random.choice(self._candidates)

    def _config_kwargs(self) -> dict[str, Any]:
        seed = {} if self._seed is None else {"seed": self._seed}
        return {"candidates": list(self._candidates), **seed}


class RoutedCall(Protocol):
    """What the summary reads of a call's record; ``cost_usd`` may be missing."""

    @property
    def data_id(self) -> str | None:
        """Whose call it is."""
        ...

    @property
    def model(self) -> str:
        """What it asked for, after routing."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """What went in."""
        ...

    @property
    def completion_tokens(self) -> int:
        """What came out."""
        ...

    @property
    def latency_seconds(self) -> float:
        """How long it took."""
        ...

    @property
    def cached(self) -> bool:
        """Whether its answer came from the cache."""
        ...

    @property
    def error(self) -> str | None:
        """Why it failed."""
        ...


def format_routing_summary(records: Iterable[RoutedCall]) -> str:
    """Write which model each call went to, in order, and what each model used.

    Calls are grouped by their ``data_id`` where there are several.
    """
    text = io.StringIO()
    _print(tuple(records), _console(text, _SUMMARY_COLUMNS))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def print_routing_summary(records: Iterable[RoutedCall]) -> None:
    """Print what `format_routing_summary` writes, as wide as the terminal."""
    _print(tuple(records), _console())


def _console(file: TextIO | None = None, columns: int | None = None) -> "Console":
    """Make a console that takes what models and errors say as it is."""
    from rich.console import Console

    return Console(file=file, width=columns, markup=False, emoji=False, highlight=False)


def _print(records: Sequence[RoutedCall], console: "Console") -> None:
    if not records:
        console.print(_NO_RECORDS)
        return
    groups = _by_data(records)
    for data_id, calls in groups.items():
        console.print(_sequence(calls, data_id if len(groups) > 1 else None))
    console.print(_totals(records))
    latency_s = sum(call.latency_seconds for call in records)
    calls_are = "1 call" if len(records) == 1 else f"{len(records)} calls"
    console.print(f"{calls_are}, {latency_s:.2f} s in all")


def _by_data(records: Sequence[RoutedCall]) -> Mapping[str, Sequence[RoutedCall]]:
    groups: dict[str, list[RoutedCall]] = {}
    for call in records:
        groups.setdefault(call.data_id or "no data_id", []).append(call)
    return groups


def _sequence(calls: Sequence[RoutedCall], data_id: str | None) -> "Table":
    table = _table("Models, call by call" if data_id is None else data_id)
    table.add_column("#", justify="right")
    table.add_column("model", overflow="fold")
    table.add_column("seconds", justify="right")
    table.add_column("", overflow="fold")
    for number, call in enumerate(calls, 1):
        table.add_row(str(number), call.model, f"{call.latency_seconds:.2f}", _remark(call))
    return table


def _remark(call: RoutedCall) -> str:
    return ", ".join(filter(None, ("cached" if call.cached else "", call.error or "")))


def _totals(records: Sequence[RoutedCall]) -> "Table":
    table = _table("Tokens by model")
    table.add_column("model", overflow="fold")
    for name in ("calls", "prompt", "completion", "cost"):
        table.add_column(name, justify="right")
    for model in sorted({call.model for call in records}):
        calls = [call for call in records if call.model == model]
        prompt = sum(call.prompt_tokens for call in calls)
        completion = sum(call.completion_tokens for call in calls)
        table.add_row(model, str(len(calls)), f"{prompt:,}", f"{completion:,}", _cost(calls))
    return table


def _cost(calls: Sequence[RoutedCall]) -> str:
    """Add up what is known; calls without a price are said, never counted as nothing."""
    stated = [getattr(call, "cost_usd", None) for call in calls]
    known = [Decimal(cost) for cost in stated if cost is not None]
    if not known:
        return "unknown"
    unpriced = len(stated) - len(known)
    return f"${sum(known):.6f}" + (f" + {unpriced} unpriced" if unpriced else "")


def _table(title: str) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
