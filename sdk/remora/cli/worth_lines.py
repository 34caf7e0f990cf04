"""What a policy would have been worth, told to a person and to a program. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from remora.cli.figures import plural, visible
from remora.cli.moments import iso_utc
from remora.cli.receipt_lines import block, line
from remora.cli.score_tables import interval, percent, points
from remora.cli.version_lines import estimate_json
from remora.learning.offpolicy import Estimate
from remora.learning.policy_replay import Replay
from remora.learning.policy_worth import Worth

_WAYS = {
    "ips": "inverse propensities",
    "snips": "self-normalised",
    "doubly_robust": "doubly robust",
}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A policy that was held against a log.

    Attributes:
        policy: Its name.
        version: SHA-256 of it, in hex.
        operation: What the calls are taken for.
        first_unix_ns: When the first call of the log began; 0: it is empty.
        last_unix_ns: When the last one did.
        worths: In all, then for each goal; none if nothing was left of the log.
        notes: What a person should know of how it was done.
    """

    policy: str
    version: str
    operation: str
    first_unix_ns: int
    last_unix_ns: int
    replay: Replay
    worths: Sequence[Worth]
    notes: tuple[str, ...]


def evaluated_lines(evaluated: Evaluated) -> Iterator[str]:
    """Say what was looked at, and what not."""
    replay = evaluated.replay
    yield line("policy", f"{evaluated.policy}, version {evaluated.version[:12]}")
    yield line("log", _span(evaluated))
    yield from block(
        "left out", (f"{plural(n, 'call')}: {why}" for why, n in replay.left_out.items())
    )
    yield from block(
        "never tried",
        (
            f"{arm}: {share:.1%} of its choices; no call of the log could go there"
            for arm, share in replay.never_offered.items()
        ),
    )


def _span(evaluated: Evaluated) -> str:
    calls = plural(len(evaluated.replay.log), "judged call")
    if not evaluated.first_unix_ns:
        return calls
    first, last = (iso_utc(at)[:16] for at in (evaluated.first_unix_ns, evaluated.last_unix_ns))
    return f"{calls} from {first}Z to {last}Z, taken for {evaluated.operation}"


def worth_table(worth: Worth) -> Table:
    """Show the estimates beside what was earned."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("good answers", justify="right")
    table.add_column("95 %", justify="right")
    table.add_row("earned", *_cells(worth.earned))
    for name, way in _WAYS.items():
        table.add_row(f"would have earned, {way}", *_cells(getattr(worth.evaluation, name)))
    table.add_row("more than was earned", points(worth.gain.mean), _between(worth.gain))
    return table


def goal_table(worths: Sequence[Worth]) -> Table:
    """Show goals in a line each."""
    table = Table(box=None, pad_edge=False)
    table.add_column("goal", overflow="fold")
    for name in ("calls", "worth", "earned", "would have", "more", "95 %"):
        table.add_column(name, justify="right")
    table.add_column("so it is", overflow="fold")
    for worth in worths:
        table.add_row(
            visible(worth.goal),
            f"{worth.evaluation.calls:,}",
            f"{worth.evaluation.effective_calls:,.0f}",
            percent(worth.earned.mean),
            percent(worth.evaluation.doubly_robust.mean),
            points(worth.gain.mean),
            _between(worth.gain),
            worth.finding.replace("_", " "),
        )
    return table


def _cells(estimate: Estimate) -> tuple[str, str]:
    if not math.isfinite(estimate.mean):
        return "unknown", ""
    if not math.isfinite(estimate.low):
        return percent(estimate.mean), "unknown"
    return percent(estimate.mean), interval(estimate.low, estimate.high)


def _between(estimate: Estimate) -> str:
    if not math.isfinite(estimate.low):
        return "unknown"
    return f"{points(estimate.low)} to {points(estimate.high)}"


def conclusion_lines(evaluated: Evaluated) -> Iterator[str]:
    """Say in plain words what can be concluded."""
    worth = evaluated.worths[0]
    calls, effective = worth.evaluation.calls, worth.evaluation.effective_calls
    yield f"For this policy the log is worth {effective:,.0f} of its {plural(calls, 'call')}."
    if worth.evaluation.unsupported > 0:
        share = f"{worth.evaluation.unsupported:.1%}"
        yield f"{share} of its choices the log never made: of these there is but a guess."
    yield _conclusion(worth)
    yield from evaluated.notes


def _conclusion(worth: Worth) -> str:
    least, most = worth.gain.low, worth.gain.high
    if not worth.is_supported:
        return "Nothing can be concluded: try the arms that it would take, with a small weight."
    if not worth.is_enough:
        return "Nothing can be concluded: about 100 calls are needed that decide as it would."
    if worth.finding == "better":
        return f"It would have earned more: by {points(least)} at least, with 95 % confidence."
    if worth.finding == "worse":
        return f"It would have earned less: {points(most)} at best, with 95 % confidence."
    return (
        f"No difference is certain: with 95 % confidence it is between {points(least)} and "
        f"{points(most)}."
    )


def evaluated_json(evaluated: Evaluated) -> dict[str, Any]:
    """Show all of it."""
    replay = evaluated.replay
    first, last = evaluated.first_unix_ns, evaluated.last_unix_ns
    return {
        "policy": evaluated.policy,
        "policy_version": evaluated.version,
        "operation": evaluated.operation,
        "from": iso_utc(first) if first else None,
        "to": iso_utc(last) if last else None,
        "left_out": [{"why": why, "calls": n} for why, n in replay.left_out.items()],
        "never_offered": [
            {"arm": arm, "share": share} for arm, share in replay.never_offered.items()
        ],
        "all": _worth_json(evaluated.worths[0]) if evaluated.worths else None,
        "goals": [_worth_json(worth) for worth in evaluated.worths[1:]],
        "notes": list(evaluated.notes),
    }


def _worth_json(worth: Worth) -> dict[str, Any]:
    evaluation = worth.evaluation
    return {
        "goal": worth.goal or None,
        "calls": evaluation.calls,
        "effective_calls": evaluation.effective_calls,
        "unsupported": evaluation.unsupported,
        "earned": estimate_json(worth.earned),
        **{name: estimate_json(getattr(evaluation, name)) for name in _WAYS},
        "gain": estimate_json(worth.gain),
        "finding": worth.finding,
    }
