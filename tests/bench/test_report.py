import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench.figure import Better, Figure, Target
from bench.report import (
    Report,
    as_json,
    as_markdown,
    between_markers,
    number,
    table_row,
    write,
    write_rows,
)

_CALLS = Figure(
    "calls_per_second",
    "requests/s",
    "/s",
    Target(Better.MORE, 2.5, unit="x"),
    values={"remora": 3000.4, "stock": 700.2},
    rounds={"remora": [3000.4], "stock": [700.2]},
    verdict=4.2851,
    verdict_unit="x",
)
_SHAPED = Figure(
    "shaped", "link", "MB/s", Target(Better.MORE, 0.95, unit="x"), why_not="needs root"
)


def _report(*figures: Figure) -> Report:
    versions = {"remora": "0.1.0", "mitmproxy": "12", "python": "3.13", "commit": "abc"}
    machine = {"cpu": "a CPU", "cores": 2, "kernel": "6.1"}
    return Report("2026-01-02", versions, machine, figures)


@pytest.mark.parametrize(
    ("value", "text"), [(3000.4, "3,000"), (12.345, "12.3"), (0.512, "0.51"), (-0.97, "-0.97")]
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_a_row_shows_sides_verdict_and_target():
    assert table_row(_CALLS) == "| requests/s | 3,000/s | 700/s |  | **4.29x** | ≥ 2.5x |"


def test_a_row_names_what_else_it_stands_beside():
    values = {"remora": 3.0, "LiteLLM": 12.0}
    beside = Figure("a", "b", "ms", None, values, {}, 0.25, "x")
    assert table_row(beside) == "| b | 3.00 ms | LiteLLM: 12.0 ms |  | 0.25x |  |"


def test_a_missed_target_is_said():
    missed = Figure("a", "b", "ms", Target(Better.LESS, 1), {"remora": 2}, {}, 2.0, " ms")
    assert table_row(missed) == "| b | 2.00 ms |  |  | 2.00 ms (missed) | ≤ 1 |"


def test_what_was_not_measured_says_why():
    assert table_row(_SHAPED).endswith("| not measured: needs root | ≥ 0.95x |")


def test_the_json_holds_every_figure_and_ratio():
    shown = json.loads(as_json(_report(_CALLS, _SHAPED)))
    assert (shown["date"], shown["machine"]["cores"]) == ("2026-01-02", 2)
    assert shown["figures"]["calls_per_second"]["verdict"] == 4.2851
    assert shown["figures"]["calls_per_second"]["met"] is True
    assert shown["figures"]["shaped"]["why_not"] == "needs root"


def test_the_page_keeps_all_but_what_is_between_the_markers(tmp_path: Path):
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n")
    write(_report(_CALLS), tmp_path / "results" / "latest.json", page)
    text = page.read_text()
    assert text.startswith("before\n<!-- bench:begin -->\nMeasured 2026-01-02 on 2 cores of a CPU")
    assert text.endswith("<!-- bench:end -->\nafter\n")
    assert as_markdown(_report(_CALLS)) in text
    assert "old" not in text
    assert json.loads((tmp_path / "results" / "latest.json").read_text())["date"] == "2026-01-02"


def test_rows_measured_alone_stand_in_their_places_and_say_when(tmp_path: Path):
    page, results = tmp_path / "README.md", tmp_path / "latest.json"
    page.write_text("<!-- bench:begin -->\n<!-- bench:end -->\n")
    write(_report(_CALLS, _SHAPED), results, page)
    faster = replace(_CALLS, verdict=5.0)
    for _ in range(2):
        write_rows(_report(faster, replace(_SHAPED, name="new", title="new link")), results, page)

    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows[1:]] == [
        "requests/s [2026-01-02, abc]", "link", "new link [2026-01-02, abc]"
    ]  # fmt: skip
    assert "**5.00x**" in rows[1]
    figures = json.loads(results.read_text())["figures"]
    assert list(figures) == ["calls_per_second", "shaped", "new"]
    assert figures["calls_per_second"]["measured_alone"] == {"date": "2026-01-02", "commit": "abc"}
    assert "measured_alone" not in figures["shaped"]


def test_a_page_without_markers_is_refused():
    with pytest.raises(ValueError, match="bench:begin"):
        between_markers("nothing", "bench", "text")
