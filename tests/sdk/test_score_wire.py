"""Scores over the wire: what is written is read again, and what nobody can go by is refused."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.learning import Arm, ArmScore, Beta, Counts, GoalScores, LearningSettings
from remora.learning.change import Shift
from remora.policy.routing import Candidate
from remora.score_wire import (
    arm_of,
    goal_scores_message,
    goal_scores_of,
    parameters_of,
    parameters_text,
    setting_values,
    settings_message,
    settings_of,
)
from remora_proto.v1 import scores_pb2 as pb

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS | st.floats(-9, 9)
FIGURES = st.floats(0, 1e6)
COUNTS = st.builds(Counts, st.integers(0, 10**9), st.integers(0, 10**9))
SCORES = st.builds(
    ArmScore,
    arm=st.builds(Arm, TEXTS, TEXTS, st.dictionaries(TEXTS, SCALARS, max_size=3)),
    posterior=st.builds(Beta, st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)),
    samples=FIGURES,
    cost_usd=st.none() | FIGURES,
    latency_ms=st.none() | FIGURES,
    is_stale=st.booleans(),
    shift=st.none() | st.builds(Shift, st.integers(0, 2**40), COUNTS, COUNTS),
)
SETTINGS = st.builds(
    LearningSettings,
    exploration_rate=st.floats(0, 1),
    staleness_ms=st.integers(1, 10**9),
    half_life_ms=st.none() | st.integers(1, 10**9),
    min_samples=st.floats(0, 1e6),
)


@given(TEXTS, st.lists(SCORES, max_size=3), SETTINGS)
def test_what_is_written_is_read_again(goal, arms, settings):
    scores = GoalScores(goal, tuple(arms), settings)
    message = goal_scores_message(scores, digest="d", made_unix_ns=5, version=2)
    read = pb.GoalScores.FromString(message.SerializeToString())
    assert goal_scores_of(read) == scores
    assert (read.digest, read.made_unix_nano, read.version) == ("d", 5, 2)


VALUES = {
    "nothing": {},
    "what is as by default": {"exploration_rate": 0.1},
    "nothing at all of it": {"exploration_rate": 0.0, "min_samples": 0.0},
    "no half-life": {"half_life_ms": None},
    "a half-life": {"half_life_ms": 1000, "band": 0.5},
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_only_settings_that_are_there_are_told(values):
    message = pb.LearningSettings.FromString(settings_message(values).SerializeToString())
    assert setting_values(message) == values
    assert settings_of(message) == LearningSettings.from_mapping(values)


def test_a_setting_of_another_name_can_not_be_told():
    with pytest.raises(ValueError, match="no such setting: haste"):
        settings_message({"haste": 1})


def test_a_setting_out_of_range_is_refused():
    with pytest.raises(ValueError, match="band is 7"):
        settings_of(pb.LearningSettings(band=7))


UNFIT = {
    "a posterior of nothing": pb.ArmScore(),
    "a posterior below nothing": pb.ArmScore(posterior=pb.Counts(good=-1, bad=1)),
    "a posterior that is no number": pb.ArmScore(posterior=pb.Counts(good=math.nan, bad=1)),
    "endless samples": pb.ArmScore(posterior=pb.Counts(good=1, bad=1), samples=math.inf),
    "a cost below nothing": pb.ArmScore(posterior=pb.Counts(good=1, bad=1), cost_usd=-1),
    "a latency that is no number": pb.ArmScore(
        posterior=pb.Counts(good=1, bad=1), latency_ms=math.nan
    ),
    "a change of what is no number": pb.ArmScore(
        posterior=pb.Counts(good=1, bad=1),
        shift=pb.Shift(at_unix_nano=1, before=pb.Counts(good=math.inf)),
    ),
    "parameters that are a list": pb.ArmScore(
        arm=pb.Arm(parameters="[]"), posterior=pb.Counts(good=1, bad=1)
    ),
}


@pytest.mark.parametrize("score", UNFIT.values(), ids=UNFIT)
def test_what_no_decision_can_go_by_is_refused(score):
    with pytest.raises(ValueError, match=r"posterior|figure|evidence|parameters"):
        goal_scores_of(pb.GoalScores(goal="g", arms=[score]))


@pytest.mark.parametrize(
    "text", ["1", '{"a": [1]}', '{"a": NaN}', "{", "[" * 100_000], ids=lambda text: text[:12]
)
def test_parameters_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        parameters_of(text)


@given(st.dictionaries(TEXTS, SCALARS, max_size=4))
def test_parameters_are_written_in_one_way_only(parameters):
    text = parameters_text(parameters)
    assert parameters_text(dict(reversed(parameters.items()))) == text
    assert parameters_of(text) == parameters
    assert arm_of(pb.Arm(provider="p", model="m", parameters=text)) == Arm("p", "m", parameters)


@pytest.mark.parametrize("written", ["1", "1.0", "1e0"])
def test_an_arm_is_the_same_however_policy_writes_its_numbers(written):
    value = json.loads(written)
    candidate = Candidate.model_validate({"model": "m", "parameters": {"temperature": value}})
    assert parameters_text(candidate.parameters) == '{"temperature":1}'
