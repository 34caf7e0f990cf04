"""What budgets say of a call, as refusals and receipts tell it."""

from typing import Literal, NamedTuple

from remora_sidecar.policy.amounts import Amount, BudgetLimit, usd_of

type Per = Literal["call", "task", "session", "agent", "pod", "namespace"]
type BudgetResult = Literal["ok", "warn", "downgrade", "block", "unpriced"]


class BudgetKeys(NamedTuple):
    """Whose call it is, in each of the ways that budgets count by.

    An empty task or agent is none: budgets for each of them do not count the call.
    """

    task_id: str
    session_id: str
    agent_id: str
    pod: str
    namespace: str


class BudgetVerdict(NamedTuple):
    """What one budget says of one call. Amounts are kept as counted, and shown on demand.

    Attributes:
        name: The budget's.
        per: What it is counted for.
        result: ``ok``: the call fits. ``warn``: it does not, and goes on. ``downgrade``: a
            cheaper one may go. ``block``: it may not go. ``unpriced``: nobody knows what it
            costs, so the money it would take can't be held against the budget; it goes on.
        resets_unix_ns: When the budget begins anew; None if never.
        unreachable: It is blocked because nobody could be asked for a share of the budget.
    """

    name: str
    per: Per
    result: BudgetResult
    spent_picousd: int
    spent_tokens: int
    reserved_picousd: int
    reserved_tokens: int
    limit: BudgetLimit
    resets_unix_ns: int | None
    unreachable: bool = False

    @property
    def spent(self) -> Amount:
        """What was spent before this call, by all pods as far as this one knows."""
        return Amount(usd_of(self.spent_picousd), self.spent_tokens)

    @property
    def reserved(self) -> Amount:
        """What this pod's calls in flight hold, without this call."""
        return Amount(usd_of(self.reserved_picousd), self.reserved_tokens)
