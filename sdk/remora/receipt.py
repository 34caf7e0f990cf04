"""The decision part of a record: what policy made of a call, and why. Plain frozen values.

What happened afterwards (attempts, cost, cache) stands in the record itself.
"""

from decimal import Decimal
from typing import NamedTuple


class CandidateReceipt(NamedTuple):
    """A provider's model that the call might have gone to.

    Attributes:
        score: What its router went by: a share, a price in USD or seconds; None if by nothing.
        est_cost_usd: What the call was likely to cost there: by its estimate, if a router or a
            budget made one, else by the tokens that it then used. None if unknown.
        filtered_out_by: One word for why it could not be taken; empty if it could.
        parameters: What is set in the request besides the model, as a JSON object; empty: nothing.
        propensity: How likely it was, where the choice was left to chance.
        note: One word for why it was not likelier; empty if it was in the race.
    """

    provider: str
    model: str
    score: float | None = None
    est_cost_usd: Decimal | None = None
    filtered_out_by: str = ""
    parameters: str = ""
    propensity: float | None = None
    note: str = ""


class BudgetReceipt(NamedTuple):
    """What a budget said.

    Attributes:
        per: Of what it is a budget.
        result: ``ok``, ``warn``, ``downgrade``, ``block`` or ``unpriced``.
        spent_usd: Before the call, with what other calls had reserved; None for a budget of tokens.
        resets_unix_ns: When its window ends; None if it has none.
    """

    name: str
    per: str
    result: str
    spent_usd: Decimal | None = None
    limit_usd: Decimal | None = None
    spent_tokens: int | None = None
    limit_tokens: int | None = None
    resets_unix_ns: int | None = None


class Receipt(NamedTuple):
    """Why a call went where it went, or nowhere.

    Attributes:
        policy_version: SHA-256 of the effective policy, in hex.
        rule: The route that had the call; empty if none had.
        router: What chose among the candidates; empty if nothing did.
        propensity: How likely its choice was; None for one that leaves nothing to chance.
        fallback: What was to be tried after the chosen one, as ``provider/model``.
        credential: Whose key was sent: ``policy``, ``agent`` or ``none``.
        refused_by: The code of the refusal, if Remora refused the call.
        risk: Of learned routing: ``low``, ``medium`` or ``high``.
        reason: Of learned routing: ``exploitation``, ``thompson`` or ``exploration``.
        scores: The digest of the scores that learned routing went by; empty: it knew none.
    """

    policy: str
    policy_version: str
    rule: str = ""
    router: str = ""
    propensity: float | None = None
    candidates: tuple[CandidateReceipt, ...] = ()
    fallback: tuple[str, ...] = ()
    budgets: tuple[BudgetReceipt, ...] = ()
    credential: str = "agent"
    refused_by: str = ""
    risk: str = ""
    reason: str = ""
    scores: str = ""
