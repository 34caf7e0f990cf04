"""`remora scores evaluate`: policy files against logs of decisions."""

import json
import random
from pathlib import Path

import pytest
from tests.sdk.cli.asking import run
from tests.sdk.client.learning_double import (
    NOW_NS,
    VERSION,
    arm_report,
    learning_double,
    logged_call,
)

from remora_proto.v1 import scores_pb2 as pb

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
QUALITY = {"openai/small": 0.4, "openai/large": 0.8}
HEAD = "apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\nmetadata: {name: tried}\n"
LARGE = "router: {policy: random, candidates: [{model: large}]}"
SMALL = "router: {policy: random, candidates: [{model: small}]}"
EVEN = "router: {policy: random, candidates: [{model: small}, {model: large}]}"
LEARNED = "router: {policy: learned, candidates: [{model: small}, {model: large}]%s}"


def even_log(calls=400, seed=1, **fields):
    chance = random.Random(seed)  # noqa: S311 - no secret
    taken = chance.choices(list(QUALITY), k=calls)
    return [
        logged_call(number, arm=arm, reward=float(chance.random() < QUALITY[arm]), **fields)
        for number, arm in enumerate(taken)
    ]


@pytest.fixture
def policy(tmp_path):
    def write(route=LARGE, **match):
        path = tmp_path / "policy.yaml"
        rules = f"    match: {json.dumps(match)}\n" if match else ""
        path.write_text(f"{HEAD}spec:\n  routes:\n  - name: r\n{rules}    {route}\n")
        return str(path)

    return write


@pytest.fixture
def evaluated(monkeypatch):
    def ask(path, log, *arguments, **double):
        monkeypatch.setenv("COLUMNS", "160")
        with learning_double(log=log, **double) as aggregator:
            address = aggregator.address
            ended = run("scores", "evaluate", "--policy", path, *arguments, "--aggregator", address)
            ask.asked = aggregator.asked
        return ended

    return ask


@pytest.mark.parametrize(
    ("route", "says"),
    [
        (LARGE, "It would have earned more: by +"),
        (SMALL, "It would have earned less: -"),
        (EVEN, "No difference is certain: "),
    ],
    ids=["better", "worse", "same"],
)
def test_in_words_it_says_what_can_be_concluded(evaluated, policy, route, says):
    ended = evaluated(policy(route), even_log())
    assert ended.code == 0
    assert says in ended.out


def test_the_estimates_stand_beside_what_was_earned(evaluated, policy):
    lines = evaluated(policy(), even_log()).out.splitlines()
    assert lines[0].startswith("policy      tried, version ")
    assert lines[1].startswith("log         400 judged calls from 2026-09-21T")
    names = [line.rsplit("%", 2)[0] for line in lines if " to " in line]
    for way in ("earned", "inverse propensities", "self-normalised", "doubly robust"):
        assert any(way in name for name in names), way
    assert any("more than was earned" in line for line in lines)


def test_programs_are_told_the_same(evaluated, policy):
    shown = json.loads(evaluated(policy(), even_log(), "--json").out)
    whole = shown["all"]
    assert (whole["calls"], whole["finding"], whole["unsupported"]) == (400, "better", 0.0)
    assert whole["doubly_robust"]["low"] < 0.8 < whole["doubly_robust"]["high"]
    assert whole["earned"]["low"] < 0.6 < whole["earned"]["high"]
    assert (shown["goals"], shown["left_out"], shown["never_offered"]) == ([], [], [])


def test_goals_stand_apart_where_there_are_several(evaluated, policy):
    log = [*even_log(300), *even_log(300, seed=2, goal="other")]
    ended = evaluated(policy(), log)
    lines = map(str.split, ended.out.splitlines())
    rows = [words[0] for words in lines if words and words[-1] == "better"]
    assert rows == ["extract", "other"]


