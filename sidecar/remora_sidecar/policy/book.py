"""One budget, and what it says of calls."""

from collections.abc import Mapping
from typing import NamedTuple

from remora.policy.limits import Budget
from remora_sidecar.policy.account import NOTHING, Account, Held, Lease
from remora_sidecar.policy.accounts import Accounts
from remora_sidecar.policy.amounts import Amount, BudgetLimit, picousd_of
from remora_sidecar.policy.budget_verdict import BudgetKeys, BudgetResult, BudgetVerdict, Per

_FIELD_OF: Mapping[Per, str] = {
    "task": "task_id",
    "session": "session_id",
    "agent": "agent_id",
    "pod": "pod",
    "namespace": "namespace",
}

_MAY_BE_NOBODY = frozenset({"task", "agent"})
_SHARED = frozenset({"task", "session", "agent", "namespace"})

_NS_PER_MS = 1_000_000


class BudgetIdentity(NamedTuple):
    """What makes a budget the same one after its policy changed."""

    name: str
    per: Per
    window_ms: int | None


class Wanted(NamedTuple):
    """What a call asks for; no money where its price is not known."""

    picousd: int | None
    tokens: int

    @classmethod
    def of(cls, amount: Amount) -> "Wanted":
        """Count an amount; what is below nothing counts as nothing."""
        cost_usd, tokens = amount
        return cls(None if cost_usd is None else picousd_of(cost_usd), max(0, tokens))


class _NoAccount(Account):
    """Stands where a budget counts nothing: whatever is reserved, it holds nothing."""

    __slots__ = ()
    held = property(lambda self: NOTHING)


class Book:
    """A budget with its accounts.

    Attributes:
        identity: By which its accounts are carried over a change of policy.
        strict: Whether the most that the call may cost is reserved.
        is_shared: Whether other pods count on it as well.
        keeps_accounts: Whether calls before one matter to it.
        limit: As policy says it.
        limit_picousd: The same as it is counted.
        limit_tokens: The same of tokens.
        only_warns: Whether nothing is ever refused for it.
        blocks_unreached: Whether calls are blocked while nobody can be asked for a share.
        accounts: Of each key.
    """

    def __init__(self, budget: Budget, accounts: Accounts) -> None:
        """Take the budget's settings, and its accounts."""
        window, cost_usd = budget.window, budget.max_cost_usd
        window_ms = None if window is None else window.milliseconds
        self.identity = BudgetIdentity(budget.name, budget.per, window_ms)
        self.strict = budget.strict
        self.is_shared = budget.per in _SHARED
        self.limit = BudgetLimit(cost_usd, budget.max_tokens)
        self.limit_picousd = None if cost_usd is None else picousd_of(cost_usd)
        self.limit_tokens = budget.max_tokens
        self.accounts = accounts
        self._window_ns = None if window_ms is None else window_ms * _NS_PER_MS
        self._on_exceed: BudgetResult = budget.on_exceed
        self.only_warns = budget.on_exceed == "warn"
        self.blocks_unreached = budget.on_unreachable == "block"
        field = _FIELD_OF.get(budget.per)
        self._place = None if field is None else BudgetKeys._fields.index(field)
        self.keeps_accounts = field is not None
        self._may_be_nobody = budget.per in _MAY_BE_NOBODY

    def account(self, keys: BudgetKeys, now_unix_ns: int) -> Account | None:
        """Return the account that a call counts on now; None where the budget does not count it."""
        if self._place is None:
            return _NoAccount("", 0)
        key = keys[self._place]
        if not key and self._may_be_nobody:
            return None
        window_ns = self._window_ns
        return self.accounts.find(key, 0 if window_ns is None else now_unix_ns // window_ns)

    def window_start_unix_ns(self, account: Account) -> int:
        """When an account's window began; 0 where it lasts for the whole life."""
        return account.window * (self._window_ns or 0)

    def window_end_unix_ns(self, now_unix_ns: int) -> int | None:
        """When the window that runs now ends; None where it never does."""
        window_ns = self._window_ns
        return None if window_ns is None else (now_unix_ns // window_ns + 1) * window_ns

    def judge(self, account: Account, wanted: Wanted, *, downgraded: bool) -> BudgetResult:
        """Say whether a call fits what is left of an account."""
        return self._result(
            account.held, wanted, self.limit_picousd, self.limit_tokens, downgraded=downgraded
        )

    def judge_share(
        self, account: Account, wanted: Wanted, lease: Lease | None, *, downgraded: bool
    ) -> BudgetResult:
        """Say whether a call fits what the aggregator granted.

        Without a lease nobody could be asked: the budget says what happens then.
        """
        if lease is None:
            unreached = self.blocks_unreached
            return "block" if unreached else self.judge(account, wanted, downgraded=downgraded)
        picousd = None if self.limit_picousd is None else lease.ceiling_picousd
        tokens = None if self.limit_tokens is None else lease.ceiling_tokens
        return self._result(account.held, wanted, picousd, tokens, downgraded=downgraded)

    def _result(
        self,
        held: Held,
        wanted: Wanted,
        limit_picousd: int | None,
        limit_tokens: int | None,
        *,
        downgraded: bool,
    ) -> BudgetResult:
        if _exceeds(held[2], wanted.picousd, limit_picousd) or _exceeds(
            held[3], wanted.tokens, limit_tokens
        ):
            on_exceed = self._on_exceed
            return "block" if downgraded and on_exceed == "downgrade" else on_exceed
        return "unpriced" if wanted.picousd is None and limit_picousd is not None else "ok"

    def verdict(
        self, account: Account, held: Held, result: BudgetResult, lease: Lease | None = None
    ) -> BudgetVerdict:
        """Tell a result with the figures by which it was found."""
        name, per, _ = self.identity
        spent_picousd, spent_tokens, used_picousd, used_tokens = held
        window_ns = self._window_ns
        return BudgetVerdict(
            name=name,
            per=per,
            result=result,
            spent_picousd=spent_picousd + (lease.others_picousd if lease is not None else 0),
            spent_tokens=spent_tokens + (lease.others_tokens if lease is not None else 0),
            reserved_picousd=used_picousd - spent_picousd,
            reserved_tokens=used_tokens - spent_tokens,
            limit=self.limit,
            resets_unix_ns=None if window_ns is None else (account.window + 1) * window_ns,
        )


def _exceeds(used: int, wanted: int | None, limit: int | None) -> bool:
    """Tell whether it is too much; what asks for nothing fits, so that free models stay usable."""
    return limit is not None and bool(wanted) and used + (wanted or 0) > limit
