"""The resource ``/v1/budgets``: what shared budgets have come to."""

from typing import Any, Final

from aiohttp import web
from pydantic import ConfigDict, Field

from remora.cli.moments import iso_utc
from remora_aggregator.service.permissions import Act
from remora_aggregator.tasks.amounts import Amount, Limit, usd_text
from remora_aggregator.tasks.budgets import (
    BudgetPage,
    BudgetSelection,
    SharedBudget,
    budget_cursor,
    budget_place,
)
from remora_aggregator.tasks.selection import checked_glob
from remora_aggregator.web.answering import in_time, rendered
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.front import front_of
from remora_aggregator.web.operation import Operation, json_of
from remora_aggregator.web.parameters import BudgetParameters
from remora_aggregator.web.question import about
from remora_aggregator.web.record_answer import Answer, moment, money
from remora_aggregator.web.tasks import asked_namespaces

_NS: Final = 1_000_000_000
_BOTH: Final = Limit(0, 0)


class BudgetAmountAnswer(Answer):
    """Money and tokens; null where the budget does not limit them."""

    model_config = ConfigDict(title="BudgetAmount")

    cost_usd: str | None = money("In money.")
    tokens: int | None


class SharedBudgetAnswer(Answer):
    """A budget that the pods of a namespace draw on together, in one of its windows."""

    model_config = ConfigDict(title="SharedBudget")

    namespace: str
    budget: str = Field(description="Its name.")
    per: str = Field(description="`task`, `session`, `agent` or `namespace`.")
    key: str | None = Field(description="Id of the task, session or agent; null: the namespace.")
    window_s: float | None = Field(description="How long a window is; null: it has none.")
    began_at: str | None = moment("When the window began.")
    resets_at: str | None = moment("When it ends, and nothing is spent of the next.")
    limit: BudgetAmountAnswer | None = Field(
        description="As a sidecar's policy said it last; null: none has said it yet."
    )
    spent: BudgetAmountAnswer
    leased: BudgetAmountAnswer = Field(
        description="What sidecars may still spend of it by their leases, beyond `spent`."
    )
    asked_at: str | None = moment("When a sidecar asked for some of it last.")


class BudgetPageAnswer(Answer):
    """Some shared budgets, by namespace, name, what they are counted for and key."""

    model_config = ConfigDict(title="BudgetPage")

    budgets: list[SharedBudgetAnswer]
    next: str | None = Field(
        description="Ask again with this as `cursor`; null: no more. A page may be shorter than "
        "asked, even empty, and have one."
    )


async def list_budgets(request: web.Request, asked: BudgetParameters) -> web.StreamResponse:
    """Answer with a page of budgets."""
    front = front_of(request)
    with about("namespace"):
        namespaces = asked_namespaces(caller_of(request), asked.namespace)
    with about("budget"):
        name = checked_glob(asked.budget, "budget")
    with about("key"):
        key = checked_glob(asked.key, "key")
    with about("cursor"):
        after = budget_place(asked.cursor)
    ends_after = 0 if asked.past else front.clock.now_unix_ns()
    chosen = BudgetSelection(namespaces, name, key, frozenset(asked.per), ends_after)
    async with in_time(front.bounds):
        page = await front.tasks.budgets(chosen, after=after, limit=asked.limit)
    return await rendered(lambda: _page(page))


def _page(page: BudgetPage) -> dict[str, Any]:
    return {
        "budgets": [budget_json(budget) for budget in page.budgets],
        "next": budget_cursor(page.next) or None,
    }


def budget_json(budget: SharedBudget) -> dict[str, Any]:
    """Show a shared budget."""
    key, limit = budget.key, budget.limit
    shown = _BOTH if limit.is_none else limit
    whole = Amount(limit.picousd or 0, limit.tokens or 0)
    resets = budget.resets_unix_ns
    return {
        "namespace": key.namespace,
        "budget": key.budget,
        "per": key.per,
        "key": key.key or None,
        "window_s": key.window_ns / _NS if key.window_ns else None,
        "began_at": iso_utc(key.window_start_unix_ns) if key.window_ns else None,
        "resets_at": None if resets is None else iso_utc(resets),
        "limit": None if limit.is_none else _amount(whole, limit),
        "spent": _amount(budget.spent, shown),
        "leased": _amount(budget.leased, shown),
        "asked_at": iso_utc(budget.asked_unix_ns) if budget.asked_unix_ns else None,
    }


def _amount(amount: Amount, like: Limit) -> dict[str, str | int | None]:
    usd = None if like.picousd is None else usd_text(amount.picousd)
    return {"cost_usd": usd, "tokens": None if like.tokens is None else amount.tokens}


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/budgets", "listBudgets", "List shared budgets, with what is spent of them",
        parameters=BudgetParameters, handler=list_budgets, answer=json_of(BudgetPageAnswer),
        act=Act.READ_TASKS,
    ),
)  # fmt: skip
