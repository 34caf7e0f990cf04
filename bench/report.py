"""Writes what was measured: JSON for programs, a table for the README. Files, no measuring."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.figure import Figure

SIDES = ("remora", "stock", "direct")
_HEADINGS = "| | remora | stock mitmdump | direct | result | wanted |"
_RULE = "|---|--:|--:|--:|--:|---|"


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run.

    Attributes:
        date: Of the run, in ISO form.
        versions: Of what was measured and what it stands on.
        machine: Where.
        figures: What was found, in the order of the table.
    """

    date: str
    versions: Mapping[str, str]
    machine: Mapping[str, str | int]
    figures: Sequence[Figure]


def number(value: float) -> str:
    """Write a number with three figures that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def as_json(report: Report) -> str:
    """Write all of it."""
    shown = {
        "date": report.date,
        "versions": dict(report.versions),
        "machine": dict(report.machine),
        "figures": {figure.name: _figure(figure) for figure in report.figures},
    }
    return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"


def _figure(figure: Figure) -> dict[str, Any]:
    facts = asdict(figure)
    del facts["name"]
    rounded = {side: [round(v, 4) for v in values] for side, values in figure.rounds.items()}
    return {
        **facts,
        "values": {side: round(value, 4) for side, value in figure.values.items()},
        "rounds": rounded,
        "verdict": None if figure.verdict is None else round(figure.verdict, 4),
        "verdict_unit": figure.verdict_unit.strip(),
        "target": None if figure.target is None else figure.target.text(),
        "met": figure.is_met,
    }


def table_row(figure: Figure) -> str:
    """Write one figure as a row of the table."""
    values = [_value(figure, side) or _other(figure, side) for side in SIDES]
    wanted = "" if figure.target is None else figure.target.text()
    return f"| {figure.title} | {' | '.join(values)} | {_result(figure)} | {wanted} |"


def _value(figure: Figure, side: str) -> str:
    value = figure.values.get(side)
    return (
        "" if value is None else f"{number(value)}{'' if figure.unit == '/s' else ' '}{figure.unit}"
    )


def _other(figure: Figure, side: str) -> str:
    """In the place of stock mitmdump, whatever else a figure stands beside, named."""
    others = figure.values.keys() - set(SIDES) if side == "stock" else ()
    return ", ".join(f"{other}: {_value(figure, other)}" for other in sorted(others))


def _result(figure: Figure) -> str:
    if figure.verdict is None:
        return f"not measured: {figure.why_not}"
    result = f"{number(figure.verdict)}{figure.verdict_unit}"
    if figure.is_met is None:
        return result
    return f"**{result}**" if figure.is_met else f"{result} (missed)"


def as_markdown(report: Report) -> str:
    """Write the table, with date, versions and machine above."""
    versions, machine = report.versions, report.machine
    where = (
        f"Measured {report.date} on {machine['cores']} cores of {machine['cpu']}, Linux "
        f"{machine['kernel']}: remora {versions['remora']} ({versions['commit']}), "
        f"mitmproxy {versions['mitmproxy']}, Python {versions['python']}."
    )
    rows = [table_row(figure) for figure in report.figures]
    return "\n".join([where, "", _HEADINGS, _RULE, *rows])


def between_markers(page: str, name: str, text: str) -> str:
    """Put text between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.

    Raises:
        ValueError: The page has no such place.
    """
    start, end = _place(page, name)
    return f"{page[:start]}\n{text}\n{page[end:]}"


def _place(page: str, name: str) -> tuple[int, int]:
    """Find what stands between markers; raises ValueError where there are none."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    found = re.search(f"{re.escape(begin)}(.*?){re.escape(end)}", page, re.DOTALL)
    if found is None:
        raise ValueError(f"no place {begin} … {end}")
    return found.span(1)


def with_rows(page: str, figures: Sequence[Figure], when: str) -> str:
    """Put rows measured later into the table in the place of those of the same title.

    Args:
        page: With the table of a whole run.
        figures: What was measured again, or for the first time: that comes last.
        when: Said beside the titles.
    """
    start, end = _place(page, "bench")
    table = page[start:end].strip()
    for figure in figures:
        title = re.compile(rf"^\| {re.escape(figure.title)}(?: \[[^]]*\])? \|.*$", re.MULTILINE)
        row = table_row(replace(figure, title=f"{figure.title} [{when}]"))
        old = title.search(table)
        table = f"{table}\n{row}" if old is None else table.replace(old[0], row)
    return between_markers(page, "bench", table)


def write_rows(report: Report, results: Path, readme: Path) -> None:
    """Keep what was measured alone beside a whole run's other figures."""
    when = f"{report.date}, {report.versions['commit']}"
    kept = json.loads(results.read_text())
    again = {"date": report.date, "commit": report.versions["commit"]}
    kept["figures"] |= {f.name: {**_figure(f), "measured_alone": again} for f in report.figures}
    results.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
    readme.write_text(with_rows(readme.read_text(), report.figures, when))


def write(report: Report, results: Path, readme: Path) -> None:
    """Keep a report."""
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(as_json(report))
    readme.write_text(between_markers(readme.read_text(), "bench", as_markdown(report)))
