"""The accounts of one budget: what was spent and is reserved for one task, session or other key."""

from remora_sidecar.policy.account import Account

MAX_ACCOUNTS = 10_000
"""Of one budget. Agents choose the ids of tasks, sessions and agents, so memory must be bounded."""

_LOOKS = 64
"""At accounts in turn, for some to forget, before another is made."""


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
            account = self._replaced(account, account.in_window(window))
        return account

    def put(self, account: Account) -> None:
        """Take an account as it was kept."""
        self._make_room()
        self._replaced(self._by_key.get(account.key), account)

    def _replaced(self, before: Account | None, account: Account) -> Account:
        if before is not None and before is not account:
            before.leave()
        self._by_key[account.key] = account
        return account

    def abandon(self) -> None:
        """Have them share nothing any more: their budget is gone."""
        for account in self._by_key.values():
            account.leave()

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
                account.leave()
                self.dropped_total += 1
