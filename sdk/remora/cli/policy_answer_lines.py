"""What a policy would make of a request, told to a person line by line. Pure."""

from collections.abc import Iterator, Mapping

from remora.cli.policy_question import CacheForecast, Patience, PolicyAnswer, Stop
from remora.cli.receipt_lines import OWNERS, block, decision_lines, line

PASSED_BY: Mapping[str, str] = {
    "off": "policy switches it off",
    "operation": "answers of this operation are never kept",
    "reads-back": "the call fetches an answer that an earlier one made",
    "unreadable": "the request can't be read",
    "sampling": "the call asks for a sample (set temperature: 0, or sampling: true in the policy)",
    "stateful": "the answer depends on what changes",
    "no-store": "the request says no-store",
    "no-cache": "the request says no-cache",
}
"""What each word for why the cache is passed by means."""


def policy_answer_lines(answer: PolicyAnswer) -> Iterator[str]:
    """Say what was asked, what policy would make of it, and where it would go."""
    yield line("call", f"{answer.method} {answer.url}")
    if answer.receipt is None:
        yield line("policy", "does not intercept it: it would pass as it is")
        yield from block("notes", answer.notes)
        return
    yield line("asked for", _asked(answer))
    first = answer.stops[0].name if answer.stops else ""
    yield from decision_lines(answer.receipt, first)
    yield from _course(answer)
    yield line("bodies", f"capture: {answer.capture}")
    yield line("outcome", _outcome(answer))
    yield from block("notes", answer.notes)


def _asked(answer: PolicyAnswer) -> str:
    what = f"{answer.model or 'no model'} ({answer.operation or 'no known operation'})"
    return f"{what} of {answer.provider}, dialect {answer.dialect or 'unknown'}"


def _course(answer: PolicyAnswer) -> Iterator[str]:
    if not answer.stops:
        return
    yield from block("goes to", map(_stop, answer.stops))
    yield line("tries", _tries(answer.patience))
    if limits := _limits(answer.patience):
        yield line("time limits", limits)
    if answer.cache is not None:
        yield line("cache", _cache(answer.cache))


def _stop(stop: Stop) -> str:
    at = f" at {stop.url}" if stop.url else ""
    problem = f"; it can't be sent: {stop.problem}" if stop.problem else ""
    return f"{stop.name}{at}, key: {OWNERS[stop.key]}{problem}"


def _tries(patience: Patience) -> str:
    if patience.tries == 1:
        return "1"
    first_s, longest_s = patience.first_pause_s, patience.longest_pause_s
    return f"{patience.tries} of each, pauses from {first_s:g} s up to {longest_s:g} s"


def _limits(patience: Patience) -> str:
    named = {
        "connect": patience.connect_s,
        "first byte": patience.first_byte_s,
        "idle": patience.idle_s,
        "in all": patience.total_s,
    }
    return ", ".join(f"{name} {s:g} s" for name, s in named.items() if s is not None)


def _cache(cache: CacheForecast) -> str:
    does = [word for word, is_so in (("looked up", cache.reads), ("kept", cache.writes)) if is_so]
    why = f": {PASSED_BY.get(cache.reason, cache.reason)}" if cache.reason else ""
    return (f"the answer is {' and '.join(does)}" if does else "passed by") + why


def _outcome(answer: PolicyAnswer) -> str:
    if (refusal := answer.refusal) is not None:
        return f"refused: {refusal.status} {refusal.code}: {refusal.message}"
    if answer.stops[0].problem:
        return "fails at the first place, unless the sidecar has there what is missing here"
    return "sent"
