"""Receipts to and from the wire form of ``remora.v1``."""

from decimal import Decimal

from remora.receipt import BudgetReceipt, CandidateReceipt, Receipt
from remora.wire_money import usd_of
from remora_proto.v1 import records_pb2 as pb


def fill_receipt(message: pb.Receipt, receipt: Receipt) -> None:
    """Write a receipt into its message; field by field, since it runs once per call."""
    message.policy = receipt.policy
    message.policy_version = receipt.policy_version
    message.credential = receipt.credential
    if receipt.rule:
        message.rule = receipt.rule
    if receipt.router:
        message.router = receipt.router
    if receipt.propensity is not None:
        message.propensity = receipt.propensity
    if receipt.refused_by:
        message.refused_by = receipt.refused_by
    if receipt.risk or receipt.reason or receipt.scores:
        _fill_learned(message, receipt)
    if receipt.fallback:
        message.fallback.extend(receipt.fallback)
    for candidate in receipt.candidates:
        _fill_candidate(message.candidates.add(), candidate)
    for budget in receipt.budgets:
        _fill_budget(message.budgets.add(), budget)


def _fill_learned(message: pb.Receipt, receipt: Receipt) -> None:
    message.risk = receipt.risk
    message.reason = receipt.reason
    message.scores = receipt.scores


def _fill_candidate(message: pb.CandidateReceipt, candidate: CandidateReceipt) -> None:
    message.provider = candidate.provider
    message.model = candidate.model
    message.filtered_out_by = candidate.filtered_out_by
    message.est_cost_usd = _text(candidate.est_cost_usd)
    if candidate.score is not None:
        message.score = candidate.score
    if candidate.parameters:
        message.parameters = candidate.parameters
    if candidate.propensity is not None:
        message.propensity = candidate.propensity
    if candidate.note:
        message.note = candidate.note


def _fill_budget(message: pb.BudgetReceipt, budget: BudgetReceipt) -> None:
    message.name = budget.name
    message.per = budget.per
    message.result = budget.result
    message.spent_usd = _text(budget.spent_usd)
    message.limit_usd = _text(budget.limit_usd)
    if budget.spent_tokens is not None:
        message.spent_tokens = budget.spent_tokens
    if budget.limit_tokens is not None:
        message.limit_tokens = budget.limit_tokens
    if budget.resets_unix_ns is not None:
        message.resets_unix_nano = budget.resets_unix_ns


def receipt_of(message: pb.Receipt) -> Receipt:
    """Read a receipt; raises `decimal.InvalidOperation` where money is no decimal."""
    return Receipt(
        policy=message.policy,
        policy_version=message.policy_version,
        rule=message.rule,
        router=message.router,
        propensity=message.propensity if message.HasField("propensity") else None,
        candidates=tuple(_candidate_of(candidate) for candidate in message.candidates),
        fallback=tuple(message.fallback),
        budgets=tuple(_budget_of(budget) for budget in message.budgets),
        credential=message.credential,
        refused_by=message.refused_by,
        risk=message.risk,
        reason=message.reason,
        scores=message.scores,
    )


def _candidate_of(message: pb.CandidateReceipt) -> CandidateReceipt:
    return CandidateReceipt(
        provider=message.provider,
        model=message.model,
        score=message.score if message.HasField("score") else None,
        est_cost_usd=_decimal(message.est_cost_usd),
        filtered_out_by=message.filtered_out_by,
        parameters=message.parameters,
        propensity=message.propensity if message.HasField("propensity") else None,
        note=message.note,
    )


def _budget_of(message: pb.BudgetReceipt) -> BudgetReceipt:
    has_reset = message.HasField("resets_unix_nano")
    return BudgetReceipt(
        name=message.name,
        per=message.per,
        result=message.result,
        spent_usd=_decimal(message.spent_usd),
        limit_usd=_decimal(message.limit_usd),
        spent_tokens=message.spent_tokens if message.HasField("spent_tokens") else None,
        limit_tokens=message.limit_tokens if message.HasField("limit_tokens") else None,
        resets_unix_ns=message.resets_unix_nano if has_reset else None,
    )


def _text(usd: Decimal | None) -> str:
    return "" if usd is None else format(usd, "f")


def _decimal(text: str) -> Decimal | None:
    return usd_of(text) if text else None
