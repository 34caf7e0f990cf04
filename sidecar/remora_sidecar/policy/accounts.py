"""The accounts of one budget: what was spent and is reserved for one task, session or other key."""

from typing import NamedTuple

MAX_ACCOUNTS = 10_000
"""Of one budget. Agents choose the ids of tasks, sessions and agents, so memory must be bounded."""

_LOOKS = 64
"""At accounts in turn, for some to forget, before another is made."""

type Held = tuple[int, int, int, int]
"""Spent money, spent tokens; money and tokens spent or reserved. Money is in picodollars.

Replaced as one value, so that a reader in another thread never sees half of a change.
"""

NOTHING: Held = (0, 0, 0, 0)


class Lease(NamedTuple):
    """A share of a budget that several pods draw on.

    Attributes:
        ceiling_picousd: What money spent or reserved here may come to.
        ceiling_tokens: The same of tokens.
        others_picousd: Spent by others, as the aggregator said last.
        others_tokens: The same of tokens.
        ends_s: When it may no longer be used, by the monotonic clock.
    """

    ceiling_picousd: int
    ceiling_tokens: int
    others_picousd: int
    others_tokens: int
    ends_s: float


NO_LIMIT = 1 << 200
"""More than any sum."""


class Account:
    """What one key has used in one window.

    Attributes:
        key: Whose it is.
        window: The number of its window since the epoch.
        held: Its figures.
        calls: In flight, that reserved something of it.
        is_recent: Whether it was used since room was last looked for.
        reported: Money and tokens that the aggregator has been told of.
        lease: The share it may use, where the budget is shared.
    """

    __slots__ = ("calls", "held", "is_recent", "key", "lease", "reported", "window")

    def __init__(
        self, key: str, window: int, held: Held = NOTHING, reported: tuple[int, int] = (0, 0)
    ) -> None:
        """Begin with what is known of it."""
        self.key = key
        self.window = window
        self.held = held
        self.calls = 0
        self.is_recent = True
        self.reported = reported
        self.lease: Lease | None = None

    def reserve(self, picousd: int, tokens: int) -> None:
        """Hold an amount for a call."""
        spent_picousd, spent_tokens, used_picousd, used_tokens = self.held
        self.held = (spent_picousd, spent_tokens, used_picousd + picousd, used_tokens + tokens)
        self.calls += 1
        self.is_recent = True

    def settle(
        self, picousd: int, tokens: int, reserved_picousd: int, reserved_tokens: int
    ) -> None:
        """Charge what was used and give back what was held."""
        spent_picousd, spent_tokens, used_picousd, used_tokens = self.held
        self.held = (
            spent_picousd + picousd,
            spent_tokens + tokens,
            used_picousd + picousd - reserved_picousd,
            used_tokens + tokens - reserved_tokens,
        )
        self.calls -= 1

    def in_window(self, window: int) -> "Account":
        """Return the account of the same key in another window.

        A clock that is set back by a little does not begin a window anew; set back by more,
        it takes what was spent with it, so that no step of the clock gives money back.
        """
        if window > self.window:
            return Account(self.key, window)
        if window < self.window - 1:
            self.window = window
        return self


def live_lease(account: Account, now_s: float) -> Lease | None:
    """Return the lease of an account, if it may be used now."""
    lease = account.lease
    return lease if lease is not None and now_s < lease.ends_s else None


class Accounts:
    """Accounts by key; about so many, and those that calls in flight hold something of.

    Attributes:
        dropped_total: Accounts forgotten for want of room.
    """

    def __init__(self, limit: int = MAX_ACCOUNTS) -> None:
        """Start without any."""
        self.dropped_total = 0
        self._limit = limit
        self._by_key: dict[str, Account] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_key)

    def all(self) -> list[Account]:
        """List them; another thread may ask while this one goes on."""
        return list(self._by_key.values())

    def find(self, key: str, window: int) -> Account:
        """Return the account of a key, begun anew where another window runs."""
        account = self._by_key.get(key)
        if account is None:
            self._make_room()
            account = self._by_key[key] = Account(key, window)
        elif account.window != window:
            account = self._by_key[key] = account.in_window(window)
        return account

    def put(self, account: Account) -> None:
        """Take an account as it was kept."""
        self._make_room()
        self._by_key[account.key] = account

    def _make_room(self) -> None:
        """Forget those not used for long; those used since the last look get another turn.

        Known as the clock algorithm: nearly those used longest ago, without the cost of keeping
        accounts in order while calls are admitted. One look around may be needed before any is
        found, so for a while there may be some more than the limit.
        """
        looks = _LOOKS
        while looks and len(self._by_key) >= self._limit:
            looks -= 1
            account = next(iter(self._by_key.values()))
            del self._by_key[account.key]
            if account.calls or account.is_recent:
                account.is_recent = False
                self._by_key[account.key] = account
            else:
                self.dropped_total += 1
