"""What the sidecar's own calls have cost in a window of time. Pure: the time is an argument.

A call is admitted for what it can cost at the most, which is held until its record says what it did
cost. So the limit holds however many calls are under way.
"""

import json
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final

_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that may be spent in a window.

    Attributes:
        name: What it is for; spending is kept by it.
        max_usd: In one window.
        window_ms: How long that is; windows are aligned to the epoch in UTC.
    """

    name: str
    max_usd: Decimal
    window_ms: int


@dataclass(slots=True)
class _Account:
    window_ms: int
    number: int
    spent: Decimal = _NOTHING
    held: Decimal = _NOTHING
    is_closed: bool = False


@dataclass(slots=True)
class Hold:
    """What one call may cost, until it is known what it did cost."""

    limit: Limit
    usd: Decimal
    account: _Account = field(repr=False)


class Spending:
    """Adds up what was spent, by the names of limits."""

    def __init__(self) -> None:
        """Start with nothing spent."""
        self._accounts: dict[str, _Account] = {}

    def hold(self, limit: Limit, most_usd: Decimal, now_ms: int) -> Hold | None:
        """Hold what a call may cost at the most; None if that is more than is left."""
        account = self._account(limit, now_ms)
        if account.is_closed or account.spent + account.held + most_usd > limit.max_usd:
            return None
        account.held += most_usd
        return Hold(limit, most_usd, account)

    def settle(self, hold: Hold, cost_usd: Decimal | None) -> None:
        """Count what a call did cost.

        Args:
            hold: Of the call; it is let go.
            cost_usd: None if nobody knows: then no more is spent in that window, since nobody could
                tell when the limit is reached.
        """
        account = hold.account
        account.held -= hold.usd
        account.spent += hold.usd if cost_usd is None else cost_usd
        account.is_closed = account.is_closed or cost_usd is None

    def spent_usd(self, limit: Limit, now_ms: int) -> Decimal:
        """Say what was spent in the window that it is."""
        return self._account(limit, now_ms).spent

    def _account(self, limit: Limit, now_ms: int) -> _Account:
        number = now_ms // limit.window_ms
        account = self._accounts.get(limit.name)
        if account is None or (account.window_ms, account.number) != (limit.window_ms, number):
            account = self._accounts[limit.name] = _Account(limit.window_ms, number)
        return account

    def dumped(self) -> bytes:
        """Write what was spent, for the next start of the sidecar."""
        kept = {
            name: {
                "window_ms": account.window_ms,
                "number": account.number,
                "spent_usd": str(account.spent + account.held),
                "closed": account.is_closed,
            }
            for name, account in self._accounts.items()
        }
        return json.dumps(kept).encode()

    @classmethod
    def loaded(cls, data: bytes) -> "Spending":
        """Go on from what was written; from nothing where it can't be read."""
        spending = cls()
        try:
            for name, kept in json.loads(data).items():
                spending._accounts[name] = _Account(
                    window_ms=int(kept["window_ms"]),
                    number=int(kept["number"]),
                    spent=Decimal(kept["spent_usd"]),
                    is_closed=bool(kept["closed"]),
                )
        except (ValueError, TypeError, KeyError, AttributeError, InvalidOperation):
            return cls()
        return spending
