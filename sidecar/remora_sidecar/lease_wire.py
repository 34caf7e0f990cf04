"""Asks and grants of shared budgets as they travel. Pure."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from remora.errors import Unavailable
from remora_proto.v1 import tasks_pb2 as pb
from remora_sidecar.policy.account import Holding
from remora_sidecar.policy.amounts import picousd_of, usd_of
from remora_sidecar.policy.book import Book
from remora_sidecar.policy.shares import Grant, ShareAsk

_PER = {
    "task": pb.BUDGET_PER_TASK,
    "session": pb.BUDGET_PER_SESSION,
    "agent": pb.BUDGET_PER_AGENT,
    "namespace": pb.BUDGET_PER_NAMESPACE,
}


def request_of(asks: Sequence[ShareAsk], number: int = 0) -> pb.LeaseRequest:
    """Write asks; the number tells requests that overtook each other apart (0: they can't)."""
    return pb.LeaseRequest(asks=[_ask(ask) for ask in asks], number=number)


def _ask(ask: ShareAsk) -> pb.LeaseRequest.Ask:
    book, account = ask.book, ask.account
    name, per, window_ms = book.identity
    limit = book.limit_picousd or 0, book.limit_tokens or 0
    return pb.LeaseRequest.Ask(
        lease_id=ask.lease_id,
        budget=name,
        per=_PER[per],
        key=account.key,
        window_start_unix_nano=book.window_start_unix_ns(account),
        window_ns=(window_ms or 0) * 1_000_000,
        limit=_amount(limit, book),
        spent=_amount(ask.spent, book),
        wanted=_amount(ask.wanted, book),
        needed=_amount(ask.needed, book),
    )


def _amount(amount: Holding, book: Book) -> pb.BudgetAmount:
    """Write what the budget limits."""
    picousd, tokens = amount
    return pb.BudgetAmount(
        cost_usd=None if book.limit_picousd is None else f"{usd_of(picousd):f}",
        tokens=None if book.limit_tokens is None else tokens,
    )


def grants_of(response: pb.LeaseResponse, asks: Sequence[ShareAsk]) -> list[Grant]:
    """Read the grants for these asks.

    Raises:
        Unavailable: They are not for these asks, or can't be read.
    """
    if [grant.lease_id for grant in response.grants] != [ask.lease_id for ask in asks]:
        raise Unavailable("its answer is not for what was asked")
    return [_grant(grant) for grant in response.grants]


def _grant(grant: pb.LeaseResponse.Grant) -> Grant:
    return Grant(_holding(grant.granted), grant.expires_after_s, _holding(grant.spent))


def _holding(amount: pb.BudgetAmount) -> Holding:
    try:
        cost_usd = Decimal(amount.cost_usd or "0")
        return picousd_of(cost_usd), max(0, amount.tokens)
    except (InvalidOperation, ValueError, OverflowError):
        raise Unavailable("its answer names an amount that is none") from None
