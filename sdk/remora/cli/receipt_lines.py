"""Parts of a receipt told to a person, each on a line of its own. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from remora.cli.figures import money, tokens, visible
from remora.cli.moments import iso_utc
from remora.cli.receipt_json import arm_name
from remora.receipt import BudgetReceipt, CandidateReceipt, Receipt

LEFT_OUT: Mapping[str, str] = {
    "unknown_provider": "no such provider is known",
    "model_denied": "the policy does not permit its model (models)",
    "dialect": "its provider does not speak the call's dialect",
    "credential": "another provider, and the policy has no key for it (credentials)",
    "address": "another provider, of which no address for such calls is known",
    "request": "the request can't be made to ask for it",
}
"""What each word for why a candidate was left out means; others are texts of their own."""

NOT_LIKELIER: Mapping[str, str] = {
    "worse": "others are thought to be better",
    "tied": "as good as a cheaper or faster one",
    "rolled-back": "its answers got much worse",
    "unavailable": "it could not be taken",
}
"""What each word for why a candidate was not likelier means."""

_REASONS: Mapping[str, str] = {
    "exploitation": "it is thought to be the best",
    "thompson": "it may be better than what is thought to be the best",
    "exploration": "taken at random, so that changes are noticed",
}

OWNERS: Mapping[str, str] = {"policy": "the policy's", "agent": "the agent's", "none": "none"}
"""Whose key a call carries, in words."""

_WIDTH = 12


def line(name: str, text: str) -> str:
    """Write one line: its name, then what it says; text of strangers can do nothing."""
    return f"{name:<{_WIDTH}}{visible(text)}".rstrip()


def block(name: str, entries: Iterable[str]) -> Iterator[str]:
    """Write entries below each other, the name before the first."""
    for index, entry in enumerate(entries):
        yield line("" if index else name, entry)


def decision_lines(receipt: Receipt, chosen: str) -> Iterator[str]:
    """Say what policy decided by which of its rules.

    Args:
        receipt: The decision.
        chosen: Whom the call was to ask first, as `arm_name` has it; empty if nobody.
    """
    yield line("policy", f"{receipt.policy}, version {receipt.policy_version[:12]}")
    yield line("rule", receipt.rule or "none took the call")
    if receipt.router:
        yield line("router", _router(receipt))
    if receipt.reason:
        yield line("learned", _learned(receipt))
    yield from block("candidates", (_candidate(one, chosen) for one in receipt.candidates))
    yield from block("fallback", receipt.fallback)
    yield from block("budgets", map(_budget, receipt.budgets))


def _router(receipt: Receipt) -> str:
    if receipt.propensity is None:
        return receipt.router
    return f"{receipt.router}; its choice had a chance of {receipt.propensity:.1%}"


def _learned(receipt: Receipt) -> str:
    why = _REASONS.get(receipt.reason, receipt.reason)
    risk = f"; risk {receipt.risk}" if receipt.risk else ""
    by = f"by scores {receipt.scores[:12]}" if receipt.scores else "no scores were known"
    return f"{receipt.reason}: {why}{risk}; {by}"


def _candidate(candidate: CandidateReceipt, chosen: str) -> str:
    name = arm_name(candidate.provider, candidate.model, candidate.parameters)
    if candidate.filtered_out_by:
        why = LEFT_OUT.get(candidate.filtered_out_by, candidate.filtered_out_by)
        return f"{name}: left out: {why}"
    said = ["chosen"] if name == chosen else []
    price = candidate.est_cost_usd
    said.append("price unknown" if price is None else f"likely to cost {money(price)}")
    if candidate.score is not None:
        said.append(f"score {candidate.score:.4g}")
    if candidate.propensity is not None:
        said.append(f"a chance of {candidate.propensity:.1%}")
    if candidate.note:
        said.append(NOT_LIKELIER.get(candidate.note, candidate.note))
    return f"{name}: {', '.join(said)}"


def _budget(budget: BudgetReceipt) -> str:
    spent = []
    if budget.limit_usd is not None:
        spent.append(f"{money(budget.spent_usd or Decimal(0))} of {money(budget.limit_usd)}")
    if budget.limit_tokens is not None:
        spent.append(f"{tokens(budget.spent_tokens or 0)} of {tokens(budget.limit_tokens)} tokens")
    resets = budget.resets_unix_ns
    anew = "" if resets is None else f", begins anew at {iso_utc(resets)[:19]}Z"
    used = " and ".join(spent)
    return f"{budget.name} (per {budget.per}): {budget.result}; used {used} before{anew}"
