"""What is written on a pod about its policy, and what of that is believed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import Problem
from remora_operator.cluster.reports import report, reported_refusal, reported_version
from remora_operator.policies import Answer, Answers

VERSION = "ab12" * 16
REFUSED = "remora.dev/policy-refused"
APPLIED = "remora.dev/policy-version"


def written(answer):
    return {name: text for name, text in report(answer).items() if text is not None}


def test_an_answer_is_read_as_it_was_written():
    answers = Answers()
    answers.greeted("u", VERSION)
    answer = answers.refused("u", "cd34", [Problem("policy.x", "is new"), Problem("y", "too")])
    found = reported_refusal(written(answer))
    assert reported_version(written(answer)) == VERSION
    assert found is not None
    assert (found.version, found.problems) == ("cd34", (Problem("policy.x", "is new"),))


def test_what_is_over_is_taken_away():
    assert report(Answer()) == {APPLIED: None, REFUSED: None}


@given(st.text(max_size=80), st.text(max_size=500), st.text(max_size=500))
def test_whatever_a_sidecar_says_can_be_written_and_read(version, where, what):
    answers = Answers()
    answers.greeted("u", version)
    answer = answers.refused("u", VERSION, [Problem(where, what)])
    on_pod = written(answer)
    assert len("".join(on_pod.values()).encode()) < 8192
    found = reported_refusal(on_pod)
    assert found is not None
    assert found.problems == answer.refusal.problems
    assert reported_version(on_pod) in (version, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "refused",
        json.dumps({"version": "v1", "fieldPath": "x", "reason": "y"}),
        json.dumps({"version": "ab", "fieldPath": "x"}),
        json.dumps({"version": "ab", "fieldPath": "x", "reason": "y" * 1000}),
    ],
)
def test_what_others_wrote_there_is_not_taken_for_a_refusal(text):
    assert reported_refusal({REFUSED: text}) is None


def test_what_others_wrote_there_breaks_no_line():
    text = json.dumps({"version": "ab", "fieldPath": "x\n", "reason": "a\u001b[31mb"})
    found = reported_refusal({REFUSED: text})
    assert found is not None
    assert found.problems == (Problem("x ", "a [31mb"),)
