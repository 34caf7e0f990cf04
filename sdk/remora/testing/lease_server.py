"""An aggregator's TaskService in memory, for tests of who draws on shared budgets.

It holds to what `tasks.proto` promises: all that was spent and all that is granted is together no
more than the limit, but for what senders say they spent beyond their grants.
"""

from dataclasses import dataclass, field
from decimal import Decimal

import grpc

from remora.clock import Clock
from remora_proto.v1 import tasks_pb2 as pb
from remora_proto.v1 import tasks_pb2_grpc as pb_grpc

LEASE_S = 60.0

type Sum = tuple[Decimal, Decimal]
"""Money in USD, and tokens."""

_NONE: Sum = (Decimal(0), Decimal(0))


@dataclass
class SharedLease:
    """What one sender was granted, and has spent."""

    granted: Sum = _NONE
    spent: Sum = _NONE
    ends_s: float = 0.0


@dataclass
class SharedAccount:
    """One account of a budget, with all its leases; those that ended are remembered."""

    spent: Sum = _NONE
    leases: dict[tuple[str, str], SharedLease] = field(default_factory=dict)

    @property
    def granted(self) -> Sum:
        """What all leases together may still spend."""
        total = _NONE
        for lease in self.leases.values():
            total = _plus(total, lease.granted)
        return total


type AccountKey = tuple[str, int, str, int, int]


class LeaseBooks:
    """The accounts, and the arithmetic of granting; no server.

    Attributes:
        accounts: By budget, per, key, window's start and length.
    """

    def __init__(self, lease_s: float = LEASE_S) -> None:
        """Start with nothing spent.

        Args:
            lease_s: How long leases last.
        """
        self.accounts: dict[AccountKey, SharedAccount] = {}
        self._lease_s = lease_s

    def answer(self, request: pb.LeaseRequest, sender: str, now_s: float) -> pb.LeaseResponse:
        """Grant what is asked for, as far as the limits go."""
        return pb.LeaseResponse(grants=[self._grant(ask, sender, now_s) for ask in request.asks])

    def _grant(self, ask: pb.LeaseRequest.Ask, sender: str, now_s: float) -> pb.LeaseResponse.Grant:
        account = self._account(ask, now_s)
        lease = account.leases.setdefault((sender, ask.lease_id), SharedLease())
        _charge(account, lease, _sum(ask.spent))
        limit = _sum(ask.limit)
        free = _minus(limit, _plus(account.spent, account.granted))
        lease.granted = _least(_sum(ask.wanted), _plus(lease.granted, free))
        lease.ends_s = now_s + self._lease_s
        return pb.LeaseResponse.Grant(
            lease_id=ask.lease_id,
            granted=_amount(lease.granted, ask.limit),
            expires_after_s=self._lease_s,
            spent=_amount(account.spent, ask.limit),
            remaining=_amount(_minus(limit, _plus(account.spent, account.granted)), ask.limit),
        )

    def _account(self, ask: pb.LeaseRequest.Ask, now_s: float) -> SharedAccount:
        window = ask.window_start_unix_nano, ask.window_ns
        account = self.accounts.setdefault((ask.budget, ask.per, ask.key, *window), SharedAccount())
        for lease in account.leases.values():
            if lease.ends_s <= now_s:
                lease.granted = _NONE
        return account


class LeaseServer(pb_grpc.TaskServiceServicer):
    """Serves `LeaseBooks` to senders that it tells apart by their connection.

    Attributes:
        books: What was granted and spent.
        requests: How many came.
        refuses_with: Answer with this status instead; None: answer.
    """

    def __init__(self, clock: Clock, books: LeaseBooks | None = None) -> None:
        """Start with nothing spent."""
        self.books = books or LeaseBooks()
        self.requests = 0
        self.refuses_with: grpc.StatusCode | None = None
        self._clock = clock

    async def Lease(  # noqa: N802 - the method's name on the wire
        self,
        request: pb.LeaseRequest,
        context: grpc.aio.ServicerContext[pb.LeaseRequest, pb.LeaseResponse],
    ) -> pb.LeaseResponse:
        """Grant, or refuse as told."""
        self.requests += 1
        if self.refuses_with is not None:
            await context.abort(self.refuses_with, "")
        return self.books.answer(request, context.peer(), self._clock.monotonic_s())


def _charge(account: SharedAccount, lease: SharedLease, spent: Sum) -> None:
    """Count what was spent since the last report; the grant shrinks by it."""
    since = _minus(spent, lease.spent)
    account.spent = _plus(account.spent, since)
    lease.spent = _plus(lease.spent, since)
    lease.granted = _minus(lease.granted, since)


def _sum(amount: pb.BudgetAmount) -> Sum:
    return Decimal(amount.cost_usd or "0"), Decimal(amount.tokens)


def _amount(amount: Sum, like: pb.BudgetAmount) -> pb.BudgetAmount:
    return pb.BudgetAmount(
        cost_usd=f"{amount[0]:f}" if like.HasField("cost_usd") else None,
        tokens=int(amount[1]) if like.HasField("tokens") else None,
    )


def _plus(one: Sum, other: Sum) -> Sum:
    return one[0] + other[0], one[1] + other[1]


def _minus(one: Sum, other: Sum) -> Sum:
    """What is left; nothing rather than less than nothing."""
    return max(Decimal(0), one[0] - other[0]), max(Decimal(0), one[1] - other[1])


def _least(one: Sum, other: Sum) -> Sum:
    return min(one[0], other[0]), min(one[1], other[1])
