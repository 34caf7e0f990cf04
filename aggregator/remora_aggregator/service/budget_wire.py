"""Shared budgets as they travel to who looks at them. Pure."""

from remora.errors import BadRequest
from remora_aggregator.service.lease_wire import PER, PER_NUMBERS, amount_of
from remora_aggregator.tasks.amounts import Amount, Limit
from remora_aggregator.tasks.budgets import BudgetPage, BudgetSelection, SharedBudget, budget_cursor
from remora_aggregator.tasks.selection import checked_glob
from remora_proto.v1 import tasks_pb2 as pb

_BOTH = Limit(0, 0)


def budget_selection(
    wanted: pb.BudgetFilter, namespaces: frozenset[str] | None, now_unix_ns: int
) -> BudgetSelection:
    """Read a filter for a caller that may see these namespaces.

    Raises:
        BadRequest: It asks for what can't be.
    """
    unknown = [number for number in wanted.per if number not in PER]
    if unknown:
        raise BadRequest(f"budgets per {unknown[0]} are not shared")
    return BudgetSelection(
        namespaces=frozenset({wanted.namespace}) if wanted.namespace else namespaces,
        budget_glob=checked_glob(wanted.budget_glob, "budget_glob"),
        key_glob=checked_glob(wanted.key_glob, "key_glob"),
        per=frozenset(PER[number] for number in wanted.per),
        ends_after_unix_ns=0 if wanted.past else now_unix_ns,
    )


def page_written(page: BudgetPage) -> pb.BudgetsResponse:
    """Write a page."""
    return pb.BudgetsResponse(
        budgets=map(_written, page.budgets), next_cursor=budget_cursor(page.next)
    )


def _written(budget: SharedBudget) -> pb.SharedBudget:
    key, limit = budget.key, budget.limit
    message = pb.SharedBudget(
        namespace=key.namespace,
        budget=key.budget,
        per=PER_NUMBERS[key.per],
        key=key.key,
        window_start_unix_nano=key.window_start_unix_ns,
        window_ns=key.window_ns,
        asked_unix_nano=budget.asked_unix_ns,
    )
    shown = _BOTH if limit.is_none else limit
    message.spent.CopyFrom(amount_of(budget.spent, shown))
    message.leased.CopyFrom(amount_of(budget.leased, shown))
    if not limit.is_none:
        message.limit.CopyFrom(amount_of(Amount(limit.picousd or 0, limit.tokens or 0), limit))
    return message
