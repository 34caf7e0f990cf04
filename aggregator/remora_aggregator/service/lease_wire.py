"""Lease requests and answers as they travel. Pure."""

import re
from collections.abc import Mapping

from remora.errors import BadRequest
from remora_aggregator.tasks.amounts import Amount, Limit, picousd_of, tokens_of, usd_text
from remora_aggregator.tasks.leases import AccountKey, Ask, Grant, Per, Request
from remora_aggregator.tasks.states import Control
from remora_aggregator.tasks.task import MAX_ID_CHARS, Task, TaskKey, checked_text
from remora_proto.v1 import tasks_pb2 as pb

MAX_ASKS = 1_000
"""In one request; a sidecar sends no more at once."""

_LEASE_ID = re.compile(r"[\x21-\x7e]{1,64}")
_MAX_BUDGET_CHARS = 200
_MAX_UNIX_NS = (1 << 63) - 1

PER_NUMBERS: Mapping[Per, pb.BudgetPer.ValueType] = {
    "task": pb.BUDGET_PER_TASK,
    "session": pb.BUDGET_PER_SESSION,
    "agent": pb.BUDGET_PER_AGENT,
    "namespace": pb.BUDGET_PER_NAMESPACE,
}
PER: Mapping[int, Per] = {number: per for per, number in PER_NUMBERS.items()}

CONTROLS: Mapping[Control, pb.TaskControl.ValueType] = {
    Control.OPEN: pb.TASK_CONTROL_OPEN,
    Control.PAUSED: pb.TASK_CONTROL_PAUSED,
    Control.CANCELLED: pb.TASK_CONTROL_CANCELLED,
    Control.BUDGET_EXCEEDED: pb.TASK_CONTROL_BUDGET_EXCEEDED,
}


def request_of(message: pb.LeaseRequest, namespace: str, sender: str) -> Request:
    """Read a request, stamped with whose it is.

    Raises:
        BadRequest: An ask can't be read; none is answered then.
    """
    if len(message.asks) > MAX_ASKS:
        raise BadRequest(f"a request has at most {MAX_ASKS} asks, not {len(message.asks)}")
    asks = []
    for place, ask in enumerate(message.asks):
        try:
            asks.append(_ask(ask, namespace))
        except ValueError as error:
            raise BadRequest(f"asks[{place}]: {error}") from None
    return Request(sender, asks, min(message.number, _MAX_UNIX_NS))


def _ask(ask: pb.LeaseRequest.Ask, namespace: str) -> Ask:
    if not _LEASE_ID.fullmatch(ask.lease_id):
        raise ValueError("lease_id has to be 1 to 64 printable characters")
    wanted = _amount(ask.wanted, "wanted")
    return Ask(
        lease_id=ask.lease_id,
        account=_account(ask, namespace),
        limit=limit_of(ask.limit, "limit"),
        spent=_amount(ask.spent, "spent"),
        wanted=wanted,
        needed=_amount(ask.needed, "needed") if ask.HasField("needed") else wanted,
    )


def _account(ask: pb.LeaseRequest.Ask, namespace: str) -> AccountKey:
    per = PER.get(ask.per)
    if per is None:
        raise ValueError(f"budgets per {ask.per} are not shared")
    # A namespace has one account of a budget, whatever its sidecars call the namespace.
    key = "" if per == "namespace" else _text(ask.key, "key", MAX_ID_CHARS)
    if ask.window_start_unix_nano + ask.window_ns > _MAX_UNIX_NS:
        raise ValueError("the window lies out of all time")
    if not ask.budget:
        raise ValueError("budget is needed")
    return AccountKey(
        namespace,
        _text(ask.budget, "budget", _MAX_BUDGET_CHARS),
        per,
        key,
        ask.window_start_unix_nano,
        ask.window_ns,
    )


def _text(text: str, name: str, most: int) -> str:
    if len(text) > most:
        raise ValueError(f"{name} has more than {most} characters")
    try:
        return checked_text(text, name)
    except BadRequest as error:
        raise ValueError(str(error)) from None


def limit_of(amount: pb.BudgetAmount, name: str) -> Limit:
    """Read a budget's limits, absent ones as none; raises ValueError."""
    found = _amount(amount, name)
    return Limit(
        found.picousd if amount.HasField("cost_usd") else None,
        found.tokens if amount.HasField("tokens") else None,
    )


def _amount(amount: pb.BudgetAmount, name: str) -> Amount:
    try:
        return Amount(picousd_of(amount.cost_usd or "0"), tokens_of(amount.tokens))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def response_of(
    request: Request, grants: list[Grant], tasks: Mapping[TaskKey, Task]
) -> pb.LeaseResponse:
    """Write the grants of a request, each with what is to become of its task."""
    answers = []
    for ask, grant in zip(request.asks, grants, strict=True):
        answer = pb.LeaseResponse.Grant(
            lease_id=grant.lease_id,
            granted=amount_of(grant.granted, ask.limit),
            expires_after_s=grant.expires_after_s,
            spent=amount_of(grant.spent, ask.limit),
            remaining=amount_of(grant.remaining, ask.limit),
        )
        if ask.account.per == "task":
            task = tasks.get(task_of(ask.account))
            answer.task_control = pb.TASK_CONTROL_OPEN if task is None else CONTROLS[task.control]
            answer.task_revision = 0 if task is None else task.revision
        answers.append(answer)
    return pb.LeaseResponse(grants=answers)


def task_of(account: AccountKey) -> TaskKey:
    """Name the task whose account it is."""
    return TaskKey(account.namespace, account.key)


def amount_of(amount: Amount, like: Limit) -> pb.BudgetAmount:
    """Write an amount, as far as a budget limits it."""
    return pb.BudgetAmount(
        cost_usd=None if like.picousd is None else usd_text(amount.picousd),
        tokens=None if like.tokens is None else amount.tokens,
    )
