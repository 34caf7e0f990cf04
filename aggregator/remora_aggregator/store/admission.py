"""Which records are fit to be stored. Pure."""

import re
from decimal import Decimal, InvalidOperation

from remora_proto.v1 import records_pb2 as pb

_CALL_ID = re.compile(r"[0-9a-f]{32}")
_MAX_UNIX_NS = (1 << 63) - 1
_MAX_MONEY_CHARS = 64
_MAX_MONEY_DIGITS = 12


def unfit(record: pb.CallRecord) -> str:
    """Say why a record can never be stored; empty if it can."""
    if not _CALL_ID.fullmatch(record.call_id):
        return "call_id is not 32 hex digits"
    if record.started_unix_nano > _MAX_UNIX_NS:
        return "started_unix_nano is out of range"
    money = (record.cost.total_usd, record.cost.input_usd, record.cost.output_usd)
    if not all(_is_money(amount) for amount in money):
        return "cost holds what is no decimal amount of dollars"
    return ""


def _is_money(text: str) -> bool:
    """Tell whether an amount can be summed: ``1e999999`` is a number, but not one to write out."""
    if not text:
        return True
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return False
    bounds = range(-_MAX_MONEY_CHARS, _MAX_MONEY_DIGITS)
    return len(text) <= _MAX_MONEY_CHARS and amount.is_finite() and amount.adjusted() in bounds