def test_calls_that_the_log_can_not_tell_of_are_left_out_and_counted(evaluated, policy):
    log = [*even_log(150), *even_log(2, requested_model="odd")]
    path = policy(LARGE, models=["auto"])
    ended = evaluated(path, log)
    assert "152 judged calls" in ended.out
    assert "1.3% of its choices the log never made" in ended.out
    condition = evaluated(policy(LARGE, condition="true"), log)
    assert condition.code == 1
    assert "left out    152 calls: route 'r' has a condition, which needs" in condition.out
    assert "nothing is left of it" in condition.err


def test_an_arm_that_the_log_never_offered_is_named(evaluated, policy):
    route = "router: {policy: random, candidates: [{model: small}, {model: new}]}"
    ended = evaluated(policy(route), even_log())
    assert "never tried openai/new: 50.0% of its choices" in ended.out
    assert "Nothing can be concluded: try the arms that it would take" in ended.out


def test_a_short_log_concludes_nothing(evaluated, policy):
    ended = evaluated(policy(), even_log(60))
    assert ended.code == 0
    assert "about 100 calls are needed" in ended.out


def test_a_log_of_one_call_is_shown_without_an_interval(evaluated, policy):
    shown = json.loads(evaluated(policy(EVEN), even_log(1), "--json").out)
    assert shown["all"]["ips"]["low"] is None
    assert "unknown" in evaluated(policy(EVEN), even_log(1)).out


def test_an_empty_log_is_said_and_1(evaluated, policy):
    ended = evaluated(policy(), [])
    assert ended.code == 1
    assert "no call was decided by chance and judged then" in ended.err
    shown = json.loads(evaluated(policy(), [], "--json").out)
    assert (shown["all"], shown["from"]) == (None, None)


def test_a_learned_policy_goes_by_the_scores_there_are(evaluated, policy):
    goal = pb.GoalReport(
        goal="extract", arms=[arm_report("small", 80, 120), arm_report("large", 160, 40)]
    )
    ended = evaluated(policy(LEARNED % ", explorationRate: 0.0"), even_log(), goals=[goal])
    assert "It would have earned more" in ended.out
    assert "that flatters it" in ended.out
    (asked,) = [one for one in evaluated.asked if isinstance(one, pb.ScoresRequest)]
    assert asked.window_s == 90 * 86_400


def test_a_gated_policy_goes_by_the_version_in_force(evaluated, policy):
    path = policy(LEARNED % ", updates: gated, explorationRate: 0.0")
    young = pb.RouterVersion()
    young.CopyFrom(VERSION)
    young.made_unix_nano = NOW_NS + 10
    ended = evaluated(path, even_log(), versions=[young])
    assert "Some of these calls are older than router version 2" in ended.out
    assert not [one for one in evaluated.asked if isinstance(one, pb.ScoresRequest)]
    none = evaluated(path, even_log(), versions=[])
    assert "No router version is in force" in none.out


def test_what_is_looked_at_is_what_the_options_say(evaluated, policy):
    options = ["--goal", "extract", "--since", "2026-09-01T00:00Z", "--namespace", "n"]
    evaluated(policy(), even_log(), *options)
    (request,) = evaluated.asked
    assert (request.goal, request.namespace) == ("extract", "n")
    assert request.since_unix_nano == 1_788_220_800 * 10**9


def test_a_policy_that_can_not_be_read_asks_nobody(evaluated, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("kind: LLMPolicy\n")
    ended = evaluated(str(path), even_log())
    assert (ended.code, evaluated.asked) == (2, [])
    assert "bad.yaml" in ended.err


def test_a_log_that_makes_no_sense_is_the_aggregators(evaluated, policy):
    bad = logged_call(1)
    bad.propensity = 0
    ended = evaluated(policy(), [bad])
    assert ended.code == 3
    assert "log can't be read: call 0: propensity 0.0" in ended.err


def test_the_page_names_every_key_of_the_json(evaluated, policy):
    log = [*even_log(100), *even_log(5, goal="other")]
    shown = json.loads(evaluated(policy(LEARNED % ""), log, "--json").out)
    page = PAGE.read_text()
    keys = {*shown, *shown["all"], *shown["all"]["ips"], "why", "share", "arm"}
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
