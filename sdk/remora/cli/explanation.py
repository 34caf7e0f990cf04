"""Why a recorded call went where it went, told to a person line by line. Pure."""

from collections.abc import Iterator

from remora.cli.figures import money, seconds
from remora.cli.receipt_json import asked_first, status_word
from remora.cli.receipt_lines import OWNERS, block, decision_lines, line
from remora.records import Attempt, CallRecord, EndReason, Outcome

NOT_ASKED = "was not asked: the record has no receipt"


def explanation(record: CallRecord) -> Iterator[str]:
    """Say what was asked, what policy made of it, what was tried and what came of it."""
    receipt = record.receipt
    yield line("call", record.call_id)
    yield line("asked for", f"{record.requested_model or 'no model'} ({_operation(record)})")
    if record.attribution.goal:
        yield line("goal", record.attribution.goal)
    if receipt is None:
        yield line("policy", NOT_ASKED)
    else:
        yield from decision_lines(receipt, asked_first(record))
        if record.attempts:
            yield line("key", OWNERS.get(receipt.credential, receipt.credential))
    if record.cache is not None:
        why = f": {record.cache.reason}" if record.cache.reason else ""
        yield line("cache", record.cache.result + why)
    yield from block("attempts", map(_attempt, record.attempts))
    yield line("outcome", _outcome(record))
    if record.outcome is not None:
        yield line("answer", _judged(record.outcome))
    yield from block("notes", record.notes)


def _operation(record: CallRecord) -> str:
    return record.operation or ("not read" if record.opaque else "unknown operation")


def _attempt(attempt: Attempt) -> str:
    name = "/".join(filter(None, (attempt.provider, attempt.model))) or "unknown provider"
    name = f"{name} {attempt.parameters}".rstrip()
    how = f"HTTP {attempt.status_code}" if attempt.status_code else "no answer"
    failure = f", {attempt.failure}" if attempt.failure else ""
    said = f": {attempt.error.message}" if attempt.error is not None else ""
    return f"{name}: {how}{failure}, {seconds(attempt.duration_s)}{said}"


def _outcome(record: CallRecord) -> str:
    error = record.error
    said = f"{status_word(record)}: {error.type}: {error.message}" if error is not None else ""
    if record.end_reason is EndReason.REFUSED:
        return said or "refused"
    status = f"HTTP {record.status_code}" if record.status_code else ""
    status = "" if status in said else status
    served = f"served as {record.response_model}" if record.response_model else ""
    parts = (said or status_word(record), status, served, _cost(record), seconds(record.latency_s))
    return ", ".join(filter(None, parts))


def _judged(outcome: Outcome) -> str:
    """Say what can be told of the answer without asking anybody."""
    said = [outcome.kind.replace("_", " "), outcome.failure_category]
    if outcome.failed_checks:
        said.append(f"fails {', '.join(outcome.failed_checks)}")
    said.append(f"strength {outcome.strength:g}, confidence {outcome.confidence:g}")
    return ", ".join(filter(None, said))


def _cost(record: CallRecord) -> str:
    if record.cached:
        return "out of the cache"
    if record.cost is not None:
        is_guess = record.usage is not None and record.usage.estimated
        return f"about {money(record.cost.total_usd)}" if is_guess else money(record.cost.total_usd)
    return "" if record.usage is None else "price unknown"
