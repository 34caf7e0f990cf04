"""Shared budgets read from the tables of accounts and leases, a page at a time."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from remora_aggregator.store.facts import Value
from remora_aggregator.store.port import Row
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.sql import Statement
from remora_aggregator.tasks.amounts import Amount, Limit
from remora_aggregator.tasks.budgets import BudgetPage, BudgetSelection, SharedBudget, budget_of
from remora_aggregator.tasks.leases import AccountKey, Book, Lease, LeaseKey

_SCANNED: Final = 1_000
"""Accounts that are looked at for one page where globs are asked for."""

_KEY: Final = AccountKey._fields
_BOOK: Final = (
    "spent_picousd", "spent_tokens", "granted_picousd", "granted_tokens",
    "limit_picousd", "limit_tokens", "asked_unix_ns",
)  # fmt: skip
_ENDED: Final = ("sender", "lease_id", "granted_picousd", "granted_tokens")


async def budget_page(
    store: RecordStore,
    chosen: BudgetSelection,
    *,
    after: AccountKey | None,
    limit: int,
    now_unix_ns: int,
) -> BudgetPage:
    """Read a page, in the order of keys; raises Unavailable.

    It may hold fewer than `limit` and still not be the last, where globs are asked for.
    """
    asked = _SCANNED if chosen.has_globs else limit
    statement = _statement(chosen, after, asked, now_unix_ns, store.backend.flavour.mark)
    found = await store.ask(statement, lambda rows: list(_budgets(rows, now_unix_ns)))
    fitting = [budget for budget in found if chosen.takes(budget.key)]
    if len(fitting) > limit:
        return BudgetPage(fitting[:limit], fitting[limit - 1].key)
    return BudgetPage(fitting, found[-1].key if len(found) == asked else None)


def _statement(
    chosen: BudgetSelection, after: AccountKey | None, limit: int, now_unix_ns: int, mark: str
) -> Statement:
    """Ask for accounts, each with its leases that ended and are still granted something."""
    where, parameters = _conditions(chosen, after)
    order = ", ".join(f"account.{name}" for name in _KEY)
    same = " and ".join(f"ended.{name} = account.{name}" for name in _KEY)
    columns = ", ".join(
        [f"account.{name}" for name in (*_KEY, *_BOOK)] + [f"ended.{name}" for name in _ENDED]
    )
    sql = (
        f"select {columns} from (select {', '.join((*_KEY, *_BOOK))} from accounts where {where} "  # noqa: S608 - our own words
        f"order by {', '.join(_KEY)} limit ?) account "
        f"left join leases ended on {same} and ended.has_grant = 1 and ended.ends_unix_ns <= ? "
        f"order by {order}"
    )
    return Statement(sql.replace("?", mark), (*parameters, limit, now_unix_ns))


def _conditions(chosen: BudgetSelection, after: AccountKey | None) -> tuple[str, list[Value]]:
    conditions = ["(window_ns = 0 or window_start_unix_ns + window_ns > ?)"]
    parameters: list[Value] = [chosen.ends_after_unix_ns]
    for column, values in (("namespace", chosen.namespaces), ("per", chosen.per or None)):
        if values is not None:
            marks = ", ".join("?" * len(values)) or "null"
            conditions.append(f"{column} in ({marks})")
            parameters += sorted(values)
    if after is not None:
        conditions.append(f"({', '.join(_KEY)}) > ({', '.join('?' * len(_KEY))})")
        parameters += after
    return " and ".join(conditions), parameters


def _budgets(rows: Iterable[Row], now_unix_ns: int) -> Iterable[SharedBudget]:
    for _, of_one in groupby(rows, key=lambda row: row[: len(_KEY)]):
        book = None
        for row in of_one:
            if book is None:
                book = _book(row)
            if row[-1] is not None:
                book = _with_ended(book, row, now_unix_ns)
        if book is not None:
            yield budget_of(book, now_unix_ns)


def _book(row: Any) -> Book:
    key = AccountKey(*row[: len(_KEY)])
    spent, spent_tokens, granted, granted_tokens, limit, limit_tokens, asked = row[
        len(_KEY) : len(_KEY) + len(_BOOK)
    ]
    return Book(
        key,
        Amount(int(spent), int(spent_tokens)),
        Amount(int(granted), int(granted_tokens)),
        limit=Limit(None if limit is None else int(limit), limit_tokens),
        asked_unix_ns=int(asked),
    )


def _with_ended(book: Book, row: Any, now_unix_ns: int) -> Book:
    sender, lease_id, granted, tokens = row[-len(_ENDED) :]
    lease = Lease(Amount(int(granted), int(tokens)), ends_unix_ns=now_unix_ns)
    return replace(book, leases={**book.leases, LeaseKey(sender, lease_id): lease})
