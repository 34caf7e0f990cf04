"""How goals, arms and models do, told to a person. Pure; what is not known is never zero."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby

from rich.table import Table

from remora.cli.figures import NONE, UNKNOWN, money, seconds, visible
from remora.cli.plots import sparkline
from remora.cli.task_lines import ago
from remora.client.score_report import (
    ArmReport,
    Benchmark,
    GoalReport,
    ReportedInsight,
    TimelinePoint,
)
from remora.learning.scores import ArmScore
from remora.learning.settings import LearningSettings

_MS_NS = 1_000_000
_MOST_FAILURES = 5


def percent(share: float | None) -> str:
    """Write a share."""
    return NONE if share is None else f"{share:.1%}"


def interval(low: float, high: float) -> str:
    """Write an interval of shares."""
    return f"{low:.1%} to {high:.1%}"


def points(share: float) -> str:
    """Write a difference of shares, in points of a hundred."""
    return f"{100 * share:+.1f} points"


def answers(weight: float) -> str:
    """Write how many answers are known of: those that are not certain count in part."""
    return f"{weight:,.0f}" if weight >= 10 or weight == int(weight) else f"{weight:.1f}"


def goal_line(report: GoalReport, now_unix_ns: int) -> str:
    """Say how a goal does, in one line."""
    said = [report.status.replace("_", " "), report.trend]
    if report.rate is not None:
        said.append(f"{percent(report.rate)} good ({interval(*report.interval)})")
    if report.version:
        said.append(f"router version {report.version}")
    if report.last_unix_ns:
        said.append(f"last call {ago(report.last_unix_ns, now_unix_ns)}")
    return visible(f"{report.goal}: {', '.join(filter(None, said))}")


def arm_table(report: GoalReport, now_unix_ns: int) -> Table:
    """Show the arms of a goal, the best first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("arm", overflow="fold")
    for name in ("good", "95 %", "answers", "calls", "cost", "latency"):
        table.add_column(name, justify="right")
    table.add_column("status", overflow="fold")
    for arm in sorted(report.arms, key=lambda one: -one.score.posterior.mean):
        table.add_row(*_arm_cells(arm, report.settings, now_unix_ns))
    return table


def _arm_cells(arm: ArmReport, settings: LearningSettings, now_unix_ns: int) -> list[str]:
    score = arm.score
    return [
        visible(score.arm.key),
        percent(arm.rate),
        NONE if arm.rate is None else interval(*arm.interval),
        answers(arm.evidence.weight),
        f"{arm.calls:,}",
        UNKNOWN if score.cost_usd is None else money(Decimal(repr(score.cost_usd))),
        UNKNOWN if score.latency_ms is None else seconds(score.latency_ms / 1000),
        ", ".join(_arm_words(score, settings, now_unix_ns)) or NONE,
    ]


def _arm_words(score: ArmScore, settings: LearningSettings, now_unix_ns: int) -> Iterator[str]:
    if score.samples < settings.min_samples:
        yield f"little known ({answers(score.samples)} of {answers(settings.min_samples)})"
    if score.is_stale:
        yield "stale"
    if (shift := score.shift) is not None:
        way = "fell" if shift.fall > 0 else "rose"
        when = ago(shift.at_ms * _MS_NS, now_unix_ns)
        yield f"{way} by {100 * abs(shift.fall):.0f} points {when}"


def failure_line(report: GoalReport) -> str:
    """Say what calls failed by, the most frequent first; empty if none did."""
    shown = [f"{mode.category} {mode.calls:,}" for mode in report.failures[:_MOST_FAILURES]]
    return f"failures: {visible(', '.join(shown))}" if shown else ""


def insight_lines(insights: Iterable[ReportedInsight]) -> Iterator[str]:
    """Say what is to be known, each with the figures that it stands on."""
    for insight in insights:
        about = " ".join(filter(None, (insight.goal, insight.arm)))
        figures = ", ".join(f"{name} {value}" for name, value in sorted(insight.evidence.items()))
        yield visible(f"{insight.kind}: {about}: {insight.advice}")
        if figures:
            yield visible(f"    {figures}")


def timeline_table(found: Sequence[TimelinePoint]) -> Table:
    """Show how arms did over time: a plot from 0 to 100 %, then the latest piece of time."""
    table = Table(box=None, pad_edge=False)
    table.add_column("arm", overflow="fold")
    table.add_column("over time", no_wrap=True)
    for name in ("answers", "good", "latest", "95 %"):
        table.add_column(name, justify="right")
    starts = sorted({point.start_unix_ns for point in found})
    for arm, pieces in groupby(found, key=lambda point: point.arm):
        table.add_row(*_timeline_cells(arm, list(pieces), starts))
    return table


def _timeline_cells(arm: str, pieces: Sequence[TimelinePoint], starts: Sequence[int]) -> list[str]:
    rates: Mapping[int, float] = {piece.start_unix_ns: piece.rate for piece in pieces}
    good = sum(piece.evidence.good for piece in pieces)
    weight = sum(piece.evidence.weight for piece in pieces)
    return [
        visible(arm),
        sparkline([rates.get(start) for start in starts], top=1.0),
        answers(weight),
        percent(good / weight if weight else None),
        percent(pieces[-1].rate),
        interval(*pieces[-1].interval),
    ]


def benchmark_table(found: Sequence[Benchmark]) -> Table:
    """Show what models were measured to do."""
    table = Table(box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    for name in (
        "calls", "errors", "p50", "p95", "first token", "tokens/s", "mean cost", "good", "95 %",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(*_benchmark_cells(one))
    return table


def _benchmark_cells(one: Benchmark) -> list[str]:
    speed = one.output_tokens_per_s
    return [
        visible(f"{one.provider}/{one.model}"),
        f"{one.calls:,}",
        f"{one.errors:,}" if one.errors else NONE,
        _time(one.latency_p50_s),
        _time(one.latency_p95_s),
        _time(one.ttft_p50_s),
        NONE if speed is None else f"{speed:,.0f}",
        UNKNOWN if one.mean_cost_usd is None else money(one.mean_cost_usd),
        percent(one.acceptance),
        NONE if one.acceptance is None else interval(*one.interval),
    ]


def _time(span_s: float | None) -> str:
    return NONE if span_s is None else seconds(span_s)


def settings_lines(settings: LearningSettings) -> Iterator[str]:
    """Say each setting, and which are not the default."""
    usual = LearningSettings().as_mapping()
    for name, value in settings.as_mapping().items():
        own = "" if value == usual[name] else f"  (default {_setting(usual[name])})"
        yield f"{name:<20}{_setting(value)}{own}"


def _setting(value: float | int | None) -> str:
    return "none" if value is None else f"{value:.15g}"
