"""`remora scores`: what is shown of goals and versions, and how versions are steered."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sdk.cli.asking import run
from tests.sdk.client.learning_double import DIGEST, learning_double

from remora.learning.settings import LearningSettings
from remora_proto.v1 import scores_pb2 as pb

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


@pytest.fixture
def double(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    with learning_double() as double:
        monkeypatch.setenv("REMORA_AGGREGATOR", double.address)
        yield double


def json_lines(*arguments):
    ended = run("scores", *arguments, "--json")
    assert ended.code == 0
    return [json.loads(line) for line in ended.out.splitlines()]


def test_a_goal_is_shown_with_its_arms_the_best_first(double):
    ended = run("scores")
    assert ended.code == 0
    head, columns, *rows = ended.out.splitlines()
    assert head.startswith("extract: degraded, worsening, 70.0% good (60.0% to 80.0%), router ver")
    assert columns.split() == ["arm", "good", "95", "%", "answers", "calls", "cost", "latency",
                               "status"]  # fmt: skip
    shown = {row.split()[0]: row for row in rows[:4]}
    assert list(shown) == ["openai/large", "openai/new", "openai/small", "openai/unheard"]
    assert "fell by 40 points" in shown["openai/large"]
    assert "$0.0001" in shown["openai/small"]
    assert "420ms" in shown["openai/small"]
    assert "stale" in shown["openai/small"]
    assert "little known (2.8 of 20)" in shown["openai/new"]
    assert shown["openai/unheard"].split()[1:6] == ["-", "-", "0", "0", "unknown"]


def test_failures_and_insights_stand_below(double):
    lines = run("scores", "extract").out.splitlines()
    assert lines[-3:] == [
        "failures: malformed_output 7",
        "drift_detected: extract openai/large: look what changed",
        "    rate_before 0.9",
    ]
    assert double.asked[0].goal == "extract"


def test_options_say_what_is_looked_at(double):
    run("scores", "--window", "1h", "--workload", "w", "--namespace", "n", "extract")
    assert double.asked == [
        pb.ScoresRequest(goal="extract", workload="w", namespace="n", window_s=3600)
    ]


def test_a_goal_that_nobody_knows_is_1(double):
    ended = run("scores", "other")
    assert (ended.code, ended.out) == (1, "")
    assert "nothing is known of the goal 'other'" in ended.err


def test_no_goal_at_all_is_said_and_no_failure():
    with learning_double(goals=()) as double:
        ended = run("scores", "--aggregator", double.address)
    assert (ended.code, ended.out) == (0, "")
    assert "nothing is known of any goal" in ended.err


def test_a_goal_that_is_named_as_a_command_can_be_asked_for(double):
    assert run("scores", "goals", "show").code == 1
    assert double.asked[0].goal == "show"


def test_insights_alone_are_those_of_all_goals(double):
    assert run("scores", "insights").out.startswith("drift_detected: extract openai/large: look")
    (shown,) = json_lines("insights")
    assert shown["evidence"] == {"rate_before": "0.9"}


def test_a_timeline_draws_each_arm(double):
    (row,) = run("scores", "timeline", "extract", "--points", "7").out.splitlines()[1:]
    assert row.split()[:5] == ["openai/small", "▅▆", "6", "66.7%", "75.0%"]
    assert double.asked[0].points == 7
    assert run("scores", "timeline", "other").code == 1


def test_benchmarks_say_what_models_do(double):
    (row,) = run("scores", "benchmarks", "--goal", "g").out.splitlines()[1:]
    assert row.split()[:9] == [
        "openai/small", "12", "1", "500ms", "1.50s", "100ms", "80", "$0.0005", "80.0%",
    ]  # fmt: skip
    assert double.asked[0].goal == "g"


def test_versions_are_listed_and_shown(double):
    (row,) = run("scores", "versions").out.splitlines()[1:]
    assert "in force" in row
    assert "+3.0 points (+1.0 points to +5.0 points)" in row
    page = run("scores", "show", "2").out
    assert DIGEST in page
    assert "openai/large: 79.4% by 100 answers" in page
    assert run("scores", "show", "9").code == 1


def test_differences_are_told_line_by_line(double):
    lines = run("scores", "diff", "1", "2").out.splitlines()
    assert lines == ["extract: band 0.05 → 0.1", "extract  openai/new: came, with 0.5"]
    assert (double.asked[0].old_number, double.asked[0].new_number) == (1, 2)
    run("scores", "diff")
    assert (double.asked[1].old_number, double.asked[1].new_number) == (0, 0)
    assert "they decide alike" in run("scores", "diff", "2", "2").err


def test_a_proposal_that_is_not_put_in_force_says_why(double):
    ended = run("scores", "propose", "--note", "why")
    assert ended.code == 0
    assert "version 3 is not in force: the gate says undecided (the log is worth 3" in ended.err
    assert double.asked == [pb.ProposeVersionRequest(note="why")]
    assert run("scores", "propose", "--activate").code == 1


def test_a_version_is_put_in_force_by_its_number(double):
    assert "router version 2 is in force" in run("scores", "activate", "2").err
    ended = run("scores", "activate", "9")
    assert ended.code == 1
    assert "there is no router version 9" in ended.err


def test_going_back_needs_a_yes(double):
    command = [sys.executable, "-P", "-m", "remora", "scores", "rollback"]
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert "--yes goes back without asking" in ended.stderr
    assert double.asked == []
    assert run("scores", "rollback", "--yes", "--namespace", "n").code == 0
    assert double.asked == [pb.RollBackRequest(namespace="n")]


@pytest.mark.parametrize(("answer", "code", "asked"), [(b"y\n", 0, 1), (b"n\n", 130, 0)])
def test_on_a_terminal_it_asks_before_it_goes_back(double, answer, code, asked):
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer)
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "remora", "scores", "rollback"],
            stdin=theirs, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(theirs)
        os.close(ours)
    assert (ended.returncode, len(double.asked)) == (code, asked)
    assert "Go back to the router version before this one?" in ended.stderr


def test_settings_say_what_is_not_the_default(double):
    double.settings = pb.LearningSettings(band=0.1, half_life_ms=5)
    lines = run("scores", "settings", "extract").out.splitlines()
    assert "band                0.1  (default 0.05)" in lines
    assert "half_life_ms        5  (default none)" in lines
    assert "min_samples         20" in lines


def test_settings_are_changed_one_by_one(double):
    double.settings = pb.LearningSettings(band=0.1, half_life_ms=5)
    changes = ["--set", "min_samples=7", "--set", "half_life_ms=none", "--set", "band=default"]
    (shown,) = json_lines("settings", "*", *changes)
    assert shown["goal"] == "*"
    assert LearningSettings.from_mapping(shown["settings"]) == LearningSettings(min_samples=7)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("band", "'band' is not written NAME=VALUE"),
        ("colour=1", "'colour' is no setting; there are exploration_rate"),
        ("band=wide", "band takes a number, not 'wide'"),
        ("staleness_ms=1.5", "staleness_ms takes a whole number"),
        ("band=none", "band takes a number"),
        ("band=7", "band is 7.0: give a number from 0 to 1"),
        ("band=nan", "band is nan"),
    ],
)
def test_a_change_that_makes_no_sense_changes_nothing(double, change, told):
    ended = run("scores", "settings", "extract", "--set", change)
    assert ended.code == 2
    assert told in ended.err
    assert not any(request.HasField("put") for request in double.asked)


def _keys(shown):
    if isinstance(shown, list):
        return {key for one in shown for key in _keys(one)}
    if not isinstance(shown, dict):
        return set()
    free = {"evidence", "parameters"} & shown.keys() if "advice" in shown else set()
    return set(shown) | {k for name, one in shown.items() if name not in free for k in _keys(one)}


def test_the_page_names_every_key_of_the_json(double):
    page = PAGE.read_text()
    asked = (
        [], ["insights"], ["timeline", "extract"], ["benchmarks"], ["versions"], ["show", "2"],
        ["diff"], ["propose"], ["settings", "*"],
    )  # fmt: skip
    keys = {key for arguments in asked for key in _keys(json_lines(*arguments))}
    known = {*LearningSettings.__slots__}  # docs/learned-routing.md has these
    assert [key for key in sorted(keys - known) if f"`{key}`" not in page] == []
