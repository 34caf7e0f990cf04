"""Router versions told to a person and to a program. Pure."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from remora.cli.figures import NONE, visible
from remora.cli.moments import iso_utc, local_time
from remora.cli.receipt_lines import line
from remora.cli.score_json import scores_json
from remora.cli.score_tables import answers, points
from remora.client.router_version import KeptVersion
from remora.learning.offpolicy import Estimate
from remora.learning.versions import Difference


def version_table(versions: Sequence[KeptVersion]) -> Table:
    """Show versions, and which is in force."""
    table = Table(box=None, pad_edge=False)
    table.add_column("version", justify="right")
    for name in ("made", "", "gate", "more than the one before", "note"):
        table.add_column(name, overflow="fold")
    for version in versions:
        table.add_row(
            str(version.number),
            f"{local_time(version.made_unix_ns):%Y-%m-%d %H:%M:%S}",
            "in force" if version.is_in_force else "",
            version.verdict or NONE,
            advantage(version.advantage),
            visible(version.note) or NONE,
            style="bold" if version.is_in_force else "",
        )
    return table


def advantage(estimate: Estimate | None) -> str:
    """Say how much more was expected to be earned."""
    if estimate is None:
        return NONE
    return f"{points(estimate.mean)} ({points(estimate.low)} to {points(estimate.high)})"


def version_page(version: KeptVersion) -> Iterator[str]:
    """Tell of one version: what it is, what the gate said, and what it decides by."""
    force = ", in force" if version.is_in_force else ""
    yield line("version", f"{version.number}{force}")
    yield line("made", f"{local_time(version.made_unix_ns):%Y-%m-%d %H:%M:%S}")
    yield line("digest", version.digest)
    if version.note:
        yield line("note", version.note)
    if version.verdict:
        why = f": {version.reason}" if version.reason else ""
        yield line("gate", f"{version.verdict}{why}")
    if version.advantage is not None:
        yield line("advantage", advantage(version.advantage))
    for name, goal in sorted(version.goals.items()):
        yield ""
        yield line("goal", name)
        for arm in sorted(goal.arms, key=lambda one: -one.posterior.mean):
            known = f"{arm.posterior.mean:.1%} by {answers(arm.samples)} answers"
            yield visible(f"  {arm.arm.key}: {known}")


def state_line(version: KeptVersion) -> str:
    """Say where a version stands."""
    if version.is_in_force:
        return f"router version {version.number} is in force"
    why = f" ({version.reason})" if version.reason else ""
    said = f": the gate says {version.verdict}{why}" if version.verdict else ""
    return visible(f"router version {version.number} is not in force{said}")


def version_json(version: KeptVersion) -> dict[str, Any]:
    """Show a version; its scores only where they were asked for."""
    estimate = version.advantage
    shown: dict[str, Any] = {
        "version": version.number,
        "made_at": iso_utc(version.made_unix_ns),
        "digest": version.digest,
        "note": version.note or None,
        "in_force": version.is_in_force,
        "verdict": version.verdict or None,
        "reason": version.reason or None,
        "advantage": None if estimate is None else estimate_json(estimate),
    }
    if version.goals:
        shown["goals"] = [scores_json(goal) for _, goal in sorted(version.goals.items())]
    return shown


def estimate_json(estimate: Estimate) -> dict[str, float | None]:
    """Show an estimate with its interval of 95 %; null where there is no telling."""
    from remora.cli.score_json import finite

    return {name: finite(getattr(estimate, name)) for name in ("mean", "low", "high")}


def difference_line(difference: Difference) -> str:
    """Say what is otherwise."""
    about = f"{difference.goal}  {difference.arm}".rstrip()
    if difference.field == "arm":
        if difference.before is None:
            return visible(f"{about}: came, with {_value(difference.after)}")
        return visible(f"{about}: went, with {_value(difference.before)}")
    change = f"{_value(difference.before)} → {_value(difference.after)}"
    return visible(f"{about}: {difference.field} {change}")


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def difference_json(difference: Difference) -> dict[str, Any]:
    """Show what is otherwise."""
    return {
        "goal": difference.goal,
        "arm": difference.arm or None,
        "field": difference.field,
        "before": difference.before,
        "after": difference.after,
    }
