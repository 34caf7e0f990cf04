"""Which records are fit to be stored. Pure."""

import re
from decimal import Decimal, InvalidOperation
from math import isfinite

from remora_proto.v1 import records_pb2 as pb

_CALL_ID = re.compile(r"[0-9a-f]{32}")
_MAX_UNIX_NS = (1 << 63) - 1
_MAX_MONEY_CHARS = 64
_MAX_MONEY_DIGITS = 12
_PLAIN_MONEY = re.compile(r"(?:(?:[0-9]{1,12}(?:\.[0-9]{1,50})?)? ?)*")
"""How sidecars write nearly all of them, several in a line."""


def unfit(record: pb.CallRecord) -> str:
    """Say why a record can never be stored; empty if it can."""
    if not _CALL_ID.fullmatch(record.call_id):
        return "call_id is not 32 hex digits"
    if record.started_unix_nano > _MAX_UNIX_NS:
        return "started_unix_nano is out of range"
    spans = (record.latency_s, record.ttft_s, record.overhead_s, record.cache.original_latency_s)
    # The sum of numbers that are is finite, too, but for the very largest.
    if not isfinite(sum(spans)) and not all(map(isfinite, spans)):
        return "a span of time is no finite number of seconds"
    money = " ".join(filter(None, _money(record)))
    if not (_PLAIN_MONEY.fullmatch(money) or all(map(is_money, _money(record)))):
        return "a cost, a price or a budget is no decimal amount of dollars"
    return ""


def _money(record: pb.CallRecord) -> list[str]:
    """All amounts: what is never summed has to be readable by whoever asks for the record."""
    cost = record.cost
    found = [cost.total_usd, cost.input_usd, cost.output_usd, record.cache.saved_usd]
    for attempt in record.attempts:
        if attempt.HasField("cost"):
            cost = attempt.cost
            found += (cost.total_usd, cost.input_usd, cost.output_usd)
    receipt = record.receipt
    found += [candidate.est_cost_usd for candidate in receipt.candidates]
    for budget in receipt.budgets:
        found += (budget.spent_usd, budget.limit_usd)
    return found


def is_money(text: str) -> bool:
    """Tell whether an amount can be summed: ``1e999999`` is a number, but not one to write out."""
    if not text:
        return True
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return False
    bounds = range(-_MAX_MONEY_CHARS, _MAX_MONEY_DIGITS)
    return len(text) <= _MAX_MONEY_CHARS and amount.is_finite() and amount.adjusted() in bounds
