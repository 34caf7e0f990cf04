"""Shared budgets told to a person, line by line, and as JSON for programs. Pure.

The keys are those of the HTTP API; docs/cli.md names them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from remora.cli.figures import NONE, UNKNOWN, clipped, money, tokens, visible
from remora.cli.moments import iso_utc
from remora.cli.plots import bar
from remora.cli.record_lines import Column
from remora.client.budget import BudgetPer, SharedBudget
from remora.client.task import TaskBudget

_BAR_CHARS = 10
_LEAST_NAME = 16
_NS = 10**9
_NEARLY = 0.8

COLUMNS = (
    Column("spent", 33),
    Column("leased", 13, is_number=True),
    Column("resets", 8, shown_from=80, is_number=True),
)
"""The budget's name and what it is counted for have the rest."""


class BudgetLines:
    """Writes budgets as lines of one table: a heading first."""

    def __init__(self, width: int, *, with_namespace: bool = False) -> None:
        """Fit the table to a screen of a width."""
        self._columns = [column for column in COLUMNS if column.shown_from <= width]
        taken = sum(column.width + 2 for column in self._columns)
        self._name_width = max(width - taken, _LEAST_NAME)
        self._with_namespace = with_namespace
        self._is_begun = False

    def lines(self, budget: SharedBudget, now_unix_ns: int) -> Iterator[Text]:
        """Write one budget, with what must stand before it."""
        if not self._is_begun:
            self._is_begun = True
            heads = {column.name: column.name for column in self._columns}
            yield self._line("budget", heads, "bold")
        cells = {
            "spent": _spent(budget),
            "leased": _amount(budget.leased) or NONE,
            "resets": _resets(budget, now_unix_ns),
        }
        yield self._line(self._name(budget), cells, _style(budget))

    def _name(self, budget: SharedBudget) -> str:
        name = f"{budget.namespace}/{budget.budget}" if self._with_namespace else budget.budget
        whose = f" {budget.key}" if budget.key else ""
        return visible(f"{name}  {budget.per.name.lower()}{whose}")

    def _line(self, name: str, cells: Mapping[str, str], style: str) -> Text:
        fitted = [clipped(name, self._name_width).ljust(self._name_width)]
        for column in self._columns:
            text = clipped(cells[column.name], column.width)
            fitted.append(
                text.rjust(column.width) if column.is_number else text.ljust(column.width)
            )
        return Text("  ".join(fitted).rstrip(), style=style, no_wrap=True, overflow="ignore")


def spent_part(budget: SharedBudget) -> float | None:
    """Say which part of its limit is spent, of money or tokens the larger; None: nobody knows."""
    parts = []
    limit, spent = budget.limit, budget.spent
    if limit is not None and limit.cost_usd is not None and spent.cost_usd is not None:
        parts.append(float(spent.cost_usd / limit.cost_usd) if limit.cost_usd else 1.0)
    if limit is not None and limit.tokens is not None and spent.tokens is not None:
        parts.append(spent.tokens / limit.tokens if limit.tokens else 1.0)
    return max(parts, default=None)


def _spent(budget: SharedBudget) -> str:
    part = spent_part(budget)
    if part is None or budget.limit is None:
        return f"{_amount(budget.spent) or NONE} of {UNKNOWN}"
    return f"{bar(part, _BAR_CHARS)} {part:.0%} of {_amount(budget.limit, ' or ')}"


def _amount(amount: TaskBudget, joint: str = ", ") -> str:
    usd = [] if amount.cost_usd is None else [money(amount.cost_usd)]
    count = [] if amount.tokens is None else [f"{tokens(amount.tokens)} tokens"]
    return joint.join([*usd, *count])


def _style(budget: SharedBudget) -> str:
    part = spent_part(budget) or 0.0
    return "red" if part >= 1 else "yellow" if part >= _NEARLY else ""


def _resets(budget: SharedBudget, now_unix_ns: int) -> str:
    if budget.resets_unix_ns is None:
        return "never"
    left_s = (budget.resets_unix_ns - now_unix_ns) // _NS
    if left_s < 0:
        return "over"
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if left_s >= length_s:
            return f"in {left_s // length_s}{unit}"
    return f"in {left_s}s"


def budget_json(budget: SharedBudget) -> dict[str, Any]:
    """Show one budget."""
    resets = budget.resets_unix_ns
    return {
        "namespace": budget.namespace,
        "budget": budget.budget,
        "per": None if budget.per is BudgetPer.UNKNOWN else budget.per.name.lower(),
        "key": budget.key or None,
        "window_s": budget.window_ns / _NS if budget.window_ns else None,
        "began_at": iso_utc(budget.window_start_unix_ns) if budget.window_ns else None,
        "resets_at": None if resets is None else iso_utc(resets),
        "limit": None if budget.limit is None else _amount_json(budget.limit),
        "spent": _amount_json(budget.spent),
        "leased": _amount_json(budget.leased),
        "asked_at": iso_utc(budget.asked_unix_ns) if budget.asked_unix_ns else None,
    }


def _amount_json(amount: TaskBudget) -> dict[str, str | int | None]:
    usd = None if amount.cost_usd is None else format(amount.cost_usd, "f")
    return {"cost_usd": usd, "tokens": amount.tokens}
